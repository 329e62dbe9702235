"""Accuracy, balanced accuracy and F1 of decisions over a fixed list of classes.

The number of record comes from integer counts in float64 and must agree with torchmetrics (float32) to 1e-6. One
rule for classes that are absent from the true labels: a mean over classes does not exist then and raises; a
bootstrap replicate that lost a class takes the mean over those it kept.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api

Counts = NDArray[np.float64]
AGREEMENT = 1e-6


class Decisions(api.PredictionMetric):
    """A number from true positives, true labels and decisions counted per class."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No options: decision rule and average are the metric's own."""

    column: ClassVar[api.Column]
    needs_every_class: ClassVar[bool]

    @classmethod
    def columns(cls, config: Any) -> Sequence[api.Column]:
        return [cls.column]

    @staticmethod
    @abstractmethod
    def formula(hits: Counts, truths: Counts, decided: Counts) -> Counts:
        """Counts (R, C) of true positives, true labels and decisions -> the number (R,).

        Classes with `truths` 0 are left out of means over classes.
        """

    @staticmethod
    @abstractmethod
    def torchmetrics(decisions: Any, labels: Any, classes: int) -> float:
        """The same number by torchmetrics, from int64 tensors (N,)."""

    def values(self, predictions: api.Predictions) -> Mapping[str, float]:
        """{column: value}.

        Raises:
            InvalidOutput: no image, logits not finite, a class without a true label where the number is a mean
                over classes, or a value on which two implementations disagree.
        """
        import torch

        check(predictions, every_class=self.needs_every_class, metric=self.column.name)
        confusion = predictions.confusion.astype(np.float64)[None]
        value = float(
            self.formula(np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=2), confusion.sum(axis=1))[0]
        )
        decisions = torch.from_numpy(predictions.logits.argmax(axis=1))
        labels = torch.from_numpy(np.asarray(predictions.labels, dtype=np.int64))
        second = self.torchmetrics(decisions, labels, len(predictions.task.classes))
        if not abs(value - second) <= AGREEMENT:
            raise api.InvalidOutput(f"{self.column.name} is {value} by counts but {second} by torchmetrics")
        return {self.column.name: value}

    def resampled(
        self, predictions: api.Predictions, weights: NDArray[np.float32]
    ) -> Mapping[str, NDArray[np.float64]]:
        """Weights (R, N) -> {column: (R,)}, by three matrix products with one-hot labels and decisions."""
        classes = len(predictions.task.classes)
        truths = np.eye(classes, dtype=np.float32)[predictions.labels]
        decided = np.eye(classes, dtype=np.float32)[predictions.logits.argmax(axis=1)]
        counts = [(weights @ cells).astype(np.float64) for cells in (truths * decided, truths, decided)]
        return {self.column.name: self.formula(*counts)}


def check(predictions: api.Predictions, *, every_class: bool, metric: str) -> None:
    """Raise InvalidOutput where the number does not exist."""
    if len(predictions.labels) == 0:
        raise api.InvalidOutput(f"{metric} of no image does not exist")
    if not np.isfinite(predictions.logits).all():
        raise api.InvalidOutput(f"{metric}: logits are not finite")
    present = np.bincount(predictions.labels, minlength=len(predictions.task.classes)) > 0
    absent = [name for name, there in zip(predictions.task.classes, present, strict=True) if not there]
    if every_class and absent:
        raise api.InvalidOutput(
            f"{metric} does not exist: no image of {', '.join(absent)} among the true labels",
            hint="choose a split with every class, or a metric that needs none (accuracy, f1-weighted)",
        )


REPLICATES = "bootstrap replicates: mean over the classes present"


def _column(name: str, average: Literal["micro", "macro", "weighted"], description: str) -> api.Column:
    return api.Column(
        name=name,
        better="higher",
        average=average,
        threshold="argmax, first of equals",
        protocol=REPLICATES if average == "macro" else None,
        description=description,
    )


class Accuracy(Decisions):
    """Share of images whose decision is right (micro average)."""

    column = _column("accuracy", "micro", "Share of images whose decision is right.")
    needs_every_class = False

    @staticmethod
    def formula(hits: Counts, truths: Counts, decided: Counts) -> Counts:
        return np.asarray(hits.sum(axis=1) / truths.sum(axis=1))

    @staticmethod
    def torchmetrics(decisions: Any, labels: Any, classes: int) -> float:
        from torchmetrics.functional.classification import multiclass_accuracy

        return float(multiclass_accuracy(decisions, labels, num_classes=classes, average="micro"))


class BalancedAccuracy(Decisions):
    """Mean recall over the classes (the official score of ISIC 2018, task 3)."""

    column = _column("balanced-accuracy", "macro", "Mean over the classes of the share recognised.")
    needs_every_class = True

    @staticmethod
    def formula(hits: Counts, truths: Counts, decided: Counts) -> Counts:
        return _mean_over_present(hits, truths, truths)

    @staticmethod
    def torchmetrics(decisions: Any, labels: Any, classes: int) -> float:
        from torchmetrics.functional.classification import multiclass_recall

        return float(multiclass_recall(decisions, labels, num_classes=classes, average="macro", zero_division=0))


class F1Macro(Decisions):
    """Mean F1 over the classes; the F1 of a class that is never decided for is 0."""

    column = _column("f1-macro", "macro", "Mean over the classes of the harmonic mean of precision and recall.")
    needs_every_class = True

    @staticmethod
    def formula(hits: Counts, truths: Counts, decided: Counts) -> Counts:
        return _mean_over_present(2 * hits, truths + decided, truths)

    @staticmethod
    def torchmetrics(decisions: Any, labels: Any, classes: int) -> float:
        from torchmetrics.functional.classification import multiclass_f1_score

        return float(multiclass_f1_score(decisions, labels, num_classes=classes, average="macro", zero_division=0))


class F1Weighted(Decisions):
    """F1 of the classes, weighted by their number of true labels; a class without any has weight 0."""

    column = _column("f1-weighted", "weighted", "F1 of the classes, weighted by their number of images.")
    needs_every_class = False

    @staticmethod
    def formula(hits: Counts, truths: Counts, decided: Counts) -> Counts:
        f1 = np.divide(2 * hits, truths + decided, out=np.zeros_like(truths), where=truths > 0)
        return np.asarray((f1 * truths).sum(axis=1) / truths.sum(axis=1))

    @staticmethod
    def torchmetrics(decisions: Any, labels: Any, classes: int) -> float:
        from torchmetrics.functional.classification import multiclass_f1_score

        return float(multiclass_f1_score(decisions, labels, num_classes=classes, average="weighted", zero_division=0))


def _mean_over_present(numerator: Counts, denominator: Counts, truths: Counts) -> Counts:
    """Mean of the ratios (R, C) over the classes with a true label -> (R,)."""
    present = truths > 0
    ratios = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=present)
    return np.asarray(ratios.sum(axis=1) / present.sum(axis=1))


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.PredictionMetric]]:
    return {
        "accuracy": Accuracy,
        "balanced-accuracy": BalancedAccuracy,
        "f1-macro": F1Macro,
        "f1-weighted": F1Weighted,
    }
