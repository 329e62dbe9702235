"""Rectified flow of a class: a network learns the straight way from noise to image, on the nets of the diffusions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dermae_bench import api
from dermae_plugins.parts import flow, samplers
from dermae_plugins.parts.guidance import guidance_weight, left_out
from dermae_plugins.parts.latents import build_space
from dermae_plugins.parts.optimisation import optimizer_for, set_learning_rate
from dermae_plugins.parts.unet import TINY_NETWORK, TINY_SAMPLING, NetworkConfig, build_unet, example_inputs


class RectifiedFlow(api.Generator):
    """Conditional flow matching on straight paths (Liu et al. 2023, eq. 1; Lipman et al. 2023).

    The same options give the same network, space, optimiser and cost of a training step as `ddpm-conditional`, and the
    same first weights for the same seed: only what is learnt and how it is drawn differ. The network is told 1000 t, a
    float in 0..1000, where a diffusion of 1,000 timesteps tells it the integers 0..999.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(NetworkConfig, flow.TimesConfig):
        """Space, network, optimiser, times and conditioning."""

        p_uncond: Annotated[float, api.Between(0, 1)] = 0.1
        """Share of the training images whose label is left out; guidance needs more than 0."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self.check_times()

    Sampling = flow.FlowSampling
    conditional = True
    tiny: ClassVar[Mapping[str, Any]] = TINY_NETWORK
    tiny_sampling: ClassVar[Mapping[str, Any]] = TINY_SAMPLING

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.space = build_space(self, config, task.image_size)
        self.unet = build_unet(config, self.space, len(task.classes))

    def fit(self, train: api.ImageSet, run: api.Run) -> None:
        config = self.config
        optimizer = optimizer_for(config.optimizer, self.unet.parameters(), config.lr, config.weight_decay)
        run.optimizers(optimizer)
        clean = self.space.clean(train, config.flip, run.device)
        for batch in run.batches(train):
            assert batch.labels is not None
            set_learning_rate(optimizer, config.decay, config.warmup, run.progress)
            run.step(self.loss(clean(batch), batch.labels), optimizer)

    def loss(self, x0: Tensor, labels: Tensor) -> Tensor:
        """Mean squared error of the velocity, for float x0 (B, C, h, w) and labels int64 (B,)."""
        told = left_out(labels, self.config.p_uncond, len(self.task.classes))
        t, eps = flow.draw_times(self.config, len(x0), x0.device), torch.randn_like(x0)
        return F.mse_loss(self.velocity(flow.noised(x0, eps, t), t, told), flow.velocity(x0, eps))

    def velocity(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """What the network says of the velocity at x_t and t (B,) in 0..1. float32 even under autocast."""
        said: Tensor = self.unet(x_t, flow.TIME_SCALE * t, labels).sample
        return said.float()

    def sample(self, conditions: api.Conditions, sampling: flow.FlowSampling, noise: api.Noise) -> Tensor:
        labels = conditions.labels
        assert labels is not None
        anything = torch.full_like(labels, len(self.task.classes))
        network = samplers.guided(
            lambda x, t: self.velocity(x, t, labels),
            lambda x, t: self.velocity(x, t, anything),
            self.guidance(sampling),
        )
        shift = self.config.shift if sampling.shift is None else sampling.shift
        return flow.draw(network, sampling.sampler, flow.times(sampling.steps, shift), noise, self.space)

    def guidance(self, sampling: flow.FlowSampling) -> float:
        """The weight asked for; as `guidance_weight`."""
        return guidance_weight(sampling.guidance, self.config.p_uncond)

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        passes = 2 if self.guidance(sampling) else 1
        calls = flow.calls(sampling.sampler, sampling.steps) * passes
        return [api.CostUnit(self.unet, example_inputs(self.unet), calls), *self.space.sampling_cost()]

    def training_cost(self) -> Iterable[api.CostUnit]:
        return [api.CostUnit(self.unet, example_inputs(self.unet)), *self.space.training_cost()]


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"rectified-flow": RectifiedFlow}
