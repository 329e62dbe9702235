"""Strict reading of the CSV files that describe data sets: every problem named, nothing guessed or dropped."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dermae_bench import api

MAX_BYTES = 256 * 1024 * 1024


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
        DataError: the file as a whole cannot be read: not UTF-8, no header, a required column missing or double.
    """
    name = path.name
    if path.stat().st_size > MAX_BYTES:
        raise api.DataError(f"{name} is larger than {MAX_BYTES // 2**20} MiB")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise api.DataError(f"{name} is not UTF-8 (byte {error.start})") from None
    if "\0" in text:
        raise api.DataError(f"{name} contains NUL bytes: it is not a text file")
    # Only CR and LF end a line here: splitlines() would also break at characters that may stand in a caption.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        cells_by_line = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise api.DataError(f"{name}, line {reader.line_num}: {error}") from None
    lines = [(line, cells) for line, cells in cells_by_line if cells not in ([], [""])]
    if not lines:
        raise api.DataError(f"{name} is empty")
    columns = tuple(lines[0][1])
    wrong = [f"column {column!r} is missing" for column in required if column not in columns]
    wrong += [f"column {column!r} stands {columns.count(column)} times" for column in sorted(set(columns))
              if columns.count(column) > 1]  # fmt: skip
    if "" in columns:
        wrong.append("a column has no name")
    if wrong:
        hint = "separate columns by commas" if len(columns) == 1 else None
        raise api.DataError(f"{name} has an unusable header: {','.join(columns)[:200]}", wrong, hint=hint)
    rows = []
    for line, cells in lines[1:]:
        if len(cells) == len(columns):
            rows.append(Row(line, dict(zip(columns, cells, strict=True))))
        else:
            problems.append(f"{name}, line {line}: {len(cells)} cells instead of {len(columns)}")
    if len(lines) == 1:
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
