"""What an archive may hold: limits, names that lead nowhere, and the bytes of one member after the other."""

from __future__ import annotations

import os
import unicodedata
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

FREE_BYTES = 64 * 2**20
"""What any archive may expand to."""
AT_ONCE = 2**20
_SYSTEM = ("__MACOSX",)
"""Folders that an operating system adds by itself; they are left out, as `.DS_Store` is."""
_KINDS = (
    (b"PK\x03\x04", "ZIP"),
    (b"PK\x05\x06", "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!", "RAR"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one kind of archive may hold."""

    what: str
    """What it holds, in words."""
    entries: int
    bytes: int
    """Of all members together, expanded."""
    ratio: int
    """Expanded bytes for each byte of the archive, beyond `FREE_BYTES`."""
    depth: int
    """Parts of a name."""
    directory: int
    """Bytes of a ZIP file's directory."""


# records in JSON expand to about 30 times; there is a folder around the results, `figures` in it, and one to spare
RESULTS = Limits(what="a results folder", entries=5_000, bytes=4 * 2**30, ratio=200, depth=4, directory=2**20)


class Refused(ValueError):
    """An archive that is not read; `str()` is the reason, without the archive's path."""


@dataclass(frozen=True)
class Member:
    name: tuple[str, ...]
    size: int
    handle: Any
    """What the library knows it by."""


def kind_of(start: bytes) -> str | None:
    """`ZIP`, `tar`, `gzip`, ... by the first 512 bytes of a file."""
    known = next((kind for magic, kind in _KINDS if start.startswith(magic)), None)
    return known or ("tar" if start[257:262] == b"ustar" else None)


def most_bytes(size: int, limits: Limits) -> int:
    """What an archive of `size` bytes may expand to."""
    return min(limits.bytes, FREE_BYTES + limits.ratio * size)


def harmless(part: str) -> bool:
    """Whether one part of a name is a file's name on every system, and leads nowhere."""
    return (
        part not in ("", ".", "..")
        and part.isprintable()
        and set('\\:*?"<>|').isdisjoint(part)
        and part[-1] not in " ."
        and len(part.encode("utf-8", "surrogatepass")) <= 255
        and part == part.encode("utf-8", "replace").decode()
    )


def parts_of(name: str, limits: Limits) -> tuple[str, ...] | None:
    """The parts of a member's name; None for what an operating system adds by itself.

    Raises:
        Refused: it leads elsewhere, or lies too deep.
    """
    shown = ascii(name[:80])
    parts = name.removeprefix("./").rstrip("/").split("/")
    if name.strip("./") == "" and name in (".", "./"):
        return None
    if len(parts) > limits.depth or len(name) > 1024:
        raise Refused(f"member {shown} lies deeper than {limits.what} goes")
    if not all(harmless(part) for part in parts):
        raise Refused(f"member {shown} has a name that leads elsewhere, or that not every system can hold")
    return None if parts[0] in _SYSTEM or parts[-1] == ".DS_Store" else tuple(parts)


def _folded(name: str) -> str:
    """One spelling for all that some file system takes for the same name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def check(members: Sequence[Member], size: int, limits: Limits) -> None:
    """All that the names and sizes of the members tell; nothing is written before.

    Raises:
        Refused: there are none, two have one name, or they expand to too much.
    """
    if not members:
        raise Refused("holds no file")
    names: dict[tuple[str, ...], str] = {}
    for member in members:
        folded = tuple(
            unicodedata.normalize("NFC", unicodedata.normalize("NFC", part).casefold()) for part in member.name
        )
        shown = ascii("/".join(member.name))
        if folded in names:
            raise Refused(f"member {shown} is there twice, also as {names[folded]}")
        names[folded] = shown
    for folded, shown in names.items():
        if any(folded[:end] in names for end in range(1, len(folded))):
            raise Refused(f"member {shown} lies in a file")
    total = sum(member.size for member in members)
    most = most_bytes(size, limits)
    if total > most:
        raise Refused(f"expands to {total // 2**20} MiB, more than {most // 2**20}")


def copy(members: Sequence[Member], opened: Callable[[Member], IO[bytes]], target: Path) -> None:
    """Copy the bytes of members that were checked into new files below `target`, an empty folder.

    Args:
        opened: a stream that stands at the first byte of a member.

    Raises:
        Refused: the archive holds something else than its directory says.
    """
    made: dict[str, str] = {}
    for member in members:
        shown = ascii("/".join(member.name))
        for end in range(1, len(member.name)):
            given = "/".join(member.name[:end])
            if made.setdefault(_folded(given), given) != given:
                raise Refused(f"member {shown} lies in a folder that is there twice")
            (target / given).mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(target.joinpath(*member.name), flags, 0o600), "wb") as out:
            source = opened(member)
            left = member.size
            while left:
                block = source.read(min(left, AT_ONCE))
                if not block:
                    raise Refused(f"member {shown} is shorter than it says")
                if left == member.size and kind_of(block) is not None:
                    raise Refused(f"member {shown} is itself an archive")
                out.write(block)
                left -= len(block)
            if isinstance(source, zipfile.ZipExtFile):
                # one byte more makes the library compare the checksum
                if source.read(1):
                    raise Refused(f"member {shown} is longer than it says")
                source.close()
