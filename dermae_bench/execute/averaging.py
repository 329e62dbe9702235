"""The moving average of the weights (EMA) that a budget may ask for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Average:
    """An exponential moving average of parameters; without a decay it is empty and does nothing.

    Parameters are averaged from the first step of an optimiser that holds them: a part of a model that waits for its
    turn must not be averaged with a long past of its random start. Buffers (statistics of batch normalisation) are not
    averaged.

    Args:
        parameters: what is averaged.
        decay: weight of the past in each update, in 0..1; None for no average.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float | None) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.values: list[Tensor] = []
        self.began: list[int | None] = []
        """Step at which each optimiser was first used; None for one that still waits."""
        self._holders: list[tuple[tuple[int, ...], list[int]]] = []
        """(optimisers, parameters that these hold and no other does), by their numbers."""

    def start(self, optimizers: Sequence[Optimizer]) -> None:
        """Begin at the weights as they are."""
        self.began = [None] * len(optimizers)
        if self.decay is None:
            return
        self.values = [p.detach().clone() for p in self.parameters]
        held = [{id(p) for group in optimizer.param_groups for p in group["params"]} for optimizer in optimizers]
        alike: dict[tuple[int, ...], list[int]] = {}
        for place, parameter in enumerate(self.parameters):
            holders = tuple(number for number, ids in enumerate(held) if id(parameter) in ids)
            alike.setdefault(holders, []).append(place)
        self._holders = list(alike.items())

    def stepped(self, number: int, step: int) -> None:
        """Optimiser `number` is used at `step` (0-based)."""
        if self.began[number] is None:
            self.began[number] = step

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` (0-based)."""
        if self.decay is None:
            return
        for holders, places in self._holders:
            # what no optimiser holds is the plugin's own affair, from the first step on
            began = [self.began[number] for number in holders] or [0]
            since = min((at for at in began if at is not None), default=None)
            if since is None:
                continue
            # warm-up (as in diffusers' EMAModel): a young average must not remember the random start
            decay = min(self.decay, (1 + step - since) / (10 + step - since))
            values = [self.values[place] for place in places]
            torch._foreach_lerp_(values, [self.parameters[place].detach() for place in places], 1 - decay)

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
