"""ZIP files: what their end and their directory say is checked before a member is opened."""

from __future__ import annotations

import stat
import struct
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import IO

from dermae_bench.archives.members import RESULTS, Limits, Member, Refused, check, copy, parts_of


def zip_directory(stream: IO[bytes], size: int) -> tuple[int, int, bool]:
    """Entries and bytes that the end record of a ZIP file states, and whether ZIP64 is used.

    Raises:
        Refused: there is no end record.
    """
    length = min(size, 22 + 65535)
    stream.seek(size - length)
    tail = stream.read(length)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + 22 > len(tail):
        raise Refused("is damaged: it has no end")
    entries, directory = struct.unpack("<HI", tail[at + 10 : at + 16])
    wide = b"PK\x06\x07" in tail[max(0, at - 20) : at] or entries == 0xFFFF or directory == 0xFFFFFFFF
    return entries, directory, wide


def unpack_zip(stream: IO[bytes], size: int, target: Path) -> None:
    """Copy the members of the ZIP file in `stream` (`size` bytes) into the empty folder `target`.

    Raises:
        Refused: what is wrong with it; zipfile raises more of damaged ones.
    """
    archive, members = zip_members(stream, size, RESULTS)
    copy(members, lambda member: archive.open(member.handle), target)


def zip_members(stream: IO[bytes], size: int, limits: Limits) -> tuple[zipfile.ZipFile, list[Member]]:
    """The ZIP file in `stream` (`size` bytes), and its checked members, by the handles that it opens them with.

    Raises:
        Refused: what is wrong with it; zipfile raises more of damaged ones.
    """
    entries, directory, wide = zip_directory(stream, size)
    if wide:
        raise Refused(f"uses ZIP64, which {limits.what} does not need")
    if entries > limits.entries or directory > limits.directory:
        raise Refused(f"has more than {limits.entries} entries")
    stream.seek(0)
    # it reads its directory now, and closes no stream that it did not open
    archive = zipfile.ZipFile(stream)
    members = []
    taken = []
    for info in archive.infolist():
        mode = info.external_attr >> 16
        shown = ascii(info.orig_filename[:80])
        if info.flag_bits & 0x41:
            raise Refused(f"member {shown} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused(f"member {shown} is compressed in an unusual way")
        if _has_field(info.extra, 1):
            raise Refused(f"member {shown} uses ZIP64, which {limits.what} does not need")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise Refused(f"member {shown} is a link or a device, not a file")
        if "\0" in info.orig_filename:
            raise Refused(f"member {shown} has a name that leads elsewhere")
        taken.append((info.header_offset, info.header_offset + 30 + info.compress_size, shown))
        if info.is_dir() or stat.S_ISDIR(mode):
            parts_of(info.orig_filename, limits)
        elif (name := parts_of(info.orig_filename, limits)) is not None:
            members.append(Member(name, info.file_size, info))
    taken.sort()
    for (_, end, shown), (start, _, _) in pairwise(taken):
        if start < end:
            raise Refused(f"member {shown} overlaps another")
    check(members, size, limits)
    return archive, members


def _has_field(extra: bytes, wanted: int) -> bool:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack("<HH", extra[at : at + 4])
        if kind == wanted:
            return True
        at += 4 + length
    return False
