"""Which test size a whole column of accuracies can come from (GRIM over a table)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dermae_bench.report.audit.counts import at_least, chance, explained, fitting, smallest_size
from dermae_bench.report.audit.findings import RARE, Grade
from dermae_bench.report.audit.printed import HOWS, How
from dermae_bench.report.audit.table import Cell, Entry
from dermae_bench.report.audit.testset import TestSet


@dataclass(frozen=True)
class Tried:
    """One candidate size against all accuracies of a pool."""

    n: int
    hits: Mapping[How, int]
    chance: Mapping[How, float]
    """Mean share of arbitrary numbers of as many digits that this size reaches."""
    p: Mapping[How, float]
    """Probability that arbitrary numbers fit as often or more often."""
    impossible: tuple[tuple[Entry, Cell], ...]
    """Numbers that are no count of n, rounded or truncated."""
    refuted: bool
    """Some number is no count of n under rounding, and some under truncation."""
    runs: str
    """Least number of runs on n images each whose mean explains all; `any from 7` where every number would fit."""

    def reading(self, cells: int) -> tuple[Grade, str]:
        if self.refuted:
            worst = max(self.hits.values())
            return "proved", f"{cells - worst} of {cells} are no counts of {self.n}"
        best = min(HOWS, key=lambda how: self.p[how] if self.hits[how] == cells else 2.0)
        if self.hits[best] == cells and self.p[best] < RARE:
            return "likely", f"all are counts of {self.n}"
        return "cannot be told", f"all can be counts of {self.n}, but arbitrary numbers often are"


@dataclass(frozen=True)
class Pool:
    """Accuracies that share a test set, as far as the table tells."""

    name: str
    cells: tuple[tuple[Entry, Cell], ...]
    tried: tuple[Tried, ...]
    smallest: Mapping[How, int | None]
    """Least test size that explains every number."""


def pools(entries: Sequence[tuple[Entry, Sequence[TestSet]]]) -> tuple[Pool, ...]:
    """Accuracies by the size that the table tells; where it tells none, by task if it tells others, else all."""
    some_told = any(entry.n is not None for entry, _ in entries)
    cells: dict[str, list[tuple[Entry, Cell]]] = {}
    sizes: dict[str, dict[int, None]] = {}
    for entry, sets in entries:
        if "accuracy" not in entry.cells:
            continue
        if entry.n is not None:
            name = f"told n = {entry.n}"
        else:
            name = f"size not told: {entry.task}" if some_told and entry.task else "size not told"
        cells.setdefault(name, []).append((entry, entry.cells["accuracy"]))
        sizes.setdefault(name, {}).update({item.n: None for item in sets if item.n is not None})
    found = []
    for name, members in cells.items():
        numbers = [cell.printed for _, cell in members]
        smallest = {how: smallest_size(numbers, how) for how in HOWS}
        found.append(Pool(name, tuple(members), tuple(_try(members, n) for n in sizes[name]), smallest))
    return tuple(found)


def _try(members: Sequence[tuple[Entry, Cell]], n: int) -> Tried:
    numbers = [cell.printed for _, cell in members]
    hits = {how: sum(bool(fitting(printed, n, how)) for printed in numbers) for how in HOWS}
    places = {printed.places for printed in numbers}
    shares = {how: {digits: chance(digits, n, how) for digits in places} for how in HOWS}
    of_cells = {how: [shares[how][printed.places] for printed in numbers] for how in HOWS}
    impossible = tuple(
        (entry, cell) for entry, cell in members if not any(explained(cell.printed, n, how) for how in HOWS)
    )
    refuted = all(any(not explained(printed, n, how) for printed in numbers) for how in HOWS)
    return Tried(
        n=n,
        hits=hits,
        chance={how: sum(of_cells[how]) / len(numbers) for how in HOWS},
        p={how: at_least(hits[how], of_cells[how]) for how in HOWS},
        impossible=impossible,
        refuted=refuted,
        runs=_runs(members, n),
    )


def _runs(members: Sequence[tuple[Entry, Cell]], n: int) -> str:
    numbers = [cell.printed for _, cell in members]
    found = [runs for how in HOWS for runs in [smallest_size(numbers, how, times=n)] if runs is not None]
    if not found:
        return "-"
    everything = min(found) * n >= max(printed.scale for printed in numbers)
    return f"any from {min(found)}" if everything else str(min(found))
