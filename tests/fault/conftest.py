"""One zygote a worker, one unbroken run of the small suite for all, and an empty store a test."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runs import Unbroken, Zygote, boards, committed, names_of, write_suite

from dermae_bench.store.artifacts import Store


@pytest.fixture(scope="session")
def zygote(own_cache: Path) -> Iterator[Zygote]:
    started = Zygote()
    yield started
    started.close()


@pytest.fixture(scope="session")
def unbroken(shared: Path, zygote: Zygote) -> Unbroken:
    folder = shared / "small-suite"
    folder.mkdir(exist_ok=True)
    told = folder / "told.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            run = folder / "run"
            write_suite(run)
            counting = {"DERMAE_FAULT": "count", "DERMAE_FAULT_COUNT": str(run / "count")}
            # plugins' cards are made once a session, and are no part of a run
            assert zygote.code(zygote.start(run, "validate", "small.yaml")) == 0, (run / "said.log").read_text()
            name = zygote.start(run, "run", "small.yaml", environment=counting)
            assert zygote.code(name) == 0, (run / "said.log").read_text()
            about = [boards(run), committed(run), names_of(run), (run / "count").stat().st_size]
            told.write_text(json.dumps(about))
    return Unbroken(*json.loads(told.read_text()))


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Path]:
    """Makes a new folder with the small suite, each time it is called."""
    made: list[Path] = []

    def make() -> Path:
        made.append(tmp_path / f"run-{len(made)}")
        write_suite(made[-1])
        return made[-1]

    return make


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
