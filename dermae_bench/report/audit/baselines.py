"""What a classifier scores that never looks at the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Baseline:
    """The best constant answer under one metric."""

    value: float
    name: str


def baseline(metric: str, counts: Sequence[int]) -> Baseline | None:
    """The best that one constant answer scores on `counts` images of each class; None where that says nothing.

    With two classes, negative before positive. The F1 of a class that is never answered is 0. Sensitivity and
    specificity have none: a constant answer gets 1 in one of them.
    """
    total, most = sum(counts), max(counts)
    share = most / total
    name = "majority class" if len(counts) > 2 else "all negative" if counts[0] == most else "all positive"
    f1 = 2 * share / (1 + share)
    match metric:
        case "accuracy" | "f1-micro":
            return Baseline(share, name)
        case "f1-macro":
            return Baseline(f1 / len(counts), name)
        case "f1-weighted":
            return Baseline(f1 * share, name)
        case "balanced-accuracy":
            return Baseline(1 / len(counts), "any constant answer")
        case "auc":
            return Baseline(0.5, "chance")
    if len(counts) != 2:
        return None
    of_class = {
        "f1-positive": (1, "all positive"),
        "f1-negative": (0, "all negative"),
        "precision": (1, "all positive"),
    }
    if metric not in of_class:
        return None
    index, name = of_class[metric]
    rate = counts[index] / total
    return Baseline(rate if metric == "precision" else 2 * rate / (1 + rate), name)
