"""The right to work on a stage, which dies with its holder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Lease:
    """An advisory kernel lock: held by one process at a time, gone when that process is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def take(self) -> bool:
        """Try to take it; False when another run holds it."""
        while True:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            except FileNotFoundError:
                # the former holder finished and removed the folder just now
                continue
            except FileExistsError:
                # `mkdir` looks again at what was in its way: the same, unless it is still there
                if self.path.parent.exists():
                    raise
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return False
            if self._is_ours(handle):
                self._handle = handle
                return True
            # removed between our open and our lock: others would lock another file of this name
            os.close(handle)

    def _is_ours(self, handle: int) -> bool:
        try:
            return self.path.stat().st_ino == os.fstat(handle).st_ino
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let others have it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
