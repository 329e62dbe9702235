"""Which numbers of one system cannot stand together, and the confusion matrix that they imply."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dermae_bench.report.audit.averages import ACCURACY_SLACK, F1_SLACK, micro, of_matrix
from dermae_bench.report.audit.counts import explained, wilson
from dermae_bench.report.audit.matrices import AVERAGES, Floats, Matrices, allowed
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

    @property
    def matrices(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of true positives and true negatives."""
        return self.tp, self.tn


@dataclass(frozen=True)
class Clash:
    """Numbers that no confusion matrix of these class sizes gives together, whether rounded or truncated."""

    metrics: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Matched:
    """What the numbers of one system mean on given class sizes."""

    implied: Implied | None
    """By the first reading of the digits that has any: rounded, else cut off."""
    clashes: tuple[Clash, ...]
    skipped: bool
    """There are too many matrices to try, so nothing is known."""
    readings: Mapping[How, Implied] = field(default_factory=dict)
    """By each reading that has any; nobody knows which of them a table follows."""


def matched(cells: Mapping[str, Printed], negatives: int, positives: int) -> Matched:
    """Check all numbers that come from one confusion matrix, an F1 without its average and an AUC beside them.

    An empty set of matrices is proof for these class sizes. The AUC of a system is bounded by its operating point:
    a ROC curve rises, so through (false positive rate f, sensitivity t) its area lies between t (1 - f) and
    1 - f (1 - t). An F1 without its average must be one of the five of some matrix; beside an accuracy alone the
    readings of the average tell that for the whole column.
    """
    shares = of_matrix(cells)
    clashes: list[Clash] = []
    whole = dict(shares)
    found = _together(whole, negatives, positives)
    # numbers that one matrix gives are each possible alone
    if found is None or found.empty:
        for metric, printed in shares.items():
            if not _alone(metric, printed, negatives, positives):
                del whole[metric]
                clashes.append(Clash((metric,), _why(metric, printed, negatives, positives)))
        if "accuracy" in shares and "accuracy" not in whole:
            clashes += _far_off(shares, negatives, positives)
        found = _together(whole, negatives, positives)
    if found is None:
        return Matched(None, tuple(clashes), skipped=True)
    if not found.empty and "f1" in cells and whole.keys() - {"accuracy"}:
        whole["f1"] = cells["f1"]
        found = _together(whole, negatives, positives)
    if found is not None and found.empty:
        metrics = _smallest_clash(whole, negatives, positives)
        clashes.append(Clash(metrics, _why_pair(metrics, whole, negatives, positives)))
    # an accuracy that is no count leaves nothing to imply
    readings = {} if found is None or clashes or not shares else _readings(whole, negatives, positives)
    implied = next(iter(readings.values()), None)
    if "auc" in cells:
        clashes += _area(cells["auc"], shares if not clashes else {}, negatives, positives)
    return Matched(implied, tuple(clashes), skipped=False, readings=readings)


def micro_clash(cells: Mapping[str, Printed]) -> tuple[Clash, ...]:
    """An F1-micro that is not the accuracy, which it is with any number of classes and images."""
    if "accuracy" not in cells or "f1-micro" not in cells or micro(cells["accuracy"], cells["f1-micro"]).fits:
        return ()
    text = f"f1-micro {cells['f1-micro'].text} is not the accuracy {cells['accuracy'].text}, which it must be"
    return (Clash(("accuracy", "f1-micro"), text),)


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


