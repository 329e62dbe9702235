"""Stages of images and answers that were made elsewhere: `validate --data` does those that need no training."""

from __future__ import annotations

from collections.abc import Sequence

from dermae_bench.commands.printing import echo
from dermae_bench.errors import FAILED, USAGE
from dermae_bench.execute.choices import Outcome
from dermae_bench.suite.stage import Stage

UNKNOWN = "it could not be looked at"


def given_stages(stages: Sequence[Stage]) -> list[Stage]:
    """Those that read the files of a model that is not fitted, and nothing that anything was fitted for."""
    return [stage for stage in stages if stage.key and is_given(stage)]


def is_given(stage: Stage) -> bool:
    """Whether a stage reads images or answers that were made elsewhere, and real images besides."""
    if stage.kind not in ("sample", "predict") or "plugin" not in stage.work["model"] or "train" in stage.inputs:
        return False
    return all(source.kind == "prepare" or is_given(source) for source in stage.inputs.values())


def tell_given(stages: Sequence[Stage], outcome: Outcome) -> tuple[int, int]:
    """Print why given images or answers cannot be used.

    Args:
        stages: those of them that are not finished.

    Returns:
        How many errors there are, and the exit code for them.
    """
    groups: dict[tuple[str, str, str], list[str]] = {}
    for stage in stages:
        failure = outcome.failed.get(stage.key)
        entry, where = _named(stage)
        category, reason = (failure.category, failure.reason) if failure is not None else ("crashed", UNKNOWN)
        groups.setdefault((entry, category, reason), []).append(where)
    for (entry, _, reason), places in groups.items():
        echo(f"ERROR {entry} ({', '.join(places)}): {reason}")
    return len(groups), FAILED if any(category != "data" for _, category, _ in groups) else USAGE


def _named(stage: Stage) -> tuple[str, str]:
    """Its entry in the suite, and what of it is read."""
    words = stage.name.removeprefix("predict/given/").removeprefix("sample/")
    entry, _, where = words.partition("/")
    return entry, where
