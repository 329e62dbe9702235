"""What a stage costs beyond the process that it runs in."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dermae_bench.execute.executor import Executor, Options
from dermae_bench.execute.local import LocalBackend
from dermae_bench.store.artifacts import Store
from dermae_bench.suite.stage import Stage, key_of
from tests.bench.conftest import Race, note
from tests.bench.noop import KIND

pytestmark = [pytest.mark.bench, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs the fork server")]

AT_ONCE = 10
"""Stages of one run, one after the other."""


class Silent:
    """A display for nobody, which remembers when stages were finished."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def started(self, key8: str, name: str) -> None: ...
    def update(self, key8: str, status: Mapping[str, Any]) -> None: ...
    def finished(self, key8: str, name: str, seconds: float) -> None:
        self.moments.append(time.perf_counter())

    def cached(self, count: int) -> None: ...
    def note(self, text: str) -> None: ...
    def failed(self, key8: str, name: str, reason: str) -> None:
        raise AssertionError(f"{name}: {reason}")


class Kept:
    """A backend that outlives the runs which borrow it."""

    def __init__(self, backend: LocalBackend) -> None:
        self.backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def close(self) -> None: ...


@pytest.fixture
def empties(warm_backend: LocalBackend, tmp_path: Path) -> Iterator[Any]:
    numbers = itertools.count()

    def run() -> list[float]:
        spent = []
        for _ in range(AT_ONCE):
            folder = tmp_path / f"empty-{next(numbers)}"
            folder.mkdir()
            began = time.perf_counter()
            warm_backend.submit(folder.name, folder, "tests.bench.noop:empty")
            (ended,) = warm_backend.wait(60)
            spent.append(time.perf_counter() - began)
            assert ended.code == 0
        return spent

    yield run


def test_a_noop_stage_against_an_empty_process(
    race: Race,
    benchmark: Any,
    request: pytest.FixtureRequest,
    empties: Any,
    warm_backend: LocalBackend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dermae_bench.execute.executor.CALL", "tests.bench.noop:attempt")
    store = Store(tmp_path / "store")
    numbers = itertools.count()

    def stages() -> list[float]:
        plan = [_stage(next(numbers)) for _ in range(AT_ONCE)]
        display = Silent()
        outcome = Executor(store, lambda: Kept(warm_backend), display, Options()).run(plan)
        assert len(outcome.done) == AT_ONCE
        # from one end to the next: what a run does once is no part of a stage
        return [after - before for before, after in itertools.pairwise(display.moments)]

    # the server's imports are no part of a stage
    found = race(stages, empties, rounds=9, warm_ups=2, goal="beyond_process_ms <= 10")
    beyond = found["ours_ms"] - found["peer_ms"]
    note(benchmark, request, {"beyond_process_ms": beyond, "fsync_and_rename_ms": _flush_ms(tmp_path / "probe")})


def _stage(number: int) -> Stage:
    parts = {"kind": KIND, "number": number}
    return Stage(kind=KIND, name=f"{KIND}/{number}", work={}, parts=parts, key=key_of(parts))


def _flush_ms(folder: Path) -> float:
    """What this disk asks for one small file, flushed, renamed, and its folder flushed."""
    folder.mkdir()
    spent = []
    for number in range(20):
        began = time.perf_counter()
        with (folder / "new").open("wb") as stream:
            stream.write(b"x" * 1000)
            stream.flush()
            os.fsync(stream.fileno())
        (folder / "new").rename(folder / str(number))
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
        spent.append(time.perf_counter() - began)
    return sorted(spent)[len(spent) // 2] * 1e3
