"""Processes that were put to sleep over their work, and wake up when somebody else has done it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dermae_bench.durable import digest_of
from dermae_bench.store.artifacts import Store
from dermae_bench.store.fences import Superseded
from dermae_bench.store.manifests import Failure
from tests.counting import record_count

SCRIPT = Path(__file__).with_name("late.py")


@contextmanager
def worker(root: Path, number: int, patience: float, word: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, SCRIPT, root, str(number), str(patience), word],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go on\n")


def overtaken(root: Path, number: int, *, stopped_first: bool) -> None:
    """The first is stopped, a second one on a host that does not see its lock does the stage, the first wakes up."""
    store = Store(root)
    key = digest_of({"number": number})[:32]
    with worker(root, number, 0.0, "first") as first:
        assert line(first) == "working"
        if stopped_first:
            os.kill(first.pid, signal.SIGSTOP)
        # what another host sees whose file system keeps locks to itself: the file, and no lock on it
        (store.attempt_folder(key) / "working").unlink()
        with worker(root, number, 0.0, "second") as second:
            assert line(second) == "working"
            say(second)
            if not stopped_first:
                say(first)
                assert line(first) == "superseded"
            assert line(second) == "stored"
        if stopped_first:
            os.kill(first.pid, signal.SIGCONT)
            say(first)
            assert line(first) == "superseded"
    folder, _ = store.checked("train", key)
    assert (folder / "word.txt").read_text() == "second"
    assert not (store.root / "quarantine").exists()


@pytest.mark.parametrize("stopped_first", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_who_wakes_up_late_stores_nothing(tmp_path: Path, stopped_first: bool) -> None:
    overtaken(tmp_path / "store", 1, stopped_first=stopped_first)


@pytest.mark.slow
def test_fifty_late_commits(tmp_path: Path) -> None:
    for number in range(50):
        overtaken(tmp_path / "store", number, stopped_first=number % 2 == 0)
    record_count("late commits refused", 50)


def test_nobody_works_beside_one_who_is_only_asleep(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with worker(root, 1, 0.0, "first") as first:
        assert line(first) == "working"
        os.kill(first.pid, signal.SIGSTOP)
        with worker(root, 1, 0.2, "second") as second:
            told = line(second)
        assert told.startswith("refused: process ")
        assert f"process {first.pid} on host" in told
        assert "train/late" in told
        os.kill(first.pid, signal.SIGCONT)
        say(first)
        assert line(first) == "stored"


def test_a_start_after_a_killed_one_waits_until_its_process_is_gone(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with worker(root, 1, 0.0, "first") as first:
        assert line(first) == "working"
        with worker(root, 1, 20.0, "second") as second:
            first.kill()
            assert line(second) == "working"
            say(second)
            assert line(second) == "stored"


def test_fences_refuse_all_but_the_newest_start(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    key = "ab" * 16
    first, second = store.begin(key), store.begin(key)
    assert [fence.partition("-")[0] for fence in (first, second)] == ["1", "2"]
    late = Failure(key=key, name="x", reason="late", category="crashed")
    with pytest.raises(Superseded, match=r"start 1 .* too late: start 2 followed"):
        store.record_failure(late, fence=first)
    assert store.failure(key) is None
    store.record_failure(late, fence=second)
    assert store.failure(key) == late
    # the stage was finished, and its folder removed: numbers begin anew, words do not come again
    store.settle(key)
    with pytest.raises(Superseded, match="its folder is gone"):
        store.record_failure(late, fence=first)
    assert store.begin(key).startswith("1-")
    with pytest.raises(Superseded):
        store.record_failure(late, fence=first)
