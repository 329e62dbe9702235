"""What a metric promises: its identity first, then its value. No torch at import."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dermae_bench.plugin.contracts import CostUnit
    from dermae_bench.plugin.data import Task

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One number that a metric gives, with everything needed to know whether two of them may be compared."""

    name: str
    """Kebab-case key of the column, e.g. ``f1-macro``; unique in the harness."""
    better: Better
    unit: str = "1"
    """``1`` for a pure number, else e.g. ``GMACs``, ``parameters``."""
    average: str | None = None
    """How classes are averaged: micro, macro, weighted, binary."""
    positive: bool = False
    """Whether the number depends on the task's positive class."""
    threshold: str | None = None
    """How a decision is made from logits, e.g. ``argmax``."""
    protocol: str | None = None
    """Any other convention that changes the number, e.g. ``unbiased MMD^2, cubic kernel, full set``."""
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What one model said about one image set."""

    task: Task
    ids: Sequence[str]
    groups: Sequence[str]
    labels: NDArray[np.int64]
    """(N,) true classes."""
    logits: NDArray[np.float32]
    """(N, C) unnormalised log-probabilities."""

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(C, C) counts: rows are true classes, columns are argmax decisions (first of equals)."""
        classes = len(self.task.classes)
        cells = self.labels * classes + self.logits.argmax(axis=1)
        return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Features:
    """What one extractor saw in one image set: float32 (N, D), row i is image i of the set."""

    values: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None


class Metric(ABC):
    """Common ground of the three kinds: a Config for its options, and the columns it fills."""

    Config: ClassVar[type]

    def __init__(self, config: Any) -> None:
        self.config = config

    @classmethod
    @abstractmethod
    def columns(cls, config: Any) -> Sequence[Column]:
        """The numbers this metric gives under `config`, first the one that ranks."""


class PredictionMetric(Metric):
    """A number from per-image predictions on a labelled image set."""

    @abstractmethod
    def values(self, predictions: Predictions) -> Mapping[str, float]:
        """Column name -> value. A value that does not exist (a class is absent) raises, never defaults."""

    def resampled(
        self, predictions: Predictions, weights: NDArray[np.float32]
    ) -> Mapping[str, NDArray[np.float64]] | None:
        """The same numbers under image weights (R, N), one row a bootstrap replicate -> (R,) per column.

        None where no vectorised form exists: the record then has no interval.
        """
        return None


class SampleMetric(Metric):
    """A number from the features of generated images against those of real ones."""

    @abstractmethod
    def values(self, generated: Features, real: Features, seed: int) -> Mapping[str, float]:
        """Column name -> value. `seed` is for metrics that draw subsets."""

    def warnings(self, generated: Features, real: Features) -> Sequence[str]:
        """What a reader of the number must know, e.g. that n <= D makes a covariance singular."""
        return ()


class CostMetric(Metric):
    """A number from what one image costs, counted before training on randomly initialised weights."""

    @abstractmethod
    def values(self, units: Sequence[CostUnit]) -> Mapping[str, float]:
        """Column name -> value."""
