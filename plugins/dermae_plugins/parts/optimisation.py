"""Optimisers and learning rates that first-party models share, so that they differ in their idea alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from dermae_bench import api

OptimizerName = Literal["adam", "adamw"]
Decay = Literal["constant", "cosine"]
Group = dict[str, Any]


def optimizer_for(
    name: OptimizerName,
    parameters: Iterable[nn.Parameter] | list[Group],
    lr: float,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adam or AdamW with fused updates; Adam's weight decay is not an option (it would be an L2 penalty)."""
    if name == "adam":
        return torch.optim.Adam(parameters, lr=lr, fused=True)
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=True)


def set_learning_rate(optimizer: Optimizer, decay: Decay, warmup: float, progress: float) -> None:
    """The rate of this step as a pure function of the progress: linear warm-up, then constant or half a cosine to 0."""
    factor = api.cosine(progress, warmup=warmup) if decay == "cosine" else api.constant(progress, warmup=warmup)
    api.schedule(optimizer, factor)


def decayed_groups(model: nn.Module, weight_decay: float) -> list[Group]:
    """Parameter groups: matrices and kernels decay; biases, norms and other vectors do not."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
