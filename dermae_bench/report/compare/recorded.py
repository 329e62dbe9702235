"""A results folder as something to compare: its rows, its records, and the answers behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dermae_bench.bounded.files import Unreadable
from dermae_bench.bounded.texts import read_json_lines
from dermae_bench.errors import DataError, UserError
from dermae_bench.report.evidence import FILE, VERIFY, Evidence, Score
from dermae_bench.report.form import EVIDENCE, RECORD, unfit
from dermae_bench.report.ranking import SECTION, TEST, named_section
from dermae_bench.report.records import Board, Record

RECORDS = "records.jsonl"
MOST_RECORDS = 200_000
BETWEEN = " | "
"""Between the parts of a row's id."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a board, as its folder shows it."""

    board: Board
    row: str
    """Its id, e.g. ``vit-b | train | malignancy``."""
    names: Mapping[str, str]
    kind: str
    """measured or floor"""
    marks: tuple[str, ...]
    seeds: int
    """Records that each of its metrics shall have."""

    @property
    def section(self) -> str:
        """The task, or the set that is measured against: rows of two sections answer different questions."""
        return named_section(self.board, self.names)

    @property
    def short(self) -> str:
        """The id without the section."""
        parts = self.row.split(BETWEEN)
        for name in (SECTION[self.board], TEST):
            places = [place for place, part in enumerate(parts) if part == self.names.get(name)]
            parts = [part for place, part in enumerate(parts) if place not in places[-1:]]
        return BETWEEN.join(parts)

    @property
    def head(self) -> str:
        """The classifier or generator alone."""
        return self.row.split(BETWEEN)[0]


class Results:
    """Reads `evidence.json` and `records.jsonl`; answers are read when they are asked for.

    Raises:
        UserError: one of them is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.evidence = Evidence(folder)
        problems = unfit(self.evidence.about, EVIDENCE)
        if problems:
            raise DataError(f"{folder / FILE} is not what a report writes", problems, hint=VERIFY)
        self.records = tuple(_records(folder / RECORDS))

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Measured rows and floors, in the order of the boards."""
        return tuple(
            Row(
                board=about["board"],
                row=about["row"],
                names=about["names"],
                kind=about["kind"],
                marks=tuple(about["marks"]),
                seeds=max(1, len(about["seeds"])),
            )
            for about in self.evidence.about["boards"]["rows"]
            if about["kind"] != "reported"
        )

    @cached_property
    def scores(self) -> Mapping[str, Score]:
        """Finished scores by key."""
        return {score.key: score for score in self.evidence.scores}

    def of(self, row: Row) -> dict[str, list[Record]]:
        """Metric -> its records on the whole set, one a seed, in the order of seeds."""
        found: dict[str, list[Record]] = {}
        for record in self.records:
            whole = record.identity.get("subgroup") is None
            if whole and (record.board, record.row) == (row.board, row.row):
                found.setdefault(record.metric, []).append(record)
        return {name: sorted(records, key=lambda one: sorted(one.seeds.items())) for name, records in found.items()}


def _records(path: Path) -> Iterator[Record]:
    if not path.is_file():
        raise UserError(f"there is no {path}", hint="it is half a folder: `dermae-bench report SUITE` makes it again")
    for number, about in read_json_lines(path):
        if number > MOST_RECORDS:
            raise Unreadable(path, f"more than {MOST_RECORDS:,} records")
        problems = unfit(about, RECORD)
        if problems:
            raise Unreadable(path, f"no record: {problems[0]}", line=number, hint=VERIFY)
        if about["kind"] == "reported":
            continue
        try:
            yield Record(**{**about, "warnings": tuple(about["warnings"])})
        except (ValueError, TypeError) as error:
            raise Unreadable(path, f"no record: {error}", line=number, hint=VERIFY) from None
