"""Processes that strangers' code leaves behind: who adopts them, and how the last of them is ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

_SET_DEATH_SIGNAL, _SET_SUBREAPER = 1, 36
_PAUSE_SECONDS = 0.005


def die_with_parent(number: signal.Signals) -> None:
    """Be sent `number` when the parent dies; only on Linux."""
    _prctl(_SET_DEATH_SIGNAL, int(number))


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own, daemons included; only on Linux."""
    _prctl(_SET_SUBREAPER, 1)


def kill_children(pid: int, seconds: float) -> None:
    """Kill every child of a process that adopts orphans, and every orphan that it gets by that, until none is alive.

    Args:
        pid: the process; it need not run, but must not have been waited for.
        seconds: how long at most.
    """
    end = time.monotonic() + seconds
    empty = 0
    # twice: an orphan may change parents while they are being looked for
    while empty < 2 and time.monotonic() < end:
        living = [child for child in _children(pid) if _alive(child)]
        empty = 0 if living else empty + 1
        for child in living:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        if living:
            time.sleep(_PAUSE_SECONDS)


def _children(pid: int) -> list[int]:
    if not Path("/proc/self/stat").exists():
        # another system: nobody adopts orphans there, and the group is all that can be found
        return []
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except ProcessLookupError:
        return []
    except FileNotFoundError:
        # gone, or a kernel built without that list
        every = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 (numbers, not paths)
        return [child for child in every if _stat(child)[1:2] == [str(pid)]]


def _alive(pid: int) -> bool:
    return _stat(pid)[:1] not in ([], ["Z"], ["X"])


def _stat(pid: int) -> list[str]:
    """State, parent and the rest of `/proc/PID/stat`; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
