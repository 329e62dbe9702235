"""Why an attempt ended without an artifact: in words, and in the categories that decide what happens next."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermae_bench.execute.local import Ended


def why(result: Mapping[str, Any], ended: Ended) -> tuple[str, str]:
    """(category, reason) from what the attempt wrote, else from how its process ended."""
    if result.get("ok"):
        return "lost", "it says that it finished, but the store does not hold its result"
    if result:
        return str(result["category"]), str(result["reason"])
    if ended.reason == "timeout":
        return "timeout", f"took longer than allowed ({ended.seconds:.0f} s)"
    if ended.reason == "server-died":
        return "lost", "the fork server died"
    if ended.reason not in {"exit", ""}:
        return "crashed", ended.reason
    if ended.code == 0:
        return "crashed", "the process left with 0 but without a result"
    if ended.code is not None and ended.code < 0:
        number = -ended.code
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        return ("oom" if number == signal.SIGKILL else "crashed"), f"killed by {name}" + (
            " (out of memory?)" if number == signal.SIGKILL else ""
        )
    return "crashed", f"the process left with {ended.code} but without a result"


def tail(path: Path) -> str:
    """The end of a log; empty where there is none."""
    try:
        return path.read_text(errors="replace")[-4000:]
    except OSError:
        return ""
