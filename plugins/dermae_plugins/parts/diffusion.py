"""What the diffusion generators share: space, network, process, fit and drawing. A new idea is a loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from dermae_bench import api
from dermae_plugins.parts import samplers
from dermae_plugins.parts.latents import build_space
from dermae_plugins.parts.optimisation import optimizer_for, set_learning_rate
from dermae_plugins.parts.perceptual import least_noised
from dermae_plugins.parts.process import Process
from dermae_plugins.parts.unet import TINY, TINY_SAMPLING, DiffusionConfig, build_unet, example_inputs


class Diffusion(api.Generator):
    """A U-Net over x0 of its space (pixels or latents), trained by the subclass's `loss`.

    Args:
        classes: how many the network is told; None for a network without labels.
    """

    Sampling = samplers.Sampling
    tiny = TINY
    tiny_sampling = TINY_SAMPLING

    def __init__(self, config: DiffusionConfig, task: api.Task, classes: int | None = None) -> None:
        super().__init__(config, task)
        self.space = build_space(self, config, task.image_size)
        self.unet = build_unet(config, self.space, classes)
        self.process = Process(config.timesteps, config.schedule, config.prediction)

    @abstractmethod
    def loss(self, x0: Tensor, labels: Tensor | None, run: api.Run) -> Tensor:
        """Scalar loss of clean float x0 (B, C, h, w) and labels int64 (B,); `run.log` notes its terms."""

    def fit(self, train: api.ImageSet, run: api.Run) -> None:
        config = self.config
        optimizer = optimizer_for(config.optimizer, self.unet.parameters(), config.lr, config.weight_decay)
        run.optimizers(optimizer)
        clean = self.space.clean(train, config.flip, run.device)
        for batch in run.batches(train):
            set_learning_rate(optimizer, config.decay, config.warmup, run.progress)
            run.step(self.loss(clean(batch), batch.labels, run), optimizer)

    def pictures(self, output: Tensor, x_t: Tensor, t: Tensor, x0: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Float images (n, 3, S, S) of x0-hat and of x0, of the `share` of the batch with the least noise.

        In latent space both are decoded, x0-hat with gradient through the frozen decoder: a loss between them is 0 for
        the right latents, whatever the autoencoder cannot draw.
        """
        clear = least_noised(t, share)
        x0_hat = self.process.x0(output[clear], x_t[clear], t[clear])
        with torch.no_grad():
            real = self.space.images(x0[clear])
        return self.space.images(x0_hat), real

    def denoiser(self, conditions: api.Conditions, sampling: Any) -> samplers.Denoiser:
        """The network as the samplers call it."""
        return lambda x_t, t: self.unet(x_t, t).sample

    def sample(self, conditions: api.Conditions, sampling: Any, noise: api.Noise) -> Tensor:
        return samplers.draw(self.denoiser(conditions, sampling), self.process, sampling, noise, self.space)

    def passes(self, sampling: Any) -> int:
        """Passes of the network a step of the sampler."""
        return 1

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        calls = len(samplers.times(self.config.timesteps, sampling.steps)) * self.passes(sampling)
        return [api.CostUnit(self.unet, example_inputs(self.unet), calls), *self.space.sampling_cost()]

    def training_cost(self) -> Iterable[api.CostUnit]:
        return [api.CostUnit(self.unet, example_inputs(self.unet)), *self.space.training_cost()]
