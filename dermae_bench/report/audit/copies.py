"""Which cells look copied: numbers equal in all digits where chance would rarely make them so."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dermae_bench.report.audit.table import SHARES, Cell, Entry


@dataclass(frozen=True)
class Copied:
    """Two systems with the same two or more numbers."""

    first: Entry
    second: Entry
    metrics: tuple[str, ...]
    differing: tuple[str, ...]
    """Other numbers of the two that are not equal."""
    chance: float | None
    """Probability of such a pair somewhere in the table; None if the table is too small to tell."""


@dataclass(frozen=True)
class Repeated:
    """Single numbers that stand more than once outside copied pairs."""

    values: tuple[tuple[Cell, ...], ...]
    expected: float
    """Coincidences to expect."""
    chance: float
    """Probability of at least as many."""


def copied_pairs(entries: Sequence[Entry]) -> list[Copied]:
    """Pairs of entries that are equal in two or more metrics.

    Chance: the metrics are taken as normal with the covariance of the table, so two systems agree in the printed
    steps with probability prod(steps) / ((4 pi)^(m/2) sqrt(det)); times the number of pairs.
    """
    found = []
    pairs = list(itertools.combinations(entries, 2))
    for first, second in pairs:
        shared = [metric for metric in first.cells if metric in second.cells]
        equal = tuple(metric for metric in shared if _same(first.cells[metric], second.cells[metric]))
        if len(equal) < 2:
            continue
        others = [(entry.task, metric, cell) for entry in entries if entry.system == first.system
                  for metric, cell in entry.cells.items() if not (entry is first and metric in equal)]  # fmt: skip
        twins = {(entry.task, metric): cell for entry in entries if entry.system == second.system
                 for metric, cell in entry.cells.items()}  # fmt: skip
        differing = tuple(
            f"{metric} [{task}]" if task else metric
            for task, metric, cell in others
            if (task, metric) in twins and not _same(cell, twins[task, metric]) and first.system != second.system
        )
        found.append(Copied(first, second, equal, differing, _chance(entries, equal, first, second)))
    return found


def repeated_values(entries: Sequence[Entry], copied: Sequence[Copied]) -> Repeated | None:
    """Shares that stand twice in different systems, beside what chance makes of so many numbers; None without any."""
    taken = {id(pair.second.cells[metric]) for pair in copied for metric in pair.metrics}
    cells = [(entry, cell) for entry in entries for metric, cell in entry.cells.items()
             if metric in SHARES and id(cell) not in taken]  # fmt: skip
    spread = float(np.std([cell.printed.value for _, cell in cells])) if len(cells) > 2 else 0.0
    if spread == 0.0:
        return None
    expected, equal = 0.0, dict[tuple[int, int], dict[int, Cell]]()
    for (one, a), (two, b) in itertools.combinations(cells, 2):
        if one.system == two.system and one.task == two.task:
            continue
        expected += min(1.0, max(_step(one, a), _step(two, b)) / (2 * math.sqrt(math.pi) * spread))
        if _same(a, b):
            group = equal.setdefault((a.printed.steps, a.printed.places), {})
            group |= {id(a): a, id(b): b}
    if not equal:
        return None
    values = tuple(tuple(group.values()) for group in equal.values())
    coincidences = sum(math.comb(len(group), 2) for group in values)
    below = sum(math.exp(-expected + k * math.log(expected) - math.lgamma(k + 1)) for k in range(coincidences))
    return Repeated(values, expected, max(0.0, 1 - below))


def _same(a: Cell, b: Cell) -> bool:
    return (a.printed.steps, a.printed.places) == (b.printed.steps, b.printed.places)


def _step(entry: Entry, cell: Cell) -> float:
    """Distance of neighbouring values: of the digits, or of the counts where the images are fewer."""
    images = {"accuracy": entry.n}
    if len(entry.counts) == 2:
        images |= {"specificity": entry.counts[0], "sensitivity": entry.counts[1]}
    size = images.get(cell.metric)
    return max(cell.printed.step, 1 / size if size else 0.0)


def _chance(entries: Sequence[Entry], metrics: Sequence[str], first: Entry, second: Entry) -> float | None:
    rows = [entry for entry in entries if all(metric in entry.cells for metric in metrics)]
    if len(rows) < len(metrics) + 3:
        return None
    values = np.array([[entry.cells[metric].printed.value for metric in metrics] for entry in rows])
    determinant = float(np.linalg.det(np.atleast_2d(np.cov(values, rowvar=False))))
    if determinant <= 0:
        return None
    steps = math.prod(max(_step(first, first.cells[m]), _step(second, second.cells[m])) for m in metrics)
    density = steps / ((4 * math.pi) ** (len(metrics) / 2) * math.sqrt(determinant))
    return 1 - math.exp(-density * math.comb(len(rows), 2))
