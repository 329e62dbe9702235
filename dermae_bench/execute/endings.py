"""Why an attempt ended without an artifact: in words, and in the categories that decide what happens next."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermae_bench.durable import encodable
from dermae_bench.execute.local import Ended

CATEGORIES = frozenset({"crashed", "oom", "timeout", "diverged", "invalid-output", "lost", "data", "storage"})
LONGEST = 20_000
"""Characters kept of a reason or a traceback."""


def read_result(folder: Path) -> dict[str, Any]:
    """What an attempt says about itself; {} where it says nothing, or nothing that an attempt would say.

    Plugins' code can write into the folder, so nothing in the file is taken for granted.
    """
    try:
        result = json.loads((folder / "result.json").read_bytes())
    except (OSError, ValueError, RecursionError):
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
    texts = {name: encodable(str(result.get(name, "")))[-LONGEST:] for name in ("phase", "traceback")}
    reason = encodable(result["reason"])[:LONGEST]
    return {
        "ok": False,
        "category": category,
        "reason": reason,
        **texts,
        "damaged": result.get("damaged") is True,
    }


def why(result: Mapping[str, Any], ended: Ended) -> tuple[str, str]:
    """(category, reason) from what the attempt wrote, else from how its process ended."""
    if result.get("ok"):
        return "lost", "it says that it finished, but the store does not hold its result"
    if result.get("stopped"):
        return "lost", "it stopped, though nobody had asked for it"
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
