"""A leaderboard as plain text, as wide as the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from string import ascii_lowercase

from dermae_bench.report.escape import fitted, visible, width_of
from dermae_bench.report.footnotes import MISSING, UNBEATEN, legend
from dermae_bench.report.leaderboard import (
    NAMES,
    Board,
    Boards,
    Cell,
    Line,
    Pair,
    Table,
    name_columns,
    name_text,
    table,
)
from dermae_bench.report.numbers import ARROWS, interval, places_of, shown, signed
from dermae_bench.report.records import published
from dermae_bench.report.words import (
    apart_notes,
    apart_reasons,
    columns_of,
    kind_of,
    place_text,
    section_title,
    state,
)

_INTERVAL = "[95 %] on other test sets of as many lesions"
LONGEST_STATE = 600
"""Characters of why a row has failed; `show` tells all."""
_SEEDS = "± standard deviation over seeds"

Column = tuple[str, list[str], bool]
"""Heading, texts, whether they are numbers."""


def terminal_table(boards: Boards, board: Board, width: int) -> str:
    """Rank, names, as many metrics as fit into `width` columns, what failed, and published numbers beside measured.

    Ends without a newline.
    """
    leaderboard = table(published(boards), board).for_readers()
    parts = []
    for section, lines in leaderboard.sections():
        parts += [_section(leaderboard, section, lines, width), *_beside(leaderboard, lines, width)]
    return "\n\n".join(parts) if parts else f"no {board} in this suite"


def _section(leaderboard: Table, section: str, lines: Sequence[Line], width: int) -> str:
    every = name_columns(leaderboard, lines)
    first = leaderboard.metrics[0].key if leaderboard.metrics else None
    letters = apart_reasons(lines)
    ranks = [place_text(line.cells[first], letters) or "-" if first else "-" for line in lines]
    marks = _letters(lines)
    metrics = columns_of(leaderboard, lines)
    numbers: list[Column] = []
    for column in metrics:
        cells = [line.cells[column.key] for line in lines]
        places = places_of(cell.value for cell in cells)
        texts = [_number(cell, places, letters) for cell in cells]
        arrow = ARROWS.get(column.better, "")
        numbers.append((visible(f"{arrow} {column.key}".strip()), texts, True))
    rank: Column = ("#", ranks, True)
    names = _shown_names(leaderboard, every, lambda some: [rank, *_named(some, lines, marks), *numbers[:1]], width)
    columns = [rank, *_named(names, lines, marks), *numbers]
    out = [fitted(section_title(leaderboard.board, section), width).rstrip()]
    rows, kept = _rows(columns, width, 1 + len(names) + bool(metrics))
    out += rows
    fitting = metrics[: kept - 1 - len(names)]
    hidden = [name for name in every if name not in names] + [column.key for column in metrics[len(fitting) :]]
    if hidden:
        out += _told(f"(also in {leaderboard.board}.csv: {', '.join(hidden)})", width, 1)
    for line in lines:
        if line.info.status != "ok":
            name = " / ".join(text for name in every if (text := name_text(line.info, name)))
            out += _told(visible(f"! {name}: {state(line)}", LONGEST_STATE), width, 2)
    for mark, letter in marks.items():
        out += _told(f"[{letter}] {mark}", width, 4)
    for letter, why in apart_notes(lines):
        out += _told(f"{letter}: apart, {why}", width, 4)
    for sign, meaning in legend(leaderboard, lines, fitting):
        if sign == MISSING:
            out += _told(visible(f"{sign} {meaning}", LONGEST_STATE), width, 2)
        else:
            out += _told(f"{sign}: {meaning}", width, len(sign) + 2 if len(sign) < 4 else 4)
    told = [line.cells[column.key] for line in lines for column in fitting]
    keys = [_INTERVAL] if any(cell.low is not None for cell in told) else []
    keys += [_SEEDS] if any(cell.sd is not None for cell in told) else []
    return "\n".join([*out, *([fitted("; ".join(keys), width).rstrip()] if keys else [])])


def _shown_names(
    leaderboard: Table, names: Sequence[str], columns_for: Callable[[Sequence[str]], Sequence[Column]], width: int
) -> list[str]:
    """Columns that name rows, so many that the first number has room beside them: what came last goes first, and what
    names rows on every board stays."""
    kept = list(names)
    always = sum(name in NAMES[leaderboard.board] for name in kept)
    while len(kept) > always and _least_width(columns_for(kept), width) > width:
        kept.pop()
    return kept


def _least_width(columns: Sequence[Column], width: int) -> int:
    widths = _cut_widths(columns, width)
    return sum(widths) + 2 * (len(widths) - 1)


def _told(text: str, width: int, indent: int) -> list[str]:
    """Words under a table, over as many lines as they need."""
    words = visible(text, 4000)
    # `wrap` counts letters, and a wide one takes two columns
    letters = width if width_of(words) <= len(words) else width // 2
    wrapped = textwrap.wrap(words, letters, subsequent_indent=" " * indent, break_on_hyphens=False)
    return [fitted(line, width).rstrip() for line in wrapped]


def _number(cell: Cell, places: int | None, letters: Mapping[str, str]) -> str:
    """``0.812 [0.780, 0.840] ± 0.010 A``; `!` where a line under the table tells what is missing, `-` for nothing."""
    if cell.value is None:
        return MISSING if cell.reason else "-"
    seeds = "" if cell.sd is None else f"± {shown(cell.sd, places)}"
    below = UNBEATEN if cell.floor else ""
    parts = (shown(cell.value, places), interval(cell, places), seeds, letters.get(cell.apart, ""), below)
    return " ".join(filter(None, parts))


def _letters(lines: Sequence[Line]) -> dict[str, str]:
    """Mark -> the letter that stands for it beside names; told once, under the table."""
    marks = dict.fromkeys(mark for line in lines for mark in line.info.marks)
    return {mark: ascii_lowercase[i] if i < 26 else str(i) for i, mark in enumerate(marks)}


def _beside(leaderboard: Table, lines: Sequence[Line], width: int) -> list[str]:
    """Published numbers under the rows they stand beside: measured - reported = difference."""
    lines = [line for line in lines if line.reported]
    if not lines:
        return []
    names = name_columns(leaderboard, lines)
    columns = _named(names, lines, {})
    for metric in leaderboard.paired:
        pairs = [next((pair for pair in line.reported if pair.metric == metric), None) for line in lines]
        texts = [_sum(line, pair) if pair else "-" for line, pair in zip(lines, pairs, strict=True)]
        columns.append((visible(metric), texts, True))
    head = (
        "beside published numbers (other splits, test sets and networks; no ranking): measured - reported = difference"
    )
    rows, _ = _rows(columns, width, len(columns))
    foot = "which F1 a number stands beside, where its average is not stated: the notes in classifiers.md"
    return [
        "\n".join(
            [
                fitted(head, width).rstrip(),
                *rows,
                *([fitted(foot, width).rstrip()] if "not stated" in str(columns) else []),
            ]
        )
    ]


def _sum(line: Line, pair: Pair) -> str:
    cell = line.cells.get(pair.beside, Cell())
    places = places_of([pair.value])
    value = shown(pair.value, places)
    if cell.value is None or pair.difference is None:
        return f"reported {value}"
    column = f"{pair.beside} " if pair.beside != pair.metric else ""
    return f"{column}{shown(cell.value, places)} - {value} = {signed(pair.difference, places):>6}"


def _named(names: Sequence[str], lines: Sequence[Line], marks: Mapping[str, str]) -> list[Column]:
    columns: list[Column] = []
    for index, name in enumerate(names):
        texts = [name_text(line.info, name) + (_suffix(line, marks) if index == 0 else "") for line in lines]
        columns.append((name, [visible(text) for text in texts], False))
    return columns


def _rows(columns: Sequence[Column], width: int, least: int) -> tuple[list[str], int]:
    """Heading and rows of the columns that fit into `width`, and how many those are; at least `least`."""
    widths = _widths(columns, 40, 60)
    if sum(widths) + 2 * len(widths) > width:
        widths = _cut_widths(columns, width)
    kept, taken = 0, -2
    for index, needed in enumerate(widths):
        if taken + 2 + needed > width and index >= least:
            break
        kept, taken = index + 1, taken + 2 + needed
    texts = [[head for head, _, _ in columns], *zip(*(body for _, body, _ in columns), strict=True)]
    out = []
    for row in texts:
        cells = zip(row[:kept], widths, columns, strict=False)
        text = "  ".join(fitted(cell, needed, right=right) for cell, needed, (_, _, right) in cells)
        out.append(fitted(text, width).rstrip())
    return out, kept


def _cut_widths(columns: Sequence[Column], width: int) -> list[int]:
    """Where not everything has room: long names and headings are cut."""
    name = 32 if width >= 100 else 24
    return _widths(columns, name, 22) if width >= 80 else _widths(columns, 16, 12)


def _suffix(line: Line, marks: Mapping[str, str]) -> str:
    kind = kind_of(line)
    letters = ",".join(marks[mark] for mark in line.info.marks if mark in marks)
    return (f" ({kind})" if kind else "") + (f" [{letters}]" if letters else "")


def _widths(columns: Sequence[Column], name: int, head_limit: int) -> list[int]:
    """Columns' widths, with names and headings of numbers cut to so many terminal columns; numbers are never cut."""
    found = []
    for head, texts, right in columns:
        body = max((width_of(text) for text in texts), default=1)
        found.append(max(body, min(width_of(head), head_limit)) if right else min(max(body, width_of(head)), name))
    return found
