"""Published numbers, shown apart as reported: they carry a source, not an identity, and are never ranked."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import get_args

from dermae_bench.errors import DataError, DataMissing
from dermae_bench.report.records import Board, Record, RowInfo

COLUMNS = ("board", "name", "detail", "task", "metric", "value", "n", "source")


def reference_rows(path: Path) -> tuple[list[RowInfo], list[Record]]:
    """Rows and numbers of a CSV with the columns `board,name,detail,task,metric,value,n,source`.

    `detail` is the training set of a classifier or the sampling of a generator; `n` may be empty where the
    publication does not tell it.

    Raises:
        DataMissing: the file is not there.
        DataError: a column is missing or a cell cannot be read, by line.
    """
    if not path.is_file():
        raise DataMissing(f"reference file {path} is not there")
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise DataError(f"reference file {path.name} lacks the columns {', '.join(missing)}")
        lines = list(reader)
    rows: dict[str, RowInfo] = {}
    records: list[Record] = []
    problems: list[str] = []
    for number, line in enumerate(lines, start=2):
        try:
            info, record = _read(line)
        except (ValueError, TypeError, KeyError) as error:
            problems.append(f"line {number}: {error}")
            continue
        rows.setdefault(info.row, info)
        records.append(record)
    if problems:
        raise DataError(f"reference file {path.name} cannot be read", problems)
    return list(rows.values()), records


def _read(line: dict[str, str]) -> tuple[RowInfo, Record]:
    if line["board"] not in get_args(Board):
        raise ValueError(f"board must be one of {', '.join(get_args(Board))}, not {line['board']!r}")
    board: Board = "classifiers" if line["board"] == "classifiers" else "generators"
    if board == "classifiers":
        names = {"classifier": line["name"], "train": line["detail"], "task": line["task"]}
    else:
        names = {"generator": line["name"], "sampling": line["detail"], "against": ""}
    row = " | ".join(["reported", *(value for value in names.values() if value)])
    info = RowInfo(
        board=board,
        row=row,
        names=names,
        kind="reported",
        status="ok",
        seeds=({},),
        marks=(f"reported: {line['source']}",),
    )
    record = Record(
        board=board,
        row=row,
        names=names,
        kind="reported",
        metric=line["metric"],
        value=float(line["value"]),
        n=int(line["n"]) if line["n"] else 0,
        unit="1",
        better="neither",
        identity={"reported": line["source"]},
        key="",
        seeds={},
        status="ok",
    )
    return info, record
