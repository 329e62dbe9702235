"""One process at a time publishes a results folder; its right to do so dies with it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dermae_bench.commands.printing import echo
from dermae_bench.durable import TEMPORARY, digest_of, make_folder
from dermae_bench.faults import point
from dermae_bench.report.escape import visible
from dermae_bench.store.artifacts import Store
from dermae_bench.store.leases import Lease

PATIENCE = 3.0
"""Seconds of waiting before a line tells of it."""
PAUSE = 0.05
"""Seconds between two looks."""
NO_PLACE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
"""What a place answers where this user may not write."""
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF})


@contextlib.contextmanager
def sole_publisher(store: Store, folder: Path) -> Iterator[None]:
    """Inside, no other process publishes `folder`; whoever comes later waits, and says for whom.

    Two kernel locks, always in this order: a lease in the store, which says who holds it, and which other machines see
    where the file system lets them; then one on the folder itself, for those who come from another store or may not
    write in this one. Neither leaves anything in the folder. A lock that its place does not have is left out: what two
    publishers may mix there, the next one finds by its digests.

    Args:
        store: what is published from.
        folder: the results folder; it is made if it can be.

    Raises:
        StorageError: the store went away; nothing may be published from one that is not there.
        OSError: the system refused for another reason than missing rights or missing locks.
    """
    lease = Lease(store.root / "boards" / f"{digest_of(folder.name)[:32]}.lock", f"the results folder {folder.name}")

    def take() -> bool:
        store.stay()
        return lease.take()

    with contextlib.ExitStack() as held:
        held.callback(lease.release)
        _wait(take, folder, lambda: str(lease.holder() or "another process"))
        own = _FolderLock(folder)
        held.callback(own.release)
        if _wait(own.take, folder, lambda: "a process that publishes it from another store"):
            _remove_temporary(folder)
        yield


def _wait(take: Callable[[], bool], folder: Path, whom: Callable[[], str]) -> bool:
    """Take a lock, however long it takes; False where its place has none."""
    tell_at: float | None = time.monotonic() + PATIENCE
    try:
        while not take():
            if tell_at is not None and time.monotonic() >= tell_at:
                echo(f"{folder} is being written: waiting for {visible(whom(), 300)}", err=True)
                tell_at = None
            time.sleep(PAUSE)
    except OSError as error:
        if error.errno not in NO_PLACE | _NO_LOCKS:
            raise
        return False
    return True


class _FolderLock:
    """The kernel's lock on a folder: held by one open descriptor, no file beside it or in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._handle: int | None = None

    def take(self) -> bool:
        """Try to take it; False when another process holds it."""
        while True:
            make_folder(self.folder)
            handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_there(handle):
                    self._handle = handle
                    return True
            except BlockingIOError:
                return False
            finally:
                if self._handle is None:
                    os.close(handle)

    def _is_there(self, handle: int) -> bool:
        # moved away between our open and our lock: others would lock another folder of this name
        try:
            return os.path.samestat(os.fstat(handle), self.folder.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let others have it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _remove_temporary(folder: Path) -> None:
    """Remove what publishers left that were killed: nobody else writes here now."""
    from dermae_bench.report.export import FIGURES
    from dermae_bench.report.real_pictures import FOLDER as REAL_PICTURES
    from dermae_bench.report.verify.digests import members
    from dermae_bench.report.verify.reading import plain

    for name in members(folder):
        place, _, last = name.rpartition("/")
        ours = place in {"", FIGURES, REAL_PICTURES} and last.startswith(TEMPORARY)
        if ours and plain(folder, name) is None:
            point("remove", folder / name)
            # where it may not be removed, it is listed like any other file
            with contextlib.suppress(OSError):
                (folder / name).unlink()
