"""Published numbers, shown apart as reported: they carry a source, not an identity, and are never ranked."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import get_args

from dermae_bench.errors import DataError, DataMissing
from dermae_bench.report.records import Board, Record, Reported, RowInfo

COLUMNS = ("board", "name", "detail", "task", "metric", "value", "n", "source")
OPTIONAL = ("beside", "note")
LARGEST = 10**9
"""Images of a test set at most: anything above is a slip."""


def reference_rows(path: Path) -> tuple[list[RowInfo], list[Record], list[Reported]]:
    """Rows and numbers of a CSV with the columns `board,name,detail,task,metric,value,n,source[,beside,note]`.

    `name`, `detail` and `task` are those of the measured row that does the same: classifier, training set and task,
    or generator and sampling. `n` may be empty where the publication does not tell it. `beside` is the measured
    column the number is shown beside, with the difference; `note` says what to know before comparing.

    Raises:
        DataMissing: the file is not there.
        DataError: a column is missing, a cell cannot be read, or a number stands twice, by line.
    """
    if not path.is_file():
        raise DataMissing(f"reference file {path} is not there")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"reference file {path.name} lacks the columns {', '.join(missing)}")
            lines = list(reader)
    except (csv.Error, UnicodeError) as error:
        raise DataError(f"reference file {path.name} is no CSV in UTF-8: {error}") from error
    rows: dict[str, RowInfo] = {}
    numbers: dict[tuple[str, str, str], Reported] = {}
    problems: list[str] = []
    for number, line in enumerate(lines, start=2):
        try:
            read = _read(line)
        except (ValueError, TypeError, KeyError) as error:
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
    if None in line or None in line.values():
        raise ValueError("it has not as many cells as the first line")
    if line["board"] not in get_args(Board):
        raise ValueError(f"board must be one of {', '.join(get_args(Board))}, not {line['board']!r}")
    board: Board = "classifiers" if line["board"] == "classifiers" else "generators"
    if board == "classifiers":
        names = {"classifier": line["name"], "train": line["detail"], "task": line["task"]}
    else:
        names = {"generator": line["name"], "sampling": line["detail"], "against": ""}
    value = float(line["value"])
    if not math.isfinite(value):
        raise ValueError(f"value {line['value']!r} is not a finite number")
    count = int(line["n"]) if line["n"] else None
    if count is not None and not 1 <= count <= LARGEST:
        raise ValueError(f"n must be a number of images from 1 to {LARGEST}, not {line['n'][:20]!r}")
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
