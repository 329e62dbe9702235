"""Draw images from a fitted generator, shard by shard; a killed stage goes on with the first missing shard."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dermae_bench.durable import digest_file, sync_file, write_text
from dermae_bench.errors import InvalidOutput, UserError
from dermae_bench.execute.run import Stopped, reseed
from dermae_bench.execute.stages.common import (
    StageContext,
    Table,
    check_images,
    load_model,
    pick_device,
    set_threads,
    task_of,
)
from dermae_bench.plugin.contracts import Conditions, Generator
from dermae_bench.plugin.noise import Noise
from dermae_bench.plugin.params import build


def apportion(count: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Labels (count,) whose every prefix follows `shares` as closely as whole images can (largest deficit first)."""
    given = np.zeros(len(shares))
    labels = np.empty(count, dtype=np.int64)
    for i in range(count):
        chosen = int(np.argmax(shares * (i + 1) - given))
        labels[i] = chosen
        given[chosen] += 1
    return labels


def wanted_labels(
    work: Mapping[str, Any], counts: Mapping[str, int], classes: tuple[str, ...]
) -> NDArray[np.int64] | None:
    """Labels to ask for: by share of the training set, so many of each, or what each lacks; None if unconditional.

    Args:
        counts: class -> images in `train`, in the generator's task.
    """
    if not classes:
        return None
    have = np.array([counts[name] for name in classes], dtype=np.int64)
    if work["per_class"] == "balance":
        lacking = have.max() - have
        return np.repeat(np.arange(len(classes)), lacking)
    if work["per_class"] is not None:
        return np.tile(np.arange(len(classes)), work["per_class"])
    return apportion(work["count"], have / have.sum())


def sample(context: StageContext) -> dict[str, Any]:
    """images-00000.npy, ...: uint8 (n, 3, S, S) lossless shards; table.parquet: id, label."""
    work = context.work
    set_threads(work["threads"])
    device = pick_device()
    task = task_of(work["model"]["task"])
    model = load_model(context, work["model"], "train", device)
    if not isinstance(model, Generator):
        raise InvalidOutput(f"{work['model']['plugin']} is not a generator")
    labels = wanted_labels(work, _train_counts(context, task.name), task.classes)
    count = len(labels) if labels is not None else int(work["count"] or 0)
    if count == 0:
        raise UserError("there is nothing to sample: every class is already as frequent as the largest")
    sampling = build(type(model).Sampling, work["sampling"])
    kept = context.folder / "shards"
    kept.mkdir(exist_ok=True)
    context.phase = "sampling"
    starts = range(0, count, work["shard"])
    for number, start in enumerate(starts):
        if _finished(context, number):
            continue
        stop = min(start + work["shard"], count)
        _draw_shard(context, model, sampling, labels, (number, start, stop, count), device)
        if context.stop() and stop < count:
            raise Stopped
    for number in range(len(starts)):
        name = f"images-{number:05d}.npy"
        # the shard stays where it is until the artifact is committed: a kill between here and there loses nothing
        shutil.copyfile(kept / name, context.out / name)
    key = context.spec["key"][:8]
    columns: dict[str, Any] = {"id": [f"{key}-{i:06d}" for i in range(count)]}
    if labels is not None:
        columns["label"] = labels.tolist()
    Table.write(context.out / "table.parquet", columns)
    by_class = np.bincount(labels, minlength=len(task.classes)).tolist() if labels is not None else []
    return {
        "n": count,
        "size": task.image_size,
        "task": task.name or None,
        "counts": dict(zip(task.classes, by_class, strict=True)),
        "sampling": dict(work["sampling"]),
    }


def _train_counts(context: StageContext, task: str) -> dict[str, int]:
    """Images of each class of `task` in the real training split."""
    from dermae_bench.execute.stages.common import dataset_tasks, image_set

    _, manifest = context.input("prepare")
    tasks = dataset_tasks(manifest)
    if task not in tasks:
        return {}
    labels = image_set(context, [{"split": "train"}], tasks[task]).labels
    assert labels is not None
    classes = tasks[task].classes
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))


def _finished(context: StageContext, number: int) -> bool:
    """Whether a shard of an earlier attempt is there, whole and undamaged."""
    path = context.folder / "shards" / f"images-{number:05d}.npy"
    try:
        about = json.loads(path.with_suffix(".json").read_bytes())
    except (OSError, ValueError):
        return False
    return path.is_file() and digest_file(path) == about["sha256"]


@torch.inference_mode()
def _draw_shard(
    context: StageContext,
    model: Generator,
    sampling: Any,
    labels: NDArray[np.int64] | None,
    span: tuple[int, int, int, int],
    device: torch.device,
) -> None:
    work = context.work
    number, start, stop, count = span
    size = model.task.image_size
    shard = np.empty((stop - start, 3, size, size), dtype=np.uint8)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=work["precision"] == "bf16")
    for first in range(start, stop, work["batch"]):
        last = min(first + work["batch"], stop)
        reseed(work["seed"], "sample", first)
        asked = torch.from_numpy(labels[first:last]).to(device) if labels is not None else None
        with autocast:
            images = model.sample(
                Conditions(count=last - first, labels=asked), sampling, Noise(work["seed"], range(first, last), device)
            )
        check_images(images, last - first, size, work["model"]["plugin"])
        shard[first - start : last - start] = images.cpu().numpy()
        context.status(last, count, "images")
    path = context.folder / "shards" / f"images-{number:05d}.npy"
    np.save(path, shard)
    sync_file(path)
    write_text(path.with_suffix(".json"), json.dumps({"sha256": digest_file(path)}))
