"""Attempts that misbehave, begun on a local backend, and whether their processes are alive."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dermae_bench.execute.local import Ended, LocalBackend
from dermae_bench.suite.resources import Limits

linux = pytest.mark.skipif(sys.platform != "linux", reason="the fork server needs Linux")
MODULE = "misbehaving"
PATIENCE = 15.0
"""Seconds after which something that takes milliseconds has gone wrong."""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def read_pid(folder: Path, name: str = "pid") -> int:
    assert eventually((folder / name).exists), f"{name} never came"
    return int((folder / name).read_text())


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., Path]:
    def submit(backend: LocalBackend, function: str, name: str | None = None, **limits: float) -> Path:
        folder = tmp_path / (name or function)
        folder.mkdir()
        backend.submit(folder.name, folder, f"{MODULE}:{function}", Limits(**limits))
        return folder

    return submit


@pytest.fixture(scope="module", params=[pytest.param(True, marks=linux, id="forked"), pytest.param(False, id="alone")])
def backend(request: pytest.FixtureRequest) -> Iterator[LocalBackend]:
    with LocalBackend(["json"], fork=request.param) as made:
        yield made


@pytest.fixture
def forked() -> Iterator[LocalBackend]:
    with LocalBackend(["json"], fork=True) as made:
        yield made


def one(backend: LocalBackend) -> Ended:
    (ended,) = backend.wait(PATIENCE)
    return ended


# pytest finds fixtures by the names in a file of tests, so each such file unpacks these under the same names
FIXTURES = (begin, backend, forked)
