"""Draw images from a fitted generator, shard by shard; a killed stage goes on with the first missing shard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dermae_bench.errors import DataError, InvalidOutput, UserError
from dermae_bench.execute.blocks import Block, Blocks, second_name
from dermae_bench.execute.stages.captions import captions_to_draw, learnt
from dermae_bench.execute.stages.common import (
    StageContext,
    Table,
    build_model,
    load_model,
    pick_device,
    set_threads,
)
from dermae_bench.execute.stages.outputs import check_images
from dermae_bench.execute.steps import reseed
from dermae_bench.plugin.contracts import Conditions, Generator
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.given import GivenImages
from dermae_bench.plugin.noise import Noise
from dermae_bench.plugin.params import build
from dermae_bench.scoring.labels import task_of

BLOCK = 1024
"""Labels that are apportioned in one go."""


def apportion(count: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Labels (count,) whose every prefix follows `shares` as closely as whole images can (largest deficit first).

    Blocks of positions are filled side by side, each from a guess of what was given before it, and again from what
    the block before it really gave, until the two agree: then the labels are those of one block after the other.
    """
    starts = np.arange(0, count, BLOCK)
    given = _nearest(starts, shares)
    labels = np.empty((len(starts), min(BLOCK, count)), dtype=np.int64)
    everywhere = np.arange(len(starts))
    while True:
        now = given.copy()
        for step in range(labels.shape[1]):
            chosen = (shares * (starts + step + 1)[:, None] - now).argmax(axis=1)
            labels[:, step] = chosen
            now[everywhere, chosen] += 1
        if np.array_equal(given[1:], now[:-1]):
            return labels.reshape(-1)[:count]
        given[1:] = now[:-1]


