"""The answers of both rows to the same images, seed by seed, and the metric that makes a column of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.errors import DataError, InvalidOutput, UserError
from dermae_bench.plugin.measures import PredictionMetric, Predictions
from dermae_bench.report.compare.recorded import Results
from dermae_bench.report.evidence import PREDICTIONS, VERIFY, Score
from dermae_bench.report.records import Record
from dermae_bench.scoring.records import MetricOf
from dermae_bench.scoring.resampling import Draws, resample

RESAMPLES = 2000
TOLERANCE = 1e-6
"""Relative difference between a record and the same number from its answers: rounding of another machine."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answered:
    """One row's answers: one `Predictions` a seed, all to the same images in the same order."""

    seeds: tuple[Mapping[str, int], ...]
    predictions: tuple[Predictions, ...]

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """(K, N) whether each seed's argmax is the label."""
        return np.stack([one.logits.argmax(axis=1) == one.labels for one in self.predictions])


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """One column of one row under the bootstrap and the jackknife of lesions: means over its seeds."""

    replicates: NDArray[np.float64]
    """(R,)"""
    jackknife: NDArray[np.float64]
    """(G,)"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """The metric behind a column, as the suite asked for it."""

    plugin: str
    """Its name, e.g. ``accuracy``; the column may be called otherwise."""
    metric: PredictionMetric
    column: str
    """What the metric itself calls the column."""


class Reader:
    """Reads answers once and resamples each metric of a row once."""

    def __init__(self, metric_of: MetricOf, seed: int) -> None:
        self.metric_of = metric_of
        self.seed = seed
        self._answers: dict[tuple[int, str], Predictions] = {}
        self._draws: dict[tuple[str, ...], Draws] = {}
        self._metrics: dict[tuple[str, str], Any] = {}

    def scores(self, results: Results, records: Sequence[Record]) -> list[Score] | None:
        """The scores of a column's seeds; None where it was not made from answers to real images."""
        found = [results.scores.get(record.key) for record in records]
        scores = [score for score in found if score is not None and score.of == "predictions"]
        real = len(scores) == len(records) and all(score.work["images"] != "generated" for score in scores)
        return scores if real else None

    def answered(self, results: Results, scores: Sequence[Score], records: Sequence[Record]) -> Answered:
        """The answers of all seeds, in the order of the first seed's images.

        Raises:
            UserError: they cannot be read.
            DataError: they are no answers: numbers that are not finite, labels that are no class.
        """
        found: list[Predictions] = []
        for score, record in zip(scores, records, strict=True):
            key = (id(results), score.key)
            if key not in self._answers:
                self._answers[key] = _read(results, score, record)
            found.append(self._answers[key])
        return Answered(
            seeds=tuple(record.seeds for record in records),
            predictions=tuple(aligned(one, found[0].ids) for one in found),
        )

    def asked(self, score: Score, column: str) -> Asked:
        """The metric that fills a column of a score.

        Raises:
            InvalidOutput: no metric of the score has such a column: another version of the plugin is installed.
        """
        for about in score.work["metrics"]:
            name = (about["metric"], repr(sorted(about["params"].items())))
            if name not in self._metrics:
                self._metrics[name] = self.metric_of(about["metric"], about["params"])
            metric = self._metrics[name]
            for own in metric.columns(metric.config):
                if score.work["rename"].get(own.name, own.name) == column:
                    return Asked(plugin=about["metric"], metric=metric, column=own.name)
        raise InvalidOutput(f"no metric of {score.name} fills a column {column!r} any more")

    def measured(self, asked: Asked, answered: Answered) -> Measured | None:
        """Replicates of the mean over seeds; None where the metric has no vectorised form."""
        every = [resample(asked.metric, one, self._drawn(one)) for one in answered.predictions]
        found = [one for one in every if one is not None]
        if len(found) != len(every):
            return None
        return Measured(
            replicates=np.mean([one.replicates[asked.column] for one in found], axis=0),
            jackknife=np.mean([one.jackknife[asked.column] for one in found], axis=0),
        )

    def _drawn(self, predictions: Predictions) -> Draws:
        """Of these images; made once, since every row and column has the same."""
        groups = tuple(predictions.groups)
        if groups not in self._draws:
            self._draws[groups] = Draws(groups, RESAMPLES, self.seed)
        return self._draws[groups]


