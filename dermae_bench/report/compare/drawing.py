"""Tables and paragraphs of plain text, as wide as the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from dermae_bench.report.escape import fitted, visible, width_of

Rows = Sequence[Sequence[str]]

LEAST = 14
"""Columns of a terminal that words keep when they are cut."""


def grid(rows: Rows, width: int, names: int = 1) -> Iterator[str]:
    """Columns as wide as their texts; the first `names` and the last are words, the others numbers.

    Where they do not fit, the widest words are cut; numbers never are. A first column that is cut stands in full on a
    line of its own.
    """
    texts = [[visible(text) for text in row] for row in rows]
    widths = [max(width_of(row[column]) for row in texts) for column in range(len(texts[0]))]
    last = len(widths) - 1
    words = [column for column in range(len(widths)) if column < names or column == last]
    while sum(widths) + 2 * last > width:
        widest = max(words, key=lambda column: widths[column])
        if widths[widest] <= LEAST:
            break
        widths[widest] -= 1
    for row in texts:
        alone = width_of(row[0]) > widths[0]
        if alone:
            yield row[0]
        cells = [
            fitted(text, size, right=column not in words)
            for column, (text, size) in enumerate(zip(["" if alone else row[0], *row[1:]], widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def wrapped(lines: Sequence[str], width: int) -> list[str]:
    """Paragraphs over as many lines as they need."""
    return [
        part
        for line in lines
        for part in textwrap.wrap(visible(line, 10_000), width, subsequent_indent="  ", break_on_hyphens=False) or [""]
    ]


def fits(rows: Rows, width: int) -> bool:
    """Whether rows stand side by side uncut."""
    columns = list(zip(*_seen(rows), strict=True))
    return sum(max(map(width_of, column)) for column in columns) + 2 * (len(columns) - 1) <= width


def in_two(rows: Rows, width: int, first: int) -> Iterator[str]:
    """Each row over two lines, its first cells and below them the others; over more where that is too long.

    Nothing is cut.
    """
    seen = _seen(rows)
    heads, bodies = _aligned([row[:first] for row in seen]), _aligned([row[first:] for row in seen])
    for head, body in zip(heads, bodies, strict=True):
        for line, indent in ((head, ""), (body, "  ")):
            yield from textwrap.wrap(
                line,
                width,
                initial_indent=indent,
                subsequent_indent=f"{indent}  ",
                break_on_hyphens=False,
            )


def _seen(rows: Rows) -> list[list[str]]:
    return [[visible(text, 10_000) for text in row] for row in rows]


def _aligned(rows: Rows) -> list[str]:
    """Cells of a column equally wide, however long."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text + " " * (size - width_of(text)) for text, size in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
