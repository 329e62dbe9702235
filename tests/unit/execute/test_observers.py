"""Observers: told, never asked; what goes wrong in one is one harmless line, and the run goes on."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import pytest

from dermae_bench.execute.observers import LONGEST, observers
from dermae_bench.plugin.hookspecs import OBSERVER_GROUP

STEER = "\x1b[2J\x1b]0;owned\x07\u202e"


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Observer:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error
        self.told = 0

    def dermae_stage_started(self, event: Mapping[str, Any]) -> None:
        self.told += 1
        if self.error is not None:
            raise self.error


class Entry:
    """An entry point that gives an object, or raises while it is imported."""

    def __init__(self, name: str, found: Observer | BaseException) -> None:
        self.name = name
        self.found = found

    def load(self) -> Observer:
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found


def install(monkeypatch: pytest.MonkeyPatch, *entries: Entry) -> None:
    monkeypatch.setattr(metadata, "entry_points", lambda group: entries if group == OBSERVER_GROUP else ())


@pytest.mark.parametrize(
    "error", [ValueError(f"{STEER}hunter22-token\nsecond line"), Wordless(), SystemExit(3), OSError("x" * 10**6)]
)
def test_one_that_raises_is_told_of_in_one_harmless_line_and_not_again(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_TOKEN", "hunter22-token")
    bad, good = Observer(error), Observer(None)
    install(monkeypatch, Entry("bad", bad), Entry("good", good))
    tell = observers()
    for _ in range(2):
        tell("dermae_stage_started", {"key": "k"})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"observer 'bad' failed and is not told again: {type(error).__name__}")
    assert "\x1b" not in line and "\u202e" not in line and "hunter22" not in line and len(line) <= LONGEST
    assert (bad.told, good.told) == (1, 2)


def test_one_that_cannot_be_imported_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = Observer(None)
    install(monkeypatch, Entry("broken", ImportError(f"no{STEER}")), Entry("good", good))
    observers()("dermae_stage_started", {})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("observer 'broken' cannot be used: ImportError") and "\x1b" not in line
    assert good.told == 1 and "broken" not in sys.modules
