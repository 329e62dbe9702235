"""Walk the plan: skip what the store holds, run what is ready, keep going when something fails. Knows no stage kind."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from dermae_bench.durable import canonical, write_text
from dermae_bench.errors import StorageError
from dermae_bench.execute.choices import Options as Options
from dermae_bench.execute.choices import Outcome as Outcome
from dermae_bench.execute.choices import matches
from dermae_bench.execute.choices import select as select
from dermae_bench.execute.endings import read_result, tail, why
from dermae_bench.execute.local import Ended
from dermae_bench.store.artifacts import Store, free_bytes
from dermae_bench.store.environment import environment
from dermae_bench.store.leases import Lease
from dermae_bench.store.manifests import Damaged, Failure
from dermae_bench.suite.stage import Stage

CALL = "dermae_bench.execute.attempt:attempt"
TICK = 0.2
AGAIN = "nothing finished is lost: mend the place and give the same command again"
RESERVE = 256 * 2**20
"""Bytes that must stay free beside what the plan needs."""


class Backend(Protocol):
    """Something that runs attempts in processes."""

    def warm_up(self) -> None: ...
    def submit(self, attempt: str, folder: Path, call: str, timeout: float | None = None) -> None: ...
    def wait(self, timeout: float | None) -> Sequence[Ended]: ...
    def terminate(self, attempt: str) -> None: ...
    def kill(self, attempt: str, reason: str = "killed") -> None: ...
    def close(self) -> None: ...


class Display(Protocol):
    """Something that shows progress (see `dermae_bench.execute.progress.Progress`)."""

    def started(self, key8: str, name: str) -> None: ...
    def update(self, key8: str, status: Mapping[str, Any]) -> None: ...
    def finished(self, key8: str, name: str, seconds: float) -> None: ...
    def cached(self, count: int) -> None: ...
    def failed(self, key8: str, name: str, reason: str) -> None: ...


class Executor:
    """Runs the stages that the store does not hold yet.

    Args:
        store: where finished stages are looked up and committed.
        backend: made when the first stage has to run, so that a finished suite starts no process.
        display: told what happens.
        observe: told events for plugins' observers, by hook name.
    """

    def __init__(
        self,
        store: Store,
        backend: Callable[[], Backend],
        display: Display,
        options: Options,
        observe: Callable[[str, Mapping[str, Any]], None] | None = None,
    ) -> None:
        self.store = store
        self.display = display
        self.options = options
        self._make_backend = backend
        self._backend: Backend | None = None
        self._observe = observe or (lambda hook, event: None)
        self._running: dict[str, tuple[Stage, Lease, float]] = {}
        self._signals = 0
        self._signal: int | None = None
        self._environment: dict[str, Any] = {}
        self._damaged: Counter[str] = Counter()
        """Key -> how often a stage found an input damaged."""
        self._astray: Counter[str] = Counter()
        """Key -> how often a stage stopped though this run had not asked for it."""

    def run(self, stages: Sequence[Stage]) -> Outcome:
        """Do what is left of `stages` (inputs stand before those who read them)."""
        outcome = Outcome()
        with self.store.writable():
            left = self._what_is_left(stages, outcome)
        self.display.cached(outcome.cached)
        if not left:
            return outcome
        self._check_space(left)
        self._environment = environment()
        handlers = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with self.store.writable():
                self._backend = self._make_backend()
                self._backend.warm_up()
                self._walk(left, outcome)
        finally:
            try:
                # before the leases: nobody else may begin a stage while a process of ours still works on it
                if self._backend is not None:
                    self._backend.close()
            finally:
                for stage, lease, _ in self._running.values():
                    lease.release()
                    outcome.blocked.append(stage)
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        outcome.interrupted = self._signal
        return outcome

    # -- what to do ------------------------------------------------------------------------------------------------

    def _what_is_left(self, stages: Sequence[Stage], outcome: Outcome) -> list[Stage]:
        again: set[str] = set()
        out_of_reach: set[str] = set()
        selected = {stage.key for stage in stages}
        left = []
        for stage in stages:
            forced = bool(self.options.force) and matches(stage.name, self.options.force)
            if forced or any(source.key in again for source in stage.inputs.values()):
                # what reads a stage that is done again has the same key and would be served from the store
                again.add(stage.key)
            if stage.key not in again and self._holds(stage):
                outcome.cached += 1
            elif any(
                source.key in out_of_reach
                or (source.key not in selected and not self.store.has(source.kind, source.key))
                for source in stage.inputs.values()
            ):
                # what it reads was neither selected nor done before
                out_of_reach.add(stage.key)
                outcome.blocked.append(stage)
            else:
                left.append(stage)
        for stage in left:
            if stage.key in again:
                self.store.quarantine(stage.kind, stage.key)
        return left

    def _holds(self, stage: Stage) -> bool:
        """Whether the stage is finished and, at a glance, whole; what is not is moved aside."""
        if not self.store.has(stage.kind, stage.key):
            return False
        try:
            self.store.glanced(stage.kind, stage.key)
        except Damaged as error:
            self.display.failed(stage.key[:8], stage.name, f"{error}; it is made again")
            return False
        return True

    def _check_space(self, left: Sequence[Stage]) -> None:
        needed = sum(stage.disk_bytes for stage in left) + RESERVE
        free = free_bytes(self.store.root)
        if needed > free:
            raise StorageError(
                f"the plan needs about {needed / 2**30:.1f} GiB in {self.store.root}, "
                f"but {free / 2**30:.1f} GiB are free",
                hint="free some space, name another place with --results, or lower the sample counts",
            )

    def _walk(self, left: list[Stage], outcome: Outcome) -> None:
        waiting = list(left)
        unfinished = {stage.key for stage in left}
        dead: set[str] = set()
        told = False
        while waiting or self._running:
            if self._signals >= 2:
                break
            if self._signals and not told:
                told = True
                self._stop_all()
            if not self._signals:
                self._start_ready(waiting, unfinished, dead, outcome)
            elif not self._running:
                break
            if not self._running and waiting and not self._signals:
                # all that is left is being done by another run, or depends on it
                time.sleep(TICK)
            for ended in self._wait():
                stage, lease, started = self._running.pop(ended.attempt)
                failure = self._settle(stage, ended, time.monotonic() - started)
                lease.release()
                if failure is None:
                    unfinished.discard(stage.key)
                    outcome.done.append(stage)
                elif failure.category == "damaged":
                    # the damaged input was moved aside: make it again, then this one
                    again = self._missing(stage, {s.key for s in waiting} | set(self._running))
                    unfinished |= {s.key for s in again}
                    waiting[:0] = again
                elif failure.category == "astray":
                    waiting.insert(0, stage)
                elif failure.category == "stopped":
                    outcome.blocked.append(stage)
                else:
                    outcome.failed[stage.key] = failure
                    dead.add(stage.key)
                    if self.options.fail_fast:
                        self._signals = max(self._signals, 1)
            self._show()
        outcome.blocked += waiting

    def _start_ready(self, waiting: list[Stage], unfinished: set[str], dead: set[str], outcome: Outcome) -> None:
        for stage in list(waiting):
            if any(source.key in dead for source in stage.inputs.values()):
                waiting.remove(stage)
                dead.add(stage.key)
                outcome.blocked.append(stage)
                continue
            if len(self._running) >= self.options.jobs:
                continue
            if any(source.key in unfinished for source in stage.inputs.values()):
                continue
            if self.store.has(stage.kind, stage.key):
                # another run finished it meanwhile
                waiting.remove(stage)
                unfinished.discard(stage.key)
                outcome.cached += 1
                continue
            lease = self.store.lease(stage.key)
            if not lease.take():
                continue
            if self.store.has(stage.kind, stage.key):
                lease.release()
                continue
            waiting.remove(stage)
            self._start(stage, lease)

    def _missing(self, stage: Stage, planned: set[str]) -> list[Stage]:
        """`stage` and, before it, every input of it that the store does not hold (any more)."""
        found: list[Stage] = []
        for source in stage.inputs.values():
            if not self.store.has(source.kind, source.key) and source.key not in planned:
                found += [s for s in self._missing(source, planned) if s not in found]
        return [*found, stage]

    def _start(self, stage: Stage, lease: Lease) -> None:
        assert self._backend is not None
        folder = self.store.attempt_folder(stage.key)
        (folder / "result.json").unlink(missing_ok=True)
        (folder / "status.json").unlink(missing_ok=True)
        spec = {
            "kind": stage.kind,
            "key": stage.key,
            "name": stage.name,
            "work": stage.work,
            "parts": stage.parts,
            "inputs": {role: {"kind": source.kind, "key": source.key} for role, source in stage.inputs.items()},
            "plugins": stage.plugins,
            "store": str(self.store.root.resolve()),
            "environment": self._environment,
        }
        write_text(folder / "spec.json", canonical(spec), durable=False)
        self._running[stage.key] = (stage, lease, time.monotonic())
        self.display.started(stage.key[:8], stage.name)
        self._observe("dermae_stage_started", _event(stage))
        self._backend.submit(stage.key, folder, CALL, timeout=self.options.timeout)

    # -- what became of it -----------------------------------------------------------------------------------------

    def _wait(self) -> Sequence[Ended]:
        if not self._running or self._backend is None:
            return ()
        return self._backend.wait(TICK)

    def _settle(self, stage: Stage, ended: Ended, seconds: float) -> Failure | None:
        """None if it is finished, else why not; `damaged`, `astray` and `stopped` are no failures of the stage."""
        folder = self.store.attempt_folder(stage.key)
        result = read_result(folder)
        if self.store.has(stage.kind, stage.key):
            self.store.settle(stage.key)
            self.display.finished(stage.key[:8], stage.name, seconds)
            self._observe("dermae_stage_finished", {**_event(stage), "seconds": seconds})
            return None
        killed = ended.code is not None and ended.code < 0
        if self._signals and (result.get("stopped") or killed):
            return Failure(key=stage.key, name=stage.name, reason="stopped on request", category="stopped")
        if result.get("stopped") and not self._astray[stage.key]:
            # somebody else's signal: it left a checkpoint and goes on from there, once
            self._astray[stage.key] += 1
            return Failure(key=stage.key, name=stage.name, reason="stopped by a stray signal", category="astray")
        if result.get("damaged") and self._damaged[stage.key] < len(stage.inputs):
            # each input may turn out to be damaged once; then something else is wrong
            self._damaged[stage.key] += 1
            self.display.failed(stage.key[:8], stage.name, result["reason"])
            return Failure(key=stage.key, name=stage.name, reason=result["reason"], category="damaged")
        category, reason = why(result, ended)
        if category == "storage":
            # every other stage would meet the same
            raise StorageError(f"{stage.name}: {reason}", hint=AGAIN)
        failure = Failure(
            key=stage.key,
            name=stage.name,
            reason=reason,
            category=category,
            phase=result.get("phase", ""),
            traceback=result.get("traceback") or tail(folder / "stderr.log"),
            seconds=round(seconds, 3),
            max_rss_mb=ended.max_rss_mb,
        )
        self.store.record_failure(failure)
        self.display.failed(stage.key[:8], stage.name, reason.partition("\n")[0])
        self._observe("dermae_stage_failed", {**_event(stage), "reason": reason, "phase": failure.phase})
        return failure

    def _show(self) -> None:
        for key in self._running:
            try:
                status = json.loads((self.store.attempt_folder(key) / "status.json").read_bytes())
            except (OSError, ValueError, RecursionError):
                continue
            if isinstance(status, dict):
                self.display.update(key[:8], status)

    # -- signals ---------------------------------------------------------------------------------------------------

    def _on_signal(self, number: int, _frame: object) -> None:
        # only noted here; the loop acts on it, since the backend must not be entered twice
        self._signals += 1
        self._signal = number

    def _stop_all(self) -> None:
        assert self._backend is not None
        for key in list(self._running):
            self._backend.terminate(key)


def _event(stage: Stage) -> dict[str, Any]:
    return {"key": stage.key, "kind": stage.kind, "name": stage.name}
