"""What becomes of a stage whose attempt has ended: finished, tried again, mended, stopped or failed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol

from dermae_bench.errors import StorageError, brief
from dermae_bench.execute import choices
from dermae_bench.execute.endings import Verdict, judge, read_result, size_of
from dermae_bench.execute.local import Ended
from dermae_bench.execute.logs import strike_out
from dermae_bench.secrets import redact
from dermae_bench.store import fences
from dermae_bench.store.artifacts import Store, free_bytes
from dermae_bench.store.fences import Superseded
from dermae_bench.store.leases import Lease
from dermae_bench.store.manifests import Damaged, Failure
from dermae_bench.store.refusals import refused
from dermae_bench.suite.stage import Stage

LARGEST_LOOKED_AT = 64 * 2**20
"""Bytes of a file that the driver reads again."""
AGAIN = "nothing finished is lost: mend the place and give the same command again"


class Display(Protocol):
    """Something that shows progress (see `dermae_bench.execute.progress.Progress`)."""

    def started(self, key8: str, name: str) -> None: ...
    def update(self, key8: str, status: Mapping[str, Any]) -> None: ...
    def finished(self, key8: str, name: str, seconds: float) -> None: ...
    def cached(self, count: int) -> None: ...
    def lost(self, *, cached: int, done: int) -> None: ...
    def failed(self, key8: str, name: str, reason: str) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass
class Running:
    """An attempt under way."""

    stage: Stage
    lease: Lease
    fence: str
    """Of this start (see `dermae_bench.store.fences`)."""
    began: float
    """Seconds, monotonic."""
    number: int
    """Of the attempt at this stage in this run, from 1."""
    beside: bool
    """Whether another attempt ran at the same time, if only for a moment."""
    printed: int = 0
    """Bytes of stderr.log that were there before."""


class Fate(Enum):
    """What to do with the stage."""

    FINISHED = "finished"
    AGAIN = "again"
    MEND = "mend"
    """An input was damaged and moved aside: make it again, then this one."""
    STOPPED = "stopped"
    FAILED = "failed"


class Settler:
    """Looks at what attempts left, records failures, and decides where another try can help.

    Tried again is only what did not fail by itself, each once: what a signal of somebody else ended; what died with the
    server; what met a full disk that is full no more; what was spoiled after it was written; and, alone, what ran out
    of memory beside others. Nothing is tried in a loop.
    """

    def __init__(self, store: Store, display: Display, observe: Callable[[str, Mapping[str, Any]], None]) -> None:
        self.store = store
        self.display = display
        self.alone: set[str] = set()
        """Keys of stages that are tried again with nothing beside them."""
        self._observe = observe
        self._numbers: Counter[str] = Counter()
        self._damaged: Counter[str] = Counter()
        """Key -> how often a stage found an input damaged."""
        self._outside: set[str] = set()
        """Keys of stages that were ended from outside, and tried again for it."""

    def begin(self, stage: Stage, lease: Lease, now: float, others: Mapping[str, Running]) -> Running:
        """Note a start beside `others`."""
        self._numbers[stage.key] += 1
        for other in others.values():
            other.beside = True
        folder = self.store.attempt_folder(stage.key)
        # a run that was killed could not
        strike_out(folder, os.environ)
        printed = size_of(folder / "stderr.log")
        fence = self.store.begin(stage.key)
        return Running(stage, lease, fence, now, self._numbers[stage.key], bool(others), printed)

    def settle(self, running: Running, ended: Ended, seconds: float, stopping: bool) -> tuple[Fate, Failure | None]:
        """What became of an attempt; with the failure where it is one.

        Args:
            stopping: whether this run had asked its attempts to leave.

        Raises:
            StorageError: the store refused; every other stage would meet the same.
        """
        stage, key = running.stage, running.stage.key
        folder = self.store.attempt_folder(key)
        result = read_result(folder)
        spoiled = None
        if self.store.has(stage.kind, key):
            spoiled = self._spoiled_result(stage)
            if spoiled is None:
                self.store.settle(key)
                self.display.finished(key[:8], stage.name, seconds)
                self._observe("dermae_stage_finished", {**event(stage), "seconds": seconds})
                return Fate.FINISHED, None
        killed = ended.code is not None and ended.code < 0
        if stopping and (result.get("stopped") or killed or ended.reason == "server-died"):
            return Fate.STOPPED, None
        if result.get("damaged") and self._damaged[key] < len(stage.inputs):
            # each input may turn out to be damaged once; then something else is wrong
            self._damaged[key] += 1
            self.display.note(f"{stage.name}: {result['reason']}; it is made again")
            return Fate.MEND, None
        verdict = spoiled or judge(folder, result, ended, running.printed)
        if verdict.category == "storage":
            self._need_store(stage, verdict)
            # a disk may have been full for a moment
            reason = f"{verdict.reason}; yet the store can be written"
            verdict = replace(verdict, category="crashed", reason=reason, outside=True)
        if not stopping and self._another_try_helps(running, verdict):
            how = ", alone" if key in self.alone else ""
            self.display.note(f"{stage.name}: {brief(verdict.reason)}; it is tried once more{how}")
            return Fate.AGAIN, None
        return Fate.FAILED, self._failed(running, verdict, seconds, ended.max_rss_mb)

    def _spoiled_result(self, stage: Stage) -> Verdict | None:
        """Why what an attempt committed is not what its manifest says, if so; it is moved aside.

        A plugin lives in the process that takes the digests, so they are taken again out here. Large files wait for the
        stage that reads them: it takes them as well, while the driver would let all others wait.
        """
        try:
            manifest = self.store.glanced(stage.kind, stage.key)
            small = {name for name, about in manifest.files.items() if about["bytes"] <= LARGEST_LOOKED_AT}
            self.store.checked(stage.kind, stage.key, small)
        except Damaged as error:
            reason = f"its result was spoiled: {error.message}"
            return Verdict(category="invalid-output", reason=reason, phase="committing", outside=True)
        return None

    def _need_store(self, stage: Stage, verdict: Verdict) -> None:
        """An attempt may say that the store refuses it; whether it does is seen from here.

        Raises:
            StorageError: it refuses: every other stage would meet the same.
        """
        try:
            self.store.probe()
        except OSError as error:
            raise StorageError(f"{stage.name}: {refused(error, self.store.root).message}", hint=AGAIN) from error
        if free_bytes(self.store.root) < choices.RESERVE:
            raise StorageError(f"{stage.name}: {verdict.reason}", hint=AGAIN)

    def _another_try_helps(self, running: Running, verdict: Verdict) -> bool:
        key = running.stage.key
        if verdict.outside and key not in self._outside:
            self._outside.add(key)
            if verdict.category == "lost" and running.beside:
                # one of those that ran side by side may have ended the server: it must not take the others along twice
                self.alone.add(key)
            return True
        if verdict.category == "oom" and running.beside and key not in self.alone:
            self.alone.add(key)
            return True
        return False

    def _failed(self, running: Running, verdict: Verdict, seconds: float, max_rss_mb: int) -> Failure:
        stage = running.stage
        failure = Failure(
            key=stage.key,
            name=stage.name,
            reason=verdict.reason,
            category=verdict.category,
            phase=verdict.phase,
            traceback=verdict.traceback,
            seconds=round(seconds, 3),
            max_rss_mb=max_rss_mb,
            attempt=running.number,
        )
        # a plugin may have removed the whole folder, and its fence with it: that is how it failed, and nobody took over
        gone = not fences.current(self.store.attempt_folder(stage.key))
        try:
            self.store.record_failure(failure, fence=None if gone else running.fence)
        except Superseded as error:
            self.display.note(f"{stage.name}: {redact(str(error), os.environ)}")
        again = f" (attempt {running.number})" if running.number > 1 else ""
        self.display.failed(stage.key[:8], stage.name, brief(verdict.reason) + again)
        self._observe("dermae_stage_failed", {**event(stage), "reason": verdict.reason, "phase": verdict.phase})
        return failure


def event(stage: Stage) -> dict[str, Any]:
    """What observers are told of a stage."""
    return {"key": stage.key, "kind": stage.kind, "name": stage.name}
