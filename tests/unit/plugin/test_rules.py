"""A plugin's own rules over its parameters: asked in a child process, kept, and asked again when it was edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dermae_bench.plugin import rules
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.plugin.params import has_rules

METRIC = """
import os
from dataclasses import dataclass
from dermae_bench import api

@dataclass(frozen=True)
class Inner:
    low: float = 0.0
    high: float = 1.0
    {inner}

class Share(api.PredictionMetric):
    @dataclass(frozen=True, kw_only=True)
    class Config:
        power: float = 1.0
        inner: Inner = Inner()

    @classmethod
    def columns(cls, config):
        return [api.Column(name="share", better="higher")]

    def values(self, predictions):
        return {{"share": 1.0}}

@api.hookimpl
def dermae_metrics():
    return {{"{name}": Share}}
"""
ORDER = """def __post_init__(self):
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")"""
LEAVES = """def __post_init__(self):
        if self.low == 0.5:
            os._exit(3)"""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    for name, inner in (("strict", ORDER), ("easy", ""), ("leaves", LEAVES)):
        (tmp_path / f"{name}.py").write_text(METRIC.format(name=name, inner=inner))
    return Catalog(tmp_path, tmp_path / "cache")


def inner(low: float, high: float = 1.0) -> dict[str, Any]:
    return {"power": 1.0, "inner": {"low": low, "high": high}}


def test_who_has_rules_says_so(catalog: Catalog) -> None:
    catalog.prefetch(["strict", "easy"])
    assert catalog.card("metric", "strict").flags["rules"] == ["params"]
    assert catalog.card("metric", "easy").flags["rules"] == []


def test_they_are_asked_once_and_again_when_the_plugin_was_edited(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [("strict", "params", inner(2.0)), ("strict", "params", inner(0.2)), ("strict", "params", inner(2.0))]
    told = ["low 2.0 is above high 1.0", None, "low 2.0 is above high 1.0"]
    questions: list[Any] = []
    ask = rules.ask
    monkeypatch.setattr(rules, "ask", lambda given: questions.append(given) or ask(given))
    assert catalog.refusals(asked) == told
    assert catalog.refusals(asked) == told
    # what is asked twice is one question
    assert [len(given) for given in questions] == [2]
    (tmp_path / "strict.py").write_text(METRIC.format(name="strict", inner=ORDER.replace("is above", "exceeds")))
    edited = Catalog(tmp_path, tmp_path / "cache")
    assert edited.refusals(asked[:1]) == ["low 2.0 exceeds high 1.0"]
    assert len(questions) == 2


def test_a_damaged_answer_is_asked_again(catalog: Catalog, tmp_path: Path) -> None:
    asked = [("strict", "params", inner(2.0))]
    told = catalog.refusals(asked)
    (memo,) = (tmp_path / "cache" / "rules").iterdir()
    memo.write_bytes(memo.read_bytes().replace(b"above", b"below"))
    assert catalog.refusals(asked) == told


def test_one_that_ends_its_process_is_told_and_the_others_are_asked(catalog: Catalog, tmp_path: Path) -> None:
    asked = [("leaves", "params", inner(0.5)), ("strict", "params", inner(2.0)), ("leaves", "params", inner(0.1))]
    first, second, third = catalog.refusals(asked)
    assert first == "its rules could not be asked: asking it about its parameters ended the process"
    assert (second, third) == ("low 2.0 is above high 1.0", None)
    # no answer is no answer to be kept
    assert len(list((tmp_path / "cache" / "rules").iterdir())) == 2


def test_rules_of_what_a_config_holds_count() -> None:
    @dataclass(frozen=True)
    class Ruled:
        low: float = 0.0

        def __post_init__(self) -> None:
            raise AssertionError("nobody makes it here")

    @dataclass(frozen=True)
    class Plain:
        low: float = 0.0

    # the annotations are read from the module
    globals().update(Ruled=Ruled, Plain=Plain)
    try:

        @dataclass(frozen=True)
        class Deep:
            several: tuple[Ruled, ...] = ()
            some: Mapping[str, Plain] = field(default_factory=dict)

        @dataclass(frozen=True)
        class Flat:
            one: Plain | None = None
            some: Mapping[str, float] = field(default_factory=dict)

        assert (has_rules(Deep), has_rules(Flat), has_rules(Plain), has_rules(Ruled)) == (True, False, False, True)
    finally:
        del globals()["Ruled"], globals()["Plain"]
