r"""A leaderboard as LaTeX tables (booktabs), one for each task or reference set, to `\input` into a paper."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from dermae_bench.report.board_file import BoardFile
from dermae_bench.report.escape import latex as safe
from dermae_bench.report.footnotes import MISSING, UNBEATEN, blank, legend, told_below
from dermae_bench.report.leaderboard import (
    COST_HEADERS,
    Cell,
    Line,
    MetricColumn,
    Table,
    name_columns,
    name_text,
    seeds_text,
)
from dermae_bench.report.numbers import cost, places_of, shown
from dermae_bench.report.ranking import TEST
from dermae_bench.report.words import (
    apart_notes,
    apart_reasons,
    columns_of,
    marks_of,
    place_text,
    section_title,
    state,
)

_HEAD = r"""% Made by dermae-bench. In the preamble: \usepackage{booktabs}. Here: \input{this file}.
% Every text is escaped; letters that plain LaTeX has no name for are written [U+....].
"""
_ARROWS = {"higher": r" $\uparrow$", "lower": r" $\downarrow$"}
_EMPTY = "{-}{-}"
SIGNS = {MISSING: MISSING, UNBEATEN: r"$^{\dagger}$"}
"""Of the footnotes that a table in a paper has, as LaTeX."""


def latex_tables(board: BoardFile, *, whole: bool) -> str:
    """The file's text: ASCII, and the same for the same board.

    Args:
        whole: False where rows were left out: then the caption says whose ranks these are.
    """
    parts = [_HEAD]
    for number, (section, lines) in enumerate(board.table.sections(), start=1):
        parts.append("\n".join(_section(board, section, lines, number, whole)) + "\n")
    return "\n".join(parts)


def _section(board: BoardFile, section: str, lines: Sequence[Line], number: int, whole: bool) -> Iterator[str]:
    table = board.table
    names = name_columns(table, lines)
    metrics, letters = columns_of(table, lines), apart_reasons(lines)
    signs = {column.key: _sign(i) for i, column in enumerate(metrics)}
    seeds = list(dict.fromkeys(seeds_text(line.info) for line in lines if line.info.kind == "measured"))
    own_seeds = len(seeds) > 1
    heads = [safe(name) for name in names]
    heads += [f"{safe(c.key)}{_ARROWS.get(c.better, '')}{{}}$^{{{signs[c.key]}}}$" for c in metrics]
    heads += [safe(COST_HEADERS.get(name, name)) for name in table.costs] + (["seeds"] if own_seeds else [])
    form = "l" * len(names) + "r" * (len(metrics) + len(table.costs)) + ("l" if own_seeds else "")
    yield r"\begin{table}"
    yield r"\centering"
    yield rf"\caption{{{_caption(board, section, lines, seeds, whole)}}}"
    yield rf"\label{{tab:{_slug(board.title)}-{table.board}-{number}}}"
    yield r"\small"
    yield rf"\begin{{tabular}}{{@{{}}{form}@{{}}}}"
    yield r"\toprule"
    yield f"{' & '.join(heads)} \\\\"
    before = None
    places = {column.key: places_of(line.cells[column.key].value for line in lines) for column in metrics}
    for line in lines:
        group = (line.info.kind, bool(metrics and line.cells[metrics[0].key].apart))
        if group != before:
            yield r"\midrule"
        before = group
        named = [safe(name_text(line.info, name)) for name in names]
        named[0] += "".join(f" ({safe(mark, 120)})" for mark in marks_of(line))
        cells = [
            _EMPTY if blank(table, line, column) else _cell(line.cells[column.key], places[column.key], letters)
            for column in metrics
        ]
        costs = [_digits(cost(name, line.info.costs.get(name))) for name in table.costs]
        yield f"{' & '.join([*named, *cells, *costs, *([safe(seeds_text(line.info))] if own_seeds else [])])} \\\\"
    yield r"\bottomrule"
    yield r"\end{tabular}"
    yield r"\par\smallskip"
    yield r"\begin{minipage}{\linewidth}\footnotesize"
    for note in _notes(table, lines, metrics, signs, names):
        yield rf"{note}\par"
    yield r"\end{minipage}"
    yield r"\end{table}"


def _caption(board: BoardFile, section: str, lines: Sequence[Line], seeds: Sequence[str], whole: bool) -> str:
    told = [
        f"{board.title}, {board.table.board}" + (f", {section_title(board.table.board, section)}" if section else "")
    ]
    # the split that is named there is that of the suite's own data
    elsewhere = any(line.info.names.get(TEST) for line in lines)
    told += [f"Trained on {board.dataset}" if elsewhere else board.dataset] if board.dataset else []
    cells = [cell for line in lines for cell in line.cells.values()]
    reading = ["Mean over seeds"]
    if any(cell.low is not None for cell in cells):
        reading.append("in brackets " + (board.interval or "the 95 % interval over test sets"))
    text = ". ".join(safe(part, 2000) for part in (*told, "; ".join(reading)))
    if any(cell.sd is not None for cell in cells):
        text += r"; $\pm$ standard deviation over seeds"
    text += r". Bold: rank 1; $^{=}$: shares its rank"
    text += "" if whole else "; ranks are those of the whole board, of which rows are left out"
    return text + (f". Seeds: {safe(seeds[0])}." if len(seeds) == 1 and seeds[0] else ".")


def _notes(
    table: Table, lines: Sequence[Line], metrics: Sequence[MetricColumn], signs: Mapping[str, str], names: Sequence[str]
) -> Iterator[str]:
    """What must be equal before numbers are compared, why some stand apart, and what failed."""
    for column in metrics:
        cells = [line.cells[column.key] for line in lines if line.info.kind != "reported"]
        sizes: dict[str, set[int]] = {}
        for cell in cells:
            if cell.identity and cell.value is not None:
                sizes.setdefault(cell.identity, set()).update(() if cell.n is None else (cell.n,))
        told = [
            f"identity {digest}" + (f", n = {' and '.join(map(str, sorted(found)))}" if found else "")
            for digest, found in sizes.items()
        ]
        unit = f", in {column.unit}" if column.unit not in ("", "1") else ""
        what = safe("; ".join(told) or "published, not measured here", 2000)
        yield f"$^{{{signs[column.key]}}}$ {safe(column.key + unit)}: {what}."
    for letter, why in apart_notes(lines):
        yield f"{letter}: apart from the ranking, {safe(why, 1000)}."
    for sign, meaning in legend(table, lines, metrics):
        if sign in SIGNS:
            yield f"{SIGNS[sign]} {safe(meaning, 2000)}."
    for line in lines:
        if line.info.status != "ok":
            name = " / ".join(line.info.names.get(part, "") for part in names)
            yield f"{safe(name)}: {safe(state(line), 300)}."
    yield f"Whole identities: {safe(f'{table.board}.json')}."


def _cell(cell: Cell, places: int | None, letters: Mapping[str, str]) -> str:
    if cell.value is None:
        return MISSING if told_below(cell) else safe(cell.reason, 40) if cell.reason else _EMPTY
    number = _digits(shown(cell.value, places))
    best = cell.rank == 1 and not cell.apart and not cell.floor
    parts = [rf"\textbf{{{number}}}" if best else rf"\textit{{{number}}}" if cell.apart else number]
    if cell.apart:
        parts[0] += f"$^{{{safe(place_text(cell, letters))}}}$" if place_text(cell, letters).isalnum() else ""
    elif cell.tied:
        parts[0] += "$^{=}$"
    parts[0] += SIGNS[UNBEATEN] if cell.floor else ""
    if cell.low is not None and cell.high is not None:
        ends = f"{_digits(shown(cell.low, places))}, {_digits(shown(cell.high, places))}"
        parts.append(rf"{{\scriptsize [{ends}]}}")
    if cell.sd is not None:
        parts.append(rf"{{\scriptsize $\pm$ {_digits(shown(cell.sd, places))}}}")
    return " ".join(parts)


def _digits(text: str) -> str:
    """A number whose minus is a minus and whose commas are no punctuation."""
    return text.replace("-", "$-$").replace(",", "{,}")


def _sign(index: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    first, last = divmod(index, 26)
    return (_sign(first - 1) if first else "") + chr(ord("a") + last)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()[:80]).strip("-")
