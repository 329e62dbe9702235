"""Which cells look copied: numbers equal in all digits where chance would rarely make them so."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dermae_bench.report.audit.table import SHARES, Cell, Entry

FEWEST = 5
"""Numbers of a column that tell how it varies; below, all of the table do."""


@dataclass(frozen=True)
class Copied:
    """Two systems with the same two or more numbers."""

    first: Entry
    second: Entry
    metrics: tuple[str, ...]
    differing: tuple[str, ...]
    """Other numbers of the two that are not equal."""
    chance: float | None
    """Probability of such a pair somewhere in the table, above 0; None if the table is too small to tell."""


@dataclass(frozen=True)
class Repeated:
    """Single numbers that stand in more than one row outside copied pairs; round ones are left out."""

    values: tuple[tuple[Cell, ...], ...]
    expected: float
    """Coincidences to expect."""
    chance: float
    """Probability of at least as many, above 0."""


def copied_pairs(entries: Sequence[Entry]) -> list[Copied]:
    """Pairs of entries that are equal in two or more metrics.

    Metrics with one value in a row count once: accuracy, sensitivity, specificity and balanced accuracy are equal as
    soon as two of them are, and F1-micro is the accuracy.

    Chance: the metrics are taken as normal with the covariance of the table, so two systems agree in the printed
    steps with probability prod(steps) / ((4 pi)^(m/2) sqrt(det)); times the number of pairs.
    """
    found = []
    pairs = list(itertools.combinations(entries, 2))
    for first, second in pairs:
        shared = [metric for metric in first.cells if metric in second.cells]
        equal = tuple(metric for metric in shared if _same(first.cells[metric], second.cells[metric]))
        distinct = tuple({first.cells[metric].printed.value: metric for metric in reversed(equal)}.values())[::-1]
        if len(distinct) < 2:
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
        found.append(Copied(first, second, equal, differing, _chance(entries, distinct, first, second)))
    return found


def repeated_values(entries: Sequence[Entry], copied: Sequence[Copied]) -> Repeated | None:
    """Shares that stand in two rows or more, beside what chance makes of so many numbers; None without any.

    A row counts once for a value, and a value of k rows as k - 1 coincidences. A value that ends in zeros where its
    column shows more digits is round: it may be known to fewer digits than are printed, so it is no evidence.
    """
    taken = {id(pair.second.cells[metric]) for pair in copied for metric in pair.metrics}
    cells = [(entry, cell) for entry in entries for metric, cell in entry.cells.items()
             if metric in SHARES and id(cell) not in taken]  # fmt: skip
    columns = _columns(cells)
    if all(column.spread == 0.0 for column in columns.values()):
        return None
    expected, equal = 0.0, dict[tuple[int, int], dict[int, tuple[Entry, Cell]]]()
    for (one, a), (two, b) in itertools.combinations(cells, 2):
        if one is two or (one.system == two.system and one.task == two.task):
            continue
        of_a, of_b = columns[one.task, a.metric], columns[two.task, b.metric]
        step = max(_step(one, a), _step(two, b), 10.0 ** -min(of_a.places, of_b.places))
        expected += min(1.0, step * _density(of_a, of_b))
        if _same(a, b) and _places(a) >= min(of_a.places, of_b.places):
            group = equal.setdefault((a.printed.steps, a.printed.places), {})
            group |= {id(a): (one, a), id(b): (two, b)}
    if not equal:
        return None
    values = tuple(tuple(cell for _, cell in group.values()) for group in equal.values())
    coincidences = sum(len({id(entry) for entry, _ in group.values()}) - 1 for group in equal.values())
    return Repeated(values, expected, _poisson_tail(coincidences, expected))


@dataclass(frozen=True)
class _Column:
    mean: float
    spread: float
    """Standard deviation; both of all numbers of the table where the column has few."""
    within: float
    """Standard deviation of the column itself."""
    places: int
    """Digits that the column really shows: a zero at the end of every number is none."""


def _columns(cells: Sequence[tuple[Entry, Cell]]) -> dict[tuple[str, str], _Column]:
    members: dict[tuple[str, str], list[Cell]] = {}
    for entry, cell in cells:
        members.setdefault((entry.task, cell.metric), []).append(cell)
    everything = [cell.printed.value for _, cell in cells]
    found = {}
    for column, those in members.items():
        values = [cell.printed.value for cell in those]
        law = values if len(values) >= FEWEST else everything
        places = max(_places(cell) for cell in those)
        found[column] = _Column(float(np.mean(law)), float(np.std(law)), float(np.std(values)), places)
    return found


def _density(a: _Column, b: _Column) -> float:
    """Of the difference of a number of one column and one of the other at 0, if both are normal."""
    variance = 2 * a.within**2 if a is b else a.spread**2 + b.spread**2
    if variance == 0.0:
        return math.inf if a.mean == b.mean else 0.0
    return math.exp(-((a.mean - b.mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def _poisson_tail(least: int, expected: float) -> float:
    """Probability of `least` or more where `expected` are; from the upper side, so that it is never rounded to 0."""
    if expected == 0.0:
        return 0.0 if least else 1.0
    total, k = 0.0, least
    while k <= expected or (k - least) < 200:
        total += math.exp(-expected + k * math.log(expected) - math.lgamma(k + 1))
        k += 1
    return min(1.0, total)


def _same(a: Cell, b: Cell) -> bool:
    return (a.printed.steps, a.printed.places) == (b.printed.steps, b.printed.places)


def _places(cell: Cell) -> int:
    """Printed places without the zeros at the end: 0.9000 may be 0.9."""
    steps, places = cell.printed.steps, cell.printed.places
    while places and steps % 10 == 0:
        steps, places = steps // 10, places - 1
    return places


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
    # what each metric still varies by, given those before it: the product of the squares is the determinant
    residues = np.abs(np.diag(np.linalg.qr(values - values.mean(axis=0), mode="r"))) / math.sqrt(len(rows) - 1)
    density = 1.0
    for metric, spread in zip(metrics, residues.tolist(), strict=True):
        cell = first.cells[metric]
        step = max(_step(first, cell), _step(second, second.cells[metric]), 10.0 ** -_places(cell))
        # a metric that the others tell already adds nothing
        density *= min(1.0, step / (2 * math.sqrt(math.pi) * spread)) if spread > 0 else 1.0
    return -math.expm1(-density * math.comb(len(rows), 2))
