"""What Linux tells about processes; elsewhere there is nothing to read, and nobody is found."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One line of `/proc/PID/stat`."""

    state: str
    """One letter: `T` is stopped, `D` waits in the kernel and cannot be killed, `Z` and `X` are gone."""
    parent: int
    group: int
    session: int
    resident: int
    """Bytes of memory, shared pages included."""


def process(pid: int) -> Process | None:
    """What is known of a process; None when it is gone."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return Process(words[0], int(words[1]), int(words[2]), int(words[3]), int(words[21]) * _page())
    except (OSError, LookupError, ValueError):
        # it ended while it was looked at
        return None


def processes() -> dict[int, Process]:
    """Every process that can be seen, by its id."""
    try:
        names = os.listdir("/proc")  # noqa: PTH208 - numbers, not paths
    except FileNotFoundError:
        return {}
    found = {int(name): process(int(name)) for name in names if name.isdigit()}
    return {pid: about for pid, about in found.items() if about is not None}


def descendants(roots: set[int], among: Mapping[int, Process]) -> set[int]:
    """`roots` and all that descend from them."""
    children: dict[int, list[int]] = {}
    for pid, about in among.items():
        children.setdefault(about.parent, []).append(pid)
    found: set[int] = set()
    left = list(roots)
    while left:
        pid = left.pop()
        if pid not in found:
            found.add(pid)
            left += children.get(pid, ())
    return found


def children(pid: int) -> list[int]:
    """Process ids of the children of a process with one thread, adopted orphans included."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        # a kernel built without that list
        return [child for child, about in processes().items() if about.parent == pid]


def _page() -> int:
    return os.sysconf("SC_PAGE_SIZE")
