"""Folders that are not what a run makes: very deep ones, links, pipes, sockets and devices; and closed streams."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stored import put

from dermae_bench.commands.exporting import export_results
from dermae_bench.commands.printing import echo
from dermae_bench.durable import digest_file, everything_below, remove_tree
from dermae_bench.errors import UserError
from dermae_bench.report.listed import LIST, write_changed, write_listed
from dermae_bench.report.verify.digests import SUMS, check_digests, members, strangers, write_digests
from dermae_bench.report.verify.findings import Report
from dermae_bench.store.artifacts import Store
from dermae_bench.store.sweeping import FINISHED, candidates, remove, size_of
from tests.counting import record_count

DEPTHS = [2_200, pytest.param(10_000, marks=pytest.mark.slow)]
"""Folders one in the other: more than Python's stack takes, and more than a path may name."""


@pytest.fixture(autouse=True)
def alarmed() -> Iterator[None]:
    """A command that waits for a pipe fails its test."""

    def ring(number: int, frame: object) -> None:
        raise AssertionError("it waits for ever")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def nest(folder: Path, depth: int) -> None:
    """Folders `a` one in the other, with a file of 3 bytes in every hundredth."""
    folder.mkdir(parents=True, exist_ok=True)
    here = os.open(folder, os.O_RDONLY)
    for level in range(depth):
        os.mkdir("a", dir_fd=here)
        inner = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
        if level % 100 == 0:
            file = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=here)
            os.write(file, b"abc")
            os.close(file)
    os.close(here)


def strange(folder: Path, outside: Path) -> set[str]:
    """What a plugin, or a person, may leave in a folder; returns the names."""
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to(outside)
    (folder / "file-link").symlink_to(outside / "kept.txt")
    (folder / "dangling").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as bound:
        before = Path.cwd()
        # a socket's path may have 107 bytes only
        os.chdir(folder)
        bound.bind("socket")
        os.chdir(before)
    return {"pipe", "link", "file-link", "dangling", "socket"}


@pytest.fixture(autouse=True)
def cleared(tmp_path: Path) -> Iterator[None]:
    """pytest's own cleaning stops at folders as deep as these."""
    yield
    remove_tree(tmp_path)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "kept.txt").write_text("kept")
    return folder


# -- removing, measuring ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_folder_is_measured_and_removed_whatever_its_depth(tmp_path: Path, outside: Path, depth: int) -> None:
    folder = tmp_path / "deep"
    nest(folder, depth)
    strange(folder, outside)
    strange(folder / "a" / "a", outside)
    links = 2 * sum((folder / name).lstat().st_size for name in ("link", "file-link", "dangling"))
    handles = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names, not paths
    assert size_of(folder) == 3 * depth // 100 + links
    remove_tree(folder)
    assert not folder.exists()
    assert (outside / "kept.txt").read_text() == "kept"
    assert len(os.listdir("/proc/self/fd")) == handles  # noqa: PTH208 - names, not paths
    record_count("folders removed, one in the other", depth)


def test_a_link_in_place_of_the_folder_is_not_followed(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "link").symlink_to(outside)
    remove_tree(tmp_path / "link")
    assert (outside / "kept.txt").exists()
    assert size_of(tmp_path / "link") == (tmp_path / "link").lstat().st_size
    assert size_of(tmp_path / "nowhere") == 0
    assert size_of(outside / "kept.txt") == 4
    remove_tree(tmp_path / "nowhere")


