"""Denoising diffusion without conditions: a U-Net learns to tell an image from the noise laid over it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from dermae_bench import api
from dermae_plugins.parts import samplers
from dermae_plugins.parts.augment import flipped
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


class DDPM(api.Generator):
    """Ho et al. 2020, algorithms 1 and 2 (DerMAE eq. 1 and 2)."""

    @dataclass(frozen=True, kw_only=True)
    class Config(DiffusionConfig):
        """Network, process and optimiser."""

    Sampling = samplers.Sampling
    tiny = TINY
    tiny_sampling = TINY_SAMPLING

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.unet = build_unet(config, task)
        self.process = build_process(config)

    def fit(self, train: api.ImageSet, run: api.Run) -> None:
        optimizer = build_optimizer(self.config, self.unet)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            follow_schedule(self.config, optimizer, run)
            run.step(self.loss(flipped(api.from_uint8(batch.images), self.config.flip)), optimizer)

    def loss(self, x0: Tensor) -> Tensor:
        """Mean squared error of the prediction, float images (B, 3, S, S) -> scalar (DerMAE eq. 2)."""
        x_t, t, eps = self.process.diffuse(x0)
        return F.mse_loss(self.unet(x_t, t).sample.float(), self.process.target(x0, eps, t))

    def sample(self, conditions: api.Conditions, sampling: samplers.Sampling, noise: api.Noise) -> Tensor:
        return samplers.draw(lambda x, t: self.unet(x, t).sample, self.process, sampling, noise, self.task.image_size)

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        calls = len(samplers.times(self.config.timesteps, sampling.steps))
        return [api.CostUnit(self.unet, example_inputs(self.unet, self.task.image_size), calls)]


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"ddpm": DDPM}
