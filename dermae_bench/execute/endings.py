"""Why an attempt ended without an artifact: in words, and in the categories that decide what happens next."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermae_bench.bounded.files import open_plain, read_bytes
from dermae_bench.durable import encodable
from dermae_bench.errors import DataError
from dermae_bench.execute.local import Ended
from dermae_bench.execute.signals import name
from dermae_bench.execute.watching import read_status, where
from dermae_bench.secrets import redact

CATEGORIES = frozenset({"crashed", "oom", "timeout", "diverged", "invalid-output", "lost", "data", "storage"})
LONGEST = 20_000
"""Characters kept of a reason or a traceback."""
LONGEST_TAIL = 4_000
LARGEST_RESULT = 1 << 22
"""Bytes of `result.json`; what is larger was not written by an attempt."""
LARGEST_LOG = 1 << 40
"""Bytes of a log of which the end is shown: it is cut later, and only its end is read."""
LIMITS = {"wall": "timeout", "silence": "timeout", "memory": "oom"}
"""Limit that was broken -> category."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What an attempt that left no artifact ended of."""

    category: str
    reason: str
    phase: str = ""
    traceback: str = ""
    outside: bool = False
    """Whether what ended it came from outside: a signal of somebody else, the death of the server."""


def read_result(folder: Path) -> dict[str, Any]:
    """What an attempt says about itself; {} where it says nothing, or nothing that an attempt would say.

    Plugins' code can write into the folder, so nothing in the file is taken for granted.
    """
    try:
        result = json.loads(read_bytes(folder / "result.json", LARGEST_RESULT))
    except (DataError, ValueError, RecursionError):
        return {}
    if not isinstance(result, dict) or not isinstance(result.get("ok"), bool):
        return {}
    if result["ok"]:
        return {"ok": True}
    if result.get("stopped") is True:
        return {"ok": False, "stopped": True}
    category = result.get("category")
    if not isinstance(result.get("reason"), str) or not isinstance(category, str) or category not in CATEGORIES:
        return {}
    # secrets are struck out of whole texts: of one that was cut, a part might stay
    about = {word: encodable(str(result.get(word, ""))) for word in ("phase", "traceback")}
    texts = {word: redact(text, os.environ)[-LONGEST:] for word, text in about.items()}
    return {
        "ok": False,
        "category": category,
        "reason": redact(encodable(result["reason"]), os.environ)[:LONGEST],
        **texts,
        "damaged": result.get("damaged") is True,
        "outside": result.get("outside") is True,
    }


def judge(folder: Path, result: Mapping[str, Any], ended: Ended, printed: int = 0) -> Verdict:
    """From what the attempt wrote, else from how its process ended.

    Args:
        folder: working folder of the attempt.
        result: see `read_result`.
        ended: how its process ended.
        printed: bytes of stderr.log that were there before it began.
    """
    if ended.reason in LIMITS:
        # what it says of itself after it was asked to leave is a consequence
        return _without_result(folder, LIMITS[ended.reason], ended.told, printed)
    if result and not result.get("ok") and not result.get("stopped"):
        return Verdict(
            category=result["category"],
            reason=result["reason"],
            phase=result["phase"],
            traceback=result["traceback"],
            outside=result["outside"],
        )
    category, reason, outside = _why(result, ended)
    return _without_result(folder, category, reason, printed, outside)


def _without_result(folder: Path, category: str, reason: str, printed: int, outside: bool = False) -> Verdict:
    status = read_status(folder)
    last = redact(encodable(where(status)), os.environ)
    phase = status.get("phase")
    return Verdict(
        category=category,
        reason=f"{reason}; its last sign: {last}" if last else reason,
        phase=redact(encodable(phase), os.environ)[:LONGEST] if isinstance(phase, str) else "",
        traceback=tail(folder / "stderr.log", printed),
        outside=outside,
    )


def _why(result: Mapping[str, Any], ended: Ended) -> tuple[str, str, bool]:
    if result.get("ok"):
        return "lost", "it says that it finished, but the store does not hold its result", False
    if result.get("stopped"):
        return "lost", "it stopped, though nobody had asked for it", True
    if ended.reason == "server-died":
        return "lost", "the fork server died, and the attempt with it", True
    if ended.reason == "oom-killer":
        return "oom", "killed by the kernel, which was out of memory", False
    if ended.reason not in {"exit", ""}:
        return "crashed", ended.reason, False
    if ended.code is not None and ended.code < 0:
        number = -ended.code
        return "crashed", f"killed by {name(number)}", number in {signal.SIGKILL, signal.SIGTERM}
    return "crashed", f"the process left with {ended.code} but without a result", False


def tail(path: Path, start: int = 0) -> str:
    """The end of a log, from byte `start` at the earliest, without secrets; empty where there is none."""
    try:
        with open_plain(path, LARGEST_LOG) as stream:
            size = stream.seek(0, os.SEEK_END)
            # a log that was cut meanwhile is shorter than before
            stream.seek(max(size - 4 * LONGEST_TAIL, start if start <= size else 0))
            text = stream.read(4 * LONGEST_TAIL).decode(errors="replace")
    except (DataError, OSError):
        return ""
    return redact(text, os.environ)[-LONGEST_TAIL:]


def size_of(path: Path) -> int:
    """Bytes of a log; 0 where there is none."""
    try:
        return path.lstat().st_size
    except OSError:
        return 0
