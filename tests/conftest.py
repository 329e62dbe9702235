"""Shared by all tests: an own cache folder, one thread, one warm server for everything that runs stages."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.counting import PLACE, recorded

HERE = Path(__file__).parent
# numbers depend on the number of threads in the last bit
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["DERMAE_BENCH_DEVICE"] = "cpu"


def pytest_configure() -> None:
    # workers inherit the folder from the process that starts them
    os.environ.setdefault(PLACE, tempfile.mkdtemp(prefix="counts-"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # one worker pays for the server's imports and makes the suites that are made once, while none waits for it
    for item in items:
        if "warm_backend" in getattr(item, "fixturenames", ()) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group("server"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    counts = recorded(Path(os.environ[PLACE]))
    if counts:
        terminalreporter.section("counts")
        for name, number in sorted(counts.items()):
            terminalreporter.line(f"{number:>9,} {name}")


def pytest_unconfigure() -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(os.environ.pop(PLACE), ignore_errors=True)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session, the same for all of its workers: what is made there is made once."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(shared: Path) -> Iterator[Path]:
    """Cards and memos of the tests never mix with the user's; making a card costs seconds of imports."""
    folder = shared / "cache"
    folder.mkdir(exist_ok=True)
    before = os.environ.get("DERMAE_BENCH_CACHE")
    os.environ["DERMAE_BENCH_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["DERMAE_BENCH_CACHE"]
    else:
        os.environ["DERMAE_BENCH_CACHE"] = before


@pytest.fixture(scope="session")
def warm_backend() -> Iterator[Any]:
    """One fork server for the whole session: its imports cost seconds."""
    from dermae_bench.execute.local import LocalBackend

    with LocalBackend() as backend:
        yield backend
