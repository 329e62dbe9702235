"""Disks that are full, read-only, elsewhere or gone: one clear line, and nothing that was finished is lost."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from mounting import mounted, remount
from stored import Entry, put

from dermae_bench import durable
from dermae_bench.errors import STORAGE, StorageError
from dermae_bench.store.artifacts import PROBE_BYTES, Store
from dermae_bench.store.manifests import Damaged, Failure
from tests.counting import record_count
from tests.e2e.conftest import call


def fill(store: Store, files: int = 3) -> tuple[list[Entry], str]:
    """Commit until the system refuses; returns what was committed, and the one line."""
    done: list[Entry] = []
    with pytest.raises(StorageError) as caught:
        while len(done) < 3000:
            with store.writable(needed=3 * 2**20):
                done.append(put(store, len(done), files=files))
                store.settle(done[-1][1])
    assert caught.value.exit_code == STORAGE
    assert "\n" not in caught.value.message
    return done, str(caught.value)


def full(place: Path, options: str, larger: str, words: tuple[str, ...], files: int = 3) -> None:
    with mounted(place, options):
        store = Store(place / "store")
        done, told = fill(store, files)
        for word in (str(place), "about 3.00 MiB needed", "MiB free", "nothing finished is lost", *words):
            assert word in told, told
        assert all(store.checked(*entry) for entry in done)
        remount(place, larger)
        # the same again, and on from there
        with store.writable():
            assert put(store, len(done), files=files)
        assert len(list(store.manifests("train"))) == len(done) + 1
        # umount would find the folder in use
        os.chdir("/")


@pytest.fixture(autouse=True)
def back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_full_disk(tmp_path: Path) -> None:
    full(tmp_path / "disk", "size=64k", "size=1m", ("No space left on device",))


def test_no_inode_is_left(tmp_path: Path) -> None:
    full(tmp_path / "disk", "size=8m,nr_inodes=60", "nr_inodes=1000", ("no inode is free",))


@pytest.mark.slow
@pytest.mark.parametrize("kibibytes", [64, 72, 100, 128, 200, 256, 400, 512, 700, 1024])
def test_full_disks_of_many_sizes(tmp_path: Path, kibibytes: int) -> None:
    full(tmp_path / "disk", f"size={kibibytes}k", "size=4m", ("No space left on device",))
    full(tmp_path / "inodes", f"size=8m,nr_inodes={kibibytes}", "nr_inodes=9999", ("no inode is free",), kibibytes % 5)
    record_count("disks filled", 2)


def test_a_store_that_may_only_be_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with mounted(tmp_path / "disk", "size=2m") as place:
        results = place / "results"
        store = Store(results / "store")
        done = [put(store, number) for number in range(5)]
        for _, key in done[:4]:
            store.settle(key)
        store.record_failure(Failure(key="ab" * 16, name="train/x", reason="it broke", category="crashed"))
        victim = store.folder(*done[4]) / "file-0.bin"
        victim.write_bytes(victim.read_bytes()[::-1])
        remount(place, "ro")
        store = Store(results / "store")
        assert all(store.checked(*entry) for entry in done[:4])
        with pytest.raises(Damaged, match=r"cannot be moved to quarantine/ \(Read-only file system\)"):
            store.checked(*done[4])
        with store.announced("reader", [done[0][1]]):
            assert store.failure("ab" * 16) is not None
        assert call("list", "--results", results) == 0
        assert call("list", "--stages", "--results", results) == 0
        assert call("show", done[0][1], "--results", results) == 0
        assert call("clean", "--results", results) == 0
        assert "it broke" in capfd.readouterr().out
        assert call("clean", "--yes", "--results", results) == STORAGE
        told = capfd.readouterr().err
        assert "Read-only file system" in told
        assert "Traceback" not in told
        for write in (
            lambda: put(store, 9),
            lambda: store.lease("cd" * 16).take(),
            lambda: store.begin("cd" * 16),
            lambda: store.record_failure(Failure(key="cd" * 16, name="x", reason="y", category="crashed")),
        ):
            with pytest.raises(StorageError, match="Read-only file system"), store.writable():
                write()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("size=4k", errno.ENOSPC),
        ("size=512k", errno.ENOSPC),
        # the root of the file system, the store, and no file more
        ("size=4m,nr_inodes=2", errno.ENOSPC),
        ("size=4m,ro", errno.EROFS),
    ],
)
def test_a_try_sees_what_the_system_refuses(tmp_path: Path, options: str, code: int) -> None:
    with mounted(tmp_path / "disk", options.removesuffix(",ro")) as place:
        store = Store(place / "store")
        store.stay()
        if options.endswith(",ro"):
            remount(place, "ro")
        for _ in range(2):
            with pytest.raises(OSError, match=os.strerror(code)) as caught:
                store.probe()
            assert caught.value.errno == code
        with pytest.raises(StorageError, match=re.escape(str(store.root))), store.writable():
            store.probe()
        # a try leaves nothing, and takes no room from the next
        assert not list(store.root.iterdir())
        remount(place, "rw,size=8m,nr_inodes=100")
        store.probe()
        assert not list(store.root.iterdir())
        # a little room is not enough for what comes next
        (place / "others").write_bytes(bytes(8 * 2**20 - PROBE_BYTES // 2))
        with pytest.raises(OSError, match="No space left"):
            store.probe()
        assert not list(store.root.iterdir())


@pytest.mark.parametrize("linked", ["attempts", "train", "quarantine"])
def test_a_part_of_the_store_on_another_disk(tmp_path: Path, linked: str) -> None:
    with mounted(tmp_path / "disk", "size=2m") as place:
        store = Store(tmp_path / "store")
        store.root.mkdir()
        (place / linked).mkdir()
        (store.root / linked).symlink_to(place / linked)
        entries = [put(store, number) for number in range(3)]
        assert all(store.checked(*entry) for entry in entries)
        (store.folder(*entries[0]) / "file-1.bin").write_bytes(b"x")
        with pytest.raises(Damaged, match="moved to quarantine/"):
            store.checked(*entries[0])
        assert not store.has(*entries[0])
        assert len(list((store.root / "quarantine").iterdir())) == 1
        put(store, 0)
        assert not list((store.root / "train").glob(".*"))
        assert all(store.checked(*entry) for entry in entries)
        os.chdir("/")


@pytest.mark.parametrize("how", ["moved", "removed", "replaced"])
def test_a_store_that_goes_meanwhile(tmp_path: Path, how: str) -> None:
    store = Store(tmp_path / "results" / "store")
    _, key = put(store, 0)
    fence = store.begin(key)
    work = store.attempt_folder(key) / "out"
    work.mkdir()
    about = replace(store.manifest("train", key), files={})
    if how == "removed":
        shutil.rmtree(store.root)
    else:
        store.root.rename(tmp_path / "elsewhere")
    if how == "replaced":
        store.root.mkdir()
    failure = Failure(key=key, name="x", reason="y", category="crashed")
    for use in (
        lambda: store.lease(key),
        lambda: store.begin(key),
        lambda: store.record_failure(failure),
        lambda: store.commit(work, about, fence=fence),
    ):
        with pytest.raises(StorageError, match="was moved, removed or unmounted meanwhile") as caught:
            use()
        assert caught.value.exit_code == STORAGE
        assert str(store.root) in caught.value.message
    # no new store was begun in the place of the old one
    assert not (store.root / "train").exists()
    assert how == "removed" or Store(tmp_path / "elsewhere").checked("train", key)


@pytest.mark.parametrize("what", ["file", "dangling link", "loop", "below a file"])
def test_a_place_where_no_store_can_be(tmp_path: Path, what: str, capfd: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    if what == "file":
        results.write_text("not a folder")
    elif what == "below a file":
        (tmp_path / "plain").write_text("")
        results = tmp_path / "plain" / "results"
    else:
        results.symlink_to("results" if what == "loop" else "nowhere")
    store = Store(results / "store")
    with pytest.raises(StorageError) as caught, store.writable():
        store.lease("ab" * 16)
    assert caught.value.exit_code == STORAGE
    assert str(tmp_path) in caught.value.message
    for words in (["list"], ["list", "--stages"], ["clean"], ["show", "ab"]):
        assert call(*words, "--results", results) in {0, 2, STORAGE}
        told = capfd.readouterr()
        assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o077, 0o600, 0o700), (0o022, 0o644, 0o755), (0o002, 0o664, 0o775)]
)
def test_files_have_the_mode_that_the_umask_gives(tmp_path: Path, umask: int, file: int, folder: int) -> None:
    root = tmp_path / "store"
    root.mkdir()
    group = os.getgid()
    if not os.geteuid():
        group = 12345
        os.chown(root, -1, group)
    root.chmod(0o2775)
    before = os.umask(umask)
    try:
        store = Store(root)
        place = store.folder(*put(store, 1))
        store.record_failure(Failure(key="ab" * 16, name="x", reason="y", category="crashed"))
        lease = store.lease("cd" * 16)
        assert lease.take()
        with store.announced("x", []):
            files = [path for path in root.rglob("*") if path.is_file()]
            assert len(files) > 7
            assert {stat.S_IMODE(path.stat().st_mode) for path in files if path.name != "gate"} == {file}
            assert {path.stat().st_gid for path in files} == {group}
        folders = [path for path in root.rglob("*") if path.is_dir()]
        assert {stat.S_IMODE(path.stat().st_mode) & 0o777 for path in folders} == {folder}
        # whoever the group is of, all of it is the group's
        assert {path.stat().st_gid for path in [place, *folders]} == {group}
        assert all(path.stat().st_mode & stat.S_ISGID for path in folders)
    finally:
        os.umask(before)


def test_too_few_open_files(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    entry = put(store, 0)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(64, limits[1]), limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(StorageError) as caught, store.writable():
            put(store, 1)
    finally:
        for handle in held:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert "Too many open files" in caught.value.message
    assert "ulimit -n" in str(caught.value)
    assert store.checked(*entry)
    assert put(store, 1)


@pytest.mark.parametrize("name", ["x." + "y" * 253, "\U0001f9a0" * 63, "e\u0301.json", "\u00e9.json", "-rf", "CON"])
def test_files_of_any_name_are_replaced_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for text in ("first", "second"):
        durable.write_text(path, text)
        assert path.read_text() == text
    assert [found.name for found in tmp_path.iterdir()] == [name]
