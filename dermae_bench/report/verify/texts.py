"""Where two texts of a board differ: row, column, both cells."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from dermae_bench.report.verify.findings import ABSENT

Difference = tuple[str, Any, Any]
"""(where, what stands there, what should)."""

LONGEST = 120
"""Characters of a cell that are told."""


def differences(name: str, stored: str, made: str) -> Iterator[Difference]:
    """Where a stored text differs from the one that was made again; nothing where they are equal."""
    if stored == made:
        return
    found = list(_WAYS.get(name.rpartition(".")[2], _lines)(stored, made))
    yield from found or _lines(stored, made)


def _csv(stored: str, made: str) -> Iterator[Difference]:
    try:
        rows = list(csv.reader(io.StringIO(stored), strict=True))
    except csv.Error as error:
        yield f"it is no CSV: {error}", None, None
        return
    meant = list(csv.reader(io.StringIO(made)))
    if not rows or rows[0] != meant[0]:
        yield "columns", rows[0] if rows else None, meant[0]
        return
    head = meant[0]
    width = head.index("kind") if "kind" in head else 1
    theirs, ours = _labelled(rows[1:], width), _labelled(meant[1:], width)
    for label, row in ours.items():
        if label not in theirs:
            yield f"row {label}", None, "is missing"
            continue
        for column, one, two in zip_longest(head, theirs[label], row):
            if one != two:
                yield f"row {label}, column {column}", _cut(one), _cut(two)
    for label in theirs.keys() - ours.keys():
        yield f"row {label}", "stands there", None
    if list(theirs) != list(ours) and theirs.keys() == ours.keys():
        yield "order of the rows", list(theirs)[:3], list(ours)[:3]


def _labelled(rows: list[list[str]], width: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        label = " | ".join(filter(None, row[:width]))
        # rows of equal names are told apart by their number
        count = sum(known == label or known.startswith(f"{label} #") for known in found)
        found[f"{label} #{count + 1}" if count else label] = row
    return found


def _json(stored: str, made: str) -> Iterator[Difference]:
    try:
        value = json.loads(stored)
    except (ValueError, RecursionError) as error:
        yield f"it is no JSON: {error}", None, None
        return
    yield from _inner(value, json.loads(made), "")


def _jsonl(stored: str, made: str) -> Iterator[Difference]:
    for number, (one, two) in enumerate(zip_longest(stored.split("\n"), made.split("\n")), start=1):
        if one != two and one and two:
            yield from ((f"line {number}: {at}", left, right) for at, left, right in _json(one, two))
        elif one != two:
            yield f"line {number}", _cut(one), _cut(two)


def _inner(stored: Any, made: Any, at: str) -> Iterator[Difference]:
    if isinstance(stored, dict) and isinstance(made, dict):
        for name in [*made, *(name for name in stored if name not in made)]:
            place = f"{at}.{name}" if at else name
            yield from _inner(stored.get(name, ABSENT), made.get(name, ABSENT), place)
    elif isinstance(stored, list) and isinstance(made, list) and len(stored) == len(made):
        for number, (one, two) in enumerate(zip(stored, made, strict=True)):
            yield from _inner(one, two, f"{at}[{_label(two, number)}]")
    elif stored != made or type(stored) is not type(made):
        yield at, _cut(stored), _cut(made)


def _label(value: Any, number: int) -> Any:
    if not isinstance(value, dict):
        return number
    return next((value[name] for name in ("row", "metric", "name") if isinstance(value.get(name), str)), number)


def _lines(stored: str, made: str) -> Iterator[Difference]:
    for number, (one, two) in enumerate(zip_longest(stored.split("\n"), made.split("\n")), start=1):
        if one == two:
            continue
        theirs, ours = (one or "").split(" | "), (two or "").split(" | ")
        if len(theirs) == len(ours) > 1:
            for column, (left, right) in enumerate(zip(theirs, ours, strict=True), start=1):
                if left != right:
                    yield (
                        f"line {number}, cell {column} ({ours[0].removeprefix('| ')} {ours[1]})",
                        _cut(left),
                        _cut(right),
                    )
        else:
            yield f"line {number}", _cut(one), _cut(two)


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= LONGEST else value[:LONGEST] + "..."
    text = json.dumps(value)
    return value if len(text) <= LONGEST else text[:LONGEST] + "..."


_WAYS = {"csv": _csv, "json": _json, "jsonl": _jsonl}
