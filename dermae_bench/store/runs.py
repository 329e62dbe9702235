"""Which runs are alive, and what they need: so that `clean` removes nothing under their feet.

Each run (and each command that reads many entries) keeps a file `runs/<host>-<pid>-<word>` with the keys of its plan,
and the kernel's lock on it. A file whose lock is free belongs to a dead run and counts for nothing.

The order of locks, by which a run that starts while `clean` works is safe, too:

- A run announces itself under the *shared* lock of `runs/gate`, lets go of it, and only then looks at what is there.
- `clean` takes the *exclusive* lock of `runs/gate` for every single removal: it reads the announcements, and moves
  what nobody alive needs out of its place by one rename; then it lets go. The slow deletion comes after that.

So a run announced itself either before the look, and its entries stay; or after the rename, and it finds a stage that
is not there, and does it. Nothing is ever deleted in place. `clean` asks for a stage's lease only without waiting, and
runs ask for the gate only while they hold no lease: nobody waits in a circle.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from dermae_bench.bounded.files import read_bytes
from dermae_bench.durable import make_folder
from dermae_bench.errors import DataError, DataMissing
from dermae_bench.store.leases import LARGEST, Holder, is_locked, read_holder

FOLDER = "runs"
GATE = "gate"
_NO_PLACE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


@dataclass(frozen=True)
class LiveRun:
    """A run that is alive."""

    holder: Holder
    keys: frozenset[str]


@contextlib.contextmanager
def announced(root: Path, name: str, keys: Collection[str]) -> Iterator[None]:
    """Inside, the stages with `keys` are needed: no `clean` removes them.

    From a store that this user may not write, which this user's `clean` cannot touch either, nothing is announced.
    """
    folder = root / FOLDER
    path = folder / f"{socket.gethostname()[:64]}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with gate(root, exclusive=False):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            fcntl.flock(handle, fcntl.LOCK_EX)
            about = {"pid": os.getpid(), "host": socket.gethostname(), "since": round(time.time()), "name": name}
            try:
                with open(handle, "wb", closefd=False) as stream:
                    stream.write(json.dumps({**about, "keys": sorted(set(keys))}).encode())
            except BaseException:
                path.unlink(missing_ok=True)
                os.close(handle)
                raise
    except OSError as error:
        if error.errno not in _NO_PLACE:
            raise
        yield
        return
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


@contextlib.contextmanager
def gate(root: Path, *, exclusive: bool) -> Iterator[None]:
    """Inside, nobody announces itself (`exclusive`), or nothing is removed (not `exclusive`)."""
    folder = root / FOLDER
    # the first thing that a run makes: the store's own name has to survive a power cut
    make_folder(folder)
    handle = os.open(folder / GATE, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def live_runs(root: Path) -> list[LiveRun]:
    """Every run that is alive, with what it needs.

    Raises:
        ValueError: a living run's announcement cannot be read; nobody knows then what it needs.
    """
    found = []
    for path in _announcements(root):
        if is_locked(path):
            holder = read_holder(path)
            try:
                keys = json.loads(read_bytes(path, LARGEST))["keys"]
            except DataMissing:
                # it ended just now
                continue
            except (DataError, ValueError, LookupError, TypeError, RecursionError):
                keys = None
            if holder is None or not isinstance(keys, list):
                if not is_locked(path):
                    continue
                raise ValueError(f"{path} belongs to a run that is alive, but cannot be read")
            found.append(LiveRun(holder, frozenset(map(str, keys))))
    return found


def dead_announcements(root: Path) -> list[Path]:
    """Files that runs left behind when they were killed."""
    return [path for path in _announcements(root) if not is_locked(path)]


def _announcements(root: Path) -> list[Path]:
    folder = root / FOLDER
    try:
        return sorted(path for path in folder.iterdir() if path.name != GATE and path.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []
