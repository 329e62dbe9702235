"""Per-image predictions -> records: every metric with its interval, per class, and per subgroup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.errors import InvalidOutput
from dermae_bench.plugin.measures import Column, PredictionMetric, Predictions
from dermae_bench.scoring.records import MetricOf, record
from dermae_bench.scoring.resampling import Draws, Resampled, resample
from dermae_bench.scoring.subgroups import subgroups

FEW = 0.05
"""Share of resamples without some class above which a reader is warned."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What one model's answers to one task give."""

    summary: dict[str, Any]
    """`records`, `subgroups`, `confusion`, `classes`, `per_class`, `warnings`, and `columns`: rows of both arrays."""
    replicates: NDArray[np.float64]
    """(K, R): column k under the bootstrap of lesions."""
    jackknife: NDArray[np.float64]
    """(K, G): column k with one lesion left out."""


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """One metric on one set of answers: its values, or why there are none."""

    values: Mapping[str, float]
    resampled: Resampled | None
    reason: str | None


def score_predictions(
    work: Mapping[str, Any], predictions: Predictions, prepared: Mapping[str, Any], metric_of: MetricOf
) -> Scored:
    """Every metric that the suite asks for, on one set of answers.

    Args:
        work: of the score stage: `metrics`, `rename`, `facts`, `images`, `resamples`, `subgroups`, `trained`, and
            `unvalidated`: why there are no answers on `val`, where there are none.
        predictions: already of the task that is scored.
        prepared: the summary of the prepared data set, with `data`: the digest of its pixels and splits.
        metric_of: builds a metric plugin.
    """
    base = _facts(work, predictions, prepared)
    draws = Draws(predictions.groups, work["resamples"])
    parts = [
        (part, Draws(part.predictions.groups, work["resamples"]))
        for asked in work["subgroups"]
        for part in subgroups(predictions, asked)
    ]
    records: list[dict[str, Any]] = []
    inside: list[dict[str, Any]] = []
    per_class: dict[str, list[float | None]] = {}
    kept: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    for asked in work["metrics"]:
        metric = metric_of(asked["metric"], asked["params"])
        assert isinstance(metric, PredictionMetric)
        columns = _columns(metric, work)
        unseen = work["unvalidated"] if metric.validates and predictions.validation is None else None
        whole = _measure(metric, predictions, draws, unseen)
        records += _records(columns, whole, base)
        if whole.resampled is not None:
            found = whole.resampled
            kept |= {new.name: (found.replicates[old], found.jackknife[old]) for old, new in columns.items()}
        if whole.reason is None:
            for name, values in metric.per_class(predictions).items():
                per_class[name] = [None if np.isnan(value) else float(value) for value in values]
        for part, drawn in parts:
            facts = {**base, **part.facts}
            inside += _records(columns, _measure(metric, part.predictions, drawn, unseen), facts)
    return Scored(
        summary={
            "records": records,
            "subgroups": inside,
            "confusion": predictions.confusion.tolist(),
            "classes": list(predictions.task.classes),
            "per_class": per_class,
            "columns": list(kept),
            "warnings": _warnings(predictions, draws),
        },
        replicates=_stacked([pair[0] for pair in kept.values()]),
        jackknife=_stacked([pair[1] for pair in kept.values()]),
    )


def _facts(work: Mapping[str, Any], predictions: Predictions, prepared: Mapping[str, Any]) -> dict[str, Any]:
    task, trained = predictions.task, work["trained"]["name"]
    return {
        "task": task.name,
        "classes": list(task.classes),
        "positive_class": task.positive,
        "reached": "trained" if task.name == trained else f"derived from {trained}",
        "images": work["images"],
        "n": len(predictions.labels),
        "groups": len(set(predictions.groups)),
        **{name: prepared[name] for name in ("data", "split_rule", "split_digest", "leaky", "resize")},
        "image_size": prepared["size"],
        # the planner's last word: e.g. generated images have no resize, and what counts is who judged them
        **work["facts"],
    }


def _columns(metric: PredictionMetric, work: Mapping[str, Any]) -> dict[str, Column]:
    """Name that the metric gives a column -> the column as the board calls it."""
    found = {column.name: column for column in metric.columns(metric.config)}
    return {name: replace(column, name=work["rename"].get(name, name)) for name, column in found.items()}


def _warnings(predictions: Predictions, draws: Draws) -> list[str]:
    share = draws.lacking(predictions.labels)
    if share <= FEW:
        return []
    lost = f"{predictions.task.name}: in {share:.0%} of the resamples a class has no image"
    return [f"{lost}, so means over classes have no interval"]


def _measure(metric: PredictionMetric, predictions: Predictions, draws: Draws, unseen: str | None) -> _Measured:
    """Args: unseen: why the metric cannot have what it would freeze its threshold on."""
    if unseen is not None:
        return _Measured(values={}, resampled=None, reason=unseen)
    try:
        values = metric.values(predictions)
        found = resample(metric, predictions, draws)
        return _Measured(values=values, resampled=found, reason=None)
    except InvalidOutput as error:
        # a number that does not exist here (a class is absent) must not take the others with it
        return _Measured(values={}, resampled=None, reason=str(error))


def _records(columns: Mapping[str, Column], measured: _Measured, base: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, column in columns.items():
        facts = {**base, "positive_class": base["positive_class"] if column.positive else None}
        if measured.reason is not None:
            yield record(column, None, facts, reason=measured.reason)
            continue
        value, found = float(measured.values[name]), measured.resampled
        interval = found.interval(name, value) if found is not None else None
        yield record(
            column,
            value,
            facts,
            low=interval.low if interval else None,
            high=interval.high if interval else None,
            error=found.standard_error(name) if found is not None else None,
        )


def _stacked(rows: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.stack(rows) if rows else np.zeros((0, 0))
