"""Strict reading of the CSV files that describe data sets: every problem named, nothing guessed or dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dermae_bench import api

MAX_BYTES = 256 * 1024 * 1024
ABSENT = frozenset({"nan", "na", "n/a", "#n/a", "null"})
"""How spreadsheets, pandas and R write a value that is not there."""
UNKNOWN = frozenset({"", "unknown"})
"""How the archives of skin images write a fact that nobody noted."""


@dataclass(frozen=True)
class Row:
    """One data row, values without surrounding spaces."""

    line: int
    """Line in the file on which the row ends, as an editor counts."""
    values: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values[column]


def read_table(path: Path, required: Sequence[str], problems: list[str]) -> tuple[tuple[str, ...], list[Row]]:
    """Columns and rows of a comma-separated UTF-8 file with one header line; a BOM and CRLF are fine.

    What is wrong with single rows is added to `problems`, so that a caller can report it with all else.

    Raises:
        DataError: the file as a whole cannot be read: no plain file, too large, not UTF-8, no header, a required column
            missing or double.
    """
    name = path.name
    table = api.read_csv(path, MAX_BYTES)
    columns = table.columns
    wrong = [f"column {column!r} is missing" for column in required if column not in columns]
    wrong += [f"column {column!r} stands {columns.count(column)} times" for column in sorted(set(columns))
              if columns.count(column) > 1]  # fmt: skip
    if "" in columns:
        wrong.append("a column has no name")
    if wrong:
        other = f", which are separated by {table.separator!r} here" if table.separator else ""
        hint = f"separate columns by commas{other}" if len(columns) == 1 else None
        raise api.DataError(f"{name} has an unusable header: {','.join(columns)[:200]}", wrong, hint=hint)
    rows = []
    for line, cells in table.rows:
        if len(cells) != len(columns):
            problems.append(f"{name}, line {line}: {len(cells)} cells instead of {len(columns)}")
            continue
        row = Row(line, dict(zip(columns, cells, strict=True)))
        problems += [
            f"{name}, line {line}: {column} is {row[column]!r}, which says that there is none"
            for column in required
            if row[column].casefold() in ABSENT
        ]
        rows.append(row)
    if not table.rows:
        problems.append(f"{name}: no rows below the header")
    return columns, rows


def repeated(rows: Sequence[Row], column: str, name: str, problems: list[str]) -> list[Row]:
    """The first row of every value of `column`; later ones are added to `problems`, by value and line."""
    first: dict[str, Row] = {}
    for row in rows:
        earlier = first.setdefault(row[column], row)
        if earlier is not row:
            differing = [key for key, value in row.values.items() if value != earlier[key]]
            how = f"and contradicts it in {', '.join(differing)}" if differing else "with the same content"
            problems.append(f"{name}, line {row.line}: {row[column]!r} stands on line {earlier.line} already, {how}")
    return list(first.values())


def known(text: str) -> str | None:
    """A word, or None where it says that nothing is known."""
    return None if text in UNKNOWN else text


def age(text: str, where: str, problems: list[str]) -> float | None:
    """Years, from 0 to 120; None where unknown."""
    if text in UNKNOWN:
        return None
    try:
        years = float(text)
    except ValueError:
        years = -1.0
    if not 0 <= years <= 120:
        problems.append(f"{where}: age {text!r} is no number from 0 to 120")
        return None
    return years
