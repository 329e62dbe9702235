"""Archives that claim to hold results: names that lead out, links, devices, bombs, lies, damage."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

GOOD = {"evidence.json": b"{}", "classifiers.csv": b"row,accuracy\n", "figures/a.png": b"\x89PNG\r\n\x1a\n"}


def zipped(members: dict[str, bytes] | list[tuple[Any, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", compression) as archive:
        # a name that stands twice
        warnings.simplefilter("ignore", UserWarning)
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, data)
    return stream.getvalue()


def info(name: str, kind: int) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.create_system = 3
    made.external_attr = (kind | 0o644) << 16
    return made


def tarred(*members: tuple[str, bytes, dict[str, Any]], form: int = tarfile.PAX_FORMAT) -> bytes:
    """(name, bytes, what the header says besides) of each member."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, data, about in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for word, value in about.items():
                setattr(member, word, value)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[str, bytes, dict[str, Any]]:
    return name, b"", {"type": kind, "linkname": target}


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    """A tar header with any bytes as its size."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108], block[124:136], block[156:157], block[257:265] = (
        b"0000644\0",
        size.ljust(12, b"\0"),
        kind,
        b"ustar\x0000",
    )
    block[148:156] = b"%06o\0 " % (sum(block) + 8 * 32)
    return bytes(block)


def changed(data: bytes, change: Callable[[bytearray], None]) -> bytes:
    found = bytearray(data)
    change(found)
    return bytes(found)


def _wrong_checksum(data: bytearray) -> None:
    at = data.index(b"{}", 30)
    data[at] ^= 1


def _encrypted(data: bytearray) -> None:
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + place] |= 1


def _sizes(data: bytearray) -> None:
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 5)


def _overlapping() -> bytes:
    """Many names in the directory for the bytes of one member."""
    single = zipped({"a": bytes(10**6)})
    start = single.index(b"PK\x01\x02")
    entry = single[start : single.index(b"PK\x05\x06")]
    entries = b"".join(entry.replace(b"a", b"%c" % (97 + i)) for i in range(20))
    return single[:start] + entries + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 20, 20, len(entries), start, 0)


def _zip64(data: bytearray) -> None:
    at = data.rindex(b"PK\x05\x06")
    data[at + 8 : at + 20] = b"\xff" * 12


def _forty_two() -> bytes:
    inner = zipped({"0": bytes(10**6)})
    return zipped({f"{i}.zip": inner for i in range(16)})


def _long_chain() -> list[tuple[str, bytes, dict[str, Any]]]:
    """Links whose real path is longer than the system resolves, and a file behind them (as CVE-2025-4517)."""
    step, members, path = "d" * 247, [], ""
    for letter in "abcdefghijklmnop":
        members.append((path + step, b"", {"type": tarfile.DIRTYPE}))
        members.append(link(path + letter, step))
        path += f"{letter}/"
    members.append(link(path + "l" * 254, "../" * 16))
    return [*members, link("escape", path + "l" * 254 + "/../../../etc"), ("escape/canary", b"x", {})]


def hostile() -> dict[str, bytes]:
    """File name -> archive; none of them may be read."""
    file = ("evidence.json", b"{}", {})
    good = zipped(GOOD, zipfile.ZIP_STORED)
    tar = tarred(*[(name, data, {}) for name, data in GOOD.items()])
    deep = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = b"".join([deep.compress(bytes(2**20)) for _ in range(4)] + [deep.flush()])
    return {
        "up.zip": zipped({"../canary": b"x"}),
        "up-inside.zip": zipped({"figures/../../canary": b"x"}),
        "absolute.zip": zipped({"/canary": b"x"}),
        "backslash.zip": zipped({"..\\canary": b"x"}),
        "drive.zip": zipped({"C:canary": b"x"}),
        "link.zip": zipped([(info("figures", stat.S_IFLNK), b"/tmp"), ("figures/canary", b"x")]),
        "device.zip": zipped([(info("a", stat.S_IFCHR), b"")]),
        "fifo.zip": zipped([(info("a", stat.S_IFIFO), b"")]),
        "twice.zip": zipped([("a.csv", b"1"), ("a.csv", b"2")]),
        "case.zip": zipped({"a.csv": b"1", "A.CSV": b"2"}),
        "accents.zip": zipped({"\u00e9.csv": b"1", "e\u0301.csv": b"2"}),
        "file-as-folder.zip": zipped({"a": b"1", "a/b": b"2"}),
        "folders-twice.zip": zipped({"f/a": b"1", "F/b": b"2"}),
        "long.zip": zipped({"n" * 256: b"1"}),
        "deep.zip": zipped({"/".join("abcdefgh"): b"1"}),
        "control.zip": zipped({"a\x1b[2J.csv": b"1"}),
        "many.zip": zipped({str(i): b"" for i in range(5_001)}, zipfile.ZIP_STORED),
        "bomb.zip": zipped({"a.csv": bytes(4 * 2**20)}),
        "overlap.zip": _overlapping(),
        "nested.zip": zipped({"inner.csv": good}),
        "forty-two.zip": _forty_two(),
        "encrypted.zip": changed(good, _encrypted),
        "checksum.zip": changed(good, _wrong_checksum),
        "sizes.zip": changed(zipped(GOOD), _sizes),
        "zip64.zip": changed(good, _zip64),
        "bzip2.zip": zipped(GOOD, zipfile.ZIP_BZIP2),
        "cut.zip": good[:-30],
        "empty.zip": zipped({}),
        "up.tar": tarred(("../canary", b"x", {})),
        "absolute.tar.gz": gzip.compress(tarred(("/canary", b"x", {}))),
        "through-link.tar": tarred(link("figures", ".."), ("figures/canary", b"x", {})),
        "hard-link.tar": tarred(link("a", "/etc/passwd", tarfile.LNKTYPE)),
        "device.tar": tarred(("a", b"", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5})),
        "fifo.tar": tarred(("a", b"", {"type": tarfile.FIFOTYPE})),
        "chain.tar": tarred(*_long_chain()),
        "nameless-links.tar": tarred(link("", "figures"), link("figures/", ".."), link("./", "../.."), file),
        "late-link.tar": tarred(file, link("evidence.json", "/etc/passwd"), ("evidence.json", b"x", {})),
        "pax-path.tar": tarred(("a", b"x", {"pax_headers": {"path": "../canary"}})),
        "pax-sparse.tar": tarred(("a", b"x", {"pax_headers": {"GNU.sparse.size": "99999999999"}})),
        "pax-long.tar": tarred(("a", b"x", {"pax_headers": {"comment": "1" * 60_000}})),
        "sparse.tar": header(b"a", b"00000000000", b"S") + bytes(1024),
        "negative.tar": header(b"a", b"\xff" * 11 + b"\x00") + bytes(1024),
        "round.tar": header(b"a", b"\xff" * 10 + b"\xfe\x00", b"x") + bytes(1024),
        "huge.tar": header(b"a", b"77777777777") + bytes(1024),
        "huge-name.tar": header(b"a", b"00077777777", b"L") + bytes(1024),
        "many.tar": b"".join(header(b"%d" % i, b"00000000000") for i in range(5_001)) + bytes(1024),
        "bomb.tar.gz": zeros,
        "nested.tar": tarred(("a.csv", tar, {})),
        "cut.tar.gz": gzip.compress(tar)[:-20],
        "cut.tar": tar[:700],
        "checksum.tar.gz": changed(gzip.compress(tar), lambda data: data.__setitem__(-6, data[-6] ^ 1)),
    }  # fmt: skip
