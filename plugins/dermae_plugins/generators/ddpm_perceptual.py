"""Denoising diffusion whose x0-hat must also look right to a frozen network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from torch import Tensor
from torch.nn import functional as F

from dermae_bench import api
from dermae_plugins.parts import samplers
from dermae_plugins.parts.augment import flipped
from dermae_plugins.parts.perceptual import FeatureDistance, PerceptualConfig, least_noised
from dermae_plugins.parts.unet import (
    TINY,
    TINY_SAMPLING,
    DiffusionConfig,
    build_optimizer,
    build_process,
    build_unet,
    example_inputs,
    follow_schedule,
)


class PerceptualDDPM(api.Generator):
    """DerMAE eq. 3: L = MSE + weight * L_perc; the paper names neither weight nor network, so both are options."""

    @dataclass(frozen=True, kw_only=True)
    class Config(DiffusionConfig, PerceptualConfig):
        """Network, process, optimiser and feature network."""

        weight: Annotated[float, api.Between(0)] = 0.1
        """Weight of the perceptual loss on x0-hat beside the mean squared error of the prediction."""

    Sampling = samplers.Sampling
    tiny: ClassVar[Mapping[str, Any]] = {**TINY, "feature_stages": [0, 1]}
    tiny_sampling = TINY_SAMPLING

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.unet = build_unet(config, task)
        self.process = build_process(config)
        self.frozen("features", FeatureDistance(config, task.image_size))

    def fit(self, train: api.ImageSet, run: api.Run) -> None:
        optimizer = build_optimizer(self.config, self.unet)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            follow_schedule(self.config, optimizer, run)
            mse, perceptual = self.losses(flipped(api.from_uint8(batch.images), self.config.flip))
            run.log(mse=mse, perceptual=perceptual)
            run.step(mse + self.config.weight * perceptual, optimizer)

    def losses(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        """(mean squared error, perceptual loss), float images (B, 3, S, S) -> scalars."""
        x_t, t, eps = self.process.diffuse(x0)
        output = self.unet(x_t, t).sample.float()
        clear = least_noised(t, self.config.feature_share)
        x0_hat = self.process.x0(output[clear], x_t[clear], t[clear])
        return F.mse_loss(output, self.process.target(x0, eps, t)), self.features(x0_hat, x0[clear]).mean()

    def sample(self, conditions: api.Conditions, sampling: samplers.Sampling, noise: api.Noise) -> Tensor:
        return samplers.draw(lambda x, t: self.unet(x, t).sample, self.process, sampling, noise, self.task.image_size)

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        calls = len(samplers.times(self.config.timesteps, sampling.steps))
        return [api.CostUnit(self.unet, example_inputs(self.unet, self.task.image_size), calls)]


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"ddpm-perceptual": PerceptualDDPM}
