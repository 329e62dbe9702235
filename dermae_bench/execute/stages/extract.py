"""Features of one image set by one extractor: computed once, compared by every metric."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dermae_bench.errors import InvalidOutput, UserError
from dermae_bench.execute.blocks import Block, Blocks
from dermae_bench.execute.stages.common import StageContext, image_set, pick_device, set_threads
from dermae_bench.execute.stages.finetuned import finetuned
from dermae_bench.execute.steps import Stopped
from dermae_bench.faults import point
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.extractor import Extractor
from dermae_bench.plugin.images import ImageSet
from dermae_bench.plugin.moments import moments

BATCH = 64
NOISE_BATCH = 256
BLOCK = 1024
"""Images whose features are put down together; a multiple of both batches, so that no batch is cut by it."""
MOMENTS_BATCH = 4096


def extract(context: StageContext) -> dict[str, Any]:
    """features.npy: float32 (N, D), row i is image i of the set; of whole splits also moments.npz: mean and root."""
    work = context.work
    set_threads(work["threads"])
    device = pick_device()
    about = work["extractor"]
    if "model" in about:
        who, extractor = about["model"]["plugin"], cast("Extractor", finetuned(context, about["model"]))
    else:
        who, extractor = about["plugin"], context.configured(about["plugin"], about["params"])
    extractor.to(device).eval()
    identity = dict(extractor.identity())
    width = int(identity["dimensions"])
    context.phase = "extracting"
    images = source_images(context, work["images"], work["limit"], None)
    count = len(images) if images is not None else int(work["limit"])
    if count == 0:
        raise UserError("there are no images to extract features from")
    side = int(context.input("prepare")[1].summary["size"]) if images is None else 0

    @torch.inference_mode()
    def features(block: Block, first: int) -> Iterator[NDArray[np.float32]]:
        done = first
        for batch in _noise(first, block.last, side) if images is None else _batches(images, first, block.last):
            found = extractor.features(batch.to(device))
            if tuple(found.shape) != (len(batch), width) or not bool(torch.isfinite(found).all()):
                raise InvalidOutput(f"{who} gave features {tuple(found.shape)}, not finite {(len(batch), width)}")
            done += len(batch)
            context.status(done, count, "images")
            yield found.float().cpu().numpy()

    blocks = Blocks(
        context.folder / "blocks",
        "features",
        context.spec["key"],
        rows=count,
        size=BLOCK,
        row=(width,),
        dtype=np.float32,
        stop=context.stop,
        hold=context.hold,
    )
    blocks.fill(features)
    blocks.join(context.out / "features.npy")
    if work["moments"] and count > 1:
        # every distance to this set needs them, so they are computed once
        values = np.load(context.out / "features.npy", mmap_mode="r")
        mean, root = moments(_read(values, context.stop))
        point("write", context.out / "moments.npz")
        np.savez(context.out / "moments.npz", mean=mean, root=root)
    return {"n": count, "identity": identity}


def _read(values: NDArray[np.float32], stop: Callable[[], bool]) -> Iterator[NDArray[np.float32]]:
    for first in range(0, len(values), MOMENTS_BATCH):
        if stop():
            raise Stopped
        yield values[first : first + MOMENTS_BATCH]


def _batches(images: ImageSet, start: int, stop: int) -> Iterator[Tensor]:
    return (images[slice(first, min(first + BATCH, stop))] for first in range(start, stop, BATCH))


def source_images(
    context: StageContext, spec: Sequence[Mapping[str, Any]], limit: int | None, task: Task | None
) -> ImageSet | None:
    """The images behind a set of features, in their order; None for noise, which has neither names nor labels."""
    source = spec[0]
    if "noise" in source:
        return None
    if "held_out" in source:
        spec = [{"split": name} for name in source["held_out"].split("+")]
    images = image_set(context, spec, task)
    return choose(images, limit, "samples" in source) if limit is not None and limit < len(images) else images


def choose(images: ImageSet, count: int, generated: bool) -> ImageSet:
    """`count` images, a fixed choice; a larger one holds every smaller one.

    Real images are ranked by the hash of their ids, in whatever order they stand. Generated ones are ranked by the hash
    of their places: those at one place have the same starting noise and label from every generator, so the choice adds
    nothing to the difference between two of them.
    """

    def rank(place: int) -> bytes:
        return hashlib.sha256((str(place) if generated else images.ids[place]).encode()).digest()

    ranked = sorted(range(len(images)), key=rank)
    return images.take(sorted(ranked[:count]))


def _noise(start: int, stop: int, size: int) -> Iterator[Tensor]:
    """Uniform uint8 noise, images `start` to `stop`: what a generator that learnt nothing would give."""
    generator = np.random.default_rng(0)
    for first in range(0, stop, NOISE_BATCH):
        shape = (min(NOISE_BATCH, stop - first), 3, size, size)
        # one stream of numbers: those of earlier images have to be drawn, too
        drawn = generator.integers(0, 256, shape, dtype=np.uint8)
        if first >= start:
            yield torch.from_numpy(drawn)
