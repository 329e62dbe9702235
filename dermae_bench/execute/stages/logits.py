"""What a classifier says of images, batch by batch in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dermae_bench.execute.stages.outputs import check_logits
from dermae_bench.plugin.images import ImageSet, resize


@torch.inference_mode()
def logits_in_batches(
    model: Any, images: ImageSet, device: torch.device, batch: int, start: int = 0, stop: int | None = None
) -> Iterator[NDArray[np.float32]]:
    """float32 (B, C) logits of a classifier in eval mode, of the images from `start` to `stop`.

    Raises:
        InvalidOutput: they are not finite, or not one number for each class of each image.
    """
    end = len(images) if stop is None else stop
    for first in range(start, end, batch):
        pixels = images[slice(first, min(first + batch, end))].to(device)
        if model.input_size is not None:
            pixels = resize(pixels, model.input_size)
        logits = model(pixels)
        check_logits(logits, len(pixels), len(model.task.classes), type(model).__name__)
        yield logits.float().cpu().numpy()
