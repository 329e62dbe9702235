"""The right to work on a stage, which dies with its holder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermae_bench.bounded.files import read_bytes
from dermae_bench.errors import DataError
from dermae_bench.faults import point

LARGEST = 16 << 20
"""Bytes of what a holder says of itself; that of a run with 100,000 stages has 4 MiB."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, as the file says that it locks."""

    pid: int
    host: str
    since: float
    """Unix seconds, by the clock of the holder's host: for people only, nothing is decided by it."""
    name: str
    """What is worked on, for people."""

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on host {self.host}, which works on {self.name} since {since}"


class Lease:
    """An advisory kernel lock: held by one process at a time, gone when that process and its forks are.

    Args:
        path: the file that is locked; it also says who holds it.
        name: what is worked on, for those who wait.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self.path = path
        self.name = name
        self._handle: int | None = None

    def take(self) -> bool:
        """Try to take it; False when another process holds it."""
        point("lock", self.path)
        while True:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:
                # the former holder finished and removed the folder just now, unless a link there leads to nothing
                if self.path.parent.is_symlink():
                    raise
                continue
            except FileExistsError:
                # `mkdir` looks again at what was in its way: the same, unless it is still there
                if os.path.lexists(self.path.parent):
                    raise
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_ours(handle):
                    self._sign(handle)
                    self._handle = handle
                    return True
            except BlockingIOError:
                os.close(handle)
                return False
            except OSError as error:
                os.close(handle)
                raise OSError(error.errno, os.strerror(error.errno or 0), str(self.path)) from error
            # removed between our open and our lock: others would lock another file of this name
            os.close(handle)

    def take_within(self, seconds: float) -> bool:
        """Try to take it again and again; False when another process still holds it after `seconds`."""
        end = time.monotonic() + seconds
        while not self.take():
            if time.monotonic() >= end:
                return False
            time.sleep(0.05)
        return True

    def _is_ours(self, handle: int) -> bool:
        try:
            return self.path.stat().st_ino == os.fstat(handle).st_ino
        except FileNotFoundError:
            return False

    def _sign(self, handle: int) -> None:
        about = {"pid": os.getpid(), "host": socket.gethostname(), "since": round(time.time()), "name": self.name}
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(about).encode(), 0)

    def holder(self) -> Holder | None:
        """Who took it last; None where nobody did, or where the file says nothing (yet)."""
        return read_holder(self.path)

    def is_held(self) -> bool:
        """Whether a living process holds it; takes nothing and writes nothing, so it works from a read-only store."""
        return is_locked(self.path)

    def release(self) -> None:
        """Let others have it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def read_holder(path: Path) -> Holder | None:
    """What a locked file says about who locked it; None where it says nothing."""
    about = _read(path)
    try:
        return Holder(int(about["pid"]), str(about["host"]), float(about["since"]), str(about["name"]))
    except (LookupError, TypeError, ValueError, OverflowError):
        return None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_bytes(path, LARGEST))
    except (DataError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def is_locked(path: Path) -> bool:
    """Whether some process holds the kernel lock of a file; False where there is no such file."""
    try:
        # without O_NONBLOCK, opening a pipe that nobody writes into waits for ever
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        # a link that leads in a circle can be locked by nobody
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            return False
        raise
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        # a file system without locks cannot say who is alive: whoever asks must not think that nobody is
        if error.errno in {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}:
            return True
        raise
    finally:
        with contextlib.suppress(OSError):
            os.close(handle)
    return False
