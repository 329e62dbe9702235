"""Features of one image set by one extractor: computed once, compared by every metric."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dermae_bench.errors import InvalidOutput, UserError
from dermae_bench.execute.stages.common import StageContext, image_set, pick_device, set_threads
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.extractor import Extractor
from dermae_bench.plugin.images import ImageSet
from dermae_bench.plugin.moments import moments

BATCH = 64
NOISE_BATCH = 256
MOMENTS_BATCH = 4096


def extract(context: StageContext) -> dict[str, Any]:
    """features.npy: float32 (N, D), row i is image i of the set; of whole splits also moments.npz: mean and root."""
    work = context.work
    set_threads(work["threads"])
    device = pick_device()
    about = work["extractor"]
    extractor: Extractor = context.configured(about["plugin"], about["params"])
    extractor.to(device).eval()
    identity = dict(extractor.identity())
    width = int(identity["dimensions"])
    context.phase = "extracting"
    pieces: list[NDArray[np.float32]] = []
    done = 0
    count, batches = _batches(context)
    with torch.inference_mode():
        for images in batches:
            features = extractor.features(images.to(device))
            if tuple(features.shape) != (len(images), width) or not bool(torch.isfinite(features).all()):
                raise InvalidOutput(
                    f"{about['plugin']} gave features {tuple(features.shape)}, not finite {(len(images), width)}"
                )
            pieces.append(features.float().cpu().numpy())
            done += len(images)
            context.status(done, count, "images")
    values = np.concatenate(pieces)
    np.save(context.out / "features.npy", values)
    if work["moments"] and len(values) > 1:
        # every distance to this set needs them, so they are computed once
        mean, root = moments(values[first : first + MOMENTS_BATCH] for first in range(0, len(values), MOMENTS_BATCH))
        np.savez(context.out / "moments.npz", mean=mean, root=root)
    return {"n": len(values), "identity": identity}


def _batches(context: StageContext) -> tuple[int, Iterator[Tensor]]:
    work = context.work
    images = source_images(context, work["images"], work["limit"], None)
    if images is None:
        count = int(work["limit"])
        return count, _noise(count, int(context.input("prepare")[1].summary["size"]))
    if len(images) == 0:
        raise UserError("there are no images to extract features from")
    return len(images), (images[slice(first, first + BATCH)] for first in range(0, len(images), BATCH))


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
    return choose(images, limit) if limit is not None and limit < len(images) else images


def choose(images: ImageSet, count: int) -> ImageSet:
    """`count` images by the hash of their ids: a fixed choice that does not depend on their order."""
    ranked = sorted(range(len(images)), key=lambda i: hashlib.sha256(images.ids[i].encode()).digest())
    return images.take(sorted(ranked[:count]))


def _noise(count: int, size: int) -> Iterator[Tensor]:
    """Uniform uint8 noise: what a generator that learnt nothing would give."""
    generator = np.random.default_rng(0)
    for first in range(0, count, NOISE_BATCH):
        shape = (min(NOISE_BATCH, count - first), 3, size, size)
        yield torch.from_numpy(generator.integers(0, 256, shape, dtype=np.uint8))
