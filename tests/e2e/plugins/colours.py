"""Mean colours of a coarse grid as features: as small as an extractor can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from dermae_bench import api


class Colours(api.Extractor):
    """Every image as a tiny one."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        side: int = 4
        """Side of the grid."""

    tiny = {"side": 2}

    def identity(self) -> Mapping[str, Any]:
        """Without weights."""
        side = self.config.side
        read = {"size": side, "filter": "area", "antialias": True, "range": "x / 127.5 - 1"}
        return {"name": "colours", "stage": "grid", "dimensions": 3 * side**2, "weights": "none", "input": read}

    def features(self, images: Tensor) -> Tensor:
        """uint8 RGB (B, 3, H, W) -> float32 (B, 3 side^2)."""
        return F.adaptive_avg_pool2d(api.from_uint8(images), self.config.side).flatten(1)


@api.hookimpl
def dermae_extractors() -> dict[str, type[api.Extractor]]:
    return {"colours": Colours}
