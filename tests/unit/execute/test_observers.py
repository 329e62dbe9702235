"""Observers: told, never asked; what goes wrong in one is one harmless line, and the run goes on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from dermae_bench.execute.observers import LONGEST, observers
from dermae_bench.execute.signals import Requests, Signalled, TooLong, leaving
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


@pytest.fixture
def handled() -> Iterator[None]:
    """As while stages run."""
    with Requests():
        yield


def install(monkeypatch: pytest.MonkeyPatch, *entries: Entry) -> None:
    monkeypatch.setattr(metadata, "entry_points", lambda group: entries if group == OBSERVER_GROUP else ())


class Base(BaseException):
    """Of no kind that anybody expects."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"{STEER}hunter22-token\nsecond line"),
        Wordless(),
        SystemExit(3),
        OSError("x" * 10**6),
        Base("no"),
        KeyboardInterrupt(),
        GeneratorExit(),
    ],
)
@pytest.mark.usefixtures("handled")
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


@pytest.mark.parametrize("error", [Signalled(15), TooLong(), KeyboardInterrupt()])
def test_what_a_signal_raises_goes_on_its_way(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Entry("interrupted", Observer(error)))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(type(error)):
            observers()("dermae_stage_started", {})
    finally:
        signal.signal(signal.SIGINT, before)


class Interrupted(Observer):
    """The user presses Ctrl-C while it is told."""

    def dermae_stage_started(self, event: Mapping[str, Any]) -> None:
        self.told += 1
        os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_of_the_user_is_heard_while_an_observer_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, Entry("slow", Interrupted(None)))
    tell = observers()
    with Requests() as requests:
        tell("dermae_stage_started", {})
    assert requests.number == signal.SIGINT
    with pytest.raises(Signalled), leaving():
        tell("dermae_stage_started", {})
    assert capsys.readouterr().err == ""


class Mover(Observer):
    def __init__(self, error: BaseException | None, to: Path) -> None:
        super().__init__(error)
        self.to = to

    def dermae_stage_started(self, event: Mapping[str, Any]) -> None:
        os.chdir(self.to)
        super().dermae_stage_started(event)


def test_the_working_folder_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    mover, both = Mover(None, tmp_path), Mover(ValueError("no"), Path("/"))
    install(monkeypatch, Entry("mover", mover), Entry("both", both))
    tell = observers()
    for _ in range(3):
        tell("dermae_stage_started", {})
        assert Path.cwd() == here
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "observer 'mover' changed the working folder, which was put back",
        "observer 'both' changed the working folder, which was put back",
        "observer 'both' failed and is not told again: ValueError: no",
    ]
    assert (mover.told, both.told) == (3, 1)


class Thorny:
    """Raises when anybody asks for what it has."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")


def test_one_that_cannot_even_be_looked_at_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Later(Observer):
        asked = 0

        def __getattribute__(self, name: str) -> Any:
            if name.startswith("dermae"):
                type(self).asked += 1
                if type(self).asked > 4:
                    raise RuntimeError("no more")
            return super().__getattribute__(name)

    later = Later(None)
    install(monkeypatch, Entry("thorny", Thorny()), Entry("later", later))  # type: ignore[arg-type]
    tell = observers()
    for _ in range(6):
        tell("dermae_stage_started", {})
    errors = capsys.readouterr().err.splitlines()
    assert any("later" in line and "RuntimeError: no more" in line for line in errors)
    assert len(errors) <= 2
