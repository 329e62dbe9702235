"""Accuracy, balanced accuracy and F1 of decisions over a fixed list of classes.

The number of record comes from integer counts in float64 and must agree with torchmetrics (float32) to 1e-6. One
rule for classes that are absent from the true labels: a mean over classes does not exist then and raises; it has no
number in a bootstrap replicate that lost a class either.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.metrics.existence import (
    REPLICATES,
    Numbers,
    mean_over_classes,
    positive_class,
    quotient,
    require_classes,
    require_images,
    require_positive,
)
from dermae_bench.builtin.metrics.weighted import NoOptions, Weighted

AGREEMENT = 1e-6


@dataclass(frozen=True)
class Counts:
    """Of images, by class: (R, C) each, one row a weighting."""

    hits: Numbers
    """Decided rightly."""
    truths: Numbers
    """With this true label."""
    decided: Numbers
    """Decided to be of this class."""

    @property
    def recall(self) -> Numbers:
        """(R, C), NaN where a class has no true label."""
        return quotient(self.hits, self.truths)

    @property
    def precision(self) -> Numbers:
        """(R, C), NaN where nothing is decided to be of a class."""
        return quotient(self.hits, self.decided)

    @property
    def f1(self) -> Numbers:
        """(R, C), NaN where a class has no true label; 0 where it has but is never decided for."""
        return np.where(self.truths > 0, quotient(2 * self.hits, self.truths + self.decided), np.nan)


class Decisions(Weighted):
    """A number from true positives, true labels and decisions counted per class."""

    column: ClassVar[api.Column]

    @classmethod
    def columns(cls, config: NoOptions) -> Sequence[api.Column]:
        return [cls.column]

    @staticmethod
    @abstractmethod
    def formula(counts: Counts, task: api.Task) -> Numbers:
        """Counts -> the number (R,), NaN where it does not exist."""

    @staticmethod
    @abstractmethod
    def torchmetrics(decisions: Any, labels: Any, task: api.Task) -> float:
        """The same number by torchmetrics, from int64 tensors (N,)."""

    def values(self, predictions: api.Predictions) -> Mapping[str, float]:
        """{column: value}.

        Raises:
            InvalidOutput: no image, logits not finite, a class without a true label where the number needs it, or a
                value on which two implementations disagree.
        """
        import torch

        (value,) = super().values(predictions).values()
        decisions = torch.from_numpy(predictions.logits.argmax(axis=1))
        labels = torch.from_numpy(np.asarray(predictions.labels, dtype=np.int64))
        second = self.torchmetrics(decisions, labels, predictions.task)
        if not abs(value - second) <= AGREEMENT:
            raise api.InvalidOutput(f"{self.name} is {value} by counts but {second} by torchmetrics")
        return {self.name: value}

    def resampled(
        self, predictions: api.Predictions, weights: NDArray[np.float32]
    ) -> Mapping[str, NDArray[np.float64]]:
        return {self.name: self.formula(counted(predictions, weights), predictions.task)}


def counted(predictions: api.Predictions, weights: NDArray[np.float32]) -> Counts:
    """Counts under weights (R, N), by three matrix products with one-hot labels and decisions."""
    one_hot = np.eye(len(predictions.task.classes), dtype=np.float32)
    truths, decided = one_hot[predictions.labels], one_hot[predictions.logits.argmax(axis=1)]
    # float32 holds whole numbers up to 2^24 exactly: more images than any test set has
    return Counts(*((weights @ cells).astype(np.float64) for cells in (truths * decided, truths, decided)))


def _once(predictions: api.Predictions) -> Counts:
    return counted(predictions, np.ones((1, len(predictions.labels)), dtype=np.float32))


def _column(name: str, average: Literal["micro", "macro", "weighted", "binary"], description: str) -> api.Column:
    return api.Column(
        name=name,
        better="higher",
        average=average,
        positive=average == "binary",
        threshold="argmax, first of equals",
        protocol=REPLICATES if average == "macro" else None,
        description=description,
    )


class Accuracy(Decisions):
    """Share of images whose decision is right (micro average)."""

    column = _column("accuracy", "micro", "Share of images whose decision is right.")

    @staticmethod
    def formula(counts: Counts, task: api.Task) -> Numbers:
        return quotient(counts.hits.sum(axis=1), counts.truths.sum(axis=1))

    @staticmethod
    def torchmetrics(decisions: Any, labels: Any, task: api.Task) -> float:
        from torchmetrics.functional.classification import multiclass_accuracy

        return float(multiclass_accuracy(decisions, labels, num_classes=len(task.classes), average="micro"))


class BalancedAccuracy(Decisions):
    """Mean recall over the classes (the official score of ISIC 2018, task 3, and ISIC 2019)."""

    column = _column("balanced-accuracy", "macro", "Mean over the classes of the share recognised.")

    def require(self, predictions: api.Predictions) -> None:
        super().require(predictions)
        require_classes(predictions, self.name)

    @staticmethod
    def formula(counts: Counts, task: api.Task) -> Numbers:
        return mean_over_classes(counts.recall)

    def per_class(self, predictions: api.Predictions) -> Mapping[str, NDArray[np.float64]]:
        """{"recall": (C,)}, NaN for a class without a true label."""
        require_images(predictions, self.name)
        return {"recall": _once(predictions).recall[0]}

    @staticmethod
    def torchmetrics(decisions: Any, labels: Any, task: api.Task) -> float:
        from torchmetrics.functional.classification import multiclass_recall

        classes = len(task.classes)
        return float(multiclass_recall(decisions, labels, num_classes=classes, average="macro", zero_division=0))


class F1Macro(Decisions):
    """Mean F1 over the classes; the F1 of a class that is never decided for is 0."""

    column = _column("f1-macro", "macro", "Mean over the classes of the harmonic mean of precision and recall.")

    def require(self, predictions: api.Predictions) -> None:
        super().require(predictions)
        require_classes(predictions, self.name)

    @staticmethod
    def formula(counts: Counts, task: api.Task) -> Numbers:
        return mean_over_classes(counts.f1)

    def per_class(self, predictions: api.Predictions) -> Mapping[str, NDArray[np.float64]]:
        """{"precision", "f1"} of (C,): NaN where no decision is for a class; where it has no true label."""
        require_images(predictions, self.name)
        counts = _once(predictions)
        return {"precision": counts.precision[0], "f1": counts.f1[0]}

    @staticmethod
    def torchmetrics(decisions: Any, labels: Any, task: api.Task) -> float:
        return float(_f1(decisions, labels, task, "macro"))


class F1Weighted(Decisions):
    """F1 of the classes, weighted by their number of true labels; a class without any has weight 0."""

    column = _column("f1-weighted", "weighted", "F1 of the classes, weighted by their number of images.")

    @staticmethod
    def formula(counts: Counts, task: api.Task) -> Numbers:
        f1 = np.where(counts.truths > 0, counts.f1, 0.0)
        return quotient((f1 * counts.truths).sum(axis=1), counts.truths.sum(axis=1))

    @staticmethod
    def torchmetrics(decisions: Any, labels: Any, task: api.Task) -> float:
        return float(_f1(decisions, labels, task, "weighted"))


class F1Positive(Decisions):
    """F1 of the task's positive class alone: 0 where it is never decided for."""

    column = _column("f1-positive", "binary", "Harmonic mean of precision and recall of the positive class.")

    def require(self, predictions: api.Predictions) -> None:
        super().require(predictions)
        require_positive(predictions, self.name)

    @staticmethod
    def formula(counts: Counts, task: api.Task) -> Numbers:
        return counts.f1[:, positive_class(task, "f1-positive")]

    @staticmethod
    def torchmetrics(decisions: Any, labels: Any, task: api.Task) -> float:
        return float(_f1(decisions, labels, task, "none")[positive_class(task, "f1-positive")])


def _f1(decisions: Any, labels: Any, task: api.Task, average: Literal["macro", "weighted", "none"]) -> Any:
    from torchmetrics.functional.classification import multiclass_f1_score

    classes = len(task.classes)
    return multiclass_f1_score(decisions, labels, num_classes=classes, average=average, zero_division=0)


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.PredictionMetric]]:
    return {
        "accuracy": Accuracy,
        "balanced-accuracy": BalancedAccuracy,
        "f1-macro": F1Macro,
        "f1-weighted": F1Weighted,
        "f1-positive": F1Positive,
    }
