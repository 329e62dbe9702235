"""Published numbers, shown apart as reported: they carry a source, not an identity, and are never ranked."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import get_args

from dermae_bench.bounded.texts import read_csv
from dermae_bench.errors import DataError, DataMissing
from dermae_bench.report.ranking import TEST
from dermae_bench.report.records import Board, Record, Reported, RowInfo

COLUMNS = ("board", "name", "detail", "task", "metric", "value", "n", "source")
OPTIONAL = ("beside", "note")
LARGEST_FILE = 4 * 2**20
"""Bytes: no publication has so many numbers."""
LARGEST = 10**9
"""Images of a test set at most: anything above is a slip."""


def reference_rows(path: Path) -> tuple[list[RowInfo], list[Record], list[Reported]]:
    """Rows and numbers of a CSV with the columns `board,name,detail,task,metric,value,n,source[,beside,note]`.

    `name`, `detail` and `task` are those of the measured row that does the same: classifier, training set and task,
    or generator and sampling. A task `T on S` is T asked of the data set S of `evaluate_on`. `n` may be empty where
    the publication does not tell it. `beside` is the measured column the number is shown beside, with the difference;
    `note` says what to know before comparing.

    Raises:
        DataMissing: the file is not there.
        DataError: a column is missing, a cell cannot be read, or a number stands twice, by line.
    """
    try:
        table = read_csv(path, LARGEST_FILE)
    except DataMissing:
        raise DataMissing(f"reference file {path} is not there") from None
    columns = table.columns
    missing = [name for name in COLUMNS if name not in columns]
    if missing or len(set(columns)) < len(columns):
        lacks = f"lacks the columns {', '.join(missing)}" if missing else "has two columns of one name"
        hint = f"separate columns by commas, not by {table.separator!r}" if table.separator else None
        raise DataError(f"reference file {path.name} {lacks}", hint=hint)
    if not table.rows:
        raise DataError(f"reference file {path.name} has no rows below its header")
    rows: dict[str, RowInfo] = {}
    numbers: dict[tuple[str, str, str], Reported] = {}
    problems: list[str] = []
    for number, cells in table.rows:
        if not any(cells):
            continue
        try:
            if len(cells) != len(columns):
                raise ValueError(f"{len(cells)} cells instead of {len(columns)}")
            read = _read(dict(zip(columns, cells, strict=True)))
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            continue
        identity = (read.board, read.row, read.metric)
        if identity in numbers:
            problems.append(f"line {number}: {read.metric} of {read.row!r} stands twice")
        numbers.setdefault(identity, read)
        rows.setdefault(f"{read.board} {read.row}", _row(read))
    if problems:
        raise DataError(f"reference file {path.name} cannot be read", problems)
    return list(rows.values()), [record_of_reported(item) for item in numbers.values()], list(numbers.values())


def _read(line: dict[str, str]) -> Reported:
    if line["board"] not in get_args(Board):
        raise ValueError(f"board must be one of {', '.join(get_args(Board))}, not {line['board'][:40]!r}")
    board: Board = "classifiers" if line["board"] == "classifiers" else "generators"
    if board == "classifiers":
        task, _, test = line["task"].partition(" on ")
        names = {"classifier": line["name"], "train": line["detail"], "task": task}
        names |= {TEST: test} if test else {}
    else:
        names = {"generator": line["name"], "sampling": line["detail"], "against": ""}
    value = _finite(line["value"])
    count = _whole(line["n"]) if line["n"] else None
    beside, note = (line.get(name, "") for name in OPTIONAL)
    return Reported(
        board=board,
        row=" | ".join(["reported", *(text for text in names.values() if text)]),
        names=names,
        metric=line["metric"],
        value=value,
        n=count,
        source=line["source"],
        beside=beside,
        note=note,
    )


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"value {text[:40]!r} is not a finite number")
    return value


def _whole(text: str) -> int:
    if re.fullmatch(r"\d{1,10}", text, re.ASCII) is None or not 1 <= int(text) <= LARGEST:
        raise ValueError(f"n must be a number of images from 1 to {LARGEST}, not {text[:20]!r}")
    return int(text)


def _row(item: Reported) -> RowInfo:
    return RowInfo(
        board=item.board,
        row=item.row,
        names=item.names,
        kind="reported",
        status="ok",
        seeds=({},),
        marks=(f"reported: {item.source}",),
    )


def record_of_reported(item: Reported) -> Record:
    """A published number as a record: without interval, direction or key."""
    return Record(
        board=item.board,
        row=item.row,
        names=item.names,
        kind="reported",
        metric=item.metric,
        value=item.value,
        n=item.n,
        unit="1",
        better="neither",
        identity={"reported": item.source},
        key="",
        seeds={},
        status="ok",
    )
