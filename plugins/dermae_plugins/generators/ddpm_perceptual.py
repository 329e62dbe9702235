"""Denoising diffusion whose x0-hat must also look right to a frozen network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from torch import Tensor
from torch.nn import functional as F

from dermae_bench import api
from dermae_plugins.parts.diffusion import Diffusion
from dermae_plugins.parts.perceptual import FeatureDistance, PerceptualConfig
from dermae_plugins.parts.unet import TINY, DiffusionConfig, example_inputs


class PerceptualDDPM(Diffusion):
    """DerMAE eq. 3: L = MSE + weight * L_perc; the paper names neither weight nor network, so both are options."""

    @dataclass(frozen=True, kw_only=True)
    class Config(DiffusionConfig, PerceptualConfig):
        """Space, network, process, optimiser and feature network."""

        weight: Annotated[float, api.Between(0)] = 0.1
        """Weight of the perceptual loss on x0-hat beside the mean squared error of the prediction."""

    corpora: ClassVar[tuple[str, ...]] = ("ImageNet-1k",)
    tiny: ClassVar[Mapping[str, Any]] = {**TINY, "feature_stages": [0, 1]}

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.frozen("features", FeatureDistance(config, task.image_size))

    def loss(self, x0: Tensor, labels: Tensor | None, run: api.Run) -> Tensor:
        """Mean squared error of the prediction, and the weighted perceptual loss."""
        x_t, t, eps = self.process.diffuse(x0)
        output = self.unet(x_t, t).sample.float()
        mse = F.mse_loss(output, self.process.target(x0, eps, t))
        perceptual = self.features(*self.pictures(output, x_t, t, x0, self.config.feature_share)).mean()
        run.log(mse=mse, perceptual=perceptual)
        return mse + self.config.weight * perceptual

    def training_cost(self) -> Iterable[api.CostUnit]:
        network = api.CostUnit(self.unet, example_inputs(self.unet))
        return [network, *self.space.training_cost(looked_at=True), *self.features.training_cost()]


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"ddpm-perceptual": PerceptualDDPM}
