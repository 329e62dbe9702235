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
OWN = frozenset({"name", "average", "positive", "threshold", "protocol", "unit", "better", "extractor", "judge"})
"""Fields that are conventions of one metric; all others are of the data, the task or the run behind every number."""


class Refusals:
    """Collects what differs, and refuses with all of it, but for single metrics that may be left out."""

    def __init__(self) -> None:
        self._fields: dict[tuple[str, str, str], list[str]] = {}
        self._own: dict[tuple[str, str, str], list[str]] = {}
        """Conventions of single metrics."""
        self._others: list[str] = []
        self._left_out: list[str] = []
        self._named = False

    def add(self, text: str) -> None:
        """Something that concerns one row or column; said once."""
        if text not in self._others:
            self._others.append(text)

    def identities(self, where: str, a: Sequence[Record], b: Sequence[Record], *, named: bool) -> bool:
        """Compare the identities of all seeds of both rows.

        Args:
            where: metric and rows.
            named: whether the user asked for this metric: then it may not be left out.

        Returns:
            Whether both sides mean one metric; on unlike data it may still be refused.
        """
        for which, records in (("A", a), ("B", b)):
            for record in records[1:]:
                for name, first, other in unlike(comparable(records[0]), comparable(record)):
                    self.add(f"{where}: the seeds of {which} are no seeds of one thing: {name} is {first} and {other}")
        own = []
        for found in unlike(comparable(a[0]), comparable(b[0])):
            if found[0].split(".", 1)[0] in OWN:
                own.append(found)
                self._own.setdefault(found, []).append(where)
            else:
                self._fields.setdefault(found, []).append(where)
        if own:
            self._named |= named
            self._left_out.append(f"{where}: " + "; ".join(f"{name} is {x} in A and {y} in B" for name, x, y in own))
        return not own

    def enforce(self, compared: Sequence[str]) -> list[str]:
        """Raise what was collected, or say what is left out.

        Args:
            compared: metrics that are the same on both sides.

        Returns:
            Metrics that are another one on each side, nobody asked for by name, and are not all there is.

        Raises:
            DataError: something else differs; names every field with both values, and where.
        """
        unlike_data = self._fields or self._others
        if not unlike_data and compared and not self._named:
            return self._left_out
        told = []
        for (name, a, b), places in [*self._fields.items(), *self._own.items()]:
            meaning = MEANING.get(name.split(".", 1)[0])
            count = f"{len(places)} numbers, e.g. {places[0]}" if len(places) > 1 else places[0]
            told.append(f"{name} is {a} in A and {b} in B{f': {meaning}' if meaning else ''} ({count})")
        told += self._others
        if told:
            hint = "run both with equal data, split, metrics and precision"
            if not unlike_data:
                hint = "only conventions of these metrics differ: without them in --metric the others are compared"
                if compared:
                    words = " ".join(f"--metric {name}" for name in dict.fromkeys(compared))
                    hint = f"only conventions of these metrics differ; compared can be {words}"
            raise DataError("A and B cannot be compared:", told, hint=hint)
        return []


def unlike(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(field, value of A, value of B) of every field in which two identities differ."""
    first, second = (dict(_fields(item)) for item in (a, b))
    names = sorted({*first, *second})
    return [
        (name, *_told(first.get(name), second.get(name)))
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


def _told(a: Any, b: Any) -> tuple[str, str]:
    """Both values, in full where they differ only behind what is cut."""
    return (str(a), str(b)) if _short(a) == _short(b) else (_short(a), _short(b))


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
