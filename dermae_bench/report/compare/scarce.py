"""Differences that hang on a few lesions, of which a bootstrap that hardly draws them knows next to nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dermae_bench.report.compare.answers import TOLERANCE, Answered, Asked, recomputed
from dermae_bench.report.compare.procedures import MEANS, Both, contributions
from dermae_bench.statistics.bootstrap import ROUNDING, Interval, bca, lesions, told

FEW = (
    "A and B differ on {} of {} lesions: fewer than {} could not be told apart whichever they favour, so the interval "
    "is one of exact counts"
)
SCARCE = (
    "no interval: A and B differ on {} of {} lesions, and fewer than {} could not be told apart whichever they favour"
)
ONE_SIDED = (
    "no interval: many draws of lesions hold none on which A and B differ, and so end on 0; that says nothing of other "
    "images"
)
UNTOLD = "no interval: too many draws of lesions have no such number, or all have the same"


def interval_of(asked: Asked, both: Both, level: float) -> tuple[Interval | None, str]:
    """The interval of a difference that the images can carry, and why it is not the bootstrap's.

    Rows whose answers are the same (up to rounding of another machine) differ by nothing. Otherwise a bootstrap of
    lesions is asked only where enough of them tell the rows apart.

    Args:
        asked: the metric.
        both: reference and candidate.
        level: of the interval.

    Returns:
        (interval, note); the note is empty for the bootstrap's own.
    """
    if both.identical and same_answers(*both.answers):
        return Interval(low=0.0, high=0.0, method="bca"), ""
    enough = least(level)
    if asked.plugin in MEANS:
        parts, classes = _by_lesion(asked.plugin, both)
        differing = int(np.count_nonzero(parts))
        if differing < enough:
            found = counted(parts, classes, level)
            # no test could tell, so neither may the interval
            found = replace(found, low=min(found.low, 0.0), high=max(found.high, 0.0))
            return found, FEW.format(differing, len(parts), enough)
    else:
        differing, count = _decided_otherwise(both)
        if differing < enough and _of_decisions(asked, both):
            return None, SCARCE.format(differing, count, enough)
    drawn_interval = told(bca(both.difference, both.replicates, both.jackknife, level))
    if drawn_interval is not None and min(abs(drawn_interval.low), abs(drawn_interval.high)) <= ROUNDING:
        drawn = both.replicates[np.isfinite(both.replicates)]
        if drawn.min() >= -ROUNDING or drawn.max() <= ROUNDING:
            return None, ONE_SIDED
    return drawn_interval, "" if drawn_interval is not None else UNTOLD


def least(level: float) -> int:
    """Lesions that must differ before a sign-flip test at 1 - level could tell: 2 / 2^d <= 1 - level."""
    return math.ceil(1 - math.log2(1 - level) - ROUNDING)


def same_answers(a: Answered, b: Answered) -> bool:
    """Whether each seed of A has a seed of B with its answers, also on `val`, up to rounding."""
    left = list(b.predictions)
    for one in a.predictions:
        twin = next((place for place, other in enumerate(left) if _alike(one.logits, other.logits)), None)
        if twin is None:
            return False
        other = left.pop(twin)
        frozen = one.validation, other.validation
        if frozen[0] is not None and frozen[1] is not None and not _alike(frozen[0].logits, frozen[1].logits):
            return False
    return not left


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return one.shape == other.shape and np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE)


def _by_lesion(plugin: str, both: Both) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(G,) what each lesion adds to B - A, and (G,) the class of its first photograph; one class for accuracy."""
    candidate, reference, weights = contributions(plugin, both)
    _, member = lesions(both.groups)
    weights = np.ones(len(member)) if weights is None else weights
    parts = np.bincount(member, weights=(candidate - reference) * weights) / len(both.answers[0].right)
    parts /= len(both.answers[1].right) * weights.sum()
    parts[np.abs(parts) <= ROUNDING] = 0.0
    classes = np.zeros(len(parts), dtype=np.int64)
    if plugin != "accuracy":
        labels = both.answers[0].predictions[0].labels
        classes[member[::-1]] = labels[::-1]
    return parts, classes


def counted(parts: NDArray[np.float64], classes: NDArray[np.int64], level: float) -> Interval:
    """Interval of a difference from the exact counts of the lesions that each row wins.

    Lesions that favour B and lesions that favour A are binomial counts with Clopper-Pearson limits (1934); the limits
    of their difference are combined by MOVER (Zou and Donner 2008), class by class where classes weigh alike. Where
    no lesion differs it reaches as far as 1 - ((1 - level) / 2)^(1 / lesions), and one-sided counts leave 0 outside
    from about as many lesions on as the sign-flip test needs. A lesion is worth its share, or as much as the most
    telling one of its class.

    Args:
        parts: (G,) what each lesion adds to B - A.
        classes: (G,) in which class it is counted.
        level: of the interval.
    """
    kinds = np.unique(classes)
    down = up = 0.0
    for kind in kinds.tolist():
        mine = parts[classes == kind]
        worth = max(1 / (len(kinds) * len(mine)), float(np.abs(mine).max()))
        won, lost = int((mine > 0).sum()), int((mine < 0).sum())
        (won_low, won_high), (lost_low, lost_high) = (binomial(count, len(mine), level) for count in (won, lost))
        down += ((won - won_low) ** 2 + (lost_high - lost) ** 2) * worth**2
        up += ((won_high - won) ** 2 + (lost - lost_low) ** 2) * worth**2
    estimate = float(parts.sum())
    low, high = max(-1.0, estimate - math.sqrt(down)), min(1.0, estimate + math.sqrt(up))
    return Interval(low=low, high=high, method="counts")


def binomial(count: int, n: int, level: float) -> tuple[float, float]:
    """Clopper-Pearson limits of `count` out of `n`, as counts; made for few, whose tails are sums of few terms."""
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else _share(count - 1, n, 1 - tail)
    high = 1.0 if count == n else _share(count, n, tail)
    return n * low, n * high


def _share(most: int, n: int, probability: float) -> float:
    """The share at which at most `most` of `n` have this probability; halved until float64 tells no more."""
    chosen = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(most + 1)]
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        logs = math.log(middle), math.log1p(-middle)
        reached = sum(math.exp(log + k * logs[0] + (n - k) * logs[1]) for k, log in enumerate(chosen))
        low, high = (middle, high) if reached > probability else (low, middle)
    return low


def _decided_otherwise(both: Both) -> tuple[int, int]:
    """Lesions on which some decision of A is not that of B, and all lesions."""
    _, member = lesions(both.groups)
    a, b = (np.mean([_decided(one.logits) for one in side.predictions], axis=0) for side in both.answers)
    images = np.abs(a - b).max(axis=1) > ROUNDING
    return len(np.unique(member[images])), int(member.max()) + 1


def _decided(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, C) 1 where the argmax is."""
    return np.asarray(np.eye(logits.shape[1])[logits.argmax(axis=1)], dtype=np.float32)


def _of_decisions(asked: Asked, both: Both) -> bool:
    """Whether a metric looks at nothing but the argmax: it stays where the answers are put in place of the scores."""
    if asked.metric.validates:
        return False
    for side, value in zip(both.answers, both.values, strict=True):
        bare = [replace(one, logits=_decided(one.logits)) for one in side.predictions]
        if abs(float(np.mean([recomputed(asked, one) for one in bare])) - value) > ROUNDING:
            return False
    return True
