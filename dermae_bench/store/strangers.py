"""What lies in an attempt's folder and was not put there by an attempt: links, pipes, folders in the place of files.

A plugin works in that folder, and in a shared store others can write there. Whoever opens a pipe waits for ever,
whoever follows a link writes elsewhere, and nobody can replace a folder by a file. So what is not of its kind is moved
to `quarantine/` before an attempt begins.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from pathlib import Path

from dermae_bench.store.fences import FENCE, WORKING
from dermae_bench.store.moving import move

LEASE = "lease"
FILES = frozenset({FENCE, WORKING, "spec.json", "result.json", "status.json", "stdout.log", "stderr.log"})
FOLDERS = frozenset({"out", "blocks", "checkpoints"})


Kind = Callable[[int], bool]


def clear_the_way(folder: Path, quarantine: Path) -> None:
    """Before the lease is taken: `folder` is a folder and its lease a file, or they are not there."""
    if _is_other(folder, stat.S_ISDIR):
        _aside(folder, quarantine, folder.name)
    elif _is_other(folder / LEASE, stat.S_ISREG):
        _aside(folder / LEASE, quarantine, folder.name)


def clear(folder: Path, quarantine: Path) -> None:
    """While the lease is held: every file and folder that an attempt makes is one, or is not there."""
    for names, kind in ((FILES, stat.S_ISREG), (FOLDERS, stat.S_ISDIR)):
        for name in sorted(names):
            if _is_other(folder / name, kind):
                _aside(folder / name, quarantine, folder.name)


def clear_file(path: Path, quarantine: Path) -> None:
    """`path` is a file, or is not there."""
    if _is_other(path, stat.S_ISREG):
        _aside(path, quarantine, path.parent.name)


def _is_other(path: Path, kind: Kind) -> bool:
    try:
        # never what a link leads to
        return not kind(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _aside(path: Path, quarantine: Path, key: str) -> None:
    quarantine.mkdir(parents=True, exist_ok=True)
    name = "" if path.name == key else f"-{path.name}"
    move(path, quarantine / f"attempt-{key}{name}-{time.time_ns()}")
