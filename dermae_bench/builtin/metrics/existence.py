"""When a number from predictions exists, and what a mean or a ratio is where it does not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api

Numbers = NDArray[np.float64]
ADVICE = "choose a split with every class, or a metric that needs none (accuracy, f1-weighted)"


def require_images(predictions: api.Predictions, metric: str) -> None:
    """Raise InvalidOutput unless there is an image and every logit is finite."""
    if len(predictions.labels) == 0:
        raise api.InvalidOutput(f"{metric} of no image does not exist")
    if not np.isfinite(predictions.logits).all():
        raise api.InvalidOutput(f"{metric}: logits are not finite")


def require_classes(predictions: api.Predictions, metric: str) -> None:
    """Raise InvalidOutput unless every class of the task is among the true labels."""
    present = np.bincount(predictions.labels, minlength=len(predictions.task.classes)) > 0
    absent = [name for name, there in zip(predictions.task.classes, present, strict=True) if not there]
    if absent:
        raise api.InvalidOutput(
            f"{metric} does not exist: no image of {', '.join(absent)} among the true labels", hint=ADVICE
        )


def require_positive(predictions: api.Predictions, metric: str) -> None:
    """Raise InvalidOutput unless the task's positive class has an image."""
    if not (predictions.labels == positive_class(predictions.task, metric)).any():
        raise api.InvalidOutput(f"{metric} does not exist: no image of {predictions.task.positive}", hint=ADVICE)


def require_both(predictions: api.Predictions, metric: str) -> None:
    """Raise InvalidOutput unless the positive class and the rest both have an image."""
    require_positive(predictions, metric)
    if (predictions.labels == positive_class(predictions.task, metric)).all():
        raise api.InvalidOutput(f"{metric} does not exist: every image is {predictions.task.positive}", hint=ADVICE)


def positive_class(task: api.Task, metric: str) -> int:
    """Number of the task's positive class.

    Raises:
        InvalidOutput: the task names none.
    """
    if task.positive is None:
        raise api.InvalidOutput(
            f"{metric} does not exist: task {task.name} has no positive class",
            hint="name one (Task.positive), or choose a metric over all classes (auc-ovr-macro, f1-macro)",
        )
    return task.classes.index(task.positive)


def quotient(numerator: Numbers, denominator: Numbers) -> Numbers:
    """numerator / denominator, NaN where the denominator is 0."""
    missing = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    return np.asarray(np.divide(numerator, denominator, out=missing, where=denominator != 0))


REPLICATES = "bootstrap replicates without a class left out"


def mean_over_classes(numbers: Numbers) -> Numbers:
    """(R, C) -> (R,) mean over all classes; NaN where one has no such number.

    The mean over the classes that a bootstrap replicate happens to keep is another number: a classifier that always
    says the same has 1/2 of two classes, and 1 of the one that it says.
    """
    return np.asarray(numbers.mean(axis=1), dtype=np.float64)
