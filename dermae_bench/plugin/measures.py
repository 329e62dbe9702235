"""What a metric promises: its identity first, then its value. No torch at import."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dermae_bench.plugin.contracts import CostUnit
    from dermae_bench.plugin.data import Task
    from dermae_bench.plugin.images import ImageSet

Better = Literal["higher", "lower", "neither"]
Reads = Literal["labels", "training", "held_out"]


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
    """Whether the number depends on the task's positive class; it is planned only for tasks that have one."""
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
    validation: Predictions | None = None
    """What the same model said about ``val``: where thresholds and temperatures are chosen. None where nobody asked."""
    attributes: Mapping[str, Sequence[str | float | None]] = field(default_factory=dict)
    """Name -> one value an image: age, sex, site, skin tone, ...; None where unknown."""

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(C, C) counts: rows are true classes, columns are argmax decisions (first of equals)."""
        classes = len(self.task.classes)
        cells = self.labels * classes + self.logits.argmax(axis=1)
        return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(N, C) softmax of the logits, in float64."""
        shifted = self.logits.astype(np.float64)
        shifted -= shifted.max(axis=1, keepdims=True)
        powers = np.exp(shifted)
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def at(self, rows: NDArray[np.int64]) -> Predictions:
        """The predictions at some positions; `validation` stays whole."""
        return replace(
            self,
            ids=[self.ids[i] for i in rows],
            groups=[self.groups[i] for i in rows],
            labels=self.labels[rows],
            logits=self.logits[rows],
            attributes={name: [values[i] for i in rows] for name, values in self.attributes.items()},
        )


@dataclass(frozen=True, kw_only=True)
class Features:
    """One image set as a sample metric sees it; row i of everything is image i."""

    values: NDArray[np.float32]
    """(N, D) of one extractor, perhaps memory-mapped: read it block by block. (N, 0) for metrics over pixels alone."""
    ids: Sequence[str] = ()
    """Names of the images; an image is never its own neighbour, so rows of equal id are skipped there."""
    labels: NDArray[np.int64] | None = None
    """(N,) classes of the generator's task; None where there is none."""
    images: ImageSet | None = None
    """The pixels, uint8 (N, 3, S, S), decoded batch by batch; for metrics with ``over = "images"``."""
    mean: NDArray[np.float64] | None = None
    """(D,), where the extractor's stage has it ready, as it has for a reference set."""
    root: NDArray[np.float64] | None = None
    """(min(N, D), D) with root' root the covariance over N - 1; present where `mean` is."""

    def at(self, rows: NDArray[np.int64]) -> Features:
        """The images at some ascending positions, without what was made ready for the whole set."""
        return Features(
            values=self.values[rows],
            ids=[self.ids[i] for i in rows] if self.ids else (),
            labels=None if self.labels is None else self.labels[rows],
            images=None if self.images is None else self.images.take(rows),
        )


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Generated images beside real ones."""

    generated: Features
    real: Features
    """The set that distances are measured to."""
    training: Features | None = None
    """Real images that the generator was fitted on; for metrics that read ``training``."""
    held_out: Features | None = None
    """Real images that it never saw; for metrics that read ``held_out``."""
    classes: tuple[str, ...] = ()
    """Of the labels; () without labels."""
    seed: int = 0
    """For metrics that draw subsets."""


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

    validates: ClassVar[bool] = False
    """Whether it needs `Predictions.validation`, e.g. to freeze a threshold before it sees what is scored."""

    @abstractmethod
    def values(self, predictions: Predictions) -> Mapping[str, float]:
        """Column name -> value.

        Raises:
            InvalidOutput: a value does not exist (a class is absent); never a default.
        """

    def resampled(
        self, predictions: Predictions, weights: NDArray[np.float32]
    ) -> Mapping[str, NDArray[np.float64]] | None:
        """The same numbers under image weights (R, N), one row a replicate -> (R,) per column.

        Asked for the bootstrap (whole numbers) and for the jackknife (zeros and ones). Thresholds and temperatures
        stay as frozen on `validation`. NaN where a replicate has no such number. None where no vectorised form exists:
        the record then has no interval.
        """
        return None

    def per_class(self, predictions: Predictions) -> Mapping[str, NDArray[np.float64]]:
        """Name of a per-class number, e.g. ``recall`` -> (C,), NaN where a class has none. {} by default."""
        return {}


class SampleMetric(Metric):
    """A number from generated images against real ones."""

    over: ClassVar[Literal["features", "images"]] = "features"
    """``features`` needs an extractor; ``images`` looks at pixels and has none."""
    reads: ClassVar[frozenset[Reads]] = frozenset()
    """What it needs besides both sets: ``labels`` of both, ``training`` or ``held_out``. A row that cannot give it
    has no such column."""

    @abstractmethod
    def values(self, comparison: Comparison) -> Mapping[str, float | str]:
        """Column name -> value, or in words why there is none while the other columns have theirs.

        Raises:
            InvalidOutput: no column has a value (too few images); never a default.
        """

    def warnings(self, comparison: Comparison) -> Sequence[str]:
        """What a reader of the number must know, e.g. that n <= D makes a covariance singular."""
        return ()

    def details(self, comparison: Comparison) -> Mapping[str, Any]:
        """What stands behind the number, as JSON: a curve, the nearest pairs. {} by default."""
        return {}


class CostMetric(Metric):
    """A number from what one image costs, counted before training on randomly initialised weights."""

    @abstractmethod
    def values(self, units: Sequence[CostUnit]) -> Mapping[str, float]:
        """Column name -> value."""
