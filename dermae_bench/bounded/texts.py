"""Text, JSON and CSV that somebody else wrote: how long, how deep and how many is bounded.

What cannot be used is refused in one line with file, line and column.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermae_bench.bounded.files import GROWS, LARGEST_TEXT, Unreadable, open_plain, read_bytes

LONGEST_LINE = 1 << 20
"""Bytes of a line of a CSV file; of its cells Python's csv takes 131,072 characters."""
LONGEST_RECORD = 1 << 24
"""Bytes of a line of a JSON Lines file."""
MOST_ROWS = 5_000_000
MOST_COLUMNS = 2_000
MOST_VALUES = 4_000_000
"""Values of a JSON text."""
DEEPEST = 60
"""Levels of lists and objects in a JSON text."""
LONGEST_NUMBER = 400
"""Characters of a JSON number; Python itself stops at 4,300 digits."""

_OTHER_TEXT = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""An escape that is half of a character; most of them come in pairs."""
_NUL = "a NUL byte: it is no text file, or it is UTF-16"


# -- text ----------------------------------------------------------------------------------------------------------


def decoded(data: bytes, path: Path) -> str:
    """UTF-8, with or without a byte order mark.

    Raises:
        Unreadable: it is no such text, with line and column.
    """
    if data.startswith(_OTHER_TEXT):
        raise Unreadable(path, "it is UTF-16", hint="save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        place = {"line": before.count("\n") + 1, "column": len(before) - before.rfind("\n")}
        raise Unreadable(
            path, f"byte 0x{data[error.start]:02x} is not UTF-8", **place, hint="save it as UTF-8"
        ) from None
    if "\0" in text:
        at = text.index("\0")
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        raise Unreadable(path, _NUL, line=line, column=column)
    return text


def read_text(path: Path, limit: int = LARGEST_TEXT) -> str:
    """The text of a file; raises as `read_bytes` and `decoded`."""
    return decoded(read_bytes(path, limit), path)


# -- JSON ----------------------------------------------------------------------------------------------------------


def parse_json(text: str) -> Any:
    """A JSON value: finite numbers, every name once in its object, bounded in depth and number.

    Raises:
        ValueError: it is none; the message says what and, where the parser knows, in which line and column.
    """
    if (values := text.count(",") + text.count("[") + text.count("{")) > MOST_VALUES:
        raise ValueError(f"some {values:,} values; at most {MOST_VALUES:,} are read")
    try:
        value = json.loads(
            text, parse_constant=_refused, parse_int=_whole, parse_float=_finite, object_pairs_hook=_once
        )
    except RecursionError:
        raise ValueError(f"nested deeper than {DEEPEST} levels") from None
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for held in level
            if isinstance(held, dict | list)
            for inner in (held.values() if isinstance(held, dict) else held)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return _whole_characters(value, text)
    raise ValueError(f"nested deeper than {DEEPEST} levels")


def _whole_characters(value: Any, text: str) -> Any:
    if _HALF.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("an escape that is half of a character (a lone surrogate)") from None
    return value


def read_json(path: Path, limit: int = LARGEST_TEXT) -> Any:
    """The JSON value of a file.

    Raises:
        DataMissing, Unreadable: as `read_text`, or it is no JSON.
    """
    try:
        return parse_json(read_text(path, limit))
    except json.JSONDecodeError as error:
        raise Unreadable(path, f"no JSON: {error.msg}", line=error.lineno, column=error.colno) from None
    except ValueError as error:
        raise Unreadable(path, f"no JSON: {error}") from None


def read_json_lines(path: Path, limit: int = LARGEST_TEXT) -> Iterator[tuple[int, Any]]:
    """(line, value) of each line of a JSON Lines file, one in memory at a time.

    Raises:
        DataMissing, Unreadable: as `read_json`, with the line.
    """
    with open_plain(path, limit) as stream:
        for number, line in _lines(stream, path, LONGEST_RECORD):
            try:
                yield number, parse_json(line)
            except json.JSONDecodeError as error:
                raise Unreadable(path, f"no JSON: {error.msg}", line=number, column=error.colno) from None
            except ValueError as error:
                raise Unreadable(path, f"no JSON: {error}", line=number) from None


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _whole(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text)} digits")
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is larger than any float")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:60]!r} stands twice in an object")
    return found


# -- CSV -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Csv:
    """A comma-separated table, cells without surrounding spaces."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    """(line on which the row ends, its cells); not every row need have as many cells as there are columns. Empty lines
    are left out."""

    @property
    def separator(self) -> str | None:
        """What seems to stand between the cells in place of a comma."""
        if len(self.columns) != 1:
            return None
        return next((sign for sign in (";", "\t", "|") if sign in self.columns[0]), None)


def read_csv(path: Path, limit: int = LARGEST_TEXT, most_rows: int = MOST_ROWS) -> Csv:
    """A UTF-8 table with one header line; a byte order mark and any kind of newline are fine.

    Raises:
        DataMissing: it is not there.
        Unreadable: it is no such table, with the line: not UTF-8, NUL, an open quote, too many or too long rows.
    """
    columns: tuple[str, ...] = ()
    rows: list[tuple[int, tuple[str, ...]]] = []
    with open_plain(path, limit) as stream:
        reader = csv.reader(_split(_lines(stream, path, LONGEST_LINE)), strict=True)
        begun = 1
        try:
            for cells in reader:
                row = tuple(cell.strip() for cell in cells)
                if row not in ((), ("",)):
                    if len(row) > MOST_COLUMNS:
                        raise Unreadable(path, f"{len(row):,} cells; at most {MOST_COLUMNS:,} are read", line=begun)
                    if not columns:
                        columns = row
                    elif len(rows) == most_rows:
                        raise Unreadable(path, f"more than {most_rows:,} rows", line=begun)
                    else:
                        rows.append((reader.line_num, row))
                begun = reader.line_num + 1
        except csv.Error as error:
            raise _no_csv(path, str(error), begun, reader.line_num) from None
    if not columns:
        raise Unreadable(path, "it is empty", hint="the first line names the columns")
    return Csv(columns, tuple(rows))


def _no_csv(path: Path, told: str, begun: int, line: int) -> Unreadable:
    words = {
        "unexpected end of data": "a quote is opened and never closed",
        "field larger": "a cell is longer than 131,072 characters; is a quote left open?",
        "expected after": 'a quote is closed in the middle of a cell; inside quotes write "" for "',
    }
    reason = next((said for part, said in words.items() if part in told), told)
    more = f" (the row ends on line {line})" if line > begun else ""
    return Unreadable(path, reason + more, line=begun)


def _lines(stream: io.BufferedReader, path: Path, longest: int) -> Iterator[tuple[int, str]]:
    r"""(number, text) of lines that end in ``\n``."""
    left, number = os.fstat(stream.fileno()).st_size, 0
    while line := _next(stream, path, longest + 1):
        number += 1
        left -= len(line)
        if len(line) > longest:
            raise Unreadable(path, f"a line of more than {longest:,} bytes", line=number)
        if left < 0:
            raise Unreadable(path, GROWS, line=number)
        if number == 1 and line.startswith(_OTHER_TEXT):
            raise Unreadable(path, "it is UTF-16", hint="save it as UTF-8")
        if b"\0" in line:
            raise Unreadable(path, _NUL, line=number, column=line.index(b"\0") + 1)
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            column = len(line[: error.start].decode("utf-8-sig")) + 1
            told = f"byte 0x{line[error.start]:02x} is not UTF-8"
            raise Unreadable(path, told, line=number, column=column, hint="save it as UTF-8") from None


def _next(stream: io.BufferedReader, path: Path, most: int) -> bytes:
    try:
        return stream.readline(most)
    except OSError as error:
        raise Unreadable(path, f"it cannot be read: {error.strerror}") from None


def _split(lines: Iterable[tuple[int, str]]) -> Iterator[str]:
    r"""Lines as csv counts them: a lone ``\r`` ends one, too."""
    for _, line in lines:
        if "\r" in line.rstrip("\r\n"):
            yield from io.StringIO(line, newline="")
        else:
            yield line
