"""Files that are memory count as the memory of the attempt that holds them open."""

from __future__ import annotations

import json
import mmap
import os
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from supervised_attempts import walk

from dermae_bench.execute import executor, watching
from dermae_bench.execute.executor import Options
from dermae_bench.execute.local import LocalBackend
from dermae_bench.execute.memory import memory_of
from dermae_bench.suite.resources import Limits

SHARED = Path("/dev/shm")
SIZE = 64 << 20
SLACK = 8 << 20
pytestmark = pytest.mark.skipif(not os.path.ismount(SHARED), reason="nothing is mounted where shared memory is kept")


def fill(file: int) -> None:
    """Write `SIZE` bytes, in pieces: none of them is ever mapped."""
    block = b"x" * (1 << 20)
    for _ in range(SIZE // len(block)):
        os.write(file, block)


def taken(store: Path | None = None) -> int:
    return memory_of(os.getpid(), 0, store)


@pytest.fixture
def named() -> Iterator[BinaryIO]:
    path = SHARED / f"dermae-bench-{secrets.token_hex(8)}"
    with path.open("w+b", buffering=0) as stream:
        try:
            fill(stream.fileno())
            yield stream
        finally:
            path.unlink(missing_ok=True)


def test_a_file_without_a_name_counts_once_however_often_it_is_open_and_mapped() -> None:
    before = taken()
    file = os.memfd_create("hidden")
    again = os.dup(file)
    try:
        fill(file)
        assert abs(taken() - before - SIZE) < SLACK
        # the cheap count may be too high, and then the exact one is asked
        assert memory_of(os.getpid(), 1 << 60) - before >= SIZE - SLACK
        with mmap.mmap(file, SIZE) as pages:
            assert sum(pages[at] for at in range(0, SIZE, mmap.PAGESIZE)) > 0
            child = os.fork()
            if child == 0:
                sum(pages[at] for at in range(0, SIZE, mmap.PAGESIZE))
                time.sleep(30)
                os._exit(0)
            try:
                time.sleep(0.3)
                assert abs(taken() - before - SIZE) < SLACK + SIZE // 4
            finally:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
    finally:
        os.close(again)
        os.close(file)
    assert abs(taken() - before) < SLACK + SIZE // 4


def test_files_in_shared_memory_count_while_they_are_written_or_have_no_name(named: BinaryIO) -> None:
    with Path(named.name).open("rb") as reader:
        full = taken()
        # where the store lies in memory, its files are what the user asked for
        assert abs(full - taken(SHARED) - SIZE) < SLACK
        named.close()
        # data that somebody laid there, and that is only read
        assert abs(full - taken() - SIZE) < SLACK
        Path(reader.name).unlink()
        assert abs(full - taken(SHARED)) < SLACK


def memfd(folder: Path) -> None:
    file = os.memfd_create("hidden")
    fill(file)
    fill(file)
    time.sleep(30)


def shared(folder: Path) -> None:
    path = SHARED / f"dermae-bench-{secrets.token_hex(8)}"
    (folder.parents[2] / "name").write_text(str(path))
    with path.open("wb", buffering=0) as stream:
        fill(stream.fileno())
        fill(stream.fileno())
        time.sleep(30)


def attempt(folder: Path) -> None:
    """Behave as the stage is called; run in a process of its own."""
    {"memfd": memfd, "shared": shared}[json.loads((folder / "spec.json").read_text())["name"].rpartition("/")[2]](
        folder
    )


def test_a_row_that_hides_its_memory_in_files_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MEMORY_SECONDS", 0.1)
    monkeypatch.setattr(executor, "CALL", "test_memory_of_files:attempt")
    most = Limits(memory=SIZE + (48 << 20))
    began = time.monotonic()
    try:
        with LocalBackend(preload=("json",)) as backend:
            outcome, _ = walk(tmp_path, ["memfd", "shared"], backend, Options(jobs=1, limits={"train": most}))
    finally:
        if (tmp_path / "name").exists():
            Path((tmp_path / "name").read_text()).unlink(missing_ok=True)
    assert [(one.name, one.category) for one in outcome.failed.values()] == [
        ("train/memfd", "oom"), ("train/shared", "oom"),
    ]  # fmt: skip
    assert all("limited to 112 MiB (mem)" in one.reason for one in outcome.failed.values())
    assert time.monotonic() - began < 10
