"""What the diffusions of a transformer share: space, network, process, their loss and drawing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from dermae_bench import api
from dermae_plugins.parts import samplers
from dermae_plugins.parts.dit import DiffusionTransformer, TransformerConfig
from dermae_plugins.parts.draws import own_draws
from dermae_plugins.parts.guidance import guidance_weight, left_out
from dermae_plugins.parts.latents import build_space
from dermae_plugins.parts.optimisation import Decay, optimizer_for, set_learning_rate
from dermae_plugins.parts.process import Prediction, Process, Schedule


@dataclass(frozen=True, kw_only=True)
class TransformerDiffusionConfig(TransformerConfig):
    """Space, network, process, conditioning and optimiser; the defaults are those of DiT and of Class-N-Diff."""

    timesteps: Annotated[int, api.Between(2)] = 1000
    """Steps T of the diffusion process."""
    schedule: Schedule = "linear"
    """Noise schedule: linear betas (Ho et al. 2020) or cosine (Nichol and Dhariwal 2021)."""
    prediction: Prediction = "eps"
    """What the network predicts; at small budgets x0 with the cosine schedule gives pictures where eps gives noise."""
    p_uncond: Annotated[float, api.Between(0, 1)] = 0.1
    """Share of the training images whose label is left out (DiT's 0.1); guidance needs more than 0."""
    lr: Annotated[float, api.Between(0)] = 1e-4
    """Learning rate of AdamW after warm-up."""
    weight_decay: Annotated[float, api.Between(0)] = 0.0
    """Decoupled weight decay; DiT and Class-N-Diff have none."""
    warmup: Annotated[float, api.Between(0, 1)] = 0.0
    """Share of the budget over which the learning rate rises from 0."""
    decay: Decay = "constant"
    """What the learning rate does after warm-up: stays, or falls to 0 along half a cosine."""
    flip: bool = True
    """Mirror half of the training images left to right."""


@dataclass(frozen=True, kw_only=True)
class TransformerSampling(samplers.GuidedSampling):
    """How images of a class are drawn; the defaults are those of DiT and of Class-N-Diff (section III-C)."""

    sampler: Literal["ddpm", "ddim", "dpm-solver++"] = "ddpm"
    """`ddpm` is ancestral (Ho et al. 2020) over the chosen steps, `ddim` deterministic from its noise unless `eta` is
    given (Song et al. 2021), `dpm-solver++` the multistep 2M solver (Lu et al. 2022)."""
    steps: Annotated[int, api.Between(1)] = 250
    """Network calls an image, at most the timesteps of training (there are twice as many passes with guidance)."""


class Guess(NamedTuple):
    """What the network said of a batch, and how far off it was."""

    mse: Tensor
    """Scalar: mean squared error of the prediction."""
    output: Tensor
    x_t: Tensor
    t: Tensor
    """int64 (B,)."""


class TransformerDiffusion(api.Generator):
    """A diffusion transformer of the classes of the task; a generator adds `Config` and `fit`.

    First weights and every draw of a step (labels left out, t, noise) come from streams of their own, so that whatever
    a subclass trains beside the transformer changes nothing about it.
    """

    Sampling = TransformerSampling
    conditional = True
    tiny: ClassVar[Mapping[str, Any]] = {"depth": 2, "width": 16, "heads": 2, "patch": 8, "timesteps": 50, "lr": 1e-3}
    tiny_sampling: ClassVar[Mapping[str, Any]] = {"steps": 4}

    def __init__(self, config: TransformerDiffusionConfig, task: api.Task) -> None:
        super().__init__(config, task)
        self.space = build_space(self, config, task.image_size)
        with own_draws("transformer"):
            self.dit = DiffusionTransformer(config, self.space, len(task.classes))
        self.process = Process(config.timesteps, config.schedule, config.prediction)

    # -- training ----------------------------------------------------------------------------------------------------

    def optimizer(self) -> Optimizer:
        """AdamW of the transformer."""
        return optimizer_for("adamw", self.dit.parameters(), self.config.lr, self.config.weight_decay)

    def pace(self, optimizer: Optimizer, progress: float) -> None:
        """Set the learning rate of this step."""
        set_learning_rate(optimizer, self.config.decay, self.config.warmup, progress)

    def guess(self, x0: Tensor, labels: Tensor) -> Guess:
        """One pass over clean float x0 (B, C, h, w) of labels int64 (B,), at a random t each."""
        with own_draws("diffusion", x0.device):
            told = left_out(labels, self.config.p_uncond, len(self.task.classes))
            x_t, t, eps = self.process.diffuse(x0)
            output = self.dit(x_t, t, told)
        mse = F.mse_loss(output.float(), self.process.target(x0, eps, t))
        return Guess(mse, output, x_t, t)

    # -- drawing -----------------------------------------------------------------------------------------------------

    def sample(self, conditions: api.Conditions, sampling: TransformerSampling, noise: api.Noise) -> Tensor:
        labels = conditions.labels
        assert labels is not None
        anything = torch.full_like(labels, len(self.task.classes))
        network = samplers.guided(
            lambda x, t: self.dit(x, t, labels), lambda x, t: self.dit(x, t, anything), self.guidance(sampling)
        )
        return samplers.draw(network, self.process, sampling, noise, self.space)

    def guidance(self, sampling: TransformerSampling) -> float:
        """The weight asked for; as `guidance_weight`."""
        return guidance_weight(sampling.guidance, self.config.p_uncond)

    # -- cost --------------------------------------------------------------------------------------------------------

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        passes = 2 if self.guidance(sampling) else 1
        calls = len(samplers.times(self.config.timesteps, sampling.steps)) * passes
        return [api.CostUnit(self.dit, self.dit.example_inputs(), calls), *self.space.sampling_cost()]

    def training_cost(self) -> Iterable[api.CostUnit]:
        return [api.CostUnit(self.dit, self.dit.example_inputs()), *self.space.training_cost()]
