"""How processes are begun: forked from the warm server, or one by one where fork is not to be trusted."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermae_bench.execute.logs import LOG_BYTES
from dermae_bench.execute.proc import descendants, process, processes
from dermae_bench.execute.watching import Clock
from dermae_bench.plugin.catalog import cache_folder
from dermae_bench.secrets import scrubbed

START_SECONDS = 300.0
"""How long the server may import before it counts as dead; cold network disks are slow."""
CLOSE_SECONDS = 10.0
HURRY_SECONDS = 1.0
ANSWER_SECONDS = 1.0
"""After a kill was asked for: the driver kills by itself when the server has said nothing for so long."""
LOST_SECONDS = 3.0
"""And when it is still silent then, the server is ended with all that is below it."""
ENVIRONMENT = {
    # numpy's and scipy's pools would be threads in the server; torch's are set by each attempt
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # pandas imports numexpr where it is installed
    "NUMEXPR_NUM_THREADS": "1",
    # `torch.cuda.is_available()` then heeds CUDA_VISIBLE_DEVICES and does not start CUDA in the server
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    # arrow's allocator would start a thread in the server
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""What every attempt finds in its environment, besides what the driver has and is no secret."""
_POLL_SECONDS = 0.02


class ServerDied(Exception):
    """The server is gone.

    Args:
        was_ready: whether it had got through its imports.
        reason: what is known about it, for people.
    """

    def __init__(self, was_ready: bool, reason: str) -> None:
        super().__init__(reason)
        self.was_ready = was_ready
        self.reason = reason


class Forked:
    """The driver's end of a warm server.

    Args:
        preload: modules that it imports.
        environment: of the server and of all attempts.
        log_bytes: size above which a log loses its middle.
    """

    def __init__(self, preload: Sequence[str], environment: Mapping[str, str], log_bytes: int = LOG_BYTES) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._server = _spawn(theirs, [], self._errors.fileno(), environment)
        self._began = time.monotonic()
        self._ready = False
        self._heard = b""
        self._clock = Clock()
        self._pids: dict[str, int] = {}
        """Attempts that run, as far as the server has told."""
        self._doomed: set[str] = set()
        """Attempts that are to be killed and have not ended."""
        self._asked: float | None = None
        """Since when the server owes an answer, by the driver's clock."""
        # a server that reads nothing must not hold the driver
        self._channel.settimeout(LOST_SECONDS)
        self._say(preload=list(preload), sys_path=search_path(), log_bytes=log_bytes)

    def start(self, attempt: str, folder: Path, call: str) -> None:
        """Ask for a fork. Raises: ServerDied."""
        self._say(start=attempt, folder=str(folder), call=call)

    def signal(self, attempt: str, pid: int | None, number: int) -> None:
        """Have the server signal the attempt's group: it alone knows that the process id is still the attempt's."""
        self._say(attempt=attempt, signal=int(number))
        if number == signal.SIGKILL:
            self._doomed.add(attempt)
            if self._asked is None:
                self._asked = self._clock.now()
                self._say(ask=attempt)

    def poll(self, seconds: float) -> list[dict[str, Any]]:
        """What the server said, waiting up to `seconds` for the first word. Raises: ServerDied."""
        self._wake()
        if not select.select([self._channel], [], [], seconds)[0]:
            self._insist()
            if not self._ready and time.monotonic() > self._began + START_SECONDS:
                self._lose(f"its imports took more than {START_SECONDS:.0f} s")
            return []
        try:
            more = self._channel.recv(1 << 20)
        except ConnectionError:
            more = b""
        if not more:
            self._lose("")
        *lines, self._heard = (self._heard + more).split(b"\n")
        events: list[dict[str, Any]] = [json.loads(line) for line in lines]
        for event in events:
            if "ready" in event:
                self._ready = True
            elif "started" in event:
                self._pids[event["started"]] = event["pid"]
            elif "ended" in event:
                self._pids.pop(event["ended"], None)
                self._doomed.discard(event["ended"])
            elif "here" in event:
                self._asked = None
        self._insist()
        return events

    def close(self, hurry: bool = False) -> None:
        """Hang up, which makes the server kill everything, and wait for it; in a hurry, hardly."""
        self._channel.close()
        if not self._ready:
            # it imports, and would hear nothing until that is over
            self._server.terminate()
        end = time.monotonic() + (HURRY_SECONDS if hurry else CLOSE_SECONDS)
        while self._end_of_server(_POLL_SECONDS) is None and time.monotonic() < end:
            self._wake()
        # in a hurry it is left to finish alone what it has begun: its farewell kills every descendant
        if self._end_of_server(_POLL_SECONDS) is None and (not hurry or self._state() == "T"):
            self._end_all()
        self._errors.close()

    def _state(self) -> str:
        about = process(self._server.pid)
        return about.state if about is not None else "X"

    def _wake(self) -> None:
        """Let a stopped server go on; a plugin may stop its parent."""
        if self._state() == "T":
            os.kill(self._server.pid, signal.SIGCONT)

    def _insist(self) -> None:
        """See to it that what is to be killed is killed, whatever became of the server. Raises: ServerDied."""
        silent = 0.0 if self._asked is None else self._clock.now() - self._asked
        if silent >= ANSWER_SECONDS:
            for attempt in self._doomed & self._pids.keys():
                pid = self._pids[attempt]
                about = process(pid)
                if about is not None and about.parent == self._server.pid:
                    # nobody has collected it, so its number is still its own
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(pid, signal.SIGKILL)
        if silent >= LOST_SECONDS and self._state() != "D":
            # one that waits for a disk would not heed a kill, and goes on when the disk does
            self._lose(f"it did not answer for {silent:.0f} s")

    def _end_all(self) -> int | None:
        """Kill the server and all below it: orphans stay below it for as long as it lives. Returns its exit code."""
        for _ in range(3):
            if self._state() not in "ZX":
                for pid in descendants({self._server.pid}, processes()) - {self._server.pid}:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
        self._server.kill()
        return self._end_of_server(HURRY_SECONDS)

    def _end_of_server(self, seconds: float) -> int | None:
        """Its exit code, waiting so long; None when it goes on."""
        try:
            return self._server.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def _say(self, **words: Any) -> None:
        try:
            self._channel.sendall(json.dumps(words).encode() + b"\n")
        except OSError:
            self._lose("")

    def _lose(self, reason: str) -> None:
        self._channel.close()
        code = self._end_all()
        self._errors.seek(0)
        last_words = self._errors.read()[-2000:].decode(errors="replace").strip()
        self._errors.close()
        ending = "no end" if code is None else f"signal {-code}" if code < 0 else f"exit code {code}"
        raise ServerDied(
            self._ready, "\n".join(word for word in (reason or f"it ended with {ending}", last_words) if word)
        )


