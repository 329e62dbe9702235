"""The results folder: every file is rebuilt whole from the boards, and written only where its bytes change."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dermae_bench.report import details, subgroup_files
from dermae_bench.report.drawing import pictures
from dermae_bench.report.escape import csv_text, json_ascii
from dermae_bench.report.leaderboard import Board, Boards, Cell, Table, Value, cells_of, seeds_text, table
from dermae_bench.report.listed import Written, own_folder, write_changed, write_listed
from dermae_bench.report.markdown import contamination_markdown, markdown
from dermae_bench.report.numbers import exact
from dermae_bench.report.real_pictures import FOLDER as REAL_PICTURES
from dermae_bench.report.records import RowInfo, published
from dermae_bench.report.subgroups import blocks
from dermae_bench.report.terminal import terminal_table

__all__ = ["csv_file", "files", "pictures", "terminal_table", "write"]

BOARDS: tuple[Board, ...] = ("classifiers", "generators")
SOMETIMES = frozenset(
    {
        "subgroups.csv", "subgroups.md", "subgroups.json", "contamination.csv", "contamination.md",
        "nearest-pairs.csv", "distance-over-n.csv",
    }
)  # fmt: skip
"""Files that only some suites have."""
FIGURES = "figures"


def write(boards: Boards, folder: Path, written: Written | None = None) -> tuple[Path, ...]:
    """Bring `folder` to what `boards` say, file by file and atomically; returns the files whose bytes changed.

    What a former report wrote and this one does not is removed: pictures by their list, tables by their name.

    Args:
        written: takes the digests of what was written.

    Raises:
        UserError: a name in `folder` that is to be a folder of pictures is a link; nothing was touched.
    """
    for name in (FIGURES, REAL_PICTURES):
        own_folder(folder / name)
    contents = files(boards)
    for name in SOMETIMES - set(contents):
        (folder / name).unlink(missing_ok=True)
    changed = [path for name, text in contents.items() if write_changed(path := folder / name, text.encode(), written)]
    figures = {name.removeprefix(f"{FIGURES}/"): data for name, data in pictures(boards).items()}
    return (*changed, *write_listed(folder / FIGURES, figures, written))


def files(boards: Boards) -> dict[str, str]:
    """Name -> text of every file that is text. Equal boards give equal text; only timings and environment depend on
    the machine.

    No text names a folder of this machine: absolute and ``..`` paths are cut to their last part.
    """
    from dermae_bench.report import html

    return {**tables(boards), "report.html": html.render(boards)}


def tables(boards: Boards) -> dict[str, str]:
    """The same without the page, for whoever checks the numbers."""
    boards = published(boards)
    out: dict[str, str] = {}
    for board in BOARDS:
        leaderboard = table(boards, board)
        out[f"{board}.csv"] = csv_file(cells_of(leaderboard))
        out[f"{board}.md"] = markdown(boards, leaderboard)
        out[f"{board}.json"] = _json(_board(boards, leaderboard))
    if boards.subgroups:
        inside = {board: blocks(boards, board) for board in BOARDS}
        out["subgroups.csv"] = csv_file(subgroup_files.cells(inside))
        out["subgroups.md"] = subgroup_files.markdown(boards, inside)
        out["subgroups.json"] = _json(subgroup_files.document(boards, inside))
    if boards.contamination:
        out["contamination.csv"] = csv_file(boards.contamination)
        out["contamination.md"] = contamination_markdown(boards)
    if details.nearest(boards):
        out["nearest-pairs.csv"] = csv_file(details.pair_cells(boards))
    if details.over_counts(boards):
        out["distance-over-n.csv"] = csv_file(details.curve_cells(boards))
    out["timings.csv"] = csv_file(_timings(boards))
    out["records.jsonl"] = "".join(_line(vars(item)) for item in (*boards.records, *boards.subgroups))
    out["environment.json"] = _json(boards.environment)
    return out


def csv_file(rows: Iterable[Sequence[Value]]) -> str:
    """Header and rows as a CSV file: text stays text in a spreadsheet, numbers stay numbers."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for row in rows:
        writer.writerow(["" if v is None else csv_text(v) if isinstance(v, str) else exact(v) for v in row])
    return stream.getvalue()


def _timings(boards: Boards) -> Iterable[list[Value]]:
    yield [
        "stage", "kind", "name", "seconds", "images", "seconds/image", "network-calls/image", "images/s",
        "max rss MB", "hardware", "status",
    ]  # fmt: skip
    for item in boards.timings:
        yield [
            item.key, item.kind, item.name, item.seconds, item.images, item.seconds_per_image, item.network_calls,
            item.images_per_second, item.max_rss_mb, item.hardware, item.status,
        ]  # fmt: skip


def _board(boards: Boards, leaderboard: Table) -> dict[str, Any]:
    """The table with full numbers, and the whole identity behind each digest."""
    return {
        "board": leaderboard.board,
        "suite": boards.suite,
        "preset": boards.preset,
        "dataset": {"plugin": boards.dataset, "image_size": boards.image_size, "split_rule": boards.split_rule,
                    "split_digest": boards.split_digest},
        "interval": boards.interval,
        "metrics": [
            {"metric": column.key, "unit": column.unit, "better": column.better, "identities": column.identities}
            for column in leaderboard.metrics
        ],
        "rows": [
            {
                "row": line.info.row, "names": dict(line.info.names), "kind": line.info.kind,
                **_made(line.info),
                "marks": list(line.info.marks), "status": line.info.status, "reason": line.info.reason,
                "seeds": seeds_text(line.info), "costs": dict(line.info.costs),
                "confusions": [dict(counts) for counts in line.info.confusions],
                "metrics": {metric: _cell(cell) for metric, cell in line.cells.items()},
                "reported": [vars(pair) for pair in line.reported],
            }
            for line in leaderboard.lines
        ],
        "reported": [vars(item) for item in boards.reported if item.board == leaderboard.board],
        "warnings": list(boards.warnings),
    }  # fmt: skip


def _cell(cell: Cell) -> dict[str, Any]:
    """A cell with full numbers; a floor is in it where it is not beaten."""
    return {name: value for name, value in vars(cell).items() if name != "floor" or value}


def _made(info: RowInfo) -> dict[str, str]:
    """How a row was made, where that is told."""
    said = {"protocol": info.protocol, "started_from": info.started_from}
    return said if any(said.values()) else {}


def _json(value: Any) -> str:
    # ASCII: U+2028 and C1 controls break line-wise readers and terminals
    return json_ascii(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False)) + "\n"


def _line(value: Any) -> str:
    compact = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return json_ascii(compact) + "\n"
