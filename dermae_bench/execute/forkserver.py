"""The warm server: imports the heavy libraries once, then forks one fresh process per attempt.

Run as `python -m dermae_bench.execute.forkserver FD`, FD being one end of a socket pair whose other end the driver
holds. Both sides speak JSON lines. The driver's first line is `{preload, sys_path, log_bytes}`, its others are
`{start, folder, call}`, `{attempt, signal}` and `{ask}`. The server answers `{ready, seconds}` or `{failed}` once, then
`{started, pid}` and `{ended, code, max_rss_mb, seconds}` for each attempt, and `{here}` to `{ask}`. Nothing is pickled.

The server runs no tensor operation and no plugin and has one thread: a thread pool that was used before a fork hangs
the child (libgomp). Whatever an attempt leaves behind is ended with it: its process group, and daemons that left the
group. An attempt adopts the orphans below it, and the server those of attempts that ended. Closing the socket ends
everything.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from dermae_bench.execute.child import (
    CANNOT_START,
    adopt_orphans,
    alone,
    be_attempt,
    die_with_parent,
    first_line,
    flush,
)
from dermae_bench.execute.logs import LOG_BYTES, LOGS, Log
from dermae_bench.execute.proc import children

FAREWELL_SECONDS = 5.0
"""How long the server waits for killed processes to disappear before it leaves."""
_OURS = (signal.SIGTERM, signal.SIGCHLD, signal.SIGCONT)


@dataclass(frozen=True)
class _Running:
    attempt: str
    began: float
    """Seconds, monotonic."""
    logs: tuple[Log, Log]


def main(arguments: Sequence[str]) -> NoReturn:
    """Serve; with the word `alone`, be one attempt without a server (for systems where fork is not to be trusted)."""
    channel = socket.socket(fileno=int(arguments[0]))
    if arguments[1:] == ["alone"]:
        alone(channel)
    Server(channel).serve()


class Server:
    """One thread, one loop: the driver's words, ended children, and the end of the driver."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.pid = os.getpid()
        self.driver = os.getppid()
        self.running: dict[int, _Running] = {}
        self.log_bytes = LOG_BYTES
        self.speaking: dict[int, Log] = {}
        """Descriptor -> log of an attempt that may still write."""

    def serve(self) -> NoReturn:
        """Import, say ready, fork on request; never returns."""
        began = time.perf_counter()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # imports hold no process yet, and one that hangs would let no handler run
        die_with_parent(signal.SIGTERM)
        adopt_orphans()
        line, rest = first_line(self.channel)
        first = json.loads(line)
        sys.path[:] = first["sys_path"]
        self.log_bytes = first["log_bytes"]
        with _no_gpu():
            failure = _preload(first["preload"])
        if failure:
            self._say(failed=failure)
            os._exit(1)
        gc.collect()
        gc.freeze()
        flush()
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        signal.signal(signal.SIGCHLD, _wake_up)
        signal.signal(signal.SIGTERM, lambda *_: self._farewell())
        signal.signal(signal.SIGCONT, lambda *_: self._leave_with_the_driver())
        # not SIGKILL: when the driver dies, grandchildren are still to be killed; and SIGCONT wakes a stopped server
        die_with_parent(signal.SIGCONT)
        self._leave_with_the_driver()
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self._say(ready=self.pid, seconds=time.perf_counter() - began)
        self._loop(rest, read)

    def _loop(self, heard: bytes, wakened: int) -> NoReturn:
        while True:
            *lines, heard = heard.split(b"\n")
            for line in lines:
                self._obey(json.loads(line))
            ready, _, _ = select.select([self.channel.fileno(), wakened, *self.speaking], [], [])
            for reader in self.speaking.keys() & set(ready):
                if self.speaking[reader].take() == 0:
                    # it closed its outputs and goes on
                    del self.speaking[reader]
            if wakened in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wakened, 65536)
                self._reap()
            if self.channel.fileno() in ready:
                heard += self._hear()

    def _hear(self) -> bytes:
        try:
            more = self.channel.recv(65536)
        except ConnectionError:
            more = b""
        return more or self._farewell()

    def _say(self, **words: Any) -> None:
        try:
            self.channel.sendall(json.dumps(words).encode() + b"\n")
        except OSError:
            # nobody listens any more: the driver is gone
            self._farewell()

    def _obey(self, request: dict[str, Any]) -> None:
        if "start" in request:
            self._start(request["start"], request["folder"], request["call"])
            return
        if "ask" in request:
            self._say(here=request["ask"])
            return
        for pid, running in self.running.items():
            if running.attempt == request["attempt"]:
                _signal_group(pid, request["signal"])

    def _start(self, attempt: str, folder: str, call: str) -> None:
        began = time.monotonic()
        try:
            logs = self._open_logs(Path(folder))
        except OSError as error:
            self._refuse(attempt, folder, error)
            return
        # until it has its own handlers, a child must not act on signals as if it were the server
        signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
        try:
            pid = os.fork()
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
            for log in logs:
                log.close_writer()
                log.close()
            self._refuse(attempt, folder, error)
            return
        if pid == 0:
            be_attempt(folder, call, self.pid, outputs=(logs[0].writer, logs[1].writer))
        for log in logs:
            log.close_writer()
            self.speaking[log.reader] = log
        self.running[pid] = _Running(attempt, began, logs)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
        self._say(started=attempt, pid=pid)

    def _open_logs(self, folder: Path) -> tuple[Log, Log]:
        first = Log(folder / LOGS[0], self.log_bytes)
        try:
            return first, Log(folder / LOGS[1], self.log_bytes)
        except OSError:
            first.close_writer()
            first.close()
            raise

    def _refuse(self, attempt: str, folder: str, error: OSError) -> None:
        _complain(folder, f"the attempt's process could not be made: {error}\n")
        self._say(ended=attempt, code=CANNOT_START, max_rss_mb=0, seconds=0.0)

    def _reap(self) -> None:
        """Collect what ended; kill what it left behind before its process id can be given to another."""
        while True:
            try:
                # WNOWAIT keeps the zombie, and with it the number of its group, until the group is killed
                seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if seen is None:
                break
            if seen.si_pid in self.running:
                _signal_group(seen.si_pid, signal.SIGKILL)
            _, status, usage = os.wait4(seen.si_pid, 0)
            ended = self.running.pop(seen.si_pid, None)
            if ended is not None:
                for log in ended.logs:
                    self.speaking.pop(log.reader, None)
                    log.close()
                self._say(
                    ended=ended.attempt,
                    code=os.waitstatus_to_exitcode(status),
                    max_rss_mb=usage.ru_maxrss // 1024,
                    seconds=time.monotonic() - ended.began,
                )
        self._kill_strays()

    def _kill_strays(self) -> None:
        """Kill adopted orphans: their attempt has ended, or it would have adopted them."""
        for pid in children(self.pid):
            if pid not in self.running:
                _signal(os.kill, pid, signal.SIGKILL)

    def _leave_with_the_driver(self) -> None:
        """SIGCONT is also what a shell sends, or the driver itself: only the driver's death ends anything."""
        if os.getppid() != self.driver:
            self._farewell()

    def _farewell(self) -> NoReturn:
        """Kill every descendant, wait until the last is gone, and leave."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end = time.monotonic() + FAREWELL_SECONDS
        for pid in self.running:
            _signal_group(pid, signal.SIGKILL)
        while time.monotonic() < end:
            # whoever loses its parent meanwhile becomes a child of this process, and is found in the next round
            for pid in children(self.pid):
                _signal(os.kill, pid, signal.SIGKILL)
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    time.sleep(0.005)
            except ChildProcessError:
                break
        os._exit(0)


@contextlib.contextmanager
def _no_gpu() -> Iterator[None]:
    """Hide GPUs from imports: diffusers asks CUDA for them, and once CUDA was asked, forked children cannot use it."""
    name = "CUDA_VISIBLE_DEVICES"
    visible = os.environ.get(name)
    os.environ[name] = ""
    try:
        yield
    finally:
        del os.environ[name]
        if visible is not None:
            os.environ[name] = visible


def _preload(modules: Sequence[str]) -> str | None:
    """Import all; say what went wrong: a module that cannot be imported, or modules that started threads."""
    threads: dict[str, int] = {}
    count = _threads()
    for module in modules:
        try:
            importlib.import_module(module)
        except BaseException as error:  # noqa: BLE001 - an import may raise anything; the driver shows it
            traceback.print_exc()
            return f"importing {module} failed: {type(error).__name__}: {error}"
        more = _threads() - count
        if more > 0:
            threads[module] = more
        count += more
    if count > 1:
        culprits = ", ".join(f"{module} ({more})" for module, more in threads.items()) or "no preloaded module"
        return f"a process with threads must not be forked; threads were started by importing {culprits}"
    return None


def _signal_group(pid: int, number: int) -> None:
    """Signal the group that an attempt leads."""
    if not _signal(os.killpg, pid, number) or number == signal.SIGKILL:
        # just forked, so not yet a leader; or it moved itself to another group
        _signal(os.kill, pid, number)


def _signal(send: Any, pid: int, number: int) -> bool:
    try:
        send(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _complain(folder: str, words: str) -> None:
    # without a folder to write to, the exit code has to say it alone
    with contextlib.suppress(OSError), Path(folder, LOGS[1]).open("a", encoding="utf-8") as log:
        log.write(words)


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - numbers, not paths


def _wake_up(number: int, frame: FrameType | None) -> None:
    """A handler has to exist for the wake-up descriptor to be written."""


if __name__ == "__main__":
    main(sys.argv[1:])