def _read(results: Results, score: Score, record: Record) -> Predictions:
    """The answers behind a score, looked at once."""
    path = results.folder / PREDICTIONS
    hint = f"restore the file (a git-LFS pointer needs `git lfs pull`), or make the folder again; {VERIFY}"
    try:
        found = results.evidence.scored(score)
    # pyarrow's errors of damaged files are all of these
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if isinstance(error, KeyError):
            reason = f"there is no {reason}"
        raise UserError(f"{path}: the answers of {record.row} cannot be read: {reason}", hint=hint) from None
    sets = [("test", found)] + ([("val", found.validation)] if found.validation is not None else [])
    problems = [f"{record.row}, {where}: {text}" for where, one in sets for text in _wrong(one)]
    if problems:
        raise DataError(f"{path} holds what are no answers:", problems, hint=hint)
    return found


def _wrong(found: Predictions) -> list[str]:
    """What no model and no data set can have said; [] for answers."""
    count, classes = len(found.ids), len(found.task.classes)
    if not count or found.logits.shape != (count, classes):
        shape = " x ".join(map(str, found.logits.shape))
        return [f"{shape} logits for {count} images and {classes} classes"]
    told = []
    broken = ~np.isfinite(found.logits).all(axis=1)
    if broken.any():
        rows = np.flatnonzero(broken).tolist()
        named = ", ".join(found.ids[row] for row in rows[:3]) + (", ..." if len(rows) > 3 else "")
        told.append(f"{len(rows)} of {count} images have logits that are no finite numbers ({named})")
    outside = int(((found.labels < 0) | (found.labels >= classes)).sum())
    if outside:
        told.append(f"{outside} of {count} labels are none of the {classes} classes")
    return told


def recomputed(asked: Asked, predictions: Predictions) -> float:
    """The column from the answers; by the vectorised form where there is one, which needs no torch."""
    ones = np.ones((1, len(predictions.labels)), dtype=np.float32)
    found = asked.metric.resampled(predictions, ones)
    return float(found[asked.column][0]) if found is not None else float(asked.metric.values(predictions)[asked.column])


def disagree(value: float, again: float) -> bool:
    """Whether a record and its answers tell two numbers."""
    return not abs(value - again) <= TOLERANCE * max(abs(value), abs(again), 1.0)


def aligned(predictions: Predictions, ids: Sequence[str]) -> Predictions:
    """The same answers in the order of `ids`; as they are where the images are others."""
    if list(predictions.ids) == list(ids) or sorted(predictions.ids) != sorted(ids):
        return predictions
    place = {image: row for row, image in enumerate(predictions.ids)}
    return predictions.at(np.array([place[image] for image in ids], dtype=np.int64))


def unlike_images(a: Predictions, b: Predictions) -> list[str]:
    """What differs between the images of two sets of answers; [] where they are the same."""
    first, second = set(a.ids), set(b.ids)
    if first != second or len(a.ids) != len(b.ids):
        only = [sorted(first - second), sorted(second - first)]
        told = [f"{len(ids)} only in {which} ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''})"
                for which, ids in zip("AB", only, strict=True) if ids]  # fmt: skip
        return [f"images: {len(a.ids)} in A, {len(b.ids)} in B; {'; '.join(told) or 'some stand twice'}"]
    b = aligned(b, a.ids)
    labels = int(np.count_nonzero(a.labels != b.labels))
    lesions = sum(one != other for one, other in zip(a.groups, b.groups, strict=True))
    return [f"{what} of {count} images differ" for what, count in (("labels", labels), ("lesions", lesions)) if count]
