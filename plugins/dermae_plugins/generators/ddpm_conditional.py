"""Denoising diffusion of a class: the label is embedded, and now and then left out, so that it can be guided."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
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


class ConditionalDDPM(api.Generator):
    """Classifier-free guidance (Ho and Salimans 2022, algorithms 1 and 2) over the classes of the task."""

    @dataclass(frozen=True, kw_only=True)
    class Config(DiffusionConfig, PerceptualConfig):
        """Network, process, optimiser, conditioning and feature network."""

        p_uncond: Annotated[float, api.Between(0, 1)] = 0.1
        """Share of the training images whose label is left out; guidance needs more than 0."""
        perceptual_weight: Annotated[float, api.Between(0)] = 0.0
        """Weight of the perceptual loss on x0-hat; 0 is off, and the feature network is not loaded."""

    Sampling = samplers.GuidedSampling
    tiny = TINY
    tiny_sampling = TINY_SAMPLING
    conditional = True

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.unet = build_unet(config, task, classes=len(task.classes))
        self.process = build_process(config)
        if config.perceptual_weight:
            self.frozen("features", FeatureDistance(config, task.image_size))

    def fit(self, train: api.ImageSet, run: api.Run) -> None:
        optimizer = build_optimizer(self.config, self.unet)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            follow_schedule(self.config, optimizer, run)
            assert batch.labels is not None
            x0 = flipped(api.from_uint8(batch.images), self.config.flip)
            run.step(self.loss(x0, self.left_out(batch.labels)), optimizer)

    def left_out(self, labels: Tensor) -> Tensor:
        """Labels with a share of `p_uncond` replaced by the class "any"."""
        hidden = torch.rand(len(labels), device=labels.device) < self.config.p_uncond
        return labels.masked_fill(hidden, len(self.task.classes))

    def loss(self, x0: Tensor, labels: Tensor) -> Tensor:
        """Mean squared error of the prediction, and the weighted perceptual loss where there is one."""
        x_t, t, eps = self.process.diffuse(x0)
        output = self.unet(x_t, t, labels).sample.float()
        mse = F.mse_loss(output, self.process.target(x0, eps, t))
        if not self.config.perceptual_weight:
            return mse
        clear = least_noised(t, self.config.feature_share)
        x0_hat = self.process.x0(output[clear], x_t[clear], t[clear])
        return mse + self.config.perceptual_weight * self.features(x0_hat, x0[clear]).mean()

    def sample(self, conditions: api.Conditions, sampling: samplers.GuidedSampling, noise: api.Noise) -> Tensor:
        assert conditions.labels is not None
        anything = torch.full_like(conditions.labels, len(self.task.classes))
        network = samplers.guided(
            lambda x, t: self.unet(x, t, conditions.labels).sample,
            lambda x, t: self.unet(x, t, anything).sample,
            self.guidance(sampling),
        )
        return samplers.draw(network, self.process, sampling, noise, self.task.image_size)

    def guidance(self, sampling: samplers.GuidedSampling) -> float:
        """The weight asked for.

        Raises:
            PluginError: it is above 0, but the network never saw an image without its label.
        """
        if sampling.guidance and not self.config.p_uncond:
            raise api.PluginError("guidance needs a network that was trained with p_uncond above 0")
        return sampling.guidance

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        calls = len(samplers.times(self.config.timesteps, sampling.steps)) * (2 if self.guidance(sampling) else 1)
        return [api.CostUnit(self.unet, example_inputs(self.unet, self.task.image_size, label=0), calls)]


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"ddpm-conditional": ConditionalDDPM}