@dataclass(frozen=True)
class _Lone:
    process: subprocess.Popen[bytes]
    line: socket.socket
    began: float


class Alone:
    """A plain process per attempt, which imports everything itself and dies when its line to the driver is cut."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._lone: dict[str, _Lone] = {}
        self._news: list[dict[str, Any]] = []

    def start(self, attempt: str, folder: Path, call: str) -> None:
        """Start the process."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = _spawn(theirs, ["alone"], subprocess.DEVNULL, self._environment)
        ours.sendall(json.dumps({"folder": str(folder), "call": call, "sys_path": search_path()}).encode() + b"\n")
        self._lone[attempt] = _Lone(process, ours, time.monotonic())
        self._news.append({"started": attempt, "pid": process.pid})

    def signal(self, attempt: str, pid: int | None, number: int) -> None:
        """Signal the attempt's process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._lone[attempt].process.pid, number)

    def poll(self, seconds: float) -> list[dict[str, Any]]:
        """What began and ended, waiting up to `seconds` for the first."""
        end = time.monotonic() + seconds
        while True:
            for attempt in list(self._lone):
                self._look(attempt)
            if self._news or time.monotonic() >= end:
                news, self._news = self._news, []
                return news
            time.sleep(_POLL_SECONDS)

    def _look(self, attempt: str) -> None:
        lone = self._lone[attempt]
        pid, status, usage = os.wait4(lone.process.pid, os.WNOHANG)
        if pid == 0:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        lone.line.close()
        lone.process.returncode = os.waitstatus_to_exitcode(status)
        # bytes on macOS, KiB elsewhere
        mebibytes = usage.ru_maxrss // (1 << 20 if sys.platform == "darwin" else 1 << 10)
        seconds = time.monotonic() - lone.began
        del self._lone[attempt]
        self._news.append(
            {"ended": attempt, "code": lone.process.returncode, "max_rss_mb": mebibytes, "seconds": seconds}
        )

    def close(self, hurry: bool = False) -> None:
        """Kill all."""
        for lone in self._lone.values():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(lone.process.pid, signal.SIGKILL)
            lone.line.close()
            lone.process.wait()
        self._lone.clear()


def search_path() -> list[str]:
    """The driver's `sys.path`, so that attempts import what the driver would, whatever folder they work in."""
    return [str(Path(entry).absolute()) for entry in sys.path]


def attempt_environment(keep: Collection[str]) -> dict[str, str]:
    """What attempts find in their environment: the driver's without its secrets, except those to `keep`."""
    # attempts work in folders of their own, where a relative place would be another one
    return {**scrubbed(os.environ, keep), **ENVIRONMENT, "DERMAE_BENCH_CACHE": str(cache_folder().absolute())}


def _spawn(
    channel: socket.socket, words: Sequence[str], errors: int, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    # -P: a file named torch.py in the user's folder must not be imported in place of the library
    command = [sys.executable, "-P", "-m", "dermae_bench.execute.forkserver", str(channel.fileno()), *words]
    return subprocess.Popen(
        command,
        pass_fds=[channel.fileno()],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=errors,
        stderr=errors,
        # Ctrl-C in the terminal is for the driver, which then decides about its attempts
        start_new_session=True,
    )