def _nearest(counts: NDArray[np.int64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole numbers (N, C) next to `shares` of each count, with the count as their sum (largest remainders)."""
    quotas = counts[:, None] * shares
    whole = np.floor(quotas)
    rank = np.argsort(np.argsort(whole - quotas, axis=1, kind="stable"), axis=1)
    nearest: NDArray[np.float64] = whole + (rank < (counts - whole.sum(axis=1))[:, None])
    return nearest


def wanted_labels(
    work: Mapping[str, Any], counts: Mapping[str, int], classes: tuple[str, ...]
) -> NDArray[np.int64] | None:
    """Labels to ask for: by share, so many of each, what each lacks, or class by class for a figure; None if
    unconditional.

    Args:
        counts: class -> images whose shares `count` follows, or that `balance` fills up, in the generator's task.
    """
    if not classes:
        return None
    every = np.arange(len(classes))
    if work.get("columns") is not None:
        return np.repeat(every, work["columns"])
    have = np.array([counts[name] for name in classes], dtype=np.int64)
    if work["per_class"] == "balance":
        return np.repeat(every, have.max() - have)
    if work["per_class"] is not None:
        return np.tile(every, work["per_class"])
    shares = np.ones(len(have)) if work.get("even") else have
    return apportion(work["count"], shares / shares.sum())


def sample(context: StageContext) -> dict[str, Any]:
    """images-00000.npy, ...: uint8 (n, 3, S, S) lossless shards; table.parquet: id, label.

    With `columns` the images are those of a figure: for each class in turn (once without classes) so many images, and
    image j of every class starts from noise j. So it does for every generator of that seed whose noise has that shape.

    A batch of images is held in memory at a time; what grows with the count are labels and ids.
    """
    work = context.work
    set_threads(work["threads"])
    device = pick_device()
    task = task_of(work["model"]["task"])
    model = _generator(context, device)
    labels = wanted_labels(work, _counts(context, model, task.name), task.classes)
    _refuse_unlearnt(context, task, labels)
    columns = work.get("columns")
    count = len(labels) if labels is not None else int(columns or work["count"] or 0)
    if count == 0:
        raise UserError("there is nothing to sample: every class is already as frequent as the largest")
    asked = _Asked.of(context, model, labels, count)
    sampling = build(type(model).Sampling, work["sampling"])
    context.phase = "sampling"
    size = task.image_size
    shards = Blocks(
        context.folder / "shards",
        "images",
        context.spec["key"],
        rows=count,
        size=work["shard"],
        row=(3, size, size),
        dtype=np.uint8,
        stop=context.stop,
        hold=context.hold,
    )
    shards.fill(lambda shard, first: _drawn(context, model, sampling, asked, shard, first, device))
    for shard in shards.blocks:
        # the shard keeps its name until the artifact is committed: a kill between here and there loses nothing
        second_name(shards.path(shard), context.out / shards.path(shard).name)
    key = context.spec["key"][:8]
    facts: dict[str, Any] = {"id": [f"{key}-{i:06d}" for i in range(count)]}
    if labels is not None:
        facts["label"] = labels
    if asked.captions is not None:
        facts["caption"] = list(asked.captions)
    Table.write(context.out / "table.parquet", facts)
    by_class = np.bincount(labels, minlength=len(task.classes)).tolist() if labels is not None else []
    return {
        "n": count,
        "size": task.image_size,
        "task": task.name or None,
        "counts": dict(zip(task.classes, by_class, strict=True)),
        "sampling": dict(work["sampling"]),
        "starting_shape": shards.blocks[0].facts["starting_shape"],
        "noise": "index" if columns is None else "column",
    }


@dataclass(frozen=True)
class _Asked:
    """What every image of a sample set shall show."""

    labels: NDArray[np.int64] | None
    nth: NDArray[np.int64]
    """How many images with the same label stand before each one."""
    captions: Sequence[str] | None

    @classmethod
    def of(cls, context: StageContext, model: Generator, labels: NDArray[np.int64] | None, count: int) -> _Asked:
        nth = np.arange(count)
        for label in np.unique(labels) if labels is not None else ():
            same = labels == label
            nth[same] = np.arange(same.sum())
        if isinstance(model, GivenImages):
            _refuse_more(model, labels, count)
        return cls(labels, nth, captions_to_draw(context, labels, nth.tolist(), model.task))

    def conditions(self, first: int, last: int, device: torch.device) -> Conditions:
        return Conditions(
            count=last - first,
            labels=torch.from_numpy(self.labels[first:last]).to(device) if self.labels is not None else None,
            captions=tuple(self.captions[first:last]) if self.captions is not None else None,
            indices=tuple(range(first, last)),
            nth=tuple(self.nth[first:last].tolist()),
        )


def _generator(context: StageContext, device: torch.device) -> Generator:
    about = context.work["model"]
    fitted = "train" in context.spec["inputs"]
    model = load_model(context, about, "train", device) if fitted else build_model(context, about).to(device).eval()
    if not isinstance(model, Generator):
        raise InvalidOutput(f"{about['plugin']} is not a generator")
    return model


def _refuse_more(model: GivenImages, labels: NDArray[np.int64] | None, count: int) -> None:
    """Raise where more images are asked for than were made."""
    there = model.available()
    if labels is None or isinstance(there, int):
        total = there if isinstance(there, int) else sum(there)
        lacking = [f"{count:,} images are asked for, and {total:,} are there"] if count > total else []
    else:
        wanted = np.bincount(labels, minlength=len(model.task.classes)).tolist()
        named = zip(model.task.classes, wanted, there, strict=True)
        lacking = [
            f"{name}: {more:,} are asked for, and {have:,} are there" for name, more, have in named if more > have
        ]
    if lacking:
        raise DataError("there are not as many images as the suite asks for", lacking, hint="ask for fewer")


def _counts(context: StageContext, model: Generator, task: str) -> dict[str, int]:
    """Images of each class that decide a sample set.

    Those of `train`, which `balance` fills up; or those whose shares `count` follows: of the real images that the
    generator has learnt from, or of what was made elsewhere.
    """
    if context.work["count"] is None:
        return _class_counts(context, task, [{"split": "train"}])
    if isinstance(model, GivenImages) and not isinstance(there := model.available(), int):
        return dict(zip(model.task.classes, there, strict=True))
    return _class_counts(context, task, learnt(context.work))


def _refuse_unlearnt(context: StageContext, task: Task, labels: NDArray[np.int64] | None) -> None:
    """Raise where a class is asked for of which a generator of a part of `train` has seen no image.

    Of all of `train` the plan knows the classes, and says the same before anything is trained.
    """
    about = context.work.get("learnt")
    if about is None or about["more"] or labels is None:
        return
    have = _class_counts(context, task.name, about["real"])
    absent = [task.classes[label] for label in np.unique(labels).tolist() if not have[task.classes[label]]]
    if absent:
        raise UserError(
            f"the generator cannot have learnt {', '.join(absent)}: the images that it was fitted on show none",
            hint="fit it on some of every class (`per_class` in its image set), or ask by `count`",
        )


def _class_counts(context: StageContext, task: str, parts: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Images of each class of `task` in parts of the real images; none for a generator without a task."""
    if not task:
        return {}
    from dermae_bench.execute.stages.common import dataset_tasks, image_set

    _, manifest = context.input("prepare")
    tasks = dataset_tasks(manifest)
    if task not in tasks:
        return {}
    labels = image_set(context, parts, tasks[task]).labels
    assert labels is not None
    classes = tasks[task].classes
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))


@torch.inference_mode()
def _drawn(
    context: StageContext,
    model: Generator,
    sampling: Any,
    asked: _Asked,
    shard: Block,
    start: int,
    device: torch.device,
) -> Iterator[NDArray[np.uint8]]:
    """The images of a shard from `start` on, a batch at a time; batches begin anew with every shard."""
    work = context.work
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=work["precision"] == "bf16")
    for first in range(start, shard.last, work["batch"]):
        last = min(first + work["batch"], shard.last)
        reseed(work["seed"], "sample", first)
        noise = Noise(work["seed"], _noises(work.get("columns"), first, last), device)
        with autocast:
            images = model.sample(asked.conditions(first, last, device), sampling, noise)
        check_images(images, last - first, model.task.image_size, work["model"]["plugin"])
        shard.facts["starting_shape"] = list(noise.starting_shape) if noise.starting_shape else None
        context.status(last, len(asked.nth), "images")
        yield images.cpu().contiguous().numpy()


def _noises(columns: int | None, first: int, last: int) -> Sequence[int]:
    """Which noise each image starts from."""
    return range(first, last) if columns is None else [position % columns for position in range(first, last)]
