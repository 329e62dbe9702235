"""tar files, plain or in gzip: read through a stream that can lead the library neither far nor round in circles."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path
from typing import IO, Any

from dermae_bench.archives.members import (
    AT_ONCE,
    RESULTS,
    Limits,
    Member,
    Refused,
    check,
    copy,
    most_bytes,
    parts_of,
)

_HEADER_BYTES = 16 * 2**10
"""Of one extended tar header. Some versions of tarfile need quadratic time to parse one."""


def inflate(stream: IO[bytes], size: int, plain: IO[bytes], limits: Limits = RESULTS) -> int:
    """Expand a gzip stream into `plain`, within the limits; returns the bytes.

    Raises:
        Refused: it expands to more; zlib and gzip raise more of damaged ones.
    """
    most = most_bytes(size, limits)
    total = 0
    with gzip.GzipFile(fileobj=stream, mode="rb") as expanded:
        while block := expanded.read(AT_ONCE):
            total += len(block)
            if total > most:
                raise Refused(f"expands to more than {most // 2**20} MiB")
            plain.write(block)
    plain.seek(0)
    return total


class _Watched:
    """A stream whose reader can neither ask for much at once nor go round in circles (tarfile can be led to both)."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream = stream
        self._left = 2 * size + 2**20
        self.name = ""

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= _HEADER_BYTES:
            raise Refused("is damaged: a header of that size does not exist")
        found = self._stream.read(count)
        self._left -= len(found) + 1
        if self._left < 0:
            raise Refused("is damaged: it leads round in a circle")
        return found

    def seek(self, place: int, whence: int = 0) -> int:
        if whence != 0 or place < 0:
            raise Refused("is damaged: it leads before its beginning")
        self._left -= 1
        return self._stream.seek(place)

    def tell(self) -> int:
        return self._stream.tell()


def unpack_tar(stream: IO[bytes], size: int, target: Path) -> None:
    """Copy the members of the tar file in `stream` (`size` bytes) into the empty folder `target`.

    Raises:
        Refused: what is wrong with it; tarfile raises more of damaged ones.
    """
    copy(tar_members(stream, size, RESULTS), lambda member: tar_member(stream, member), target)


def tar_member(stream: IO[bytes], member: Member) -> IO[bytes]:
    """The tar file in `stream`, which stands at the first byte of `member`."""
    stream.seek(member.handle)
    return stream


def tar_members(stream: IO[bytes], size: int, limits: Limits) -> list[Member]:
    """The checked members of the tar file in `stream` (`size` bytes).

    Raises:
        Refused: what is wrong with it; tarfile raises more of damaged ones.
    """
    members = []
    watched: Any = _Watched(stream, size)
    with tarfile.TarFile(fileobj=watched, mode="r", errorlevel=2) as archive:
        count = 0
        while (info := archive.next()) is not None:
            # or the library keeps them all
            archive.members = []  # type: ignore[attr-defined]
            count += 1
            if count > limits.entries:
                raise Refused(f"has more than {limits.entries} entries")
            shown = ascii(info.name[:80])
            if info.sparse is not None or any(key.startswith("GNU.sparse") for key in info.pax_headers):
                raise Refused(f"member {shown} is sparse")
            if not (info.isreg() or info.isdir()) or info.type == tarfile.CONTTYPE or info.linkname:
                raise Refused(f"member {shown} is a link or a device, not a file")
            if info.size < 0 or info.offset_data + info.size > size:
                raise Refused(f"is damaged: member {shown} does not end in it")
            name = parts_of(info.name, limits)
            if not info.isdir() and name is not None:
                members.append(Member(name, info.size, info.offset_data))
    check(members, size, limits)
    return members
