"""What a feature extractor promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn


class Extractor(nn.Module, ABC):
    """A frozen network whose features sample metrics compare.

    The identity of every number computed from it holds `identity()`: a distance without the name of its
    extractor means nothing.
    """

    Config: ClassVar[type]
    tiny: ClassVar[Mapping[str, Any]] = {}
    corpora: ClassVar[tuple[str, ...]] = ()
    """Data collections (ImageNet-1k, ISIC 2019, ...) that the weights of the plugin were trained on: those that it
    brings, or those of the file that it was written for."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """{name, stage, dimensions, weights (sha256 of the tensors), input (size, filter, antialias, range)}."""

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """uint8 RGB (B, 3, H, W), any size -> float32 (B, D). Deterministic, independent of the batch."""
