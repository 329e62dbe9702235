"""Starting noise that belongs to an image, not to its batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def seed_of(*parts: object) -> int:
    """A 63-bit seed from any words: equal words give equal seeds on every machine."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class Noise:
    """Random numbers for the images `indices` of a sample set, drawn per image from (seed, index).

    Drawn on the CPU and moved, so that a picture is the same on every device; an image's numbers do not depend
    on who shares its batch. Successive calls continue each image's own stream.
    """

    def __init__(self, seed: int, indices: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.generators = [torch.Generator().manual_seed(seed_of("noise", seed, index)) for index in indices]
        """One CPU generator an image: what diffusers' schedulers take as `generator=`."""
        self.starting_shape: tuple[int, ...] | None = None
        """Shape of the first draw, an image's starting noise; None before it."""

    def __len__(self) -> int:
        return len(self.generators)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Standard normal float32 (B, *shape)."""
        if self.starting_shape is None:
            self.starting_shape = tuple(shape)
        return torch.stack([torch.randn(tuple(shape), generator=g) for g in self.generators]).to(self.device)

    def uniform(self, shape: Sequence[int]) -> Tensor:
        """Uniform float32 in [0, 1), (B, *shape)."""
        return torch.stack([torch.rand(tuple(shape), generator=g) for g in self.generators]).to(self.device)
