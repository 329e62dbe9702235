"""Numbers from predictions or features, each with its whole identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.errors import InvalidOutput
from dermae_bench.execute.stages.common import StageContext, Table, dataset_tasks, map_labels, task_of
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.measures import Column, Features, PredictionMetric, Predictions, SampleMetric

INTERVAL = (2.5, 97.5)
"""Percentiles of the bootstrap replicates: a 95 % interval."""


def score(context: StageContext) -> dict[str, Any]:
    """Records in the summary; no files."""
    return _score_predictions(context) if context.work["of"] == "predictions" else _score_samples(context)


# -- predictions -------------------------------------------------------------------------------------------------


def _score_predictions(context: StageContext) -> dict[str, Any]:
    work = context.work
    trained, task = task_of(work["trained"]), task_of(work["task"])
    folder, manifest = context.input("predictions")
    _, prepared = context.input("prepare")
    table = Table.read(folder / "predictions.parquet").columns
    logits = np.stack([np.asarray(table[f"logit.{name}"], dtype=np.float32) for name in trained.classes], axis=1)
    predictions = Predictions(
        task=trained,
        ids=table["id"],
        groups=table["group"],
        labels=np.asarray(table["label"], dtype=np.int64),
        logits=logits,
    )
    if task.name != trained.name:
        predictions = derive(predictions, task, dataset_tasks(prepared))
    weights = cluster_weights(predictions.groups, work["resamples"])
    base = {
        "task": task.name,
        "classes": list(task.classes),
        "reached": "trained" if task.name == trained.name else f"derived from {trained.name}",
        "images": manifest.summary["images"],
        "n": len(predictions.ids),
        "groups": len(set(predictions.groups)),
        "split_rule": prepared.summary["split_rule"],
        "split_digest": prepared.summary["split_digest"],
        "leaky": prepared.summary["leaky"],
        "image_size": prepared.summary["size"],
        "resize": prepared.summary["resize"],
    }
    if work["judge"] is not None:
        # generated images have no resize and no groups of their own; what counts is who judged them
        base |= {"judge": work["judge"], "images": "generated", "resize": None, "leaky": None}
    records = []
    for name in work["metrics"]:
        metric: PredictionMetric = context.configured(name, {})
        try:
            values = metric.values(predictions)
            resampled, reason = metric.resampled(predictions, weights), None
        except InvalidOutput as error:
            # a number that does not exist here (a class is absent) must not take the others with it
            values, resampled, reason = {}, None, str(error)
        for column in metric.columns(metric.config):
            named = replace(column, name=work["rename"].get(column.name, column.name))
            interval = _interval(resampled[column.name]) if resampled is not None else (None, None)
            facts = {**base, "positive_class": _positive(column, task)}
            value = float(values[column.name]) if reason is None else None
            records.append({**_record(named, value, interval, facts), "reason": reason})
    return {
        "records": records,
        "confusion": predictions.confusion.tolist(),
        "classes": list(task.classes),
        "warnings": [],
    }


def derive(predictions: Predictions, task: Task, tasks: Mapping[str, Task]) -> Predictions:
    """Reach `task` from a finer one: class probabilities summed through the map, labels carried over."""
    source = predictions.task
    shifted = predictions.logits - predictions.logits.max(axis=1, keepdims=True)
    probabilities = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    target_of = map_labels(np.arange(len(source.classes)), source, task, tasks)
    summed = np.zeros((len(probabilities), len(task.classes)), dtype=np.float64)
    for c, t in enumerate(target_of):
        summed[:, t] += probabilities[:, c]
    logits = np.log(np.maximum(summed, np.finfo(np.float32).tiny)).astype(np.float32)
    return replace(predictions, task=task, labels=map_labels(predictions.labels, source, task, tasks), logits=logits)


def cluster_weights(groups: Any, resamples: int) -> NDArray[np.float32]:
    """(R, N) how often each image stands in each bootstrap replicate when lesions are drawn, not images."""
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    return drawn.astype(np.float32)[:, member]


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.nanpercentile(values, INTERVAL)
    return float(low), float(high)


def _positive(column: Column, task: Task) -> str | None:
    return task.positive if column.positive else None


def _record(
    column: Column, value: float | None, interval: tuple[float | None, float | None], facts: Mapping[str, Any]
) -> dict[str, Any]:
    identity = {name: field for name, field in asdict(column).items() if name not in {"description", "better", "unit"}}
    return {
        "metric": column.name,
        "value": value,
        "low": interval[0],
        "high": interval[1],
        "n": facts["n"],
        "unit": column.unit,
        "better": column.better,
        "identity": {**identity, **facts},
    }


# -- samples -----------------------------------------------------------------------------------------------------


def _score_samples(context: StageContext) -> dict[str, Any]:
    work = context.work
    folder, generated_manifest = context.input("generated")
    real_folder, real_manifest = context.input("real")
    generated = Features(values=np.load(folder / "features.npy"))
    real = Features(values=np.load(real_folder / "features.npy"))
    extractor = real_manifest.summary["identity"]
    base = {
        "extractor": extractor,
        "n": len(generated.values),
        "n_real": len(real.values),
        "against": work["against"],
        "reference": context.spec["inputs"]["real"]["key"],
    }
    records: list[dict[str, Any]] = []
    warnings: list[str] = []
    for asked in work["metrics"]:
        metric: SampleMetric = context.configured(asked["metric"], asked["params"])
        values = metric.values(generated, real, work["seed"])
        warnings += metric.warnings(generated, real)
        for column in metric.columns(metric.config):
            named = replace(column, name=f"{column.name}[{work['extractor']}]")
            records.append(_record(named, float(values[column.name]), (None, None), base))
    return {"records": records, "warnings": warnings, "extractor": generated_manifest.summary["identity"]}
