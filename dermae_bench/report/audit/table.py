"""Strict reading of a published table: wide (a column per metric) or long (a line per number)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dermae_bench.bounded.texts import read_csv
from dermae_bench.errors import DataError, DataMissing
from dermae_bench.report.audit.printed import Printed, read_printed

LARGEST_FILE = 4 * 2**20
MOST_ROWS = 20_000
LARGEST_SET = 10**7
LABELS = ("system", "test_set", "n", "positives", "classes", "source", "note")
LONG = ("board", "name", "detail", "task", "metric", "value", "n")
NONE_PRINTED = ("", "-", "\u2013", "\u2014", "n/a", "N/A", "NA", "nan")
SHARES = ("accuracy", "balanced-accuracy", "sensitivity", "specificity", "precision", "npv", "auc",
          "f1", "f1-macro", "f1-weighted", "f1-micro", "f1-positive", "f1-negative")  # fmt: skip
ALSO = {
    "acc": "accuracy", "bacc": "balanced-accuracy", "balanced accuracy": "balanced-accuracy", "recall": "sensitivity",
    "tpr": "sensitivity", "tnr": "specificity", "ppv": "precision", "roc-auc": "auc", "auroc": "auc", "f1-score": "f1",
    "f1 (average not stated)": "f1", "sens": "sensitivity", "spec": "specificity",
    "macro f1": "f1-macro", "weighted f1": "f1-weighted",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One printed number and where it stands."""

    line: int
    metric: str
    printed: Printed


@dataclass(frozen=True)
class Entry:
    """The numbers of one system on one task or test set: what one confusion matrix must explain."""

    system: str
    task: str
    """Task, test set or both; empty in a table that has only one."""
    n: int | None
    counts: tuple[int, ...]
    """Images of each class as the table tells them, negative before positive; empty if it does not."""
    cells: Mapping[str, Cell]

    @property
    def line(self) -> int:
        return min(cell.line for cell in self.cells.values())

    @property
    def name(self) -> str:
        return f"{self.system} [{self.task}]" if self.task else self.system


@dataclass(frozen=True)
class PaperTable:
    """A published table, number by number."""

    name: str
    entries: tuple[Entry, ...]
    others: tuple[str, ...]
    """Metrics the audit knows nothing of: they are compared for copies alone."""


@dataclass
class _Reader:
    name: str
    problems: list[str] = field(default_factory=list)

    def wrong(self, line: int, text: str) -> None:
        self.problems.append(f"{self.name}, line {line}: {text}")

    def printed(self, line: int, column: str, text: str, metric: str, percent: bool) -> Printed | None:
        try:
            return read_printed(text, percent=percent, share=metric in SHARES)
        except ValueError as error:
            self.wrong(line, f"{column}: {error}")
            return None

    def test_set(self, line: int, row: Mapping[str, str]) -> tuple[int | None, tuple[int, ...]]:
        n = self._whole(line, "n", row.get("n", ""))
        positives = self._whole(line, "positives", row.get("positives", ""))
        counts: tuple[int, ...] = ()
        if row.get("classes"):
            try:
                counts = read_counts(row["classes"].replace(";", ","))
            except ValueError as error:
                self.wrong(line, f"classes: {error}")
        if positives is not None:
            if n is None:
                self.wrong(line, "positives without n: the negatives are not known")
            elif not 0 < positives < n:
                self.wrong(line, f"{positives} positives of {n} images leave a class empty")
            elif counts and counts != (n - positives, positives):
                self.wrong(line, "classes and positives disagree")
            else:
                counts = (n - positives, positives)
        if counts and n is not None and sum(counts) != n:
            self.wrong(line, f"the classes hold {sum(counts)} images, n says {n}")
        return (sum(counts) if counts else n), counts

    def _whole(self, line: int, column: str, text: str) -> int | None:
        if text in NONE_PRINTED:
            return None
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not 0 < int(text) <= LARGEST_SET:
            self.wrong(line, f"{column} must be a number of images from 1 to {LARGEST_SET}, not {text[:20]!r}")
            return None
        return int(text)


