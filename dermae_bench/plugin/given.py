"""Models that are not fitted: images and answers that were made elsewhere."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dermae_bench.errors import PluginError
from dermae_bench.plugin.contracts import Classifier, CostUnit, Generator, Of, Run
from dermae_bench.plugin.images import ImageSet


class GivenImages(Generator):
    """Images that were made elsewhere, in a fixed order: `Conditions.indices` and `nth` say which are asked for."""

    fits: ClassVar[bool] = False

    @abstractmethod
    def available(self) -> int | Sequence[int]:
        """How many images there are; of each class, for a conditional one.

        Raises:
            DataError: everything that is wrong with them, by name.
        """

    def fit(self, train: ImageSet, run: Run) -> None:
        raise PluginError(f"{type(self).__name__} is not fitted: its images are given")

    def cost(self, of: Of, sampling: Any = None) -> Iterable[CostUnit]:
        return []


class GivenAnswers(Classifier):
    """A classifier that ran elsewhere: what it said of each image, by the image's id."""

    fits: ClassVar[bool] = False
    teaching: ClassVar[Literal["none", "optional", "required"]] = "none"

    @abstractmethod
    def answers(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """(N, C) unnormalised log-probabilities of the images with these ids.

        Raises:
            DataError: images without an answer, or answers that are none, by name.
        """

    def fit(self, train: ImageSet, run: Run, teacher: Classifier | None = None) -> None:
        raise PluginError(f"{type(self).__name__} is not fitted: its answers are given")

    def forward(self, images: Tensor) -> Tensor:
        raise PluginError(f"{type(self).__name__} answers for images that it was asked about elsewhere, by their ids")

    def cost(self, of: Of, sampling: Any = None) -> Iterable[CostUnit]:
        return []
