"""A process that has imported everything and forks whole runs: hundreds of killed runs then start in milliseconds.

Run as `python zygote.py FD`, FD being one end of a socket pair. The other end sends JSON lines `{start, words, folder,
environment, log}` and hears `{started, pid}`, `{ended, code}`, and `{gone}` once no descendant is left. A run's own
fork server is forked from the run, too; all else is as in `dermae-bench WORDS...`.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import itertools
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

ALSO = (
    "dermae_bench.cli",
    "dermae_bench.commands.cleaning",
    "dermae_bench.commands.listing",
    "dermae_bench.commands.publishing",
    "dermae_bench.commands.session",
    "dermae_bench.execute.executor",
    "dermae_bench.execute.progress",
    "dermae_bench.report.collect",
    "dermae_bench.report.export",
    "dermae_bench.report.grids",
    "dermae_bench.report.html.page",
    "jinja2",
    "PIL.Image",
    "PIL.PngImagePlugin",
)
_SET_SUBREAPER = 36


class ForkedServer:
    """What `subprocess.Popen` is to `processes.Forked`, for a server that was forked from this very process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        end = time.monotonic() + (timeout or 60.0)
        while self._code is None and time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.002)
        if self._code is None:
            import subprocess

            raise subprocess.TimeoutExpired("server", timeout or 60.0)
        return self._code

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        if self._code is None:
            os.kill(self.pid, number)


def fork_server(channel: socket.socket, words: Any, errors: int, *_: object) -> ForkedServer:
    """In place of `processes._spawn`: the same server, with its imports done."""
    from dermae_bench.execute.forkserver import Server
    from dermae_bench.execute.processes import ENVIRONMENT

    pid = os.fork()
    if pid:
        return ForkedServer(pid)
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.environ |= ENVIRONMENT
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(errors, 1)
        os.dup2(errors, 2)
        keep = channel.detach()
        close_others(keep)
        Server(socket.socket(fileno=keep)).serve()
    finally:
        os._exit(70)


def close_others(keep: int) -> None:
    """Close every descriptor but the three standard ones and `keep`."""
    for number in sorted(int(path.name) for path in Path("/dev/fd").iterdir()):
        if number > 2 and number != keep:
            # one of them belonged to the listing itself
            with contextlib.suppress(OSError):
                os.close(number)


def be_driver(about: Mapping[str, Any]) -> NoReturn:
    """One run of the command line in this forked process."""
    code = 70
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(about["folder"])
        os.environ |= about["environment"]
        os.environ["DERMAE_FAULT_DRIVER"] = str(os.getpid())
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(about["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        close_others(2)
        from dermae_bench import faults
        from dermae_bench.cli import main
        from dermae_bench.execute import choices, processes

        if "TEST_RESERVE" in os.environ:
            # a run keeps so much free that no small disk would ever be full
            choices.RESERVE = int(os.environ["TEST_RESERVE"])
        if "TEST_CLOCK" in os.environ:
            set_clock(json.loads(os.environ["TEST_CLOCK"]))
        processes._spawn = fork_server  # type: ignore[assignment]
        faults.arm()
        main(about["words"])
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                continue
        os._exit(code & 0xFF)


def set_clock(offsets: list[int]) -> None:
    """Let the clock of this process and its forks be off by so many seconds, by each for ten looks, then the next."""
    looks, real, real_ns = itertools.count(), time.time, time.time_ns

    def offset() -> int:
        return offsets[next(looks) // 10 % len(offsets)]

    time.time = lambda: real() + offset()
    time.time_ns = lambda: real_ns() + offset() * 1_000_000_000


def serve(channel: socket.socket) -> NoReturn:
    """Fork on request, tell what ended; everything dies with the other end."""
    ctypes.CDLL(None).prctl(_SET_SUBREAPER, 1, 0, 0, 0)
    running: dict[int, str] = {}
    heard = b""
    busy = False
    while True:
        ready = select.select([channel], [], [], 0.01 if busy else None)[0]
        if ready:
            more = channel.recv(65536)
            if not more:
                os._exit(0)
            *lines, heard = (heard + more).split(b"\n")
            for line in lines:
                about = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    channel.close()
                    be_driver(about)
                running[pid] = about["start"]
                busy = True
                say(channel, started=about["start"], pid=pid)
        while busy:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                busy = False
                say(channel, gone=True)
                break
            if pid == 0:
                break
            if pid in running:
                say(channel, ended=running.pop(pid), code=os.waitstatus_to_exitcode(status))


def say(channel: socket.socket, **words: Any) -> None:
    channel.sendall(json.dumps(words).encode() + b"\n")


if __name__ == "__main__":
    from dermae_bench.execute.forkserver import _preload
    from dermae_bench.execute.local import PRELOAD

    failure = _preload([*PRELOAD, *(name for name in ALSO if importlib.util.find_spec(name) is not None)])
    line = socket.socket(fileno=int(sys.argv[1]))
    say(line, ready=failure is None, reason=failure)
    serve(line)
