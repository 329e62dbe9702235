"""Who works in an attempt's folder: one process at a time, and none whose place somebody else has taken.

`fence` holds the number of the newest start and a word that no other start has. Whoever works remembers what stood
there when it began; where something else stands now, what it would write comes too late. On one host, and wherever
locks work, the kernel's locks alone would do. The fence stands where they do not: two hosts on a file system that
keeps locks to itself, a folder that was removed under a process that was only asleep.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from dermae_bench.bounded.files import read_bytes
from dermae_bench.durable import write_text
from dermae_bench.errors import BenchError, DataError
from dermae_bench.store.leases import Lease

FENCE = "fence"
WORKING = "working"
LONGEST = 100
"""Bytes of a fence."""
PATIENCE = 10.0
"""Seconds that a start waits for the process of a former one to be gone: the kernel kills it with its driver."""


class Superseded(BenchError):
    """Somebody else took over the stage meanwhile; what came late was refused, and what is there stays."""


class StillWorking(BenchError):
    """The process of a former attempt is not gone yet."""


def begin(folder: Path) -> str:
    """Start anew in an attempt's folder: the next fence, as `NUMBER-WORD`. From now on all former ones are refused."""
    number, _, _ = current(folder).partition("-")
    # not flushed: after a power cut nobody is left who could come late
    fence = f"{int(number or 0) + 1}-{secrets.token_hex(4)}"
    write_text(folder / FENCE, fence, durable=False)
    return fence


def current(folder: Path) -> str:
    """The newest fence; empty where nobody has started, and where something else than a fence lies in its place."""
    try:
        text = read_bytes(folder / FENCE, LONGEST).decode("ascii")
    except (DataError, UnicodeDecodeError):
        return ""
    number, _, word = text.partition("-")
    return text if number.isdecimal() and len(number) < 10 and word else ""


def hold(folder: Path, fence: str, what: str) -> None:
    """Go on only where `fence` is the newest.

    Raises:
        Superseded: it is not, with `what` was refused.
    """
    now = current(folder)
    if now != fence:
        after = f"start {now.partition('-')[0]} followed" if now else "its folder is gone"
        raise Superseded(
            f"{what} of start {fence.partition('-')[0]} in attempts/{folder.name} came too late: {after}",
            hint="what the other run stored stays; nothing has to be done",
        )


@contextlib.contextmanager
def working(folder: Path, name: str, patience: float = PATIENCE) -> Iterator[None]:
    """Inside, no other process works in `folder`; the lock lives as long as this process and its forks.

    Raises:
        StillWorking: another one has not left within `patience` seconds.
    """
    lock = Lease(folder / WORKING, name)
    if not lock.take_within(patience):
        holder = lock.holder()
        raise StillWorking(
            f"{holder or 'another process'} is not gone after {patience:g} s; two may not work in {folder}",
            hint="end that process, or wait for it, and give the same command again",
        )
    try:
        yield
    finally:
        lock.release()
