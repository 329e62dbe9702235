"""Learning rates as pure functions of `run.progress`, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.optim import Optimizer


def cosine(progress: float, *, warmup: float = 0.0, floor: float = 0.0) -> float:
    """Factor in (0, 1]: linear over the first `warmup` share of the budget, then half a cosine down to `floor`."""
    if progress < warmup:
        # a first step at factor 0 would be spent for nothing
        return max(progress / warmup, 1e-3)
    rest = (progress - warmup) / (1.0 - warmup) if warmup < 1 else 1.0
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * rest))


def constant(progress: float, *, warmup: float = 0.0) -> float:
    """Factor in (0, 1]: linear over the first `warmup` share of the budget, then 1."""
    return max(progress / warmup, 1e-3) if progress < warmup else 1.0


def schedule(optimizer: Optimizer, factor: float) -> None:
    """Set every group's learning rate to `factor` times the one it was built with."""
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
