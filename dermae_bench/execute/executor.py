"""Walk the plan: skip what the store holds, run what is ready, keep going when something fails. Knows no stage kind."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from dermae_bench.durable import encodable, write_text
from dermae_bench.errors import StorageError
from dermae_bench.execute import signals
from dermae_bench.execute.choices import RESERVE, bytes_of, matches
from dermae_bench.execute.choices import Options as Options
from dermae_bench.execute.choices import Outcome as Outcome
from dermae_bench.execute.choices import select as select
from dermae_bench.execute.local import Ended
from dermae_bench.execute.settling import AGAIN as AGAIN
from dermae_bench.execute.settling import Display as Display
from dermae_bench.execute.settling import Fate, Running, Settler, event
from dermae_bench.execute.waiting import Waiting
from dermae_bench.execute.watching import STATUS, kept, read_status
from dermae_bench.store.artifacts import Store, free_bytes
from dermae_bench.store.environment import environment
from dermae_bench.store.leases import Lease
from dermae_bench.store.manifests import Damaged
from dermae_bench.store.refusals import size
from dermae_bench.store.sweeping import tidy
from dermae_bench.suite.resources import Limits
from dermae_bench.suite.stage import Stage

CALL = "dermae_bench.execute.attempt:attempt"
TICK = 0.2
STOP_SECONDS = 20.0
"""How long attempts that were asked to leave may take; then they are killed, and what they had kept stays."""


class Backend(Protocol):
    """Something that runs attempts in processes."""

    def warm_up(self) -> None: ...
    def submit(self, attempt: str, folder: Path, call: str, limits: Limits) -> None: ...
    def wait(self, timeout: float | None) -> Sequence[Ended]: ...
    def terminate(self, attempt: str) -> None: ...
    def kill(self, attempt: str, reason: str = "killed") -> None: ...
    def close(self, *, hurry: bool = False) -> None: ...


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
        self._running: dict[str, Running] = {}
        self._requests = signals.Requests()
        self._settler = Settler(store, display, self._observe)
        self._environment: dict[str, Any] = {}
        self._waiting = Waiting(display.note)

    def run(self, stages: Sequence[Stage]) -> Outcome:
        """Do what is left of `stages` (inputs stand before those who read them)."""
        outcome = Outcome()
        with self.store.writable():
            left = self._what_is_left(stages, outcome)
            tidy(self.store, {stage.key for stage in stages} - {stage.key for stage in (*left, *outcome.blocked)})
        self.display.cached(outcome.cached)
        if not left:
            return outcome
        root = str(self.store.root.resolve())
        if encodable(root) != root:
            # libraries that stages read and write with take no such path
            raise StorageError(
                f"no stage can work in {encodable(root)}: the path is not UTF-8",
                hint="name another place with --results",
            )
        needed = bytes_of(left)
        self._check_space(needed)
        self._environment = environment()
        with self._requests:
            try:
                with self.store.writable(needed):
                    self._backend = self._make_backend()
                    self._backend.warm_up()
                    self._walk(left, outcome)
            finally:
                try:
                    # before the leases: nobody else may begin a stage while a process of ours still works on it
                    self._close()
                finally:
                    for running in self._running.values():
                        running.lease.release()
                        outcome.blocked.append(running.stage)
        outcome.interrupted = self._requests.number
        outcome.hurried = self._requests.count >= 2
        return outcome

    def _close(self) -> None:
        if self._backend is None:
            return
        if self._requests.count >= 2:
            self._backend.close(hurry=True)
        else:
            self._backend.close()

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
            self.display.note(f"{stage.name}: {error}; it is made again")
            return False
        return True

    def _check_space(self, needed: int) -> None:
        free = free_bytes(self.store.root)
        if needed > free:
            raise StorageError(
                f"the plan needs about {size(needed - RESERVE)} in {self.store.root} and {size(RESERVE)} to spare, "
                f"but {size(free)} are free",
                hint="free some space, name another place with --results, or lower the sample counts",
            )

    def _walk(self, left: list[Stage], outcome: Outcome) -> None:
        waiting = list(left)
        unfinished = {stage.key for stage in left}
        dead: set[str] = set()
        requests = self._requests
        stop_since: float | None = None
        while waiting or self._running:
            if requests.count >= 2:
                break
            if requests.since is not None and stop_since is None:
                stop_since = requests.since
                self._stop_all()
            if stop_since is None:
                self._start_ready(waiting, unfinished, dead, outcome)
            elif not self._running:
                break
            elif time.monotonic() >= stop_since + STOP_SECONDS:
                self._kill_all()
            if not self._running and waiting and stop_since is None:
                # all that is left is being done by another run, or depends on it
                self._waiting.idle(time.monotonic())
                time.sleep(TICK)
            else:
                self._waiting.busy()
            for ended in self._wait():
                running = self._running.pop(ended.attempt)
                stage = running.stage
                fate, failure = self._settler.settle(
                    running, ended, time.monotonic() - running.began, stop_since is not None
                )
                running.lease.release()
                if fate is Fate.FINISHED:
                    unfinished.discard(stage.key)
                    outcome.done.append(stage)
                elif fate is Fate.MEND:
                    again = self._missing(stage, {s.key for s in waiting} | set(self._running))
                    self._counted_too_soon([s for s in again if s is not stage], outcome)
                    unfinished |= {s.key for s in again}
                    waiting[:0] = again
                elif fate is Fate.AGAIN:
                    waiting.insert(0, stage)
                elif failure is None:
                    outcome.blocked.append(stage)
                else:
                    outcome.failed[stage.key] = failure
                    dead.add(stage.key)
                    if self.options.fail_fast and requests.since is None:
                        requests.ask()
            self._show()
        outcome.blocked += waiting

    def _counted_too_soon(self, again: Sequence[Stage], outcome: Outcome) -> None:
        """What was found damaged only when it was read counts once: when it is made again."""
        done = [stage for stage in again if stage in outcome.done]
        outcome.done[:] = [stage for stage in outcome.done if stage not in done]
        outcome.cached -= len(again) - len(done)
        self.display.lost(cached=len(again) - len(done), done=len(done))

    def _start_ready(self, waiting: list[Stage], unfinished: set[str], dead: set[str], outcome: Outcome) -> None:
        self._waiting.held.clear()
        for stage in list(waiting):
            if any(source.key in dead for source in stage.inputs.values()):
                waiting.remove(stage)
                dead.add(stage.key)
                outcome.blocked.append(stage)
                continue
            if len(self._running) >= self._room(stage):
                continue
            if any(source.key in unfinished for source in stage.inputs.values()):
                continue
            if self.store.has(stage.kind, stage.key):
                # another run finished it meanwhile
                waiting.remove(stage)
                unfinished.discard(stage.key)
                outcome.cached += 1
                self.display.cached(1)
                continue
            lease = self.store.lease(stage.key, stage.name)
            if not lease.take():
                self._waiting.held.append(lease)
                continue
            if self.store.has(stage.kind, stage.key):
                # another run finished it since, and our lease alone has made its folder anew
                self.store.settle(stage.key)
                lease.release()
                continue
            waiting.remove(stage)
            self._start(stage, lease)

    def _room(self, stage: Stage) -> int:
        """How many attempts may run already where this one is to begin."""
        alone = self._settler.alone
        return 1 if stage.key in alone or any(key in alone for key in self._running) else self.options.jobs

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
        # this clears the way: only then both are files, if they are there
        running = self._settler.begin(stage, lease, time.monotonic(), self._running)
        (folder / "result.json").unlink(missing_ok=True)
        (folder / STATUS).unlink(missing_ok=True)
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
            "fence": running.fence,
        }
        # in ASCII: paths of data may hold bytes that are no UTF-8, and the stage is to say which
        write_text(folder / "spec.json", json.dumps(spec), durable=False)
        self._running[stage.key] = running
        self.display.started(stage.key[:8], stage.name)
        if left := kept(folder):
            self.display.note(f"{stage.name}: an earlier attempt left {left}, and it goes on from there")
        self._observe("dermae_stage_started", event(stage))
        self._backend.submit(stage.key, folder, CALL, self.options.limits_of(stage.kind))

    # -- what became of it -----------------------------------------------------------------------------------------

    def _wait(self) -> Sequence[Ended]:
        if not self._running or self._backend is None:
            return ()
        return self._backend.wait(TICK)

    def _show(self) -> None:
        for key in self._running:
            status = read_status(self.store.attempt_folder(key))
            if status:
                self.display.update(key[:8], status)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _stop_all(self) -> None:
        assert self._backend is not None
        if self._requests.number is not None:
            self.display.note(
                f"stopping ({signals.name(self._requests.number)}): what runs writes a checkpoint and leaves, within "
                f"{STOP_SECONDS:.0f} s; a second signal leaves at once"
            )
        for key in list(self._running):
            self._backend.terminate(key)

    def _kill_all(self) -> None:
        assert self._backend is not None
        for key in list(self._running):
            self._backend.kill(key, "stopped")
