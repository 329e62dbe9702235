"""What must be equal before two numbers may be compared; every difference is told at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dermae_bench.errors import DataError
from dermae_bench.report.ranking import comparable
from dermae_bench.report.records import Record

LONGEST = 60
"""Characters of a value in a message."""
MEANING: Mapping[str, str] = {
    "data": "another data set, or other pixels",
    "split_digest": "another split: other images were trained and tested on",
    "precision": "another precision",
    "reached": "one was trained for the task, the other derived it",
    "leaky": "one split divides lesions, and the other does not",
}
"""Field of an identity -> what it means when it differs."""


class Refusals:
    """Collects what differs, and refuses with all of it."""

    def __init__(self) -> None:
        self._fields: dict[tuple[str, str, str], list[str]] = {}
        self._others: list[str] = []

    def add(self, text: str) -> None:
        """Something that concerns one row or column; said once."""
        if text not in self._others:
            self._others.append(text)

    def identities(self, where: str, a: Sequence[Record], b: Sequence[Record]) -> None:
        """Compare the identities of all seeds of both rows."""
        for which, records in (("A", a), ("B", b)):
            for record in records[1:]:
                for name, first, other in unlike(comparable(records[0]), comparable(record)):
                    self.add(f"{where}: the seeds of {which} are no seeds of one thing: {name} is {first} and {other}")
        for found in unlike(comparable(a[0]), comparable(b[0])):
            self._fields.setdefault(found, []).append(where)

    def enforce(self) -> None:
        """Raise what was collected.

        Raises:
            DataError: something differs; names every field with both values, and where.
        """
        told = []
        for (name, a, b), places in self._fields.items():
            meaning = MEANING.get(name.split(".", 1)[0])
            count = f"{len(places)} numbers, e.g. {places[0]}" if len(places) > 1 else places[0]
            told.append(f"{name} is {a} in A and {b} in B{f': {meaning}' if meaning else ''} ({count})")
        told += self._others
        if told:
            raise DataError(
                "A and B cannot be compared:", told, hint="run both with equal data, split, metrics and precision"
            )


def unlike(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(field, value of A, value of B) of every field in which two identities differ."""
    first, second = (dict(_fields(item)) for item in (a, b))
    names = sorted({*first, *second})
    return [
        (name, _short(first.get(name)), _short(second.get(name)))
        for name in names
        if first.get(name) != second.get(name) or (name in first) != (name in second)
    ]


def _fields(value: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if name == "identity" and not at:
            yield from _fields(inner)
        elif isinstance(inner, Mapping) and inner:
            yield from _fields(inner, f"{at}{name}.")
        else:
            yield f"{at}{name}", inner


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
