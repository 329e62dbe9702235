"""What all fuzz tests share: time and memory of one input, and bytes that are changed at random."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUITE_TESTS = Path(__file__).parents[1] / "unit" / "suite"
REPORT_TESTS = Path(__file__).parents[1] / "unit" / "report"
for _folder in (SUITE_TESTS, REPORT_TESTS):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

SLOWEST = 2.0
"""Seconds of processor time that one input may take."""
MOST_MEMORY = 500 << 20
"""Bytes that the process may grow by."""
CHUNKS = (
    b"", b"[", b"]", b"{", b"}", b": ", b"- ", b", ", b"\n", b"\r\n", b"\t", b"\0", b"'", b'"', b"&a ", b"*a", b"!!x ",
    b"<<: ", b"#", b"---\n", b"...\n", b"%TAG", b"|\n", b">-\n", b"~", b"null", b".nan", b".inf", b"1e999", b"-0",
    b"0x10", b"0o7", b"no", b"9" * 400, b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xe2\x80\xae", b"\x1b[2J",
    b"\xf0\x9f\xa6\xa0", b"${HOME}", b"../../x", b"\\ud800", b"NaN", b"true", b"1e400", b";", b"=cmd|' /C calc'!A0",
)  # fmt: skip


def memory() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@contextmanager
def bounded() -> Iterator[None]:
    """Fails where what stands inside takes too long or too much; processor time, since tests run side by side."""
    before, begun = memory(), time.process_time()
    yield
    spent, grown = time.process_time() - begun, memory() - before
    assert spent < SLOWEST, f"{spent:.1f} s"
    assert grown < MOST_MEMORY, f"{grown >> 20} MiB"


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A few changes: other bytes, chunks of meaning, parts cut, doubled or moved."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        size = len(found)
        place = chance.randrange(size + 1)
        length = min(chance.choice((0, 1, 1, 2, 4, 16, 200)), size - place)
        kind = chance.randrange(7)
        if kind == 0 and size:
            found[chance.randrange(size)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del found[place : place + length]
        elif kind == 2:
            found[place:place] = found[place : place + length] * chance.choice((1, 1, 2, 50))
        elif kind == 3:
            other = chance.randrange(size + 1)
            found[place : place + length] = found[other : other + length]
        elif kind == 4 and chance.random() < 0.2:
            del found[place:]
        elif kind == 5:
            found[place : place + length] = chance.randbytes(length)
        else:
            found[place : place + length] = chance.choice(CHUNKS)
    return bytes(found)
