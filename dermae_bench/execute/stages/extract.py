"""Features of one image set by one extractor: computed once, compared by every metric."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dermae_bench.errors import InvalidOutput, UserError
from dermae_bench.execute.stages.common import StageContext, image_set, pick_device, set_threads, take
from dermae_bench.plugin.extractor import Extractor
from dermae_bench.plugin.images import ImageSet

BATCH = 64
NOISE_BATCH = 256


def extract(context: StageContext) -> dict[str, Any]:
    """features.npy: float32 (N, D), row i is image i of the set."""
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
    return {"n": len(values), "identity": identity}


def _batches(context: StageContext) -> tuple[int, Iterator[Tensor]]:
    work = context.work
    source = work["images"][0]
    if "noise" in source:
        count = int(work["limit"])
        return count, _noise(count, int(context.input("prepare")[1].summary["size"]))
    spec = [{"split": name} for name in source["held_out"].split("+")] if "held_out" in source else work["images"]
    images = image_set(context, spec, None)
    if work["limit"] is not None and work["limit"] < len(images):
        images = choose(images, work["limit"])
    if len(images) == 0:
        raise UserError("there are no images to extract features from")
    return len(images), (images[slice(first, first + BATCH)] for first in range(0, len(images), BATCH))


def choose(images: ImageSet, count: int) -> ImageSet:
    """`count` images by the hash of their ids: a fixed choice that does not depend on their order."""
    ranked = sorted(range(len(images)), key=lambda i: hashlib.sha256(images.ids[i].encode()).digest())
    return take(images, sorted(ranked[:count]))


def _noise(count: int, size: int) -> Iterator[Tensor]:
    """Uniform uint8 noise: what a generator that learnt nothing would give."""
    generator = np.random.default_rng(0)
    for first in range(0, count, NOISE_BATCH):
        shape = (min(NOISE_BATCH, count - first), 3, size, size)
        yield torch.from_numpy(generator.integers(0, 256, shape, dtype=np.uint8))
