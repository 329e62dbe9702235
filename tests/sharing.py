"""What several test workers need and one of them makes."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path


def shared_folder(shared: Path, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name` of the session, filled by `make` in the first process that asks; only for reading."""
    folder = shared / name
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (done := shared / f"{name}.made").exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
