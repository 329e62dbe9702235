"""Suites that nobody meant: grown from the schema and broken, or good ones with other bytes. Each loads or says why."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import hostile
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planning import PlanCatalog, plan_of

from dermae_bench.errors import BenchError, SuiteError
from dermae_bench.plugin.params import schema_of
from dermae_bench.suite.load import load_suite
from dermae_bench.suite.spec import Suite
from tests.counting import record_count

ROOT = Path(__file__).parents[2]
SEEDS = sorted([*(ROOT / "suites").glob("*.yaml"), *hostile.SUITE_TESTS.glob("*.yaml"),
                *(hostile.SUITE_TESTS / "broken").glob("*.yaml")])  # fmt: skip
GOOD = yaml.safe_load((hostile.SUITE_TESTS / "design_example.yaml").read_text())
FEW, MANY = 15, 2_500
NAMES = ("train", "val", "test", "ddpm", "ddpm-conditional", "timm", "phantom", "fd", "accuracy", "short", "a", "cnn",
         "diagnosis", "malignancy", "balanced", "lite0", "best:accuracy", "distilled", "mae", "tf-efficientnet-lite0",
         "", "../../x", "\x1b[2J", "\U0001f9a0", "${HOME}", "no", "x" * 300, "\u202e", "1e5", "~", "=1+1")  # fmt: skip

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(NAMES)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)


def fitting(schema: Any) -> st.SearchStrategy[Any]:
    """Values of a schema, now and then something else."""
    return st.integers(0, 24).flatmap(lambda chance: anything if chance == 0 else _fitting(schema))


def _fitting(schema: Any) -> st.SearchStrategy[Any]:
    if "anyOf" in schema:
        return st.sampled_from(schema["anyOf"]).flatmap(_fitting)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        required = set(schema["required"])
        parts = {name: fitting(inner) for name, inner in schema["properties"].items()}
        return st.fixed_dictionaries(
            {name: part for name, part in parts.items() if name in required},
            optional={name: part for name, part in parts.items() if name not in required},
        )
    if kind == "object":
        inner = fitting(schema["additionalProperties"]) if "additionalProperties" in schema else anything
        return st.dictionaries(st.sampled_from(NAMES), inner, max_size=2)
    if kind == "array":
        return st.lists(fitting(schema["items"]), max_size=3)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        "string": st.sampled_from(NAMES),
        "integer": st.integers(0, 9) | st.sampled_from((10**9, 10**12, 10**18, 2**63)),
        "number": st.floats(0, 1),
        "boolean": st.booleans(),
        "null": st.none(),
    }
    return plain.get(kind, anything)


def loads_or_says_why(path: Path, data: bytes) -> bool:
    """True where it was refused; any other error is the test's."""
    path.write_bytes(data)
    with hostile.bounded():
        try:
            load_suite(path, catalog=PlanCatalog(), tasks_of=lambda plugin, params: _tasks())  # type: ignore[arg-type]
        except SuiteError as error:
            _well_told(error, path)
            return True
    with hostile.bounded():
        try:
            plan_of(path, path.parent)
        except BenchError as error:
            assert error.exit_code == 2
            assert len(error.message) < 2_000
    return False


def _tasks() -> Any:
    from planning import TASKS

    return TASKS


def _well_told(error: SuiteError, path: Path) -> None:
    assert error.exit_code == 2
    assert error.problems
    for problem in error.problems:
        if problem.place is None:
            assert "more errors" in problem.message
            continue
        assert problem.place.file == str(path)
        assert problem.place.line >= 1
        assert problem.place.column >= 1
        assert len(problem.message) <= 600
        assert "\n" not in problem.message
    assert "\x1b" not in str(error)


def _grown(path: Path, count: int) -> None:
    seen = [0, 0]

    @settings(max_examples=count, deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.data())
    def grow(data: st.DataObject) -> None:
        schema = schema_of(Suite, free=True)
        section = data.draw(st.sampled_from([None, *schema["properties"]]))
        if section is None:
            tree = data.draw(_fitting(schema))
        else:
            # one section is strange, the others are right: so what lies behind the first check is met, too
            tree = {**GOOD, section: data.draw(_fitting(schema["properties"][section]))}
        text = yaml.safe_dump(
            tree, allow_unicode=True, default_flow_style=data.draw(st.sampled_from([None, True, False]))
        )
        seen[loads_or_says_why(path, text.encode("utf-8", "surrogatepass"))] += 1

    grow()
    assert sum(seen) >= count
    assert count == FEW or min(seen) > count // 100, f"{seen} loaded and refused: the grammar misses one of them"


def _changed(path: Path, count: int, seed: int) -> None:
    chance = random.Random(seed)
    texts = [file.read_bytes() for file in SEEDS]
    refused = sum(
        loads_or_says_why(path, hostile.mutated(texts[number % len(texts)], chance)) for number in range(count)
    )
    assert refused > count // 2


def test_some_grown_suites_load_or_say_why(tmp_path: Path) -> None:
    _grown(tmp_path / "grown.yaml", FEW)


def test_some_changed_suites_load_or_say_why(tmp_path: Path) -> None:
    _changed(tmp_path / "changed.yaml", 4 * FEW, 0)


@pytest.mark.slow
def test_many_grown_suites_load_or_say_why(tmp_path: Path) -> None:
    _grown(tmp_path / "grown.yaml", MANY)
    record_count("inputs fuzzed: suites", MANY)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_many_changed_suites_load_or_say_why(tmp_path: Path, seed: int) -> None:
    _changed(tmp_path / "changed.yaml", MANY // 4 + 1, seed)
    record_count("inputs fuzzed: suites", MANY // 4 + 1)


@pytest.mark.slow
def test_changed_suites_through_the_command_line(tmp_path: Path) -> None:
    chance = random.Random(7)
    text = (ROOT / "suites" / "quickstart.yaml").read_bytes()
    for number in range(30):
        path = tmp_path / f"{number}.yaml"
        path.write_bytes(hostile.mutated(hostile.mutated(text, chance), chance))
        words = [sys.executable, "-m", "dermae_bench", "validate", str(path), "--results", str(tmp_path / "results")]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, cwd=ROOT)
        assert done.returncode in (0, 2), done.stderr
        assert "Traceback" not in done.stderr
        assert done.returncode == 0 or f"{path}:" in done.stderr
    assert {entry.name for entry in tmp_path.iterdir()} <= {"results", *(f"{n}.yaml" for n in range(30))}
    record_count("inputs fuzzed: suites", 30)
