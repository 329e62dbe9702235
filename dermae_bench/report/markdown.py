"""A leaderboard as Markdown, for a pull request or a README."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dermae_bench.report.escape import markdown as safe
from dermae_bench.report.footnotes import MISSING, UNBEATEN, blank, legend, told_below
from dermae_bench.report.leaderboard import Boards, Cell, Line, Table, name_columns, name_text, seeds_text
from dermae_bench.report.numbers import cost, heading, interval, places_of, shown, spread
from dermae_bench.report.words import (
    CONTAMINATION,
    about,
    apart_notes,
    apart_reasons,
    columns_of,
    marks_of,
    notes_of,
    pair_text,
    place_text,
    section_title,
    state,
    warnings_of,
)


def markdown(boards: Boards, table: Table) -> str:
    """Heading, how to read it, one table for each task or reference set, notes on published numbers, warnings."""
    table = table.for_readers()
    out = [f"# {safe(boards.title)}: {table.board}", "", *(f"- {safe(text)}" for text in about(boards, table)), ""]
    out += sections(table)
    if not table.lines:
        out += ["This suite has no such rows.", ""]
    notes = [f"- {safe(note)} ({safe(rows)})" for note, rows in notes_of(table)]
    if notes:
        told = f"What to know of published numbers; `{table.board}.json` has each with its source and its notes."
        out += ["## Published numbers", "", told, "", *notes, ""]
    notes = [f"- {safe(text)}" + (f" ({safe(where)})" if where else "") for text, where in warnings_of(boards, [table])]
    if notes:
        out += ["## Warnings", "", *notes, ""]
    return "\n".join(out)


def sections(table: Table) -> list[str]:
    """Lines of the tables, one for each task or reference set, and what stands under them."""
    out = []
    for section, lines in table.sections():
        out += [f"## {safe(section_title(table.board, section))}", "", *_rows(table, lines), ""]
        apart = [f"- {letter}, apart from the ranking: {safe(why)}" for letter, why in apart_notes(lines)]
        apart += [
            f"- `{sign}`: {safe(meaning, 2000)}" for sign, meaning in legend(table, lines, columns_of(table, lines))
        ]
        out += [*apart, ""] if apart else []
    return out


def contamination_markdown(boards: Boards) -> str:
    """What may have seen a test set, thing by thing."""
    head, *lines = boards.contamination
    out = [f"# {safe(boards.title)}: contamination", "", *(f"- {safe(text)}" for text in CONTAMINATION), ""]
    out += [_line([safe(text) for text in head]), _line(["---"] * len(head))]
    out += [_line([safe(text) for text in line]) for line in lines]
    return "\n".join([*out, ""])


def _rows(table: Table, lines: Sequence[Line]) -> Iterator[str]:
    names = name_columns(table, lines)
    metrics, letters = columns_of(table, lines), apart_reasons(lines)
    places = {column.key: places_of(line.cells[column.key].value for line in lines) for column in metrics}
    headings = ["rank", *names, *(heading(column) for column in metrics)]
    headings += [f"reported {metric} (difference)" for metric in table.paired]
    headings += [{"gmacs": "GMACs"}.get(name, name) for name in table.costs] + ["seeds", "status"]
    left = 1 + len(names)
    numbers = len(metrics) + len(table.paired) + len(table.costs)
    yield _line([safe(text) for text in headings])
    yield _line(["---:", *["---"] * len(names), *["---:"] * numbers, "---", "---"])
    for line in lines:
        first = line.cells[table.metrics[0].key] if table.metrics else Cell()
        named = [safe(name_text(line.info, name)) for name in names]
        named[0] += "".join(f" ({safe(mark)})" for mark in marks_of(line))
        cells = [
            "-" if blank(table, line, column) else _cell(line.cells[column.key], places[column.key], letters)
            for column in metrics
        ]
        pairs = {pair.metric: safe(pair_text(pair)) for pair in line.reported}
        cells += [pairs.get(metric, "") for metric in table.paired]
        costs = [cost(name, line.info.costs.get(name)) for name in table.costs]
        rank = place_text(first, letters)
        row = [rank, *named, *cells, *costs, safe(seeds_text(line.info)), safe(state(line))]
        assert len(row) == left + numbers + 2
        yield _line(row)


def _cell(cell: Cell, places: int | None, letters: Mapping[str, str]) -> str:
    if cell.value is None:
        # a failed row tells its reason once, under status; others do under the table
        return MISSING if told_below(cell) else ""
    value = shown(cell.value, places)
    value = f"**{value}**" if cell.rank == 1 and not cell.apart and not cell.floor else value
    value += UNBEATEN if cell.floor else ""
    rank = f"({cell.rank_text})" if cell.tied else ""
    if cell.apart:
        rank = f"*apart {place_text(cell, letters)}*"
    elif cell.reason:
        rank = f"*{safe(cell.reason)}*"
    warned = "⚠" if cell.warnings else ""
    return " ".join(part for part in (value, interval(cell, places), spread(cell, places), rank, warned) if part)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