def test_a_deep_folder_of_a_finished_stage_goes_with_its_attempt(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    kind, key = put(store, 1)
    nest(store.attempt_folder(key) / "work", 1100)
    found = [item for item in candidates(store, needed=None, partial=False, older_than=0.0) if item.key == key]
    assert [(item.what, item.bytes) for item in found] == [(FINISHED, 3 * 11)]
    assert remove(store, found[0])
    assert not store.attempt_folder(key).exists()
    nest(store.attempt_folder(key) / "work", 1100)
    store.settle(key)
    assert not store.attempt_folder(key).exists()
    assert store.checked(kind, key)


def test_what_another_run_removes_meanwhile_stops_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for number in range(5):
        (folder / f"inner-{number}" / "more").mkdir(parents=True)
        (folder / f"inner-{number}" / "file").write_text("x")
    steps = everything_below(folder)
    next(steps)
    remove_tree(folder)
    assert not folder.exists()
    # it knows names of before, and goes through them without a word
    assert "folder" not in {name for _, name, _ in steps}


def test_a_folder_that_is_moved_away_meanwhile_takes_nobody_along(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "folder" / "inner" / "more").mkdir(parents=True)
    (tmp_path / "folder" / "kept.txt").write_text("of the folder")
    steps = everything_below(tmp_path / "folder")
    seen = []
    for inside, name, _ in steps:
        seen.append((os.fstat(inside).st_ino, name))
        if name == "more":
            (tmp_path / "folder" / "inner").rename(outside / "inner")
    assert outside.stat().st_ino not in {place for place, _ in seen}
    assert "more" in {name for _, name in seen} and "inner" not in {name for _, name in seen}


# -- writing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contents", [{"samples.png": b"new"}, {}])
def test_pictures_are_not_written_or_removed_through_a_link(
    tmp_path: Path, outside: Path, contents: dict[str, bytes]
) -> None:
    (outside / "samples.png").write_bytes(b"of another")
    (outside / LIST).write_text("samples.png\nkept.txt\n")
    before = {path.name: path.read_bytes() for path in outside.iterdir()}
    (tmp_path / "figures").symlink_to(outside)
    with pytest.raises(UserError, match="figures is a link") as refused:
        write_listed(tmp_path / "figures", contents)
    assert refused.value.exit_code == 2
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == before
    (tmp_path / "figures").unlink()
    (tmp_path / "figures").write_text("a file")
    with pytest.raises(UserError, match="figures is no folder"):
        write_listed(tmp_path / "figures", contents)


@pytest.mark.parametrize("data", [b"kept", b"new"])
def test_a_link_in_place_of_a_file_is_replaced(tmp_path: Path, outside: Path, data: bytes) -> None:
    (tmp_path / "classifiers.csv").symlink_to(outside / "kept.txt")
    assert write_changed(tmp_path / "classifiers.csv", data)
    assert not (tmp_path / "classifiers.csv").is_symlink()
    assert (tmp_path / "classifiers.csv").read_bytes() == data
    assert (outside / "kept.txt").read_text() == "kept"


def to_pipe(out: Path) -> None:
    os.mkfifo(out)


def to_device(out: Path) -> None:
    out.symlink_to("/dev/null")


def to_socket(out: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        before = Path.cwd()
        os.chdir(out.parent)
        bound.bind(out.name)
        os.chdir(before)


@pytest.mark.parametrize("make", [to_pipe, to_device, to_socket, Path.mkdir])
@pytest.mark.parametrize("form", ["csv", "zip"])
def test_an_export_replaces_plain_files_only(tmp_path: Path, make: Callable[[Path], None], form: str) -> None:
    out = tmp_path / "out"
    make(out)
    before = out.lstat()
    with pytest.raises(UserError) as refused:
        # there are no such results: what is wrong with --out is told before anything is looked for
        export_results(Path("none"), form=form, out=out, board="classifiers", columns=None, rows=(), preset=None,
                       sets=(), results=tmp_path, plugins_dir=None)  # type: ignore[arg-type] # fmt: skip
    assert refused.value.exit_code == 2 and str(out) in str(refused.value)
    assert (out.lstat().st_ino, out.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_list_of_digests_has_plain_files_only_and_the_rest_is_named(tmp_path: Path, outside: Path) -> None:
    folder = tmp_path / "results"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "grid.png").write_bytes(b"png")
    (folder / "a.csv").write_text("a\n")
    names = strange(folder, outside)
    nest(folder / "deep", 1100)
    assert write_digests(folder)
    lines = [line for line in (folder / SUMS).read_text().splitlines() if not line.startswith("#")]
    plain = ("a.csv", "deep/a/file", "figures/grid.png")
    assert lines == [f"{digest_file(folder / name)}  {name}" for name in plain]
    too_deep = {name for name in members(folder) if name.endswith("/a")}
    assert len(too_deep) == 1 and set(strangers(folder)) == names | too_deep
    report = Report(folder=folder.name)
    check_digests(folder, report)
    assert {item.place for item in report.findings} == names | too_deep


# -- streams -----------------------------------------------------------------------------------------------------------


def test_a_closed_stream_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # as a shell does it: the streams are closed before the program begins
    words = f"{sys.executable} -m dermae_bench list --results {tmp_path}"
    left = subprocess.run(["sh", "-c", f"{words} >&-"], capture_output=True, timeout=60, check=False)
    assert (left.returncode, left.stderr) == (0, b"")
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
        echo("nobody reads this", err=name == "stderr")


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    """Else what a library prints in a plugin would be written into it."""
    code = """
import os, subprocess, sys
from dermae_bench.commands.printing import open_closed_streams
open_closed_streams()
opened = os.open("file", os.O_RDWR | os.O_CREAT)
print("said"), print("said", file=sys.stderr), sys.stdout.flush()
child = subprocess.run([sys.executable, "-S", "-c", "import os; [os.fstat(n) for n in (0, 1, 2)]; os.write(1, b'x')"])
os.write(opened, f"{opened > 2} {child.returncode} {sys.stdin.read()!r}".encode())
"""
    left = subprocess.run(["sh", "-c", '"$0" -c "$1" <&- >&- 2>&-', sys.executable, code], cwd=tmp_path, timeout=60,
                          check=False)  # fmt: skip
    assert left.returncode == 0
    assert (tmp_path / "file").read_text() == "True 0 ''"
