"""How many values and bytes a parquet file declares, from its footer alone.

Arrow would tell, but where it is asked for a column's facts and finds them contradictory it ends the process, since
that call of its lets no C++ exception through (seen in 26.0). Its reading of the values themselves does.

Source: the compact protocol of Apache Thrift, and `parquet.thrift` of Apache Parquet.
"""

from __future__ import annotations

import os
from io import BufferedReader
from typing import Any

_ROW_GROUPS, _COLUMNS, _FACTS, _VALUES, _UNPACKED = 4, 1, 3, 5, 6
"""Fields of FileMetaData, RowGroup, ColumnChunk and ColumnMetaData."""
_TRUE, _FALSE, _BYTE, _SHORT, _INT, _LONG, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_DEEPEST = 32
_MOST = 1_000_000
"""Values in a footer; a column of one row group takes about twenty-five."""
_TAIL = 8
"""Bytes behind the footer: its length, and `PAR1`."""


def declared_by(stream: BufferedReader, largest: int) -> list[tuple[int, int]]:
    """(values, bytes of its pages unpacked) of each column, summed over the row groups; the stream is left anywhere.

    Args:
        largest: bytes of a footer that are read.

    Raises:
        ValueError: there is no such footer.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _TAIL))
    tail = stream.read(_TAIL)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or length > min(largest, size - _TAIL):
        raise ValueError("its footer is damaged, encrypted or too large")
    stream.seek(size - _TAIL - length)
    try:
        about = _Thrift(stream.read(length)).value(_STRUCT, 0)
        groups = [[column[_FACTS] for column in group[_COLUMNS]] for group in about[_ROW_GROUPS]]
        return [
            (sum(max(0, facts[_VALUES]) for facts in column), sum(max(0, facts[_UNPACKED]) for facts in column))
            for column in zip(*groups, strict=True)
        ]
    except ValueError as error:
        raise ValueError(f"its footer is damaged: {error}") from None
    except (LookupError, TypeError) as error:
        raise ValueError(f"its footer is damaged ({type(error).__name__})") from None


class _Thrift:
    """Reads values one behind the other; what runs over the end raises a ValueError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._left = _MOST

    def value(self, kind: int, depth: int) -> Any:
        """A number, a list, a struct as field -> value; None for what is only passed over."""
        self._left -= 1
        if depth > _DEEPEST or self._left < 0:
            raise ValueError("it is too deep, or holds too much")
        if kind == _STRUCT:
            return self._struct(depth)
        if kind in {_LIST, _SET}:
            head = self._byte()
            size = head >> 4 if head >> 4 < 15 else self._plain()
            return [self._element(head & 15, depth) for _ in range(size)]
        if kind == _MAP:
            size = self._plain()
            kinds = self._byte() if size else 0
            for _ in range(size):
                self._element(kinds >> 4, depth)
                self._element(kinds & 15, depth)
            return None
        if kind in {_SHORT, _INT, _LONG}:
            number = self._plain()
            return (number >> 1) ^ -(number & 1)
        if kind in {_BYTE, _DOUBLE, _BINARY}:
            return self._pass(1 if kind == _BYTE else 8 if kind == _DOUBLE else self._plain())
        if kind in {_TRUE, _FALSE}:
            return None
        raise ValueError("it holds an unknown type")

    def _struct(self, depth: int) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self.value(_SHORT, depth)
            fields[field] = self.value(head & 15, depth + 1)
        return fields

    def _element(self, kind: int, depth: int) -> Any:
        # in a list a truth value takes a byte; in a struct it stands in the field's head
        return self._pass(1) if kind in {_TRUE, _FALSE} else self.value(kind, depth + 1)

    def _byte(self) -> int:
        self._pass(1)
        return self._data[self._at - 1]

    def _pass(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise ValueError("it is too short")

    def _plain(self) -> int:
        number = shift = 0
        while shift < 64:
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7
        raise ValueError("it holds too long a number")
