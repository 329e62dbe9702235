"""What one classifier says about every image of one set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dermae_bench.errors import InvalidOutput
from dermae_bench.execute.blocks import Block, Blocks
from dermae_bench.execute.stages.common import (
    StageContext,
    Table,
    build_model,
    dataset_tasks,
    image_set,
    load_model,
    pick_device,
    set_threads,
)
from dermae_bench.execute.stages.logits import logits_in_batches
from dermae_bench.execute.stages.outputs import check_logits
from dermae_bench.plugin.given import GivenAnswers
from dermae_bench.plugin.images import ImageSet
from dermae_bench.plugin.measures import Predictions
from dermae_bench.scoring.deriving import derive
from dermae_bench.scoring.labels import task_of

BLOCK = 1024
"""Images whose answers are put down together, about."""


def predict(context: StageContext) -> dict[str, Any]:
    """predictions.parquet: id, group, label (where it was asked for), and one logit column a class."""
    work = context.work
    task = task_of(work["model"]["task"])
    # a teacher is also asked about images that nobody has labelled
    labelled = work.get("labelled", True) and "answers" not in work
    images = image_set(context, work["images"], task if labelled else None)
    if work["model"]["role"] == "majority":
        logits = _majority(context, len(images))
    elif work["model"]["role"] == "random":
        logits = _random(images.ids, len(task.classes))
    else:
        set_threads(work["threads"])
        context.phase = "predicting"
        if "train" not in context.spec["inputs"]:
            logits = _given(context, images)
        else:
            device = pick_device()
            model = load_model(context, work["model"], "train", device)
            logits = _answers(context, model, images, device)
    if "answers" in work:
        return _to_other_set(context, images, logits)
    columns: dict[str, Any] = {"id": list(images.ids), "group": list(images.groups)}
    if images.labels is not None:
        columns["label"] = images.labels.tolist()
    columns |= {f"logit.{name}": logits[:, c] for c, name in enumerate(task.classes)}
    Table.write(context.out / "predictions.parquet", columns)
    return {"n": len(images), "task": task.name, "images": [dict(item) for item in work["images"]]}


def _to_other_set(context: StageContext, images: ImageSet, logits: NDArray[np.float32]) -> dict[str, Any]:
    """Answers to a question that another data set asks, beside the labels that it has; classes in our own order."""
    work = context.work
    trained, task = task_of(work["model"]["task"]), task_of(work["answers"])
    its = dataset_tasks(context.input("prepare")[1])[task.name]
    labels = image_set(context, work["images"], its).labels
    assert labels is not None
    own = np.array([task.classes.index(name) for name in its.classes], dtype=np.int64)[labels]
    said = Predictions(
        task=trained, ids=images.ids, groups=images.groups, labels=np.zeros(len(own), dtype=np.int64), logits=logits
    )
    if trained.name != task.name:
        said = derive(said, task, {about["name"]: task_of(about) for about in work["between"]})
    answers = {f"logit.{name}": said.logits[:, c] for c, name in enumerate(task.classes)}
    columns = {"id": list(images.ids), "group": list(images.groups), "label": own.tolist(), **answers}
    Table.write(context.out / "predictions.parquet", columns)
    return {"n": len(images), "task": task.name, "images": [dict(item) for item in work["images"]]}


def _answers(context: StageContext, model: Any, images: ImageSet, device: torch.device) -> NDArray[np.float32]:
    """float32 (N, C) logits, put down block by block."""
    work = context.work
    batch = work["batch"]
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=work["precision"] == "bf16")

    def answers(block: Block, first: int) -> Iterator[NDArray[np.float32]]:
        for found in logits_in_batches(model, images, device, batch, first, block.last):
            first += len(found)
            context.status(first, len(images), "images")
            yield found

    blocks = Blocks(
        context.folder / "blocks",
        "logits",
        context.spec["key"],
        rows=len(images),
        # whole batches, so that none is cut
        size=batch * max(1, BLOCK // batch),
        row=(len(model.task.classes),),
        dtype=np.float32,
        stop=context.stop,
        hold=context.hold,
    )
    with autocast:
        blocks.fill(answers)
    return blocks.whole()


def _given(context: StageContext, images: ImageSet) -> NDArray[np.float32]:
    """float32 (N, C) answers that were given elsewhere."""
    who = context.work["model"]["plugin"]
    model = build_model(context, context.work["model"])
    if not isinstance(model, GivenAnswers):
        raise InvalidOutput(f"{who} is not fitted, and has no answers either")
    logits = model.answers(images.ids)
    check_logits(torch.from_numpy(logits), len(images), len(model.task.classes), who)
    return logits.astype(np.float32)


def _majority(context: StageContext, count: int) -> NDArray[np.float32]:
    """Log frequencies of the classes in `train`, the same for every image: always the most frequent class."""
    task = task_of(context.work["model"]["task"])
    # of the data that everyone is trained on, whatever is predicted
    prepared = "training" if "training" in context.spec["inputs"] else "prepare"
    labels = image_set(context, [{"split": "train"}], task, prepared=prepared).labels
    assert labels is not None
    frequencies = np.bincount(labels, minlength=len(task.classes)) + 0.5
    return np.tile(np.log(frequencies / frequencies.sum()).astype(np.float32), (count, 1))


def _random(ids: Sequence[str], classes: int) -> NDArray[np.float32]:
    """Logits by the hash of each image's id: every class equally likely, whatever the image shows -> (N, C)."""
    digests = [hashlib.sha256(f"random/{name}".encode()).digest() for name in ids]
    seeds = [int.from_bytes(digest[:8], "big") for digest in digests]
    return np.stack([np.random.default_rng(seed).standard_normal(classes) for seed in seeds]).astype(np.float32)
