"""The default backend: every attempt in one fresh process of this machine, forked from a warm server."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from dermae_bench.errors import BenchError
from dermae_bench.execute.child import TELL_STACKS
from dermae_bench.execute.logs import LOG_BYTES, shorten_all, strike_out
from dermae_bench.execute.memory import OomKills
from dermae_bench.execute.processes import Alone, Forked, ServerDied, attempt_environment
from dermae_bench.execute.watching import GRACE_SECONDS, Breach, Clock, Watch
from dermae_bench.suite.resources import UNLIMITED, Limits

STAGES = ("prepare", "train", "sample", "extract", "predict", "score", "cost")
PRELOAD = (
    "numpy",
    "torch",
    "torch.utils.flop_counter",
    "torchvision",
    "torchvision.transforms.v2",
    "safetensors.torch",
    "timm",
    "diffusers",
    "diffusers.models.unets.unet_2d",
    "diffusers.schedulers.scheduling_ddim",
    "diffusers.schedulers.scheduling_ddpm",
    "diffusers.schedulers.scheduling_dpmsolver_multistep",
    "torchmetrics.classification",
    "torchmetrics.functional.classification",
    # pyarrow asks pandas about whatever becomes a column, and imports it for that
    "pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "dermae_bench.execute.attempt",
    *(f"dermae_bench.execute.stages.{kind}" for kind in STAGES),
)
"""What the server imports: costly, used by many, and starting no thread (see `processes.ENVIRONMENT`)."""

TICK_SECONDS = 0.2
"""How often limits are looked at while attempts run."""
STACKS_SECONDS = 0.2
"""What an attempt over its limit has to say where its threads are, before it is asked to leave."""
FAILED_STARTS = 2
"""After how many servers in a row that died while importing the backend gives up."""


@dataclass(frozen=True)
class Ended:
    """How an attempt's process ended; whether the attempt succeeded is told by its files alone."""

    attempt: str
    code: int | None
    """Exit code; negative: the signal that ended it; None: it died with the server and nobody could ask."""
    max_rss_mb: int
    """Peak resident memory in MiB; includes what is shared with the server."""
    seconds: float
    """Wall time from the fork to the end."""
    reason: str
    """`exit` (by itself), the limit that it broke (`wall`, `silence`, `memory`), `oom-killer` (the kernel's),
    `server-died`, or what `kill` was given."""
    told: str = ""
    """More about the reason, for people."""


@dataclass
class _Attempt:
    folder: Path
    limits: Limits
    submitted: float
    oom_kills: int
    """Count of the kernel before it began."""
    pid: int | None = None
    began: float | None = None
    """Seconds, monotonic, when its process was known to run."""
    watch: Watch | None = None
    reason: str | None = None
    """Why it was killed, if it was."""
    told: str = ""
    leave_at: float | None = None
    """When it is asked to leave, having been asked where it is; by the driver's clock."""
    kill_at: float | None = None
    """When it was asked to leave and has to be gone, by the driver's clock."""


class _Processes(Protocol):
    """What starts and signals processes, and tells what became of them."""

    def start(self, attempt: str, folder: Path, call: str) -> None: ...
    def signal(self, attempt: str, pid: int | None, number: int) -> None: ...
    def poll(self, seconds: float) -> list[dict[str, Any]]: ...
    def close(self, hurry: bool = False) -> None: ...


