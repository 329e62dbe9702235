"""A classifier that reads latents (or pixels) where a diffusion happens: stem, timm trunk, feed-forward head."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from dermae_bench import api
from dermae_plugins.parts import trunks
from dermae_plugins.parts.draws import own_draws
from dermae_plugins.parts.latents import Pixels, Space
from dermae_plugins.parts.optimisation import Decay, optimizer_for, set_learning_rate


@dataclass(frozen=True, kw_only=True)
class LatentNetConfig:
    """Network and optimiser of a classifier on latents; the same for a joint model and for one trained alone."""

    arch: str = "resnet101"
    """Name of a timm architecture; ResNet-101 in the paper."""
    arch_args: Mapping[str, float | str | bool | tuple[int, ...]] = field(default_factory=dict)
    """More arguments of the architecture; transformers get img_size, the side of the latents, by themselves."""
    weights: api.File | None = None
    """Weights of the trunk to start from, under timm's names; every layer but the head must fit. The released code
    starts from ImageNet-1k. Null is from scratch."""
    hidden: Annotated[int, api.Between(0)] = 64
    """Width of the linear layer between features and logits (64 in the released code); 0 leaves it out."""
    dropout: Annotated[float, api.Between(0, 1)] = 0.5
    """Dropout before each linear layer of the head (0.5 in the released code)."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or stochastic gradient descent with `momentum` (the released code; the paper does not say)."""
    lr: Annotated[float, api.Between(0)] = 1e-4
    """Learning rate after warm-up: 1e-4 is the only one in the paper, the released code has 3e-4 with `sgd`."""
    momentum: Annotated[float, api.Between(0, 1)] = 0.9
    """Momentum of `sgd` (0.9 in the released code)."""
    weight_decay: Annotated[float, api.Between(0)] = 0.0
    """Weight decay: decoupled for AdamW, an L2 penalty for `sgd`."""
    warmup: Annotated[float, api.Between(0, 1)] = 0.0
    """Share of the classifier's part of the budget over which the learning rate rises from 0."""
    decay: Decay = "constant"
    """What the learning rate does after warm-up: stays, or falls to 0 along half a cosine."""


class LatentNet(nn.Module):
    """forward(x0 float (B, C, h, w)) -> logits (B, classes): Class-N-Diff, section III-A.

    A convolution makes three channels, a timm network features, linear layers logits. The paper's sigmoid over one
    logit is the softmax over two with their difference for that logit: the same function of the images, and the same
    cross-entropy.
    """

    def __init__(self, config: LatentNetConfig, space: Space, classes: int) -> None:
        super().__init__()
        self.shape = space.shape
        channels, side, _ = space.shape
        arguments: dict[str, Any] = {"num_classes": 0}
        if trunks.has_fixed_size(config.arch):
            arguments["img_size"] = side
        self.stem = nn.Conv2d(channels, 3, 3, padding=1)
        self.trunk = trunks.create(config.arch, {**arguments, **trunks.whole_numbers(config.arch_args)})
        if config.weights is not None:
            heads = trunks.head_names(self.trunk)
            trunks.load_strictly(self.trunk, api.load_weights(config.weights), but=heads, what="weights")
        width = int(getattr(self.trunk, "head_hidden_size", self.trunk.num_features))
        layers: list[nn.Module] = [nn.Dropout(config.dropout)]
        if config.hidden:
            layers += [nn.Linear(width, config.hidden), nn.Dropout(config.dropout)]
        self.head = nn.Sequential(*layers, nn.Linear(config.hidden or width, classes))

    def features(self, x0: Tensor) -> Tensor:
        """float (B, D): what the head reads."""
        found: Tensor = self.trunk(self.stem(x0))
        return found

    def forward(self, x0: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x0))
        return logits

    def example_inputs(self) -> tuple[Tensor]:
        """Input of one pass over one image, on the network's device."""
        return (torch.zeros(1, *self.shape, device=self.stem.weight.device),)


def build_latent_net(config: LatentNetConfig, space: Space, classes: int) -> LatentNet:
    """The network with first weights that depend on the model's seed alone, whatever else the model holds."""
    with own_draws("classifier"):
        return LatentNet(config, space, classes)


def net_optimizer(config: LatentNetConfig, net: LatentNet) -> Optimizer:
    """What the network is trained with."""
    if config.optimizer == "adamw":
        return optimizer_for("adamw", net.parameters(), config.lr, config.weight_decay)
    decay, momentum = config.weight_decay, config.momentum
    return torch.optim.SGD(net.parameters(), lr=config.lr, momentum=momentum, weight_decay=decay, fused=True)


def set_net_rate(config: LatentNetConfig, optimizer: Optimizer, progress: float) -> None:
    """The learning rate of this step; `progress` counts from where the classifier starts."""
    set_learning_rate(optimizer, config.decay, config.warmup, progress)


def losses(net: LatentNet, x0: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each image (Class-N-Diff eq. 2), float (B,); dropout draws from a stream of its own."""
    with own_draws("classifier", x0.device):
        logits = net(x0)
    return F.cross_entropy(logits.float(), labels, reduction="none")


@contextlib.contextmanager
def still(net: nn.Module) -> Iterator[None]:
    """Inside, normalisations in training mode take the statistics of their batch and leave the running ones alone."""
    norms = [module for module in net.modules() if getattr(module, "track_running_stats", False)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


@torch.no_grad()
def answering_cost(space: Space, net: LatentNet) -> list[api.CostUnit]:
    """One pass of the encoder, where there is one, and one of the network."""
    found = [api.CostUnit(net, net.example_inputs())]
    if not isinstance(space, Pixels):
        image = torch.zeros(1, 3, space.size, space.size, device=net.stem.weight.device)
        found.append(api.CostUnit(space.encoder, (image,)))
    return found
