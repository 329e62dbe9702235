"""Numbers from predictions or features, each with its whole identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dermae_bench.durable import digest_of
from dermae_bench.execute.blocks import write_array
from dermae_bench.execute.stages.common import StageContext, Table, dataset_tasks
from dermae_bench.execute.stages.extract import source_images
from dermae_bench.execute.steps import Stopped
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.measures import Comparison, Features, Predictions
from dermae_bench.scoring.deriving import derive
from dermae_bench.scoring.labels import task_of
from dermae_bench.scoring.predictions import score_predictions
from dermae_bench.scoring.samples import Sets, score_samples
from dermae_bench.store.manifests import Manifest


def score(context: StageContext) -> dict[str, Any]:
    """Records in the summary; replicates.npy and jackknife.npy (K, R or G) of predictions, row k of `columns`."""
    of = context.work["of"]
    if of == "leakage":
        from dermae_bench.execute.stages.leakage import leakage

        return dict(leakage(context))
    return _score_predictions(context) if of == "predictions" else _score_samples(context)


def _metric(context: StageContext, name: str, params: Mapping[str, Any]) -> Any:
    """The next metric, unless the stage is asked to stop: what lies between two of them is the only place to leave."""
    if context.stop():
        raise Stopped
    return context.configured(name, params)


# -- predictions -------------------------------------------------------------------------------------------------


def _score_predictions(context: StageContext) -> dict[str, Any]:
    work = context.work
    folder, prepared = context.input("prepare")
    trained = task_of(work["trained"])
    # answers to another data set are to the question that is scored
    predictions = _read(context.input("predictions")[0], task_of(work["task"]) if work.get("other") else trained)
    if "validation" in context.spec["inputs"]:
        predictions = replace(predictions, validation=_read(context.input("validation")[0], trained))
    if work["subgroups"]:
        predictions = replace(predictions, attributes=attributes_of(folder, predictions.ids))
    if work["task"]["name"] != trained.name:
        if not work.get("other"):
            predictions = derive(predictions, task_of(work["task"]), dataset_tasks(prepared))
        elif predictions.validation is not None:
            tasks = {about["name"]: task_of(about) for about in work["other"]}
            predictions = replace(predictions, validation=derive(predictions.validation, task_of(work["task"]), tasks))
    facts = {**prepared.summary, "data": data_digest(prepared)}
    scored = score_predictions(work, predictions, facts, lambda name, params: _metric(context, name, params))
    for name, values in (("replicates", scored.replicates), ("jackknife", scored.jackknife)):
        write_array(context.out / f"{name}.npy", values.dtype.type, values.shape, [values])
    return scored.summary


def _read(folder: Path, task: Task) -> Predictions:
    table = Table.read(folder / "predictions.parquet").columns
    logits = np.stack([np.asarray(table[f"logit.{name}"], dtype=np.float32) for name in task.classes], axis=1)
    return Predictions(
        task=task,
        ids=table["id"],
        groups=table["group"],
        labels=np.asarray(table["label"], dtype=np.int64),
        logits=logits,
    )


def attributes_of(prepared: Path, ids: Any) -> Mapping[str, list[str | float | None]]:
    """Attributes of the named real images: name -> one value an image."""
    table = Table.read(prepared / "table.parquet").columns
    place = {name: row for row, name in enumerate(table["id"])}
    rows = [place[name] for name in ids]
    names = [name for name in table if name.startswith("attribute.")]
    return {name.removeprefix("attribute."): [table[name][row] for row in rows] for name in names}


def data_digest(prepared: Manifest) -> str:
    """Of the pixels and of who is in which split: two numbers on unlike data are never compared."""
    return digest_of([prepared.files["images.npy"]["sha256"], prepared.summary["split_digest"]])[:16]


# -- samples -----------------------------------------------------------------------------------------------------


def _score_samples(context: StageContext) -> dict[str, Any]:
    work = context.work
    task = task_of(work["task"]) if work["task"] is not None else None
    sides = {role: _side(context, role, about, task) for role, about in work["sides"].items()}
    comparison = Comparison(
        generated=sides["generated"],
        real=sides["real"],
        training=sides.get("training"),
        held_out=sides.get("held_out"),
        classes=task.classes if task is not None else (),
        seed=work["seed"],
    )
    extractor = context.input("real")[1].summary["identity"] if "real" in context.spec["inputs"] else None
    facts = {
        "extractor": extractor,
        "n": len(comparison.generated.ids),
        "n_real": len(comparison.real.ids),
        "data": data_digest(context.input("prepare")[1]),
        "image_size": context.input("prepare")[1].summary["size"],
        **work["facts"],
    }
    real = source_images(context, work["sides"]["real"]["images"], work["sides"]["real"]["limit"], None)
    assert real is not None
    sets = Sets(comparison=comparison, attributes=real.attributes)
    found = score_samples(work, sets, facts, lambda name, params: _metric(context, name, params))
    return {**found, "extractor": extractor}


def _side(context: StageContext, role: str, about: Mapping[str, Any], task: Task | None) -> Features:
    """Features of one side (none for metrics over pixels alone), beside its ids, labels and pixels."""
    images = source_images(context, about["images"], about["limit"], task if about["labelled"] else None)
    read = role in context.spec["inputs"]
    values = np.load(context.input(role)[0] / "features.npy", mmap_mode="r") if read else None
    count = len(values) if values is not None else len(images) if images is not None else 0
    moments = context.input(role)[0] / "moments.npz" if read else None
    ready = np.load(moments) if moments is not None and moments.is_file() else None
    return Features(
        values=values if values is not None else np.zeros((count, 0), dtype=np.float32),
        ids=images.ids if images is not None else [f"noise-{number}" for number in range(count)],
        labels=images.labels if images is not None else None,
        images=images,
        mean=ready["mean"] if ready is not None else None,
        root=ready["root"] if ready is not None else None,
    )
