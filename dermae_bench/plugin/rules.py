"""What a plugin's own rules say to values that its schema allows: `__post_init__` of its Config or its Sampling.

A schema bounds each value alone. That two of them do not fit (a width and its heads) only the class knows, and a
night is too long to be told so by a stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermae_bench.bounded.memos import keep, kept
from dermae_bench.durable import digest_of
from dermae_bench.plugin.asking import ask

RULES_VERSION = 1


@dataclass(frozen=True)
class Ruled:
    """Values to be judged, and by whom."""

    reference: Mapping[str, Any]
    """Where the plugin lies (`Reference` as a dict)."""
    digest: str
    """Of the plugin's sources."""
    schema: str
    """``params`` or ``sampling``."""
    values: Mapping[str, Any]
    """As `check` returned them, with defaults."""

    def memo(self, cache: Path) -> Path:
        words = [RULES_VERSION, self.reference["name"], self.reference["module"], self.digest, self.schema, self.values]
        return cache / "rules" / f"{digest_of(words)[:32]}.json"


def refusals(cache: Path, asked: Sequence[Ruled]) -> list[str | None]:
    """Why each is refused, or None: from `cache`, else of one child process that imports the plugins."""
    paths = [ruled.memo(cache) for ruled in asked]
    known = {path: answer for path in paths if _is_answer(answer := kept(path))}
    missing = {path: ruled for path, ruled in zip(paths, asked, strict=True) if path not in known}
    waiting = list(missing)
    while waiting:
        answers = ask([_question(missing[path]) for path in waiting])
        for path, answer in zip(waiting, answers, strict=False):
            if _is_answer(answer):
                keep(path, answer)
                known[path] = answer
            else:
                # the child ended, or the module does not import any more: no answer to be kept
                known[path] = {"refused": f"its rules could not be asked: {answer.get('error', 'no answer')}"}
        # those behind one that took the child down are asked in another one
        waiting = waiting[len(answers) :]
    return [known[path]["refused"] for path in paths]


def _question(ruled: Ruled) -> dict[str, Any]:
    return {"rules": dict(ruled.reference), "schema": ruled.schema, "values": dict(ruled.values)}


def _is_answer(answer: Any) -> bool:
    return isinstance(answer, dict) and set(answer) == {"refused"} and isinstance(answer["refused"], str | None)
