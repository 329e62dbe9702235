"""Which numbers of one system cannot stand together, and the confusion matrix that they imply."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dermae_bench.report.audit.averages import ACCURACY_SLACK, F1_SLACK
from dermae_bench.report.audit.counts import explained, wilson
from dermae_bench.report.audit.matrices import OF_MATRIX, Matrices, allowed
from dermae_bench.report.audit.printed import HOWS, How, Printed


@dataclass(frozen=True)
class Implied:
    """What all matrices that explain a row agree on: least and greatest value, equal where it is told exactly."""

    tp: tuple[int, int]
    tn: tuple[int, int]
    sensitivity: tuple[float, float]
    specificity: tuple[float, float]
    balanced_accuracy: tuple[float, float]
    sensitivity_interval: tuple[float, float]
    """95 % (Wilson, independent images), around the middle of the sensitivity."""
    auc: tuple[float, float]
    """Areas that a ROC curve through this operating point can have."""
    told: bool
    """The numbers pin the matrix down to a handful; without it the ranges are the arithmetic ends alone."""


@dataclass(frozen=True)
class Clash:
    """Numbers that no confusion matrix of these class sizes gives together, whether rounded or truncated."""

    metrics: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Matched:
    """What the numbers of one system mean on given class sizes."""

    implied: Implied | None
    clashes: tuple[Clash, ...]
    skipped: bool
    """There are too many matrices to try, so nothing is known."""


def matched(cells: Mapping[str, Printed], negatives: int, positives: int) -> Matched:
    """Check all numbers that come from one confusion matrix, and an AUC beside it.

    An empty set of matrices is proof for these class sizes. The AUC of a system is bounded by its operating point:
    a ROC curve rises, so through (false positive rate f, sensitivity t) its area lies between t (1 - f) and
    1 - f (1 - t).
    """
    shares = {metric: printed for metric, printed in cells.items() if metric in OF_MATRIX}
    clashes: list[Clash] = []
    whole: dict[str, Printed] = {}
    for metric, printed in shares.items():
        if _alone(metric, printed, negatives, positives):
            whole[metric] = printed
        else:
            clashes.append(Clash((metric,), _why(metric, printed, negatives, positives)))
    if "accuracy" in shares and "accuracy" not in whole:
        clashes += _far_off(shares, negatives, positives)
    found = _together(whole, negatives, positives)
    if found is None:
        return Matched(None, tuple(clashes), skipped=True)
    if found.empty:
        metrics = _smallest_clash(whole, negatives, positives)
        clashes.append(Clash(metrics, _why_pair(metrics, whole, negatives, positives)))
    # an accuracy that is no count leaves nothing to imply
    complete = not clashes and not found.empty and bool(shares)
    implied = _implied(found) if complete else None
    auc = cells.get("auc")
    if auc is not None:
        clashes += _area(auc, implied, negatives, positives)
    return Matched(implied, tuple(clashes), skipped=False)


def _alone(metric: str, printed: Printed, negatives: int, positives: int) -> bool:
    sizes = {"accuracy": negatives + positives, "f1-micro": negatives + positives,
             "sensitivity": positives, "specificity": negatives}  # fmt: skip
    if metric in sizes:
        return any(explained(printed, sizes[metric], how) for how in HOWS)
    found = _together({metric: printed}, negatives, positives)
    return found is None or not found.empty


def _together(cells: Mapping[str, Printed], negatives: int, positives: int) -> Matrices | None:
    """Matrices for numbers that are all rounded, or, if there are none, all truncated."""
    found = None
    for how in HOWS:
        found = allowed(negatives, positives, _limits(cells, how))
        if found is None or not found.empty:
            return found
    return found


def _limits(cells: Mapping[str, Printed], how: How) -> dict[str, tuple[float, float]]:
    return {metric: printed.reach(how) for metric, printed in cells.items()}


def _far_off(shares: Mapping[str, Printed], negatives: int, positives: int) -> list[Clash]:
    """Numbers out of reach at this accuracy although it is no count, such as a mean over runs that are alike."""
    accuracy = shares["accuracy"]
    slack = max(ACCURACY_SLACK, accuracy.step)
    nearby = allowed(negatives, positives, {"accuracy": (accuracy.value - slack, accuracy.value + slack)})
    found = []
    for metric, printed in shares.items():
        if metric == "accuracy" or nearby is None or nearby.empty:
            continue
        values = nearby.values(metric)
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        far = max(F1_SLACK, printed.step)
        if printed.value < low - far or printed.value > high + far:
            text = f"{metric} {printed.text} with accuracy {accuracy.text}: it lies in {low:.4f}-{high:.4f} there"
            found.append(Clash((metric, "accuracy"), text))
    return found


def _smallest_clash(cells: Mapping[str, Printed], negatives: int, positives: int) -> tuple[str, ...]:
    """The fewest metrics that no matrix gives together; all of them where the matrices are too many to try."""
    grid = allowed(negatives, positives, {})
    if grid is None:
        return tuple(cells)
    agrees = {how: {m: grid.holds(m, *printed.reach(how)) for m, printed in cells.items()} for how in HOWS}
    for size in range(2, len(cells)):
        for metrics in itertools.combinations(cells, size):
            if not any(np.logical_and.reduce([agrees[how][m] for m in metrics]).any() for how in HOWS):
                return metrics
    return tuple(cells)


def _implied(found: Matrices) -> Implied:
    sensitivity, specificity = found.values("sensitivity"), found.values("specificity")
    middle = float(sensitivity.min() + sensitivity.max()) / 2
    false_positives = 1 - specificity
    return Implied(
        tp=(int(found.tp.min()), int(found.tp.max())),
        tn=(int(found.tn.min()), int(found.tn.max())),
        sensitivity=_ends(sensitivity.tolist()),
        specificity=_ends(specificity.tolist()),
        balanced_accuracy=_ends(found.values("balanced-accuracy").tolist()),
        sensitivity_interval=wilson(middle, found.positives),
        auc=(float(np.min(sensitivity * specificity)), float(np.max(1 - false_positives * (1 - sensitivity)))),
        told=bool(np.ptp(sensitivity) <= 0.02 and np.ptp(specificity) <= 0.02),
    )


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _area(auc: Printed, implied: Implied | None, negatives: int, positives: int) -> list[Clash]:
    pairs = 2 * negatives * positives
    if not any(explained(auc, pairs, how) for how in HOWS):
        return [Clash(("auc",), f"AUC {auc.text} is no count of the {positives} x {negatives} pairs, ties half")]
    if implied is None:
        return []
    low, high = implied.auc
    # only what lies beyond both roundings is impossible
    ends = [auc.reach(how) for how in HOWS]
    if max(end[1] for end in ends) < low or min(end[0] for end in ends) > high:
        text = f"AUC {auc.text} is outside {low:.4f}-{high:.4f}, the areas of ROC curves through this operating point"
        return [Clash(("auc", "accuracy", "sensitivity", "specificity"), text)]
    return []


def _why(metric: str, printed: Printed, negatives: int, positives: int) -> str:
    sizes = {"accuracy": negatives + positives, "f1-micro": negatives + positives,
             "sensitivity": positives, "specificity": negatives}  # fmt: skip
    if metric not in sizes:
        return f"{metric} {printed.text} comes from no confusion matrix of {negatives} negatives, {positives} positives"
    size = sizes[metric]
    under = min(size, printed.steps * size // printed.scale)
    places = printed.places
    ends = [f"{k}/{size} = {k / size:.{places}f}" for k in (under, under + 1) if k <= size]
    return f"{metric} {printed.text} is no count of {size}: next to it lie {' and '.join(ends)}"


def _why_pair(metrics: Sequence[str], cells: Mapping[str, Printed], negatives: int, positives: int) -> str:
    named = ", ".join(f"{metric} {cells[metric].text}" for metric in metrics)
    text = f"no confusion matrix of {negatives} negatives and {positives} positives gives {named} together"
    others = {metric: cells[metric] for metric in metrics[:-1]}
    found = _together(others, negatives, positives)
    if found is not None and not found.empty:
        values = found.values(metrics[-1])
        text += f"; with the others {metrics[-1]} lies in {np.nanmin(values):.4f}-{np.nanmax(values):.4f}"
    return text
