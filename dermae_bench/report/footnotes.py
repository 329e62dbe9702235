"""What stands under a leaderboard: why numbers are missing, what they do not show, what columns mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dermae_bench.report.floors import NOISE
from dermae_bench.report.leaderboard import Cell, Line, MetricColumn, Table, name_columns, name_text

MISSING = "!"
"""Stands where a number is missing for a reason of its own."""
UNBEATEN = "\u2020"
"""Stands beside a number that a floor reaches, too."""
NAMED_ROWS = 3
"""Rows that a reason names; of more their number is told."""
_NEAR_COPIES = (
    "about the stated quantile (0.01 unless the suite says otherwise) is what held-out photographs have. Blurred "
    "samples can lie near training images, too: read it beside nearest-ratio. None of the columns on memorisation "
    "has a better side: noise copies nobody."
)


def legend(table: Table, lines: Sequence[Line], columns: Sequence[MetricColumn]) -> list[tuple[str, str]]:
    """(sign or metric, what it means) for under the table of a section that shows these columns."""
    found = [(MISSING, text) for text in missing(table, lines, columns)]
    floors = {name for line in lines for column in columns if (name := line.cells[column.key].floor)}
    if floors:
        names = sorted({name for joined in floors for name in joined.split(", ")})
        shows = "this number alone does not show that anything was learnt"
        found.append((UNBEATEN, f"not better than a floor ({', '.join(names)}): {shows}"))
    causes = _causes(table, lines, columns)
    if causes:
        found.append(("-", f"this row has no such number. {' '.join(causes)}"))
    if any(column.key.partition("[")[0] == "near-copies" for column in columns):
        found.append(("near-copies", _NEAR_COPIES))
    return found


def blank(table: Table, line: Line, column: MetricColumn) -> bool:
    """Whether a generator or floor was not asked for what the metric reads: then nothing is open."""
    cell = line.cells[column.key]
    asked = cell.value is not None or cell.reason or cell.identity
    return table.board == "generators" and line.info.kind != "reported" and not (asked or column.published)


def told_below(cell: Cell) -> bool:
    """Whether a number is missing for a reason of its own, not because its whole row has failed or waits."""
    return cell.value is None and bool(cell.reason) and cell.reason not in ("failed", "pending")


def missing(table: Table, lines: Sequence[Line], columns: Sequence[MetricColumn]) -> Iterator[str]:
    """``columns of rows: reason``, each reason once for all that share it."""
    names = name_columns(table, lines)
    measured = [line for line in lines if line.info.kind != "reported"]
    found: dict[str, dict[str, list[str]]] = {}
    for column in columns:
        for line in measured:
            cell = line.cells[column.key]
            if told_below(cell):
                name = " / ".join(text for name in names if (text := name_text(line.info, name)))
                found.setdefault(why(column.key, cell.reason), {}).setdefault(column.key, []).append(name)
    for reason, by_column in found.items():
        alike: dict[tuple[str, ...], list[str]] = {}
        for key, rows in by_column.items():
            alike.setdefault(tuple(rows), []).append(key)
        for those, keys in alike.items():
            yield f"{', '.join(keys)} of {_rows(those, len(measured))}: {reason}"


def why(metric: str, status: str) -> str:
    """The reason of a number that failed, without what stands beside it anyway."""
    first = plain_reason(status.partition("\n")[0]).removeprefix("failed: ")
    return first.removeprefix(f"{metric} does not exist: ")


def plain_reason(reason: str) -> str:
    """``n/a (unlike the ranked rows: n 3, not 4)`` without its brackets."""
    return reason[5:-1] if reason.startswith("n/a (") and reason.endswith(")") else reason


def _rows(rows: Sequence[str], of: int) -> str:
    if len(rows) == of > 1:
        return "all rows"
    return "; ".join(rows) if len(rows) <= NAMED_ROWS else f"{len(rows)} rows"


def _causes(table: Table, lines: Sequence[Line], columns: Sequence[MetricColumn]) -> list[str]:
    """Why rows were not asked, of those that are on the board."""
    largest: dict[tuple[tuple[str, str], ...], int] = {}
    for line in lines:
        own = _set(line)
        largest[own] = max(_count(line), largest.get(own, 0))
    some = other = noise = False
    for line in lines:
        if any(blank(table, line, column) for column in columns):
            if line.info.kind == "floor" and line.info.names.get("generator") == NOISE:
                noise = True
            elif line.info.kind == "measured" and _count(line) < largest[_set(line)]:
                some = True
            else:
                other = True
    found = []
    if other:
        found.append(
            "An unconditional generator has no classes (class-agreement, cas, metrics that read labels, boards by "
            "class); without held-out images nothing is said of copies."
        )
    if some:
        found.append("A row over some of a generator's images (its n is smaller) is not asked what its classes are.")
    if noise:
        found.append("Noise has nothing but features.")
    return found


def _count(line: Line) -> int:
    n = line.info.names.get("n", "")
    return int(n) if n.isdecimal() else 0


def _set(line: Line) -> tuple[tuple[str, str], ...]:
    """What names the images of a row, but for how many they are."""
    return (("kind", line.info.kind), *sorted((k, v) for k, v in line.info.names.items() if k != "n"))
