"""What every form of a leaderboard says about itself: what was run, on what, and how to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase

from dermae_bench.report.beside import CAPTION, Pair
from dermae_bench.report.footnotes import MISSING, plain_reason
from dermae_bench.report.leaderboard import NAMES, SECTION, Board, Boards, Cell, Line, MetricColumn, Table, section_of
from dermae_bench.report.numbers import ARROWS, places_of, shown, signed

WITHOUT = "where nothing varies or over 5 % of the resamples have no such number (a class was not drawn)"
"""Where there is no interval."""
_FLOORS = {
    "classifiers": "Floors need no model (the majority class, random answers): what a classifier must beat. They are "
    "never ranked.",
    "generators": "Floors need no generator: real against real is the best to hope for at this n, noise the worst. "
    "They are never ranked.",
}
_RANKS = (
    "Ranks compare rows of equal task, n, split and metric identity alone. '1=': this test set cannot tell it from the "
    "best (the 95 % interval of their paired difference holds 0; without paired resamples: intervals overlap); any "
    "other '=': equal values. The first metric orders the rows; rank 1 is bold."
)
_APART = " Numbers unlike those of the ranked rows stand apart, with a letter that is explained below."
CONTAMINATION = (
    (
        "A line is something that learnt; a cell says what may have shown it the images of this test set, through its "
        "own training data, samples, teachers or external weights."
    ),
    (
        "overlap: ids or groups on both sides. near-duplicates: found by the lint. declared: a collection that outside "
        "weights were trained on holds this data set. not declared: nobody says what they were trained on."
    ),
    "Nothing here changes a rank or stops a run.",
)


NO_NUMBER = f"no number ({MISSING})"
"""The state of a row of which everything was computed, and nothing exists."""


def about(boards: Boards, table: Table) -> list[str]:
    """3 to 7 sentences above a leaderboard, plain text."""
    size = f" at {boards.image_size} px" if boards.image_size else ""
    split = ", ".join(
        part for part in (boards.split_rule, f"digest {boards.split_digest}" if boards.split_digest else "") if part
    )
    run = f"Suite {boards.suite}" + (f", preset {boards.preset}" if boards.preset else "")
    lines = [
        # what a suite says of itself, stand-ins above all, belongs to its numbers
        *([f"{boards.description.rstrip('.')}."] if boards.description else []),
        f"{run}; dataset {boards.dataset or 'unnamed'}{size}" + (f"; split {split}" if split else "") + ".",
        f"n = {counts(boards, table) or 'nothing scored yet'}. {units(table)}",
        how_to_read(boards, table),
        _RANKS + (_APART if apart_reasons(table.lines) else ""),
    ]
    if any(line.info.kind == "floor" for line in table.lines):
        lines.append(_FLOORS[table.board])
    if any(line.info.kind == "reported" for line in table.lines):
        lines.append(CAPTION)
    return lines


def counts(boards: Boards, table: Table) -> str:
    """Images behind the numbers of a board, by section, e.g. ``1095 images (diagnosis)``."""
    found: dict[str, set[int]] = {}
    for line in table.lines:
        for cell in line.cells.values():
            if cell.n is not None and cell.value is not None and line.info.kind != "reported":
                found.setdefault(section_of(line.info), set()).add(cell.n)
    noun = "test images" if table.board == "classifiers" else "images"
    preposition = "" if table.board == "classifiers" else "against "
    return "; ".join(
        f"{' and '.join(map(str, sorted(sizes)))} {noun}" + (f" ({preposition}{section})" if section else "")
        for section, sizes in found.items()
    )


def units(table: Table) -> str:
    named = sorted({column.unit for column in table.metrics if column.unit not in ("", "1")})
    unit = f"Units: {', '.join(named)}, else pure numbers" if named else "Units: pure numbers"
    directions = [
        f"{ARROWS[b]} {b} is better" for b in ("higher", "lower") if any(c.better == b for c in table.metrics)
    ]
    return "; ".join([unit, *directions]) + "."


def how_to_read(boards: Boards, table: Table) -> str:
    """What stands in a cell: the test set's share and the seeds' share of what is not known, each by its name."""
    cells = [cell for line in table.lines for cell in line.cells.values()]
    told = ["Cells: mean over seeds"]
    if any(cell.low is not None for cell in cells):
        meaning = f" ({boards.interval})" if boards.interval else ""
        told.append(
            f"[interval{meaning}]: the same models on other test sets of as many lesions (its standard error: s.e. in "
            f"report.html, error in the CSV file); none {WITHOUT}"
        )
    if any(cell.sd is not None for cell in cells):
        told.append("± seeds: standard deviation over other trainings, on this test set")
    return "; ".join(told) + "."


def apart_reasons(lines: Sequence[Line]) -> dict[str, str]:
    """What sets numbers apart from the ranking -> the letter that stands for it beside them."""
    reasons = dict.fromkeys(cell.apart for line in lines for cell in line.cells.values() if cell.apart)
    return {reason: ascii_uppercase[i] if i < 26 else f"Z{i - 25}" for i, reason in enumerate(reasons)}


def apart_notes(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """(letter, why) for under a table."""
    return [(letter, plain_reason(reason)) for reason, letter in apart_reasons(lines).items()]


def place_text(cell: Cell, letters: Mapping[str, str]) -> str:
    """``1=`` in the ranking, ``A 1=`` among those apart for reason A, ``A`` alone there, empty without a rank."""
    rank = cell.rank_text if cell.rank is not None else ""
    return " ".join(filter(None, (letters.get(cell.apart, ""), rank)))


def columns_of(table: Table, lines: Sequence[Line]) -> tuple[MetricColumn, ...]:
    """The metrics that some row of a section has: a binary one says nothing where there are seven classes."""

    def said(column: MetricColumn, line: Line) -> bool:
        cell = line.cells[column.key]
        return bool(cell.identity or cell.apart) or any(pair.beside == column.key for pair in line.reported)

    found = tuple(column for column in table.metrics if any(said(column, line) for line in lines))
    return found or table.metrics


def state(line: Line) -> str:
    """Status with its reason, in one text."""
    info = line.info
    if info.reason:
        return info.reason if info.reason.startswith(info.status) else f"{info.status}: {info.reason}"
    return NO_NUMBER if without_number(line) else info.status


def without_number(line: Line) -> bool:
    """Whether all was computed, and every number of the row is missing for a reason of its own."""
    asked = [cell for cell in line.cells.values() if cell.identity or cell.reason]
    return line.info.status == "ok" and bool(asked) and all(cell.value is None for cell in asked)


def kind_of(line: Line) -> str:
    """The kind of a row that is not a measured one, unless a mark tells it already."""
    kind = line.info.kind
    return "" if kind == "measured" or any(mark.startswith(kind) for mark in line.info.marks) else kind


def marks_of(line: Line) -> list[str]:
    """What stands beside a row's name: its kind where it is not a measured one, and its marks."""
    return [*filter(None, [kind_of(line)]), *line.info.marks]


