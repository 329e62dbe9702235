"""What an attempt prints: through a pipe into its log, without secrets; a log that grows too long loses its middle."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dermae_bench.secrets import Striker, redact

LOGS = ("stdout.log", "stderr.log")
LOG_BYTES = 50_000_000
"""A log that grows beyond this loses its middle."""
_HEAD, _TAIL = 1 / 50, 4 / 50
"""Shares of the limit that are kept of its beginning and of its end."""
_AT_ONCE = 1 << 18
RECORDS = ("result.json", "status.json")
"""What an attempt says of itself."""
LARGEST_RECORD = 1 << 22
"""Bytes; what is larger was not written by an attempt."""
_LAST_WORDS = 1 << 21
"""Bytes that are read at the end; a pipe holds at most 1 MiB, and whoever still writes is no part of the attempt."""


class Log:
    """The reader's end of what one attempt writes to one of its outputs.

    A plugin that prints as fast as it can waits for the reader, so that no more than the limit ever lies on the disk.
    What it does to the file itself (truncate, remove, replace) changes nothing here. The values of secrets that the
    attempt was given never reach the file.

    Args:
        path: file that is appended to.
        limit: bytes.
        environment: whose secrets are struck out; by default this process's, which is the attempt's.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, limit: int = LOG_BYTES, environment: Mapping[str, str] | None = None) -> None:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(path.lstat().st_mode):
                # a plugin's link must not lead our writing elsewhere
                path.unlink()
        self._limit = limit
        self._striker = Striker(os.environ if environment is None else environment)
        # the umask decides: in a group's store another user may go on with this attempt, and with its logs
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        self._size = os.fstat(self._file).st_size
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)

    def close_writer(self) -> None:
        """In the reader's process, once the attempt has its own."""
        os.close(self.writer)

    def take(self) -> int:
        """Move what is there into the file; returns how many bytes, 0 when nobody can write any more, -1 for none."""
        try:
            words = os.read(self.reader, _AT_ONCE)
        except BlockingIOError:
            return -1
        self._write(self._striker.take(words))
        return len(words)

    def close(self) -> None:
        """Take the last words and let go; daemons of the attempt that still write are not waited for."""
        left = _LAST_WORDS
        while left > 0 and (taken := self.take()) > 0:
            left -= taken
        self._write(self._striker.rest())
        os.close(self.reader)
        os.close(self._file)

    def _write(self, words: bytes) -> None:
        # a full disk costs words, never the attempt
        with contextlib.suppress(OSError):
            self._size += write_whole(self._file, words)
            if self._size > self._limit:
                self._size = shorten(self._file, self._limit)


def write_whole(file: int, words: bytes) -> int:
    """Write all of `words`, in as many pieces as the system takes them; returns how many bytes they are."""
    left = memoryview(words)
    while left:
        left = left[os.write(file, left) :]
    return len(words)


def shorten(file: int, limit: int) -> int:
    """Cut the middle out of an open log above `limit` bytes; returns its size. Writers append behind what is kept."""
    size = os.fstat(file).st_size
    if size <= limit:
        return size
    head, tail = int(limit * _HEAD), int(limit * _TAIL)
    words = os.pread(file, tail, size - tail)
    os.ftruncate(file, head)
    dropped = size - head - len(words)
    kept = b"\n[... %d bytes of output were dropped here ...]\n" % dropped + words
    return head + write_whole(file, kept)


def shorten_all(folder: Path, limit: int) -> None:
    """The same for logs that attempts write themselves, where there is no reader."""
    for name in LOGS:
        # a log that is not there (or that the attempt removed) cannot be too long
        with contextlib.suppress(OSError):
            found = (folder / name).lstat()
            if found.st_size <= limit or not stat.S_ISREG(found.st_mode):
                continue
            file = os.open(folder / name, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
            try:
                shorten(file, limit)
            finally:
                os.close(file)


def strike_out(folder: Path, environment: Mapping[str, str], limit: int = LOG_BYTES) -> None:
    """Strike the secrets of `environment` out of the logs and records of an attempt that has ended.

    The attempt's own were struck out before they were written. These are the driver's, which a plugin may have found
    elsewhere, what looks like a token, and whatever the attempt wrote into these files without us.
    """
    shorten_all(folder, limit)
    for name in (*LOGS, *RECORDS):
        # what is not there, or belongs to somebody else, is not ours to change
        with contextlib.suppress(OSError), _opened(folder / name) as file:
            size = os.fstat(file).st_size
            if name in RECORDS and size > LARGEST_RECORD:
                (folder / name).unlink()
                continue
            words = os.pread(file, size, 0)
            struck = _struck(words, environment) if name in LOGS else _struck_record(words, environment)
            if struck != words:
                _replace(file, struck)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """An open file that is a file and has no other name: a plugin's link must not lead our writing elsewhere."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(path)
    if found.st_nlink > 1:
        path.unlink()
        raise FileNotFoundError(path)
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)


def _struck(words: bytes, environment: Mapping[str, str]) -> bytes:
    return redact(words.decode("utf-8", "surrogateescape"), environment).encode("utf-8", "surrogateescape")


def _struck_record(words: bytes, environment: Mapping[str, str]) -> bytes:
    """The same for JSON, which stays JSON."""
    plain = _struck(words, environment)
    try:
        read = json.loads(words)
        struck = _struck_value(read, environment)
    except (ValueError, RecursionError):
        return plain
    return words if plain == words and struck == read else json.dumps(struck).encode()


def _struck_value(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return redact(value, environment)
    if isinstance(value, dict):
        return {redact(name, environment): _struck_value(inner, environment) for name, inner in value.items()}
    if isinstance(value, list):
        return [_struck_value(inner, environment) for inner in value]
    return value


def _replace(file: int, words: bytes) -> None:
    """In its own blocks, so that a full disk does not keep the old words."""
    done = 0
    try:
        while done < len(words):
            done += os.pwrite(file, words[done:], done)
    finally:
        os.ftruncate(file, done)
