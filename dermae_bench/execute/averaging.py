"""The moving average of the weights (EMA) that a budget may ask for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn


class Average:
    """An exponential moving average of parameters; without a decay it is empty and does nothing.

    Args:
        parameters: what is averaged.
        decay: weight of the past in each update, in 0..1; None for no average.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float | None) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.values: list[Tensor] = []

    def start(self) -> None:
        """Begin at the weights as they are."""
        if self.decay is not None:
            self.values = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` (0-based)."""
        if self.decay is None:
            return
        # warm-up (as in diffusers' EMAModel): a young average must not remember the random start
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters], 1 - decay)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Swap the averages into the parameters, and the trained weights back."""
        if not self.values:
            yield
            return
        trained = [p.detach().clone() for p in self.parameters]
        self._put(self.values)
        try:
            yield
        finally:
            self._put(trained)

    @torch.no_grad()
    def _put(self, tensors: Sequence[Tensor]) -> None:
        for parameter, tensor in zip(self.parameters, tensors, strict=True):
            parameter.copy_(tensor)
        # autocast keeps bf16 copies of weights, which it would go on using
        torch.clear_autocast_cache()
