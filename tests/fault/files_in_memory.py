"""Who holds files that are memory, for `test_memory_of_files`: `python files_in_memory.py nameless|named`.

A process of its own, with few libraries: of pages that are shared with others a process has a part, and that part
moves by megabytes whenever another one that has torch begins or ends.
"""

from __future__ import annotations

import mmap
import os
import secrets
import signal
import sys
import time
from pathlib import Path

from dermae_bench.execute.memory import memory_of

SHARED = Path("/dev/shm")
SIZE = 64 << 20
SLACK = 8 << 20


def fill(file: int) -> None:
    """Write `SIZE` bytes, in pieces: none of them is ever mapped."""
    block = b"x" * (1 << 20)
    for _ in range(SIZE // len(block)):
        os.write(file, block)


def near(taken: int, expected: int, slack: int = SLACK) -> None:
    assert abs(taken - expected) < slack, f"{taken >> 20} MiB, not {expected >> 20}"


def taken(store: Path | None = None) -> int:
    return memory_of(os.getpid(), 0, store)


def nameless() -> None:
    """A file without a name counts once, however often it is open and mapped."""
    before = taken()
    file = os.memfd_create("hidden")
    again = os.dup(file)
    fill(file)
    near(taken(), before + SIZE)
    # the cheap count may be too high, and then the exact one is asked
    assert memory_of(os.getpid(), 1 << 60) - before >= SIZE - SLACK
    with mmap.mmap(file, SIZE) as pages:
        assert sum(pages[at] for at in range(0, SIZE, mmap.PAGESIZE)) > 0
        ready, tell = os.pipe()
        child = os.fork()
        if child == 0:
            sum(pages[at] for at in range(0, SIZE, mmap.PAGESIZE))
            os.write(tell, b"1")
            time.sleep(60)
            os._exit(0)
        try:
            assert os.read(ready, 1) == b"1"
            near(taken(), before + SIZE, SLACK + SIZE // 4)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    os.close(again)
    os.close(file)
    near(taken(), before, SLACK + SIZE // 4)


def named() -> None:
    """Files in shared memory count while they are written, or have no name."""
    path = SHARED / f"dermae-bench-{secrets.token_hex(8)}"
    try:
        with path.open("w+b", buffering=0) as writer, path.open("rb") as reader:
            fill(writer.fileno())
            full = taken()
            # where the store lies in memory, its files are what the user asked for
            near(taken(SHARED), full - SIZE)
            writer.close()
            # data that somebody laid there, and that is only read
            near(taken(), full - SIZE)
            path.unlink()
            assert reader.fileno() >= 0
            near(taken(SHARED), full)
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    {"nameless": nameless, "named": named}[sys.argv[1]]()
