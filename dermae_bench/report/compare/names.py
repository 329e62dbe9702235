"""How a user names rows and columns, and what was probably meant by a name that is none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence

from dermae_bench.plugin.checking import near
from dermae_bench.report.compare.recorded import BETWEEN, Results, Row
from dermae_bench.suite.measuring import BARE

MOST = 20
"""Rows that a message lists."""


def spaced(text: str) -> str:
    """A row's name with one space on either side of each ``|``."""
    return re.sub(r"\s*\|\s*", BETWEEN, text.strip())


def meant(pattern: str, rows: Iterable[Row]) -> str:
    """``did you mean ...?`` with names of rows, short or full; empty where none is near."""
    names = dict.fromkeys(name for row in rows for name in (row.head, row.short, row.row))
    folded = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(spaced(pattern).casefold(), folded, n=2, cutoff=0.6)
    return f"did you mean {' or '.join(repr(folded[name]) for name in close)}?" if close else ""


def listed(rows: Sequence[Row]) -> Iterator[str]:
    """Rows one a line, indented; measured ones first, `MOST` at most."""
    ordered = sorted(rows, key=lambda row: row.kind == "floor")
    yield from (f"    {row.row}" for row in ordered[:MOST])
    if len(ordered) > MOST:
        yield f"    ... {len(ordered) - MOST} more"


def rows_of(results: Results) -> list[str]:
    """All rows of a folder as lines of a message."""
    return [f"rows of {results.folder}:", *listed(results.rows)]


def about_columns(unknown: Sequence[str], columns: Iterable[str]) -> str:
    """What was probably meant by names that are no columns, then the columns; one a line where there are several."""
    known = sorted(columns)
    told = [text if len(unknown) == 1 else f"{name!r}: {text}" for name in unknown if (text := _meant(name, known))]
    between = "; " if len(unknown) == 1 else "\n  "
    return between.join([*told, f"columns that both have: {', '.join(known) or 'none'}"])


def _meant(name: str, known: Sequence[str]) -> str:
    several = BARE.get(name.casefold().replace("_", "-"))
    if several is not None:
        return several
    guess = near(name, known)
    return f"did you mean {guess!r}?" if guess else ""
