"""A leaderboard as plain text, as wide as the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from dermae_bench.report.escape import fitted, visible, width_of
from dermae_bench.report.leaderboard import SECTION, Board, Boards, Line, Table, table
from dermae_bench.report.numbers import ARROWS, interval, places_of, shown, spread
from dermae_bench.report.records import published
from dermae_bench.report.words import marks_of, section_title, state


def terminal_table(boards: Boards, board: Board, width: int) -> str:
    """Rank, names, as many metrics as fit into `width` columns, and what failed; ends without a newline."""
    leaderboard = table(published(boards), board)
    parts = [_section(leaderboard, section, lines, width) for section, lines in leaderboard.sections()]
    return "\n\n".join(parts) if parts else f"no {board} in this suite"


def _section(leaderboard: Table, section: str, lines: Sequence[Line], width: int) -> str:
    names = [name for name in leaderboard.names if name != SECTION[leaderboard.board]]
    first = leaderboard.metrics[0].key if leaderboard.metrics else None
    ranks = [line.cells[first].rank_text if first and line.cells[first].rank is not None else "-" for line in lines]
    columns = [("#", ranks, True)]
    for index, name in enumerate(names):
        texts = [line.info.names.get(name, "") + (_suffix(line) if index == 0 else "") for line in lines]
        columns.append((name, [visible(text) for text in texts], False))
    for column in leaderboard.metrics:
        cells = [line.cells[column.key] for line in lines]
        places = places_of(cell.value for cell in cells)
        texts = [
            " ".join(filter(None, (shown(cell.value, places), interval(cell, places) or spread(cell, places))))
            if cell.value is not None
            else "-"
            for cell in cells
        ]
        arrow = ARROWS.get(column.better, "")
        columns.append((visible(f"{arrow} {column.key}".strip()), texts, True))
    widths = _widths(columns, 40, 60)
    if sum(widths) + 2 * len(widths) > width:
        widths = _widths(columns, 24, 22) if width >= 80 else _widths(columns, 16, 12)
    kept, taken = 0, -2
    for index, needed in enumerate(widths):
        if taken + 2 + needed > width and index > len(names) + bool(leaderboard.metrics):
            break
        kept, taken = index + 1, taken + 2 + needed
    out = [fitted(section_title(leaderboard.board, section), width).rstrip()]
    rows = [[head for head, _, _ in columns], *([texts[row] for _, texts, _ in columns] for row in range(len(lines)))]
    for row in rows:
        cells_ = zip(row[:kept], widths, columns, strict=False)
        text = "  ".join(fitted(cell, needed, right=right) for cell, needed, (_, _, right) in cells_)
        out.append(fitted(text, width).rstrip())
    hidden = len(columns) - kept
    if hidden:
        out.append(
            fitted(f"({hidden} more column{'s' if hidden > 1 else ''} in {leaderboard.board}.csv)", width).rstrip()
        )
    for line in lines:
        if line.info.status != "ok":
            name = " / ".join(line.info.names.get(name, "") for name in names)
            out.append(fitted(f"! {name}: {state(line)}", width).rstrip())
    return "\n".join(out)


def _suffix(line: Line) -> str:
    marks = marks_of(line)
    return f" ({', '.join(marks)})" if marks else ""


def _widths(columns: Sequence[tuple[str, list[str], bool]], name: int, head_limit: int) -> list[int]:
    """Columns' widths, with names and headings of numbers cut to so many terminal columns; numbers are never cut."""
    found = []
    for head, texts, right in columns:
        body = max((width_of(text) for text in texts), default=1)
        found.append(max(body, min(width_of(head), head_limit)) if right else min(max(body, width_of(head)), name))
    return found
