"""Which rows are compared: the words of the command line, and pairs of rows of one task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from dermae_bench.errors import DataError, UserError
from dermae_bench.report.compare.names import MOST, listed, meant, rows_of, spaced
from dermae_bench.report.compare.recorded import RECORDS, Results, Row
from dermae_bench.report.evidence import FILE
from dermae_bench.report.ranking import TEST

USAGE = "compare FOLDER_A FOLDER_B, compare FOLDER_A:ROW FOLDER_B:ROW, or compare FOLDER ROW_A ROW_B"
HINT = f"{USAGE}\n  `dermae-bench list` shows the folders that are there"

Key = tuple[str, str]
"""Board and section: what two rows must share."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """A results folder, and which of its rows; None where it is all of them."""

    folder: Path
    row: str | None


@dataclass(frozen=True, kw_only=True)
class RowPair:
    """The reference row and the candidate row of one task."""

    a: Row
    b: Row


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """What is compared, and what is not."""

    pairs: tuple[RowPair, ...]
    only_a: tuple[str, ...] = ()
    """Rows, or tasks of a row, that the other side does not have."""
    only_b: tuple[str, ...] = ()


def sides(words: Sequence[str]) -> tuple[Side, Side]:
    """A and B of the command line.

    Raises:
        UserError: a word names no results folder, or there are too few or too many.
    """
    if len(words) == 3:
        first = _side(words[0])
        if first is not None and first.row is None:
            return Side(folder=first.folder, row=words[1]), Side(folder=first.folder, row=words[2])
        if first is None:
            raise DataError("the first of three words is no results folder:", [_why_not(words[0])], hint=HINT)
    if len(words) != 2:
        raise UserError(f"compare takes two words, or a folder and two rows, not {len(words)} words", hint=USAGE)
    a, b = (_side(word) for word in words)
    if a is None or b is None:
        missing = [_why_not(word) for word, side in zip(words, (a, b), strict=True) if side is None]
        raise DataError("no results folder (one that holds evidence.json) is named by:", missing, hint=HINT)
    # a row that is named on one side only is meant on both
    return Side(folder=a.folder, row=a.row or b.row), Side(folder=b.folder, row=b.row or a.row)


def _side(word: str) -> Side | None:
    """The longest beginning that is a results folder, so that folders and rows may hold colons."""
    if _is_results(word):
        return Side(folder=Path(word), row=None)
    ends = [place for place, letter in enumerate(word) if letter == ":"]
    for end in reversed(ends):
        row = word[end + 1 :].strip()
        if row and _is_results(word[:end]):
            return Side(folder=Path(word[:end]), row=row)
    return None


def _why_not(word: str) -> str:
    """A word that names no results folder, and why."""
    ends = [place for place, letter in enumerate(word) if letter == ":"]
    for folder in [word, *(word[:end] for end in reversed(ends))]:
        path = Path(folder) if folder else None
        if path is None or not path.exists():
            continue
        if not path.is_dir():
            why = f"{path.name} is a file"
        elif _is_results(folder):
            why = "no row is named after the colon"
        elif (path / RECORDS).is_file():
            why = f"it has no {FILE}, as folders of older versions: `dermae-bench report SUITE` makes it again"
        else:
            why = f"it has no {FILE}"
        return f"{word}: {why}"
    return f"{word}: there is no such folder"


def _is_results(word: str) -> bool:
    return bool(word) and (Path(word) / FILE).is_file()


def paired(a: Results, b: Results, row_a: str | None, row_b: str | None) -> Pairing:
    """Rows to compare: equal names of two folders, or the named row of each side once a task.

    Floors (majority class, random, real against real) are nobody's claim: they are compared only where they are named.

    Raises:
        UserError: a pattern matches no row, or several of one task; or the sides share no row or no task.
    """
    if row_a is None or row_b is None:
        return _whole(a, b)
    problems: list[str] = []
    chosen = [_chosen(side, pattern, which, problems) for side, pattern, which in ((a, row_a, "A"), (b, row_b, "B"))]
    if problems:
        empty = {side.folder: side for side, found in zip((a, b), chosen, strict=True) if not found}
        problems += [text for side in empty.values() for text in rows_of(side)]
        hint = "a row is named by its id, by its classifier or generator, or by a pattern with * and ?"
        raise DataError("rows cannot be chosen:", problems, hint=hint)
    first, second = chosen
    shared = [key for key in first if key in second]
    if not shared:
        names = [f"{which}: {row.row}" for which, rows in zip("AB", chosen, strict=True) for row in rows.values()]
        elsewhere = _elsewhere(first, second)
        raise DataError(elsewhere or "the rows of A and B have no task in common:", names)
    return Pairing(
        pairs=tuple(RowPair(a=first[key], b=second[key]) for key in shared),
        only_a=tuple(row.row for key, row in first.items() if key not in second),
        only_b=tuple(row.row for key, row in second.items() if key not in first),
    )


def _elsewhere(first: Mapping[Key, Row], second: Mapping[Key, Row]) -> str | None:
    """What to say of rows of one task that were scored on the images of two data sets; None of others."""
    pairs = [
        (one, two)
        for one in first.values()
        for two in second.values()
        if one.board == two.board == "classifiers" and one.names.get("task") == two.names.get("task")
    ]
    if not pairs:
        return None
    a, b = (_images_of(row) for row in pairs[0])
    return f"A was scored on {a}, B on {b}; rows are compared on the same images alone:"


def _images_of(row: Row) -> str:
    return f"the images of {row.names[TEST]!r}" if row.names.get(TEST) else "the test images of the suite's own data"


def _whole(a: Results, b: Results) -> Pairing:
    first, second = ({(row.board, row.row): row for row in side.rows if row.kind != "floor"} for side in (a, b))
    shared = [key for key in first if key in second]
    if not shared:
        names = [f"{which}: {row}" for which, rows in (("A", first), ("B", second)) for _, row in list(rows)[:MOST]]
        hint = f"name the rows: compare {a.folder}:ROW {b.folder}:ROW"
        raise DataError("the folders have no row of equal name:", names, hint=hint)
    return Pairing(
        pairs=tuple(RowPair(a=first[key], b=second[key]) for key in shared),
        only_a=tuple(row for (board, row) in first if (board, row) not in second),
        only_b=tuple(row for (board, row) in second if (board, row) not in first),
    )


def _chosen(results: Results, pattern: str, which: str, problems: list[str]) -> dict[Key, Row]:
    """The row of each board and section that a pattern names; an id or a name goes before a pattern."""
    even = spaced(pattern)
    ways: tuple[Callable[[Row], bool], ...] = (
        lambda row: spaced(row.row) == even,
        lambda row: even in (spaced(row.short), spaced(row.head)),
        lambda row: fnmatchcase(spaced(row.row), even) or fnmatchcase(spaced(row.short), even),
    )
    matched = next((rows for way in ways if (rows := [row for row in results.rows if way(row)])), [])
    if not matched:
        guess = meant(pattern, results.rows)
        problems.append(f"{which}: no row {pattern!r}{f'; {guess}' if guess else ''}")
    found: dict[Key, list[Row]] = {}
    for row in matched:
        found.setdefault((row.board, row.section), []).append(row)
    for (_, section), rows in found.items():
        if len(rows) > 1:
            problems += [f"{which}: {pattern!r} names {len(rows)} rows of {section}:", *listed(rows)]
    return {key: rows[0] for key, rows in found.items()}