class LocalBackend:
    """Runs attempts, each in one fresh process forked from a warm server, started at the first submit.

    Where the system is not Linux, each attempt is a plain process that imports everything anew. Not thread-safe; the
    thread that starts the server has to live until the server has imported: till then the kernel ends both together.

    Args:
        preload: modules that the server imports.
        fork: whether to fork from a server; by default on Linux only.
        pass_env: names of secrets in the environment that attempts are given nevertheless.
        log_bytes: size above which a log loses its middle.
    """

    def __init__(
        self,
        preload: Sequence[str] = PRELOAD,
        *,
        fork: bool = sys.platform == "linux",
        pass_env: Collection[str] = (),
        log_bytes: int = LOG_BYTES,
    ) -> None:
        self._preload = tuple(preload)
        self._fork = fork
        self._pass_env = frozenset(pass_env)
        self._log_bytes = log_bytes
        self._clock = Clock()
        self._oom_kills = OomKills()
        self._processes: _Processes | None = None
        self._attempts: dict[str, _Attempt] = {}
        self._ended: list[Ended] = []
        self._failed_starts = 0
        self._closed = False

    def __enter__(self) -> LocalBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def warm_up(self) -> None:
        """Start the server without waiting for it: its imports then overlap with the caller's work."""
        if self._closed:
            raise BenchError("the local backend is closed")
        if self._processes is None:
            environment = attempt_environment(self._pass_env)
            self._processes = Forked(self._preload, environment, self._log_bytes) if self._fork else Alone(environment)

    def submit(self, attempt: str, folder: Path, call: str, limits: Limits = UNLIMITED) -> None:
        """Begin an attempt; returns at once.

        Args:
            attempt: its name, not that of a running one.
            folder: its working folder, which exists; `stdout.log` and `stderr.log` are appended to there.
            call: `module:function`, called with the folder; how it went it writes into the folder itself.
            limits: what it may take. Over its wall time or silence it gets SIGTERM, so that it may write a checkpoint,
                and SIGKILL 5 s later; over its memory it is killed at once.
        """
        if attempt in self._attempts:
            raise ValueError(f"attempt {attempt!r} is running")
        # notice a server that died since anybody last looked: this attempt then begins in a new one
        self._pump(0.0)
        self.warm_up()
        self._attempts[attempt] = _Attempt(folder, limits, time.monotonic(), self._oom_kills.count())
        try:
            if self._processes is not None:
                self._processes.start(attempt, folder.absolute(), call)
        except ServerDied as died:
            self._bury(died)

    def wait(self, timeout: float | None) -> list[Ended]:
        """Attempts that ended, as soon as there is one; empty after `timeout` seconds.

        With `timeout=None` and nothing running it returns at once. Limits are looked after in here, so call it often.

        Raises:
            BenchError: the server cannot be started, with the reason.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            idle = end is None and not self._attempts
            left = TICK_SECONDS if end is None else max(0.0, end - time.monotonic())
            self._pump(0.0 if self._ended or idle else min(left, TICK_SECONDS))
            self._hold_limits()
            if self._ended or idle or (end is not None and time.monotonic() >= end):
                ended, self._ended = self._ended, []
                return ended

    @property
    def running(self) -> Mapping[str, int]:
        """Process id of each attempt that was submitted and has not ended; waits for those still to be started."""
        while any(attempt.pid is None for attempt in self._attempts.values()):
            self._pump(TICK_SECONDS)
        return {name: attempt.pid for name, attempt in self._attempts.items() if attempt.pid is not None}

    def kill(self, attempt: str, reason: str = "killed") -> None:
        """SIGKILL to an attempt and all that it started; nothing when it has ended. `wait` reports it with `reason`."""
        known = self._attempts.get(attempt)
        if known is not None:
            known.reason = reason
            self._signal(attempt, known, signal.SIGKILL)

    def terminate(self, attempt: str) -> None:
        """SIGTERM to an attempt's process group: it may write a checkpoint and leave; nothing when it has ended."""
        known = self._attempts.get(attempt)
        if known is not None:
            self._signal(attempt, known, signal.SIGTERM)

    def close(self, *, hurry: bool = False) -> None:
        """Kill everything and end the server. What was running is not reported.

        Args:
            hurry: do not wait until all that was killed is gone.
        """
        self._closed = True
        processes, self._processes = self._processes, None
        if processes is not None:
            processes.close(hurry)
        for known in self._attempts.values():
            _kill_group(known.pid)
        self._attempts.clear()
        self._ended.clear()

    def _signal(self, attempt: str, known: _Attempt, number: int) -> None:
        if self._processes is None:
            return
        try:
            self._processes.signal(attempt, known.pid, number)
        except ServerDied as died:
            self._bury(died)

    def _pump(self, seconds: float) -> None:
        """Take in what the processes tell, waiting up to `seconds` for the first word."""
        if self._processes is None:
            time.sleep(seconds)
            return
        try:
            events = self._processes.poll(seconds)
        except ServerDied as died:
            self._bury(died)
            return
        for event in events:
            if "ready" in event:
                self._failed_starts = 0
            elif "failed" in event:
                self._give_up(event["failed"])
            elif "started" in event and event["started"] in self._attempts:
                known = self._attempts[event["started"]]
                known.pid, known.began = event["pid"], time.monotonic()
                known.watch = Watch(known.folder, known.limits, self._clock.now())
            elif "ended" in event and event["ended"] in self._attempts:
                self._note_end(event)

    def _note_end(self, event: dict[str, Any]) -> None:
        name, code = event["ended"], event["code"]
        known = self._attempts.pop(name)
        reason, told = "exit", ""
        if known.reason is not None and (known.kill_at is not None or code == -signal.SIGKILL):
            # one that ended by itself before it was killed was not killed; one that was asked to leave was
            reason, told = known.reason, known.told
        elif code == -signal.SIGKILL and self._oom_kills.explains(known.oom_kills):
            reason = "oom-killer"
        strike_out(known.folder, os.environ, self._log_bytes)
        self._ended.append(Ended(name, code, event["max_rss_mb"], event["seconds"], reason, told))

    def _bury(self, died: ServerDied) -> None:
        """The server is gone: end what it left behind, and report its attempts."""
        self._processes = None
        now = time.monotonic()
        for name, known in self._attempts.items():
            _kill_group(known.pid)
            strike_out(known.folder, os.environ, self._log_bytes)
            seconds = now - (known.began or known.submitted)
            if known.reason is not None:
                # it was being ended: another try would end like this one
                self._ended.append(Ended(name, -signal.SIGKILL, 0, seconds, known.reason, known.told))
            else:
                self._ended.append(Ended(name, None, 0, seconds, "server-died"))
        self._attempts.clear()
        if not died.was_ready:
            self._failed_starts += 1
            if self._failed_starts >= FAILED_STARTS:
                self._give_up(died.reason)

    def _give_up(self, reason: str) -> None:
        self.close()
        raise BenchError(f"the server that starts attempts cannot be started: {reason}")

    def _hold_limits(self) -> None:
        now = self._clock.now()
        for name, known in list(self._attempts.items()):
            if known.leave_at is not None and now >= known.leave_at:
                known.leave_at = None
                self._signal(name, known, signal.SIGTERM)
            if known.kill_at is not None and now >= known.kill_at:
                self._signal(name, known, signal.SIGKILL)
            elif known.watch is not None and known.reason is None:
                breach = known.watch.look(now, known.pid)
                if breach is not None:
                    self._stop(name, known, breach, now)
            if not self._fork:
                shorten_all(known.folder, self._log_bytes)

    def _stop(self, name: str, known: _Attempt, breach: Breach, now: float) -> None:
        known.reason, known.told = breach.limit, breach.words
        if breach.limit == "memory":
            # the machine cannot wait
            self._signal(name, known, signal.SIGKILL)
        else:
            # not both signals at once: where nobody handles SIGTERM, it would end what has not spoken yet
            known.leave_at, known.kill_at = now + STACKS_SECONDS, now + GRACE_SECONDS
            if known.pid is not None:
                # to it alone: what it started knows no such question, and would die of it
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(known.pid, TELL_STACKS)


def _kill_group(pid: int | None) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
