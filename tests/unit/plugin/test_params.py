"""Dataclass -> schema -> checked values -> dataclass."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermae_bench.errors import PluginError
from dermae_bench.plugin.params import Between, File, Finding, Folder, build, check, paths_in, schema_of


@dataclass(frozen=True, kw_only=True)
class Net:
    width: Annotated[int, Between(1, 4096)] = 64
    """Channels of
    the first level."""
    act: Literal["silu", "gelu"] = "silu"


@dataclass(frozen=True, kw_only=True)
class Other:
    depth: int
    """Blocks."""


@dataclass(frozen=True, kw_only=True)
class Config:
    arch: str
    """Architecture."""
    lr: Annotated[float, Between(0)] = 1e-4
    """Learning rate."""
    flip: bool = True
    from_: str | None = None
    betas: tuple[float, ...] = (0.9, 0.999)
    weights: File | None = None
    folders: tuple[Folder, ...] = ()
    by_class: Mapping[str, float] = field(default_factory=dict)
    net: Net = Net()
    part: Net | Other | None = None
    amount: Literal["balance"] | Annotated[int, Between(1)] | None = None
    parts: tuple[str | Net, ...] = ()


SCHEMA = schema_of(Config)


def found(value: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(f.path, f.message, f.hint) for f in check({"arch": "x", **value}, SCHEMA)[1]]


def test_schema() -> None:
    properties = SCHEMA["properties"]
    assert SCHEMA["title"] == "Config"
    assert SCHEMA["required"] == ["arch"]
    assert SCHEMA["additionalProperties"] is False
    assert properties["arch"] == {"type": "string", "description": "Architecture."}
    assert properties["lr"] == {"type": "number", "minimum": 0, "description": "Learning rate.", "default": 1e-4}
    assert properties["from"] == {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
    assert properties["weights"]["anyOf"][0] == {"type": "string", "x-path": "file"}
    assert properties["betas"] == {"type": "array", "items": {"type": "number"}, "default": [0.9, 0.999]}
    assert properties["net"]["default"] == {"width": 64, "act": "silu"}
    assert properties["net"]["properties"]["width"]["description"] == "Channels of the first level."
    assert properties["amount"]["anyOf"][:2] == [{"const": "balance"}, {"type": "integer", "minimum": 1}]
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert schema_of(Config) is SCHEMA


def test_omitted_and_explicit_defaults_are_equal() -> None:
    omitted, findings = check({"arch": "x"}, SCHEMA)
    assert not findings
    explicit, findings = check({**omitted, "lr": 1e-4, "betas": [0.9, 0.999], "net": {"width": 64}}, SCHEMA)
    assert not findings
    assert json.dumps(omitted) == json.dumps(explicit)


def test_whole_numbers_are_floats_where_a_number_is_asked_for() -> None:
    one, _ = check({"arch": "x", "lr": 1, "betas": [0, -0.0]}, SCHEMA)
    assert json.dumps([one["lr"], one["betas"]]) == "[1.0, [0.0, 0.0]]"


def test_changing_a_result_does_not_change_the_defaults() -> None:
    first, _ = check({"arch": "x"}, SCHEMA)
    first["betas"].append(3)
    first["net"]["width"] = 1
    assert check({"arch": "x"}, SCHEMA)[0]["betas"] == [0.9, 0.999]
    assert check({"arch": "x"}, SCHEMA)[0]["net"]["width"] == 64


def test_all_findings_at_once() -> None:
    value = {
        "Lr": 1,
        "lr": -1,
        "flip": 1,
        "betas": [True, math.inf],
        "net": {"width": 0, "act": "sillu", "wdth": 1},
        "by_class": {"MEL": "x"},
        "amount": "balanced",
        "from": 3,
    }
    findings = check(value, SCHEMA, ("params",))[1]
    assert [(f.path[1:], f.message) for f in findings] == [
        ((), "missing key 'arch' in params"),
        (("lr",), "-1.0 is out of range: at least 0"),
        (("flip",), "expected true or false, got 1"),
        (("from",), "expected text or null, got 3"),
        (("betas", 0), "expected a number, got true"),
        (("betas", 1), "inf is not a finite number"),
        (("by_class", "MEL"), "expected a number, got text 'x'"),
        (("net", "width"), "0 is out of range: at least 1 and at most 4096"),
        (("net", "act"), "expected one of 'silu', 'gelu', got text 'sillu'"),
        (("net", "wdth"), "unknown key 'wdth'"),
        (("amount",), "expected 'balance', a whole number or null, got text 'balanced'"),
        (("Lr",), "unknown key 'Lr'"),
    ]
    assert [f.on_key for f in findings] == [f.message.startswith("unknown") for f in findings]
    assert findings[-1].hint is not None
    assert findings[-1].hint.startswith("did you mean 'lr'? valid keys: amount, arch, betas")


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ({"flip": "no"}, "write false"),
        ({"lr": "0.1"}, "remove the quotes"),
        ({"net": {"width": 8.0}}, "write 8"),
        ({"betas": 0.5}, "write [0.5]"),
        ({"arch": 18}, "write it in quotes: '18'"),
        ({"lr": None}, "give it a value, or remove the key"),
    ],
)
def test_hints(value: Mapping[str, Any], hint: str) -> None:
    assert [h for _, _, h in found(value)] == [hint]


@pytest.mark.parametrize("value", [True, 1.5, "3", 2**63, [1], None, math.nan])
def test_no_whole_number(value: Any) -> None:
    assert len(found({"net": {"width": value}})) == 1


def test_unions_go_by_kind_and_objects_by_their_keys() -> None:
    made = build(Config, check({"arch": "x", "part": {"depth": 3}, "parts": ["a", {"width": 2}]}, SCHEMA)[0])
    assert made.part == Other(depth=3)
    assert made.parts == ("a", Net(width=2))
    assert found({"part": {"widht": 3, "act": "gelu"}})[0][1] == "unknown key 'widht'"


def test_build() -> None:
    values, _ = check({"arch": "x", "from": "y", "weights": "w.pt", "folders": ["a"], "by_class": {"NV": 1}}, SCHEMA)
    made = build(Config, values)
    assert made.from_ == "y"
    assert type(made.weights) is File
    assert type(made.folders[0]) is Folder
    assert made.betas == (0.9, 0.999)
    assert made.by_class == {"NV": 1.0}
    assert made == Config(arch="x", from_="y", weights=File("w.pt"), folders=(Folder("a"),), by_class={"NV": 1.0})
    with pytest.raises(PluginError, match="Config has no parameter 'archh'"):
        build(Config, {"archh": "x"})
    with pytest.raises(PluginError, match="arch"):
        build(Config, {})


def test_paths() -> None:
    values, _ = check({"arch": "x", "weights": "w.pt", "folders": ["a", "b"]}, SCHEMA)
    assert paths_in(values, SCHEMA, ("params",)) == [
        (("params", "weights"), "file", "w.pt"),
        (("params", "folders", 0), "folder", "a"),
        (("params", "folders", 1), "folder", "b"),
    ]
    assert found({"weights": ""}) == [(("weights",), "expected the path of a file, got empty text", None)]


@dataclass(frozen=True, kw_only=True)
class FixedTuple:
    size: tuple[int, int] = (1, 2)


@dataclass(frozen=True, kw_only=True)
class Anything:
    value: Any = None


@dataclass(frozen=True, kw_only=True)
class Same:
    value: int | float = 1


@dataclass(frozen=True, kw_only=True)
class FileOrText:
    value: File | str = ""


@dataclass(frozen=True, kw_only=True)
class BadDefault:
    value: Annotated[int, Between(1)] = 0


@dataclass(frozen=True, kw_only=True)
class BoundedText:
    value: Annotated[str, Between(1)] = "x"


@dataclass(frozen=True, kw_only=True)
class Unresolved:
    value: NotThere = 1  # type: ignore[name-defined]  # noqa: F821


@dataclass
class NotFrozen:
    value: int = 1


@pytest.mark.parametrize(
    "config", [FixedTuple, Anything, Same, FileOrText, BadDefault, BoundedText, Unresolved, NotFrozen, int]
)
def test_refused_classes_are_named(config: type) -> None:
    with pytest.raises(PluginError, match=config.__name__):
        schema_of(config)


@dataclass(frozen=True, kw_only=True)
class Refusing:
    low: int = 0
    high: int = 1

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low lies above high")


def test_a_class_may_refuse_values_together() -> None:
    with pytest.raises(PluginError, match="Refusing: low lies above high"):
        build(Refusing, {"low": 3, "high": 1})


@dataclass(frozen=True, kw_only=True)
class Wider(Net):
    extra: int = 0
    """More."""


def test_a_file_that_was_edited_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "edited_config.py"
    for text in ("Images a step.", "Images in one step of the optimiser."):
        file.write_text(
            "from dataclasses import dataclass\n@dataclass(frozen=True, kw_only=True)\nclass Config:\n"
            f'    batch: int = 1\n    """{text}"""\n'
        )
        spec = importlib.util.spec_from_file_location("edited_config", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["edited_config"] = module
        try:
            spec.loader.exec_module(module)
            assert schema_of(module.Config)["properties"]["batch"]["description"] == text
        finally:
            del sys.modules["edited_config"]


def test_documents_of_bases_are_found() -> None:
    properties = schema_of(Wider)["properties"]
    assert properties["width"]["description"] == "Channels of the first level."
    assert properties["extra"]["description"] == "More."


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*SCHEMA["properties"], "width", "x"]), inner, max_size=4)
    ),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(JSON)
def test_whatever_passes_can_be_built_and_passes_again(value: Any) -> None:
    checked, findings = check(value, SCHEMA)
    assert all(isinstance(f, Finding) and f.message for f in findings)
    if not findings:
        build(Config, checked)
        assert check(checked, SCHEMA) == (checked, [])


def test_a_thousand_checks_are_quick() -> None:
    params = {"arch": "x", "lr": 1e-3, "net": {"width": 8}, "betas": [0.5, 0.9], "by_class": {"MEL": 1, "NV": 2}}
    start = time.perf_counter()
    for _ in range(1000):
        check(params, SCHEMA)
    # measured 20 ms; a loaded machine is no reason to fail
    assert time.perf_counter() - start < 0.5
