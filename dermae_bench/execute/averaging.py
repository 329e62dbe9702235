"""The moving average of the weights (EMA) that a budget may ask for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

RUNNING = frozenset({"running_mean", "running_var"})
"""What torch and timm call the statistics of a normalisation."""


class Average:
    """An exponential moving average of a model; without a decay it is empty and does nothing.

    Parameters are averaged from the first step of an optimiser that holds them: a part of a model that waits for its
    turn must not be averaged with a long past of its random start. Running statistics (of batch normalisation) go with
    the parameters of their module: averaged weights need the statistics of averaged weights. Other buffers stay what
    they are after the last step, e.g. the unit vectors of spectral norms, whose average has another length.

    Args:
        model: what is averaged.
        decay: weight of the past in each update, in 0..1; None for no average.
    """

    def __init__(self, model: nn.Module, decay: float | None) -> None:
        parameters = list(model.parameters())
        buffers = list(_statistics(model))
        self.tensors: list[Tensor] = [*parameters, *(buffer for buffer, _ in buffers)]
        self._company = [frozenset({id(p)}) for p in parameters] + [company for _, company in buffers]
        """Of each tensor: the parameters (by id) whose optimiser it follows."""
        self.decay = decay
        self.values: list[Tensor] = []
        self.began: list[int | None] = []
        """Step at which each optimiser was first used; None for one that still waits."""
        self._holders: list[tuple[tuple[int, ...], list[int]]] = []
        """(optimisers, tensors that follow these and no other), by their numbers."""

    def start(self, optimizers: Sequence[Optimizer]) -> None:
        """Begin at the weights as they are."""
        self.began = [None] * len(optimizers)
        if self.decay is None:
            return
        self.values = [tensor.detach().clone() for tensor in self.tensors]
        held = [{id(p) for group in optimizer.param_groups for p in group["params"]} for optimizer in optimizers]
        alike: dict[tuple[int, ...], list[int]] = {}
        for place, company in enumerate(self._company):
            holders = tuple(number for number, ids in enumerate(held) if not company.isdisjoint(ids))
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
            torch._foreach_lerp_(values, [self.tensors[place].detach() for place in places], 1 - decay)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Swap the averages into the model, and the trained weights back."""
        if not self.values:
            yield
            return
        trained = [tensor.detach().clone() for tensor in self.tensors]
        self._put(self.values)
        try:
            yield
        finally:
            self._put(trained)

    @torch.no_grad()
    def _put(self, tensors: Sequence[Tensor]) -> None:
        for own, tensor in zip(self.tensors, tensors, strict=True):
            own.copy_(tensor)
        # autocast keeps bf16 copies of weights, which it would go on using
        torch.clear_autocast_cache()


def _statistics(model: nn.Module) -> Iterator[tuple[Tensor, frozenset[int]]]:
    """Running statistics, each with the parameters (by id) of its module.

    A module without parameters (normalisation that is not affine) stands with the next one around it that has some.
    """
    modules = dict(model.named_modules())
    for name, buffer in model.named_buffers():
        place, _, own = name.rpartition(".")
        if own not in RUNNING:
            continue
        company = frozenset(id(p) for p in modules[place].parameters())
        while place and not company:
            place = place.rpartition(".")[0]
            company = frozenset(id(p) for p in modules[place].parameters())
        yield buffer, company