def pair_text(pair: Pair) -> str:
    """``0.658 (-0.052)``; the column it is compared with is named where the publication calls it otherwise."""
    places = places_of([pair.value])
    if not pair.beside:
        return f"{shown(pair.value, places)} (no such column here)"
    if pair.difference is None:
        return shown(pair.value, places)
    column = f" to {pair.beside}" if pair.beside != pair.metric else ""
    return f"{shown(pair.value, places)} ({signed(pair.difference, places)}{column})"


def notes_of(table: Table) -> list[tuple[str, str]]:
    """What to know of published numbers before comparing: each note once, with the rows that it is about."""
    found: dict[str, dict[str, None]] = {}
    for line in table.lines:
        where = " / ".join(filter(None, (line.info.names.get(name, "") for name in NAMES[table.board])))
        for pair in line.reported:
            for note in filter(None, pair.note.split("; ")):
                found.setdefault(note, {})[where] = None
    return [(note, "; ".join(rows) if len(rows) <= 3 else f"{len(rows)} rows") for note, rows in sorted(found.items())]


def warnings_of(boards: Boards, tables: Sequence[Table]) -> list[tuple[str, str]]:
    """Each warning once: those of cells with where they stand, then those of the whole suite with an empty text."""
    found: dict[str, dict[str, int]] = {}
    for table in tables:
        for line in table.lines:
            for metric, cell in line.cells.items():
                for text in cell.warnings:
                    found.setdefault(text, {}).setdefault(metric, 0)
                    found[text][metric] += 1
    told = [
        (text, f"{', '.join(metrics)}: {sum(metrics.values())} cell{'s' if sum(metrics.values()) > 1 else ''}")
        for text, metrics in sorted(found.items())
    ]
    return told + [(text, "") for text in dict.fromkeys(boards.warnings) if text not in found]


def section_title(board: Board, section: str) -> str:
    if not section:
        return f"no {SECTION[board]} stated"
    return f"{SECTION[board]}: {section}" if board == "classifiers" else f"measured against: {section}"
