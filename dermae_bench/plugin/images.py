"""The one place where pixels change type or size, and the image sets that stages hand to plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from dermae_bench.plugin.data import Task

RESIZE_PROTOCOL = "torchvision v2.resize uint8 bilinear antialias"


def from_uint8(images: Tensor) -> Tensor:
    """uint8 0..255 -> float32 -1..1, any shape."""
    return images.float().div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """float -1..1 -> uint8 0..255 by rounding; values outside are clipped. A NaN becomes no pixel: it raises."""
    import torch

    from dermae_bench.errors import InvalidOutput

    if not torch.isfinite(images).all():
        raise InvalidOutput("generated pixels are not finite")
    return images.float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)


def resize(images: Tensor, size: int) -> Tensor:
    """uint8 (B, 3, H, W) -> uint8 (B, 3, size, size); bilinear, antialiased, on integers (`RESIZE_PROTOCOL`)."""
    if images.shape[-2:] == (size, size):
        return images
    from torchvision.transforms.v2.functional import resize as resize_uint8

    resized: Tensor = resize_uint8(images, [size, size], antialias=True)
    return resized


@dataclass(frozen=True)
class Part:
    """Images that lie together in one memory-mapped array, and which of its rows belong to the set."""

    pixels: Sequence[NDArray[np.uint8]]
    """Shards of uint8 (n_k, 3, S, S); usually memory-mapped."""
    rows: NDArray[np.int64]
    """(n,) row numbers over the joined shards."""


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """N images, joined virtually from parts; nothing is copied until a batch is asked for.

    `images[indices]` gives uint8 RGB (B, 3, S, S) on the CPU, whatever the parts are.
    """

    parts: Sequence[Part]
    ids: Sequence[str]
    groups: Sequence[str]
    task: Task | None = None
    """The task that `labels` answers; None for unlabelled images."""
    labels: NDArray[np.int64] | None = None
    """(N,) or None."""
    captions: Sequence[str] | None = None
    teacher_logits: NDArray[np.float32] | None = None
    """(N, C): what the row's teacher says of each image as it lies in the store; None without a teacher."""
    attributes: Mapping[str, Sequence[str | float | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bounds = np.cumsum([0, *(len(part.rows) for part in self.parts)])
        object.__setattr__(self, "_bounds", bounds)
        starts = [np.cumsum([0, *(len(shard) for shard in part.pixels)]) for part in self.parts]
        object.__setattr__(self, "_starts", starts)

    def __len__(self) -> int:
        return int(self._bounds[-1])  # type: ignore[attr-defined]

    @property
    def image_size(self) -> int:
        """Side of the images in pixels."""
        return int(self.parts[0].pixels[0].shape[-1])

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64] | slice) -> Tensor:
        """uint8 (B, 3, S, S) of the images at `indices` (an int array, a list, or a slice)."""
        import torch

        return torch.from_numpy(self.gather(indices))

    def gather(self, indices: Sequence[int] | NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """The same as numpy array, copied out of the memory map."""
        wanted = np.arange(len(self))[indices] if isinstance(indices, slice) else np.asarray(indices, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"image index outside 0..{len(self) - 1}")
        size = self.image_size
        out = np.empty((len(wanted), 3, size, size), dtype=np.uint8)
        bounds: NDArray[np.int64] = self._bounds  # type: ignore[attr-defined]
        owner = np.searchsorted(bounds, wanted, side="right") - 1
        for p in np.unique(owner):
            here = np.flatnonzero(owner == p)
            rows = self.parts[p].rows[wanted[here] - bounds[p]]
            starts = self._starts[p]  # type: ignore[attr-defined]
            shard = np.searchsorted(starts, rows, side="right") - 1
            for s in np.unique(shard):
                inside = shard == s
                out[here[inside]] = self.parts[p].pixels[s][rows[inside] - starts[s]]
        return out

    def take(self, positions: Sequence[int] | NDArray[np.int64]) -> ImageSet:
        """The images at ascending `positions`, as a set of their own; pixels stay where they are.

        Raises:
            ValueError: positions are not ascending, so ids and pixels would not agree (parts keep their order).
        """
        wanted = np.asarray(positions, dtype=np.int64)
        if np.any(np.diff(wanted) <= 0):
            raise ValueError("positions must be ascending")
        starts = np.cumsum([0, *(len(part.rows) for part in self.parts)])
        parts = []
        for p, part in enumerate(self.parts):
            inside = wanted[(wanted >= starts[p]) & (wanted < starts[p + 1])]
            parts.append(Part(part.pixels, part.rows[inside - starts[p]]))
        return replace(
            self,
            parts=parts,
            ids=[self.ids[i] for i in wanted],
            groups=[self.groups[i] for i in wanted],
            labels=self.labels[wanted] if self.labels is not None else None,
            captions=[self.captions[i] for i in wanted] if self.captions is not None else None,
            teacher_logits=self.teacher_logits[wanted] if self.teacher_logits is not None else None,
            attributes={name: [values[i] for i in wanted] for name, values in self.attributes.items()},
        )
