"""What plugins give back, looked at before anything is made of it."""

from __future__ import annotations

from typing import Any

from dermae_bench.errors import InvalidOutput


def check_images(images: Any, count: int, size: int, who: str) -> None:
    """Raise `InvalidOutput` unless `images` is a uint8 (count, 3, size, size) tensor."""
    import torch

    if not isinstance(images, torch.Tensor):
        raise InvalidOutput(f"{who} returned {type(images).__name__}, not a tensor of images")
    if images.dtype != torch.uint8 or tuple(images.shape) != (count, 3, size, size):
        raise InvalidOutput(f"{who} returned {images.dtype} {tuple(images.shape)}, not uint8 {(count, 3, size, size)}")


def check_logits(logits: Any, count: int, classes: int, who: str) -> None:
    """Raise `InvalidOutput` unless `logits` is a finite floating (count, classes) tensor."""
    import torch

    if not isinstance(logits, torch.Tensor):
        raise InvalidOutput(f"{who} returned {type(logits).__name__}, not a tensor of logits")
    if not logits.is_floating_point() or tuple(logits.shape) != (count, classes):
        raise InvalidOutput(f"{who} returned {logits.dtype} {tuple(logits.shape)}, not floating {(count, classes)}")
    if not bool(torch.isfinite(logits).all()):
        raise InvalidOutput(f"{who} returned logits that are not finite")
