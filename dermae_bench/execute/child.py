"""What a process does to become an attempt: its own session, logs, signals and end; then one call."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import json
import os
import resource
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from dermae_bench.execute.logs import LOGS

CANNOT_START = 71
"""Exit code (EX_OSERR) of an attempt whose process could not be made or could not open its logs."""
TELL_STACKS = signal.SIGUSR2
"""Asks an attempt to print where each of its threads is, into its stderr.log."""
_SET_DEATH_SIGNAL = 1
_SET_SUBREAPER = 36


def be_attempt(
    folder: str,
    call: str,
    parent: int | None,
    keep: int = -1,
    before: Callable[[], None] | None = None,
    outputs: tuple[int, int] | None = None,
) -> NoReturn:
    """Set this process up as an attempt, call `module:function` with the folder, and leave without exit handlers.

    Args:
        folder: working folder of the attempt.
        call: what to run, `module:function`; the function is given the folder as a `Path`.
        parent: process to die with; None where the kernel has no death signal.
        keep: a file descriptor that stays open.
        before: called when all is set up.
        outputs: file descriptors that become stdout and stderr; without them the logs in the folder are appended to.
    """
    code = CANNOT_START
    try:
        if parent is not None:
            os.setsid()
            die_with_parent(signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(CANNOT_START)
        adopt_orphans()
        # a plugin that was edited twice within a second is compiled twice: bytecode is known by whole seconds alone
        sys.dont_write_bytecode = True
        signal.set_wakeup_fd(-1)
        for number in (
            signal.SIGCHLD,
            signal.SIGCONT,
            signal.SIGINT,
            signal.SIGTERM,
            signal.SIGHUP,
            signal.SIGUSR1,
        ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.chdir(folder)
        _redirect(keep, outputs)
        # a crash is told by its traceback; a core file of gigabytes would land among the results
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        faulthandler.enable(file=2)
        # told from C, so also by one that holds the interpreter's lock; the driver asks before it ends a silent attempt
        faulthandler.register(TELL_STACKS, file=2, all_threads=True)
        if before is not None:
            before()
        code = 1
        module, _, name = call.partition(":")
        getattr(importlib.import_module(module), name)(Path(folder))
        code = 0
    except SystemExit as left:
        code = _exit_code(left.code)
    except BaseException:  # noqa: BLE001 - the traceback goes into the attempt's log, and the exit code says the rest
        with contextlib.suppress(OSError, ValueError):
            traceback.print_exc()
    finally:
        flush()
        os._exit(code & 0xFF)


def alone(channel: socket.socket) -> NoReturn:
    """One attempt in this very process, which dies with the driver's end of the channel."""
    line, _ = first_line(channel)
    request = json.loads(line)
    sys.path[:] = request["sys_path"]

    def watch() -> None:
        # the driver says nothing more: this returns when its end is closed
        channel.recv(1)
        os.killpg(0, signal.SIGKILL)

    watcher = threading.Thread(target=watch, daemon=True)
    be_attempt(request["folder"], request["call"], None, keep=channel.fileno(), before=watcher.start)


def first_line(channel: socket.socket) -> tuple[bytes, bytes]:
    """The first line from the driver, and what came with it; ends the process when the driver is gone."""
    heard = b""
    while b"\n" not in heard:
        more = channel.recv(65536)
        if not more:
            os._exit(0)
        heard += more
    line, _, rest = heard.partition(b"\n")
    return line, rest


def die_with_parent(number: signal.Signals) -> None:
    """Be sent `number` when the parent dies (Linux; elsewhere the driver's channel has to tell)."""
    prctl(_SET_DEATH_SIGNAL, int(number))


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own: a daemon stays below whoever began it (Linux)."""
    prctl(_SET_SUBREAPER, 1)


def prctl(option: int, value: int) -> None:
    """prctl(2) with one argument; nothing on other systems than Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def flush() -> None:
    """Empty Python's and C's output buffers; a plugin may have closed the streams or their descriptors."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    ctypes.CDLL(None).fflush(None)


def _exit_code(given: object) -> int:
    """The exit status that Python gives to `sys.exit(given)`; words are printed."""
    if given is None:
        return 0
    if isinstance(given, int):
        return given
    with contextlib.suppress(OSError, ValueError):
        print(given, file=sys.stderr)  # noqa: T201 - what Python itself does with sys.exit("words")
    return 1


def _redirect(keep: int, outputs: tuple[int, int] | None) -> None:
    """stdin from nowhere, stdout and stderr to the outputs or the logs in the working folder, all else closed."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    if outputs is None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        # the umask decides: in a group's store another user may go on with this attempt, and with its logs
        outputs = (os.open(LOGS[0], flags, 0o666), os.open(LOGS[1], flags, 0o666))
    for number, output in enumerate(outputs, 1):
        os.dup2(output, number)
    for number in sorted(int(name) for name in os.listdir("/dev/fd")):  # noqa: PTH208 - numbers, not paths
        if number > 2 and number != keep:
            # one of them belonged to the listing itself
            with contextlib.suppress(OSError):
                os.close(number)
    for number, mode in ((1, "stdout"), (2, "stderr")):
        # new streams, never the parent's: what those had buffered would be written twice
        stream = open(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, mode, stream)
        setattr(sys, f"__{mode}__", stream)
