"""The store: entries are whole or absent, damage is found, and rights to work die with their holder."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dermae_bench import durable
from dermae_bench.errors import STORAGE, StorageError
from dermae_bench.store import artifacts, leases
from dermae_bench.store.artifacts import Store, free_bytes
from dermae_bench.store.manifests import MANIFEST, Damaged, Failure, Manifest, describe_files

KEY = durable.digest_of({"work": {}})[:32]
"""The key of the parts that `manifest` gives."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def work(store: Store, name: str = "out", files: dict[str, str] | None = None) -> Path:
    folder = store.attempt_folder(KEY) / name
    folder.mkdir(parents=True)
    for file, text in (files or {"a.txt": "first", "b.txt": "second"}).items():
        (folder / file).write_text(text)
    return folder


def manifest(folder: Path, **changes: Any) -> Manifest:
    about: dict[str, Any] = {"kind": "train", "key": KEY, "name": "train/x", "parts": {"work": {}}}
    return Manifest(**{**about, "files": describe_files(folder), **changes})


def commit(store: Store, **changes: Any) -> Path:
    folder = work(store)
    store.commit(folder, manifest(folder, **changes))
    return store.folder("train", KEY)


def test_a_committed_stage_comes_back_as_it_went_in(store: Store) -> None:
    assert not store.has("train", KEY)
    commit(store, summary={"n": 3}, seconds=1.5)
    folder, found = store.checked("train", KEY)
    assert store.has("train", KEY)
    assert (folder / "a.txt").read_text() == "first"
    assert found.summary == {"n": 3}
    assert found.files["a.txt"]["bytes"] == 5
    assert not store.has("sample", KEY)
    assert [other.key for other in store.manifests("train")] == [KEY]


@pytest.mark.parametrize("dies_in", ["sync_file", "write_text", "rename", "sync_folder"])
def test_a_kill_inside_a_commit_leaves_no_entry_or_a_whole_one(
    store: Store, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    folder = work(store)
    about = manifest(folder)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    owner: Any = Path if dies_in == "rename" else artifacts
    with monkeypatch.context() as patch:
        patch.setattr(owner, dies_in, die)
        with pytest.raises(KeyboardInterrupt):
            store.commit(folder, about)
    if dies_in == "sync_folder":
        assert store.checked("train", KEY)[1] == about
        return
    assert not store.has("train", KEY)
    assert not store.folder("train", KEY).exists()
    assert list(store.manifests("train")) == []
    store.commit(folder, about)
    assert store.checked("train", KEY)[1] == about


def test_the_manifest_is_written_last_and_flushed_before_the_rename(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def noting(owner: Any, name: str) -> None:
        real: Callable[..., Any] = getattr(owner, name)

        def call(path: Path, *words: Any, **more: Any) -> Any:
            done.append(f"{name} {path.name}")
            return real(path, *words, **more)

        monkeypatch.setattr(owner, name, call)

    noting(artifacts, "sync_file")
    noting(artifacts, "write_text")
    noting(durable, "sync_folder")
    noting(Path, "rename")
    folder = work(store)
    store.commit(folder, manifest(folder))
    order = ["sync_file a.txt", "sync_file b.txt", f"write_text {MANIFEST}", "sync_folder out", "rename out"]
    assert [done.index(step) for step in order] == sorted(done.index(step) for step in order)


def _flip(folder: Path) -> None:
    data = bytearray((folder / "a.txt").read_bytes())
    data[0] ^= 1
    (folder / "a.txt").write_bytes(data)


def _truncate(folder: Path) -> None:
    (folder / "a.txt").write_text("fir")


def _remove(folder: Path) -> None:
    (folder / "b.txt").unlink()


def _add(folder: Path) -> None:
    (folder / "c.txt").write_text("nobody knows me")


def _empty_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("")


def _other_manifest(folder: Path) -> None:
    about = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**about, "key": "cd" * 16}))


def _foreign_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text('["not", "a", "manifest"]')


@pytest.mark.parametrize(
    "damage", [_flip, _truncate, _remove, _add, _empty_manifest, _other_manifest, _foreign_manifest]
)
def test_damage_is_found_and_the_entry_moved_aside(store: Store, damage: Callable[[Path], None]) -> None:
    folder = commit(store)
    damage(folder)
    with pytest.raises(Damaged, match=f"train/{KEY}"):
        store.checked("train", KEY)
    assert not store.has("train", KEY)
    (aside,) = (store.root / "quarantine").iterdir()
    assert aside.name.startswith(f"train-{KEY}-")
    commit(store)
    assert store.checked("train", KEY)


