"""Limits of an attempt that runs: wall time, silence, memory; and what it last said of itself."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermae_bench.bounded.files import read_bytes
from dermae_bench.errors import DataError
from dermae_bench.execute.logs import LOGS
from dermae_bench.execute.memory import memory_of
from dermae_bench.suite.resources import Limits, duration_words, size_words

STATUS = "status.json"
GRACE_SECONDS = 5.0
"""Between the request to leave and the kill: time for a checkpoint."""
MEMORY_SECONDS = 1.0
"""How often memory is looked at."""
LONGEST_GAP = 2.0
"""Seconds between two looks that count; more passed only because the driver itself was stopped."""
LARGEST_STATUS = 1 << 16


class Clock:
    """Seconds in which the driver ran: a stopped driver or a closed lid must not trip a limit."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._seen = monotonic()
        self._now = 0.0

    def now(self) -> float:
        """Since it was made. Ask often: of a pause only `LONGEST_GAP` counts."""
        seen = self._monotonic()
        self._now += min(seen - self._seen, LONGEST_GAP)
        self._seen = seen
        return self._now


@dataclass(frozen=True)
class Breach:
    """A limit that an attempt went over."""

    limit: str
    """`wall`, `silence` or `memory`."""
    words: str
    """For people, with both numbers."""


class Watch:
    """Looks at one attempt.

    Args:
        folder: its working folder.
        limits: what it may take.
        now: when its process began, by the driver's `Clock`.
    """

    def __init__(self, folder: Path, limits: Limits, now: float) -> None:
        self._folder = folder
        self._limits = limits
        self._began = self._heard = now
        self._signs = self._look_for_signs()
        self._weighed = now

    def look(self, now: float, pid: int | None) -> Breach | None:
        """The first limit that it is over, if there is one; `pid` leads its process group."""
        limits = self._limits
        if limits.wall is not None and now - self._began >= limits.wall:
            return Breach(
                "wall", f"it ran for {now - self._began:.0f} s, and its wall time is limited to {_limit(limits.wall)}"
            )
        if limits.silence is not None:
            signs = self._look_for_signs()
            if signs != self._signs:
                self._signs, self._heard = signs, now
            if now - self._heard >= limits.silence:
                silent = f"no sign of life for {now - self._heard:.0f} s"
                return Breach("silence", f"{silent}, and silence is limited to {_limit(limits.silence)}")
        if limits.memory is not None and pid is not None and now - self._weighed >= MEMORY_SECONDS:
            self._weighed = now
            taken = memory_of(pid, limits.memory, self._folder)
            if taken > limits.memory:
                return Breach(
                    "memory",
                    f"it took {size_words(taken)} of memory, and is limited to {size_words(limits.memory)} (mem)",
                )
        return None

    def _look_for_signs(self) -> tuple[object, ...]:
        return tuple(_stamp(self._folder / name) for name in (STATUS, *LOGS))


def _limit(seconds: float) -> str:
    words = duration_words(seconds)
    return words if words == f"{seconds:g}s" else f"{words} ({seconds:g} s)"


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_status(folder: Path) -> dict[str, Any]:
    """What an attempt last told about itself; {} where it says nothing. Plugins can write there, too."""
    try:
        status = json.loads(read_bytes(folder / STATUS, LARGEST_STATUS))
    except (DataError, ValueError, RecursionError):
        return {}
    return status if isinstance(status, dict) else {}


def kept(folder: Path) -> str:
    """What an earlier attempt left to go on from: `step 153`, `3 blocks`; empty where there is nothing."""
    steps = [name.removeprefix("step-") for name in _names(folder / "checkpoints") if name.startswith("step-")]
    if newest := max((int(step) for step in steps if step.isdecimal()), default=0):
        return f"step {newest}"
    blocks = sum(name.endswith(".npy") for name in _names(folder / "blocks"))
    return f"{blocks} block{'s' if blocks > 1 else ''}" if blocks else ""


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 (names)
    except OSError:
        return []


def where(status: dict[str, Any]) -> str:
    """A status in words: `fitting, step 120 of 1000`; empty where it says nothing."""
    phase, unit = status.get("phase"), status.get("unit")
    step, steps = status.get("step"), status.get("steps")
    words = [phase[:80]] if isinstance(phase, str) and phase else []
    if _whole(step):
        name = unit[:40].removesuffix("s") if isinstance(unit, str) and unit else "step"
        words.append(f"{name} {step}" + (f" of {steps}" if _whole(steps) else ""))
    return ", ".join(words)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18
