"""Denoising diffusion of a class: the label is embedded, and now and then left out, so that it can be guided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dermae_bench import api
from dermae_plugins.parts import samplers
from dermae_plugins.parts.diffusion import Diffusion
from dermae_plugins.parts.guidance import guidance_weight, left_out
from dermae_plugins.parts.perceptual import FeatureDistance, PerceptualConfig
from dermae_plugins.parts.unet import DiffusionConfig, example_inputs


class ConditionalDDPM(Diffusion):
    """Classifier-free guidance (Ho and Salimans 2022, algorithms 1 and 2) over the classes of the task."""

    @dataclass(frozen=True, kw_only=True)
    class Config(DiffusionConfig, PerceptualConfig):
        """Space, network, process, optimiser, conditioning and feature network."""

        p_uncond: Annotated[float, api.Between(0, 1)] = 0.1
        """Share of the training images whose label is left out; guidance needs more than 0."""
        perceptual_weight: Annotated[float, api.Between(0)] = 0.0
        """Weight of the perceptual loss on x0-hat; 0 is off, and the feature network is not loaded."""

    corpora_with: ClassVar[Mapping[str, tuple[str, ...]]] = {"perceptual_weight": ("ImageNet-1k",)}
    Sampling = samplers.GuidedSampling
    conditional = True

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task, classes=len(task.classes))
        if config.perceptual_weight:
            self.frozen("features", FeatureDistance(config, task.image_size))

    def loss(self, x0: Tensor, labels: Tensor | None, run: api.Run) -> Tensor:
        """Mean squared error of the prediction, and the weighted perceptual loss where there is one."""
        assert labels is not None
        told = left_out(labels, self.config.p_uncond, len(self.task.classes))
        x_t, t, eps = self.process.diffuse(x0)
        output = self.unet(x_t, t, told).sample.float()
        mse = F.mse_loss(output, self.process.target(x0, eps, t))
        if not self.config.perceptual_weight:
            return mse
        perceptual = self.features(*self.pictures(output, x_t, t, x0, self.config.feature_share)).mean()
        run.log(mse=mse, perceptual=perceptual)
        return mse + self.config.perceptual_weight * perceptual

    def denoiser(self, conditions: api.Conditions, sampling: samplers.GuidedSampling) -> samplers.Denoiser:
        assert conditions.labels is not None
        anything = torch.full_like(conditions.labels, len(self.task.classes))
        return samplers.guided(
            lambda x, t: self.unet(x, t, conditions.labels).sample,
            lambda x, t: self.unet(x, t, anything).sample,
            self.guidance(sampling),
        )

    def guidance(self, sampling: samplers.GuidedSampling) -> float:
        """The weight asked for; as `guidance_weight`."""
        return guidance_weight(sampling.guidance, self.config.p_uncond)

    def passes(self, sampling: samplers.GuidedSampling) -> int:
        return 2 if self.guidance(sampling) else 1

    def training_cost(self) -> Iterable[api.CostUnit]:
        looked_at = bool(self.config.perceptual_weight)
        network = api.CostUnit(self.unet, example_inputs(self.unet))
        features = self.features.training_cost() if looked_at else []
        return [network, *self.space.training_cost(looked_at), *features]


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"ddpm-conditional": ConditionalDDPM}
