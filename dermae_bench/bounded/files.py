"""Plain files that somebody else wrote, of bounded size: nothing here waits for a pipe or follows an endless file."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

from dermae_bench.errors import DataError, DataMissing

LARGEST_TEXT = 1 << 28
"""Bytes of a text file."""

GROWS = "it has more bytes than it says: it grows, or it is no plain file"

_KINDS = (
    (stat.S_ISDIR, "it is a folder"),
    (stat.S_ISFIFO, "it is a pipe"),
    (stat.S_ISSOCK, "it is a socket"),
    (stat.S_ISCHR, "it is a device"),
    (stat.S_ISBLK, "it is a device"),
)


class Unreadable(DataError):
    """A file cannot be used as it lies there.

    Args:
        path: the file.
        reason: what is wrong with it, without its name.
        line: 1-based, where there is one.
        column: 1-based.
        hint: what to do about it.
    """

    def __init__(
        self, path: Path, reason: str, *, line: int | None = None, column: int | None = None, hint: str | None = None
    ) -> None:
        place = "".join(f":{number}" for number in (line, column) if number is not None)
        super().__init__(f"{path}{place}: {reason}", hint=hint)
        self.reason = reason
        self.line = line
        self.column = column


def open_plain(path: Path, limit: int = LARGEST_TEXT) -> BufferedReader:
    """Open a plain file of at most `limit` bytes for reading; never waits.

    Raises:
        DataMissing: it is not there.
        Unreadable: it is no plain file, too large, or may not be read.
    """
    try:
        # without O_NONBLOCK, opening a pipe that nobody writes into waits for ever
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise DataMissing(f"{path} is not there") from None
    except (OSError, ValueError) as error:
        # a socket cannot even be opened, and a name may hold a NUL
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unreadable(path, f"it cannot be read: {reason}") from None
    about = os.fstat(handle)
    problem = next((words for is_kind, words in _KINDS if is_kind(about.st_mode)), None)
    if problem is None and about.st_size > limit:
        problem = f"it has {about.st_size:,} bytes; at most {limit:,} are read"
    if problem is not None:
        os.close(handle)
        raise Unreadable(path, problem)
    return os.fdopen(handle, "rb")


def read_bytes(path: Path, limit: int = LARGEST_TEXT) -> bytes:
    """All bytes of a plain file.

    Raises:
        DataMissing: it is not there.
        Unreadable: it is no plain file, too large, or grows while it is read.
    """
    with open_plain(path, limit) as stream:
        size = os.fstat(stream.fileno()).st_size
        try:
            data = stream.read(size + 1)
        except OSError as error:
            raise Unreadable(path, f"it cannot be read: {error.strerror}") from None
    if len(data) > size:
        # files of /proc say that they are empty, and some never end
        raise Unreadable(path, GROWS)
    return data
