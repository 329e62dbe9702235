"""A leaderboard read back from `classifiers.json` or `generators.json`, which somebody else may have written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

from dermae_bench.bounded.texts import read_json
from dermae_bench.errors import NothingMatched, UserError
from dermae_bench.report.leaderboard import COSTS, KINDS, NAMES, Board, Cell, Line, MetricColumn, Pair, RowInfo, Table


@dataclass(frozen=True, kw_only=True)
class BoardFile:
    """What a table in a paper says of itself, and the table."""

    title: str
    dataset: str
    interval: str
    table: Table


def read_board(folder: Path, board: Board) -> BoardFile:
    """The leaderboard of a results folder, with its ranks as they were given there.

    Raises:
        UserError: it is no leaderboard; or as `bounded.texts.read_json`.
    """
    path = folder / f"{board}.json"
    about = read_json(path)
    try:
        return _board(about, board)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UserError(
            f"{path} is no leaderboard: {type(error).__name__}: {error}",
            hint="`dermae-bench report SUITE` makes a results folder",
        ) from error


def selected(table: Table, columns: Sequence[str], rows: Sequence[str]) -> Table:
    """The columns (metrics and costs) and the rows that are asked for; empty: all.

    Args:
        rows: patterns (``*``, ``?``, ``[..]``); a row stays when one fits one of its names, or all of them joined
            by `` / ``.

    Raises:
        UserError: there is no such column.
        NothingMatched: no row is left.
    """
    known = {column.key: column for column in table.metrics}
    for name in columns:
        if name not in known and name not in table.costs:
            hint = f"columns: {', '.join([*known, *table.costs])}"
            raise UserError(f"{table.board} have no column {name!r}", hint=hint)
    if columns:
        metrics = tuple(known[name] for name in columns if name in known)
        table = replace(table, metrics=metrics, costs=tuple(name for name in columns if name in table.costs))
    lines = [line for line in table.lines if not rows or any(_fits(line, pattern) for pattern in rows)]
    if not lines:
        what = f"no row of {table.board} fits {', '.join(map(repr, rows))}" if rows else f"there are no {table.board}"
        raise NothingMatched(what, hint="rows: " + "; ".join(_joined(line) for line in table.lines)[:1000])
    return replace(table, lines=tuple(lines))


def _fits(line: Line, pattern: str) -> bool:
    return any(fnmatchcase(text, pattern) for text in (*line.info.names.values(), _joined(line)))


def _joined(line: Line) -> str:
    return " / ".join(line.info.names.get(name, "") for name in NAMES[line.info.board])


def _board(about: Mapping[str, Any], board: Board) -> BoardFile:
    if about["board"] != board:
        raise ValueError(f"it is of {about['board']!r}")
    metrics = tuple(
        MetricColumn(
            key=_text(item["metric"]), unit=_text(item["unit"]), better=_text(item["better"]),
            identities={_text(digest): dict(meaning) for digest, meaning in item["identities"].items()},
        )
        for item in about["metrics"]
    )  # fmt: skip
    lines = tuple(_line(row, board, metrics) for row in about["rows"])
    measured = {column.key for column in metrics if any(_measures(line, column.key) for line in lines)}
    present = {name for line in lines for name in line.info.costs}
    extra = {name for line in lines for name in line.info.names} - set(NAMES[board])
    data = about["dataset"]
    split = [
        _text(data["split_rule"]),
        f"split digest {_text(data['split_digest'])[:12]}" if data["split_digest"] else "",
    ]
    size = f"{int(data['image_size'])} px" if data["image_size"] else ""
    suite, preset = _text(about["suite"]), about["preset"]
    return BoardFile(
        title=f"{suite}-{_text(preset)}" if preset else suite,
        dataset=", ".join(filter(None, (_text(data["plugin"]), size, *split))),
        interval=_text(about["interval"]),
        table=Table(
            board=board,
            names=(*NAMES[board], *sorted(extra)),
            metrics=tuple(replace(column, published=column.key not in measured) for column in metrics),
            costs=(*(cost for cost in COSTS if cost in present), *sorted(present - set(COSTS))),
            lines=lines,
        ),
    )  # fmt: skip


def _measures(line: Line, metric: str) -> bool:
    return line.info.kind != "reported" and line.cells[metric].value is not None


def _line(row: Mapping[str, Any], board: Board, metrics: Sequence[MetricColumn]) -> Line:
    if row["kind"] not in KINDS:
        raise ValueError(f"a row of kind {row['kind']!r}")
    info = RowInfo(
        board=board, row=_text(row["row"]), names={_text(k): _text(v) for k, v in row["names"].items()},
        kind=row["kind"], status=_text(row["status"]), reason=None if row["reason"] is None else _text(row["reason"]),
        seeds=tuple(_seeds(_text(row["seeds"]))), costs={_text(k): _number(v) for k, v in row["costs"].items()},
        marks=tuple(map(_text, row["marks"])),
        protocol=_text(row.get("protocol", "")), started_from=_text(row.get("started_from", "")),
    )  # fmt: skip
    pairs = tuple(
        Pair(
            metric=_text(pair["metric"]), value=cast("float", _number(pair["value"], needed=True)),
            beside=_text(pair["beside"]), difference=_number(pair["difference"]), n=_count(pair["n"]),
            source=_text(pair["source"]), note=_text(pair["note"]),
        )
        for pair in row["reported"]
    )  # fmt: skip
    return Line(info=info, cells={column.key: _cell(row["metrics"][column.key]) for column in metrics}, reported=pairs)


def _cell(about: Mapping[str, Any]) -> Cell:
    read: dict[str, Any] = {}
    for field in fields(Cell):
        # it is told where a floor is not beaten, and older files have none
        value = about.get("floor", "") if field.name == "floor" else about[field.name]
        if field.name in ("value", "low", "high", "sd", "error"):
            read[field.name] = _number(value)
        elif field.name in ("n", "rank"):
            read[field.name] = _count(value)
        elif field.name == "tied":
            read["tied"] = value is True
        elif field.name == "warnings":
            read["warnings"] = tuple(map(_text, value))
        else:
            read[field.name] = _text(value)
    return Cell(**read)


def _seeds(text: str) -> Iterator[dict[str, int]]:
    """Seeds by role from ``classifier 0,1,2; generator 0``."""
    for part in filter(None, text.split("; ")):
        role, _, numbers = part.rpartition(" ")
        yield from ({role: int(number)} for number in numbers.split(","))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:40]!r} is no text")
    return value


def _number(value: Any, needed: bool = False) -> float | None:
    if value is None and not needed:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{str(value)[:40]!r} is no number")
    return float(value)


def _count(value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"{str(value)[:40]!r} is no count")
    return value
