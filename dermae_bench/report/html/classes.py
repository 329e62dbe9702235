"""Numbers of each class and confusion matrices of the rows of a board."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dermae_bench.report.details import name_of
from dermae_bench.report.escape import visible
from dermae_bench.report.html.grid import NONE
from dermae_bench.report.leaderboard import Line
from dermae_bench.report.numbers import shown

_ORDER = ("recall", "precision", "f1", "auc")
"""Per-class numbers in the order they are read; others follow."""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """The counts of one seed."""

    title: str
    rows: tuple[tuple[str, int, tuple[tuple[int, str], ...]], ...]
    """True class, its images, (count, share of the class as CSS) for every decision."""


@dataclass(frozen=True, kw_only=True)
class RowClasses:
    """One row of a board, class by class."""

    title: str
    classes: tuple[str, ...]
    names: tuple[str, ...]
    """Of the per-class numbers."""
    rows: tuple[tuple[str, int, tuple[str, ...]], ...]
    """Class, its test images, each number: mean over seeds ± standard deviation."""
    matrices: tuple[Matrix, ...]
    """One a seed: a mean of counts would be no count."""


def row_classes(lines: Sequence[Line]) -> tuple[RowClasses, ...]:
    """Of every row that has counts; rows of generators may have them by several judges."""
    return tuple(
        _row(line, metrics, found) for line in lines for metrics, found in _by_answers(line.info.confusions).items()
    )


def _by_answers(confusions: Sequence[Mapping[str, Any]]) -> dict[tuple[str, ...], list[Mapping[str, Any]]]:
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for its in confusions:
        found.setdefault(tuple(its.get("metrics", ())), []).append(its)
    return found


def _row(line: Line, metrics: Sequence[str], found: Sequence[Mapping[str, Any]]) -> RowClasses:
    info = line.info
    classes = tuple(visible(name) for name in found[0]["classes"])
    known = dict.fromkeys(name for its in found for name in its.get("per_class", {}))
    names = [*(name for name in _ORDER if name in known), *(name for name in known if name not in _ORDER)]
    seeds_of = {name: [its.get("per_class", {}).get(name) for its in found] for name in names}
    totals = [sum(counts) for counts in found[0]["confusion"]]
    kind = "" if info.kind == "measured" else f" ({info.kind})"
    judged = f": {', '.join(metrics)}" if info.board == "generators" and metrics else ""
    seeds = f", {len(found)} seeds" if len(found) > 1 else ""
    return RowClasses(
        title=visible(f"{name_of(info)}{kind}{judged}{seeds}"),
        classes=classes,
        names=tuple(visible(name) for name in names),
        rows=tuple(
            (classes[c], totals[c], tuple(_over_seeds(seeds_of[name], c) for name in names))
            for c in range(len(classes))
        ),
        matrices=tuple(_matrix(its, classes) for its in found),
    )


def _over_seeds(seeds: Sequence[Sequence[float | None] | None], place: int) -> str:
    values = [its[place] for its in seeds if its is not None]
    there = [value for value in values if value is not None]
    if not there:
        return NONE
    if len(there) < len(seeds):
        # the mean of the seeds that decided for this class would hide those that never did
        return f"{NONE} in {len(seeds) - len(there)} of {len(seeds)} seeds"
    spread = f" ± {shown(statistics.stdev(there), 3)}" if len(there) > 1 else ""
    return f"{shown(statistics.fmean(there), 3)}{spread}"


def _matrix(its: Mapping[str, Any], classes: Sequence[str]) -> Matrix:
    seeds = ", ".join(f"{role} {seed}" for role, seed in its["seeds"].items())
    rows = []
    for name, counts in zip(classes, its["confusion"], strict=True):
        total = sum(counts)
        shares = tuple((int(count), f"--s:{count / total:.3f}" if total else "") for count in counts)
        rows.append((name, total, shares))
    return Matrix(title=visible(f", seed: {seeds}" if seeds else ""), rows=tuple(rows))
