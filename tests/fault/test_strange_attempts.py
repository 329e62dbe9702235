"""Links, pipes and folders where an attempt keeps its files: nobody waits for them, follows them or stumbles."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stored import put

from dermae_bench.execute.endings import read_result, tail
from dermae_bench.execute.watching import kept, read_status
from dermae_bench.store import fences
from dermae_bench.store.artifacts import Store
from dermae_bench.store.index import Index
from dermae_bench.store.leases import is_locked
from dermae_bench.store.strangers import FILES, FOLDERS

KEY = "ab" * 16


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()
    (path / "diary.txt").write_text("dear diary")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def link(path: Path) -> None:
    """To somebody's folder, outside of the store."""
    path.symlink_to(path.parents[path.parts[::-1].index("store")] / "somebody")


Strange = Callable[[Path], None]
STRANGE = (pipe, folder, loop, link)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.stay()
    (tmp_path / "somebody").mkdir()
    (tmp_path / "somebody" / "precious.txt").write_text("mine")
    return made


@pytest.fixture(autouse=True)
def nobody_waits() -> Iterator[None]:
    """A test that opens a pipe is ended by a signal, and fails."""
    signal.alarm(20)
    yield
    signal.alarm(0)


def aside(store: Store) -> list[str]:
    return sorted(path.name for path in store.root.glob("quarantine/*"))


@pytest.mark.parametrize("how", STRANGE)
@pytest.mark.parametrize("name", sorted(FILES | FOLDERS | {"lease", ""}))
def test_an_attempt_begins_whatever_lies_in_its_folder(store: Store, name: str, how: Strange) -> None:
    place = store.attempt_folder(KEY)
    (place if name else place.parent).mkdir(parents=True)
    as_ever = how is folder and name in {*FOLDERS, ""}
    how(place / name)
    lease = store.lease(KEY)
    assert lease.take()
    fence = store.begin(KEY)
    assert fences.current(place) == fence
    assert len(aside(store)) == (not as_ever), aside(store)
    assert not [path for path in place.iterdir() if path.is_symlink() or path.is_fifo()]
    lease.release()
    # nobody wrote there, and nothing was taken away
    assert [path.name for path in (store.root.parent / "somebody").iterdir()] == ["precious.txt"]


@pytest.mark.parametrize("how", STRANGE)
def test_whoever_looks_at_an_attempt_is_told_nothing_by_what_is_no_file(store: Store, how: Strange) -> None:
    place = store.attempt_folder(KEY)
    place.mkdir(parents=True)
    for name in (*FILES, "checkpoints", "blocks", "lease"):
        how(place / name)
    assert read_status(place) == {}
    assert read_result(place) == {}
    assert tail(place / "stderr.log") == ""
    assert kept(place) == ""
    assert fences.current(place) == ""
    assert not is_locked(place / "lease")


def test_an_index_that_is_a_pipe_is_made_anew(store: Store, tmp_path: Path) -> None:
    kind, key = put(store, 1)
    index = Index(store, tmp_path / "cache")
    index.path.parent.mkdir(parents=True)
    os.mkfifo(index.path)
    assert [entry.key for entry in index.entries(kind)] == [key]


def test_what_an_attempt_goes_on_from_is_told(tmp_path: Path) -> None:
    assert kept(tmp_path) == ""
    for name in ("blocks/images-00000.npy", "blocks/images-00001.npy", "blocks/images-00002.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert kept(tmp_path) == "2 blocks"
    for step in (7, 153):
        (tmp_path / "checkpoints" / f"step-{step:010d}").mkdir(parents=True)
    assert kept(tmp_path) == "step 153"