def _readings(cells: Mapping[str, Printed], negatives: int, positives: int) -> dict[How, Implied]:
    """What the numbers imply if all are rounded, and if all are cut off."""
    every = {how: allowed(negatives, positives, _limits(cells, how)) for how in HOWS}
    return {how: _implied(found) for how, found in every.items() if found is not None and not found.empty}


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
    """The fewest metrics that no matrix gives together; all of them where the matrices are too many to try.

    With an F1 without its average, the fewest that put it beyond every average: that explains more than digits do.
    """
    grid = allowed(negatives, positives, {})
    if grid is None:
        return tuple(cells)
    agrees = {how: {m: grid.holds(m, *printed.reach(how)) for m, printed in cells.items() if m != "f1"} for how in HOWS}
    f1 = cells.get("f1")
    others = [metric for metric in cells if metric != "f1"]
    for size in range(2 if f1 is None else 1, len(cells)):
        for metrics in itertools.combinations(others, size):
            together = [np.logical_and.reduce([agrees[how][m] for m in metrics]) for how in HOWS]
            if f1 is None and not any(mask.any() for mask in together):
                return metrics
            if f1 is not None and _beyond(f1, grid.where(np.logical_or.reduce(together))):
                return (*metrics, "f1")
    return tuple(cells)


def _beyond(f1: Printed, found: Matrices) -> bool:
    """Whether a printed F1 lies above or below all that each average has."""
    low, high = min(f1.reach(how)[0] for how in HOWS), max(f1.reach(how)[1] for how in HOWS)
    ends = [_ends(found.values(average)) for average in AVERAGES]
    return all(most < low or least > high for least, most in ends)


def _implied(found: Matrices) -> Implied:
    sensitivity, specificity = found.values("sensitivity"), found.values("specificity")
    middle = float(sensitivity.min() + sensitivity.max()) / 2
    false_positives = 1 - specificity
    return Implied(
        tp=(int(found.tp.min()), int(found.tp.max())),
        tn=(int(found.tn.min()), int(found.tn.max())),
        sensitivity=_ends(sensitivity),
        specificity=_ends(specificity),
        balanced_accuracy=_ends(found.values("balanced-accuracy")),
        sensitivity_interval=wilson(middle, found.positives),
        auc=(float(np.min(sensitivity * specificity)), float(np.max(1 - false_positives * (1 - sensitivity)))),
        told=bool(np.ptp(sensitivity) <= 0.02 and np.ptp(specificity) <= 0.02),
    )


def _ends(values: Floats) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _area(auc: Printed, shares: Mapping[str, Printed], negatives: int, positives: int) -> list[Clash]:
    pairs = 2 * negatives * positives
    if not any(explained(auc, pairs, how) for how in HOWS):
        return [Clash(("auc",), f"AUC {auc.text} is no count of the {positives} x {negatives} pairs, ties half")]
    told = []
    for how in HOWS:
        found = allowed(negatives, positives, _limits(shares, how)) if shares else None
        if found is not None and not found.empty:
            low, high = _implied(found).auc
            told.append((low, high, auc.reach(how)))
    # only what lies beyond the matrices of both roundings is impossible
    if not told or any(low <= end[1] and end[0] <= high for low, high, end in told):
        return []
    low, high, _ = told[0]
    text = f"AUC {auc.text} is outside {low:.4f}-{high:.4f}, the areas of ROC curves through this operating point"
    return [Clash(("auc", *shares), text)]


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
    limits = [_limits({metric: cells[metric] for metric in metrics[:-1]}, how) for how in HOWS]
    every = [one for limit in limits if (one := allowed(negatives, positives, limit)) is not None and not one.empty]
    if not every:
        return text
    tp, tn = (np.concatenate([getattr(one, name) for one in every]) for name in ("tp", "tn"))
    found = Matrices(tp, tn, negatives, positives)
    if metrics[-1] != "f1":
        return f"{text}; with the others {metrics[-1]} lies in {_between(found, metrics[-1])}"
    lie = ", ".join(f"{average.removeprefix('f1-')} {_between(found, average)}" for average in AVERAGES)
    return f"{text}; with the others the averages of F1 are {lie}"


def _between(found: Matrices, metric: str) -> str:
    """Least and greatest value, or the one that there is."""
    values = found.values(metric)
    return "-".join(dict.fromkeys((f"{np.nanmin(values):.4f}", f"{np.nanmax(values):.4f}")))
