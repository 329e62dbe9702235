"""Which images a step sees, and what its random numbers are: pure functions of (seed, step)."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from dermae_bench.errors import PluginError, UserError
from dermae_bench.plugin.noise import seed_of


class Stopped(Exception):
    """A signal asked the stage to stop; its checkpoint is written."""


@dataclass(frozen=True, kw_only=True)
class BudgetOf:
    """The budget of one fit, as the suite states it."""

    steps: int
    batch_size: int
    ema: float | None = None
    clip: float | None = 1.0
    select: str = "last"
    every: int | None = None
    checkpoint: int | None = None
    phases: Mapping[str, int] = field(default_factory=dict)

    def span(self, phase: str | None) -> tuple[int, int]:
        """First step of a phase and one past its last; of the whole budget for None.

        Raises:
            UserError: the budget has no such phase.
        """
        if phase is None:
            return 0, self.steps
        if phase not in self.phases:
            known = ", ".join(self.phases) or "none"
            raise UserError(
                f"the model asks for phase {phase!r}, but its budget has: {known}",
                hint=f"add `phases: {{{phase}: STEPS}}`",
            )
        before = list(self.phases).index(phase)
        start = sum(list(self.phases.values())[:before])
        return start, start + self.phases[phase]


def reseed(seed: int, *words: object) -> None:
    """Set torch, numpy and random from (seed, words): no RNG state ever needs to be saved."""
    number = seed_of(seed, *words)
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """Shuffled positions of one pass over `count` images: a pure function of (seed, epoch)."""
    return np.random.default_rng((seed, epoch)).permutation(count)


def batch_indices(seed: int, step: int, count: int, size: int) -> NDArray[np.int64]:
    """Positions of the images of a step. Passes follow each other without a gap: every image is seen equally often."""
    first = step * size
    found: list[NDArray[np.int64]] = []
    needed = size
    while needed:
        epoch, offset = divmod(first, count)
        taken = order(seed, epoch, count)[offset : offset + needed]
        found.append(taken)
        first += len(taken)
        needed -= len(taken)
    return np.concatenate(found)


def drawing_shares(weights: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Running sums of the weights, float64 (N,), the last 1.

    Raises:
        PluginError: not one finite weight >= 0 an image, or none above 0.
    """
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (count,) or not np.isfinite(given).all() or (given < 0).any() or not given.any():
        raise PluginError(
            f"weights of run.batches() must be {count} numbers >= 0, not all 0", hint="one for each image of the set"
        )
    sums = np.cumsum(given)
    return np.asarray(sums / sums[-1])


def drawn_indices(seed: int, step: int, shares: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Positions drawn with replacement in proportion to the weights behind `shares`: a function of (seed, step)."""
    draws = np.random.default_rng((seed, step, 1)).random(size)
    return np.searchsorted(shares, draws, side="right").astype(np.int64)