def test_a_missing_entry_is_damage_and_nothing_to_move(store: Store) -> None:
    with pytest.raises(Damaged, match="no readable manifest"):
        store.checked("train", KEY)
    assert list((store.root / "quarantine").iterdir()) == []


def test_two_commits_of_one_key_leave_the_first(store: Store) -> None:
    first, second = work(store, "one"), work(store, "two")
    store.commit(first, manifest(first, seconds=1.0))
    store.commit(second, manifest(second, seconds=2.0))
    assert store.checked("train", KEY)[1].seconds == 1.0
    assert not second.exists()


def test_commits_side_by_side_leave_one_whole_entry(store: Store) -> None:
    folders = [work(store, f"out{i}") for i in range(8)]
    start = threading.Barrier(8)

    def run(folder: Path) -> None:
        about = manifest(folder)
        start.wait()
        store.commit(folder, about)

    threads = [threading.Thread(target=run, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.checked("train", KEY)
    assert not (store.root / "quarantine").exists()


def test_an_entry_without_a_manifest_does_not_block_its_place(store: Store) -> None:
    folder = commit(store)
    (folder / MANIFEST).unlink()
    assert not store.has("train", KEY)
    commit(store)
    assert store.checked("train", KEY)


def test_failures_are_kept_until_the_stage_succeeds(store: Store) -> None:
    assert store.failure(KEY) is None
    failure = Failure(key=KEY, name="train/x", reason="diverged", category="diverged", traceback="Traceback ...")
    store.record_failure(failure)
    assert store.failure(KEY) == failure
    # never served as a result
    assert not store.has("train", KEY)
    store.settle(KEY)
    assert store.failure(KEY) is None
    (store.root / "failures" / f"{KEY}.json").write_text("{")
    assert store.failure(KEY) is None


def test_settling_forgets_the_attempt(store: Store) -> None:
    work(store)
    store.settle(KEY)
    assert not store.attempt_folder(KEY).exists()
    store.settle(KEY)


def test_damaged_manifests_are_left_out_of_listings(store: Store) -> None:
    commit(store)
    (store.root / "train" / "broken").mkdir()
    (store.root / "train" / "broken" / MANIFEST).write_text("{")
    assert [found.key for found in store.manifests("train")] == [KEY]
    assert list(store.manifests("score")) == []


# -- leases ------------------------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from dermae_bench.store.artifacts import Store
print(Store(Path(sys.argv[1])).lease(sys.argv[2]).take(), flush=True)
time.sleep(60)
"""


def test_a_lease_dies_with_its_holder(store: Store) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, store.root, KEY], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not store.lease(KEY).take()
    finally:
        holder.kill()
        holder.communicate()
    lease = store.lease(KEY)
    assert lease.take()
    assert not store.lease(KEY).take()
    lease.release()
    lease.release()
    assert store.lease(KEY).take()


def test_a_lease_on_a_removed_folder_is_no_lease(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = leases.fcntl.flock
    removed = []

    def flock(handle: int, how: int) -> None:
        if not removed:
            # the former holder finished between our open and our lock
            removed.append(True)
            store.settle(KEY)
        real(handle, how)

    monkeypatch.setattr(leases.fcntl, "flock", flock)
    first = store.lease(KEY)
    assert first.take()
    assert first.path.exists()
    assert not store.lease(KEY).take()


def test_many_threads_get_one_lease(store: Store) -> None:
    won: list[int] = []
    start = threading.Barrier(16)
    leases = [store.lease(KEY) for _ in range(16)]

    def run(number: int) -> None:
        start.wait()
        if leases[number].take():
            won.append(number)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


# -- refusals of the operating system ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES, errno.EIO])
def test_a_store_that_cannot_be_written_is_a_storage_error(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(store.root))

    monkeypatch.setattr(artifacts, "write_text", refuse)
    with pytest.raises(StorageError, match=os.strerror(number)) as caught, store.writable():
        store.record_failure(Failure(key=KEY, name="x", reason="y", category="crashed"))
    assert caught.value.exit_code == STORAGE == 74
    assert ("MiB free" in str(caught.value)) == (number in {errno.ENOSPC, errno.EDQUOT})
    assert "give the same command again" in str(caught.value)


def test_other_errors_pass_through(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.writable():
        _ = 1 / 0
    with pytest.raises(BrokenPipeError), store.writable():
        raise BrokenPipeError(errno.EPIPE, "pipe")


def test_free_space_is_asked_of_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "yet" / "there") > 0