def read_counts(text: str) -> tuple[int, ...]:
    """Images of each class from `1205,307`: negative before positive where there are two.

    Raises:
        ValueError: fewer than two classes, or a class without images.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) < 2 or not all(re.fullmatch(r"\d{1,9}", part, re.ASCII) and int(part) > 0 for part in parts):
        raise ValueError(f"{text[:60]!r} is no list of class sizes such as 1205,307 (negative, positive)")
    if sum(map(int, parts)) > LARGEST_SET:
        raise ValueError(f"{text[:60]!r} holds more than {LARGEST_SET} images")
    return tuple(int(part) for part in parts)


def read_paper_table(path: Path) -> PaperTable:
    """Read a table in UTF-8 with commas and one header line.

    Wide: `system` first; then optional `test_set`, `n`, `positives`, `classes` (`1205;307`), `source`, `note`; every
    other column is a metric, `accuracy` or `TASK: accuracy`, with ` (%)` behind it for percentages. Long: the columns
    of `results/reference/*.csv`, also with `positives` and `classes`. Values are read as text: digits matter.

    Raises:
        DataMissing: the file is not there.
        DataError: all that is wrong, with lines.
    """
    columns, rows = _rows(path)
    reader = _Reader(path.name)
    for line, cells in rows:
        if len(cells) != len(columns):
            reader.wrong(line, f"{len(cells)} cells instead of {len(columns)}")
    kept = [(line, dict(zip(columns, cells, strict=True))) for line, cells in rows if len(cells) == len(columns)]
    long = "metric" in columns and "value" in columns
    entries = _long(reader, columns, kept) if long else _wide(reader, columns, kept)
    if not entries and not reader.problems:
        reader.problems.append(f"{path.name}: no number in it")
    if reader.problems:
        raise DataError(f"{path.name} cannot be audited", reader.problems)
    others = dict.fromkeys(metric for entry in entries for metric in entry.cells if metric not in SHARES)
    return PaperTable(path.name, tuple(entries), tuple(others))


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        table = read_csv(path, LARGEST_FILE, MOST_ROWS)
    except DataMissing:
        raise DataMissing(f"table {path} is not there") from None
    columns, rows = list(table.columns), [(line, list(cells)) for line, cells in table.rows if any(cells)]
    if not rows:
        raise DataError(f"{path.name} has no rows below a header")
    twice = sorted({column for column in columns if columns.count(column) > 1})
    wrong = [f"column {column!r} stands {columns.count(column)} times" for column in twice if column]
    wrong += ["a column has no name"] if "" in columns else []
    if not {"system"} <= set(columns) and not {"metric", "value"} <= set(columns):
        wrong.append(
            "no column `system` (a table with a column per metric) or `metric` and `value` (a line per number)"
        )
    if wrong:
        other = f", not by {table.separator!r}" if table.separator else ""
        hint = f"separate columns by commas{other}" if len(columns) == 1 else "docs/audit.md shows both forms"
        raise DataError(f"{path.name} has an unusable header: {','.join(columns)[:200]}", wrong, hint=hint)
    return columns, rows


def _wide(reader: _Reader, columns: Sequence[str], rows: Sequence[tuple[int, Mapping[str, str]]]) -> list[Entry]:
    metrics = {column: _metric(reader, 1, column) for column in columns if column not in LABELS}
    if len({(task, metric) for task, metric, _ in metrics.values()}) < len(metrics):
        reader.wrong(1, "two columns name the same metric of the same task")
    entries, seen = [], dict[tuple[str, str], int]()
    for line, row in rows:
        if not row["system"]:
            reader.wrong(line, "the system has no name")
        identity = (row["system"], row.get("test_set", ""))
        if identity in seen:
            reader.wrong(line, f"{' on '.join(filter(None, identity))!r} stands on line {seen[identity]} already")
        seen.setdefault(identity, line)
        n, counts = reader.test_set(line, row)
        by_task: dict[str, dict[str, Cell]] = {}
        for column, (task, metric, percent) in metrics.items():
            if row[column] in NONE_PRINTED:
                continue
            printed = reader.printed(line, column, row[column], metric, percent)
            if printed is not None:
                by_task.setdefault(task, {})[metric] = Cell(line, metric, printed)
        for task, cells in by_task.items():
            place = " on ".join(filter(None, (task, row.get("test_set", ""))))
            entries.append(Entry(row["system"], place, n, counts, cells))
    return entries


def _long(reader: _Reader, columns: Sequence[str], rows: Sequence[tuple[int, Mapping[str, str]]]) -> list[Entry]:
    missing = [column for column in LONG if column not in columns]
    if missing:
        raise DataError(f"{reader.name} has one number a line but lacks the columns {', '.join(missing)}")
    found: dict[tuple[str, ...], dict[str, Cell]] = {}
    sets: dict[tuple[str, ...], tuple[int | None, tuple[int, ...]]] = {}
    for line, row in rows:
        _, metric, percent = _metric(reader, line, row["metric"], task=False)
        if row["value"] in NONE_PRINTED:
            continue
        printed = reader.printed(line, "value", row["value"], metric, percent)
        identity = (row["board"], row["name"], row["detail"], row["task"])
        told = reader.test_set(line, row)
        if sets.setdefault(identity, told) != told:
            reader.wrong(line, "another test set than in the other numbers of this system and task")
        cells = found.setdefault(identity, {})
        if metric in cells:
            reader.wrong(line, f"{metric} of {row['name']!r} stands on line {cells[metric].line} already")
        elif printed is not None:
            cells[metric] = Cell(line, metric, printed)
    return [
        Entry(" | ".join(filter(None, (name, detail))), task, *sets[board, name, detail, task], cells)
        for (board, name, detail, task), cells in found.items()
        if cells
    ]


def _metric(reader: _Reader, line: int, text: str, *, task: bool = True) -> tuple[str, str, bool]:
    """Task, metric and whether in per cent; a misspelt metric is a problem, another one is left as it is."""
    of, _, name = text.rpartition(":") if task else ("", "", text)
    name, percent = re.subn(r"\s*\(%\)$", "", name.strip())
    plain = ALSO.get(name.lower().replace("_", "-"), name.lower().replace("_", "-"))
    if plain in SHARES:
        return of.strip(), plain, bool(percent)
    close = difflib.get_close_matches(plain, [*SHARES, *ALSO], 1, 0.8)
    if close:
        reader.wrong(line, f"unknown metric {name!r}; did you mean {ALSO.get(close[0], close[0])!r}?")
    return of.strip(), name, bool(percent)
