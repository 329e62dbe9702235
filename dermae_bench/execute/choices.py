"""What is asked of a walk over a plan, and what became of it."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dermae_bench.errors import NothingMatched
from dermae_bench.store.manifests import Failure
from dermae_bench.suite.resources import UNLIMITED, Limits
from dermae_bench.suite.stage import Stage

RESERVE = 256 * 2**20
"""Bytes that must stay free beside what the plan needs."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a plan is walked."""

    jobs: int = 1
    only: Sequence[str] = ()
    skip: Sequence[str] = ()
    force: Sequence[str] = ()
    """Patterns of stage names to do again although the store holds them."""
    fail_fast: bool = False
    timeout: float | None = None
    """Seconds an attempt may take, whatever its kind; goes before the suite's wall time."""
    pass_env: Sequence[str] = ()
    """Names of secrets in the environment that attempts are given nevertheless."""
    limits: Mapping[str, Limits] = field(default_factory=dict)
    """Kind of stage -> what an attempt may take."""

    def limits_of(self, kind: str) -> Limits:
        """What an attempt at a stage of this kind may take."""
        limits = self.limits.get(kind, UNLIMITED)
        return limits if self.timeout is None else replace(limits, wall=self.timeout)


@dataclass
class Outcome:
    """What became of a plan."""

    cached: int = 0
    done: list[Stage] = field(default_factory=list)
    failed: dict[str, Failure] = field(default_factory=dict)
    """Key -> why."""
    blocked: list[Stage] = field(default_factory=list)
    """Stages that were not tried because an input failed or was not selected."""
    interrupted: int | None = None
    """Signal that ended the run, if one did."""
    hurried: bool = False
    """Whether a second one did."""


def select(stages: Sequence[Stage], options: Options) -> list[Stage]:
    """Stages whose names match `--only` / `--skip`, together with everything they need.

    Raises:
        NothingMatched: none is left.
    """
    if not options.only and not options.skip:
        return list(stages)
    chosen = [
        stage
        for stage in stages
        if (not options.only or matches(stage.name, options.only)) and not matches(stage.name, options.skip)
    ]
    if not chosen:
        raise NothingMatched(
            "--only / --skip leave no stage", hint="`dermae-bench plan` prints the names of the stages"
        )
    wanted: set[str] = set()
    todo = list(chosen)
    while todo:
        stage = todo.pop()
        if stage.key not in wanted:
            wanted.add(stage.key)
            todo += stage.inputs.values()
    skipped = {stage.key for stage in stages if matches(stage.name, options.skip)}
    return [stage for stage in stages if stage.key in wanted - skipped]


def bytes_of(stages: Sequence[Stage]) -> int:
    """Bytes that must be free for `stages` that are to be done, as far as the plan can tell."""
    return sum(stage.disk_bytes for stage in stages) + max((s.scratch_bytes for s in stages), default=0) + RESERVE


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a stage's name fits one of the patterns, wholly or in part."""
    return any(fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"*{pattern}*") for pattern in patterns)
