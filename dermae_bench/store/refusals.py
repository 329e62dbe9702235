"""What an operating system refuses, in one line that says where, how much is needed and how much is free."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from dermae_bench.errors import StorageError

WRITE, USE = "write", "use"
REFUSALS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG), WRITE),
    **dict.fromkeys(
        (
            errno.EIO, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP,
            errno.ENAMETOOLONG, errno.EXDEV, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENODEV, errno.ENXIO,
            errno.ENOTCONN, errno.ETIMEDOUT, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBUSY,
        ),
        USE,
    ),
}  # fmt: skip
"""What speaks of the place, not of the program -> what could not be done."""
AGAIN = "nothing finished is lost: mend the place and give the same command again"
_HINTS = {
    errno.ENOSPC: "nothing finished is lost: free some space (`dermae-bench clean` says what may go), "
    "and give the same command again",
    errno.EMFILE: "nothing finished is lost: allow more open files (`ulimit -n 1024`), and give the same command again",
    **dict.fromkeys(
        (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS),
        "the store needs a file system with locks (flock): name a place on another one with --results",
    ),
}
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a full disk or a spent quota answers."""


def refused(error: OSError, root: Path, needed: int | None = None) -> StorageError:
    """The one line for an error of the system below the store at `root`.

    Args:
        needed: bytes that were about to be written; None where nobody knows.
    """
    verb = REFUSALS.get(error.errno or 0, USE)
    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else str(root)
    what = os.strerror(error.errno or 0)
    if error.errno in FULL and inodes_ran_out(root):
        what += ": no more files can be made there (no inode is free)"
    if error.errno in FULL:
        need = f"about {mebibytes(needed)} MiB needed, " if needed is not None else ""
        what += f" ({need}{mebibytes(free_bytes(root))} MiB free)"
    return StorageError(f"cannot {verb} {place}: {what}", hint=_HINTS.get(error.errno or 0, AGAIN))


def concerns(error: OSError, root: Path) -> bool:
    """Whether an error that came out of a stage may be about the store at `root`, and not about what a plugin did."""
    closed = error.errno in FULL or error.errno == errno.EROFS
    if error.filename is None:
        # a write to an open file names none
        return closed
    if error.errno not in REFUSALS:
        return False
    inside = root.absolute() in Path(os.fsdecode(error.filename)).absolute().parents
    if closed or error.errno in {errno.EIO, errno.EACCES, errno.EPERM, errno.ESTALE, errno.ENOLCK, errno.EOPNOTSUPP}:
        return inside
    # a file that is missing is the store's fault only when all of it is
    return inside and not root.is_dir()


def mebibytes(number: int) -> str:
    """MiB with as many digits as a small number needs."""
    size = number / 2**20
    return f"{size:.0f}" if size >= 10 or not size else f"{size:.2f}"


def size(number: float) -> str:
    """Bytes for people: `812 B`, `3.2 MiB`."""
    amount = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1024
    return f"{amount:.3g} TiB" if amount < 1000 else f"{amount:,.0f} TiB"


def free_bytes(path: Path) -> int:
    """Free bytes of the file system that holds `path`, or the nearest folder above that exists."""
    return shutil.disk_usage(_there(path)).free


def inodes_ran_out(path: Path) -> bool:
    """Whether no file can be made on a file system that counts its files, though bytes may be free."""
    about = os.statvfs(_there(path))
    return about.f_files > 0 and about.f_favail == 0


def _there(path: Path) -> Path:
    while True:
        try:
            path.stat()
        except OSError:
            # absent, out of reach, or too long a name: the folder above is on the same file system
            if path == path.parent:
                raise
            path = path.parent
        else:
            return path
