"""Is everything still a number? Loss, gradients and weights of every step; the first that is none ends the fit."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from dermae_bench.errors import Diverged

NAMES = ("loss", "gradient norm", "norm of the weights")


class FiniteCheck:
    """Looks at a step at once on the CPU; on a GPU one step late, so that nothing waits for the device."""

    def __init__(self, device: torch.device) -> None:
        self._late = device.type == "cuda"
        self._unread: tuple[int, Tensor, Any] | None = None

    def before(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """Of the CPU: before the optimiser takes gradients that would spoil the weights.

        Raises:
            Diverged: loss or gradients are not finite; on a GPU those of an earlier step.
        """
        self.read()
        if not self._late:
            _raise_unless_finite(step, [float(loss), float(norm)])

    def after(self, step: int, loss: Tensor, norm: Tensor, weights: Sequence[Tensor]) -> None:
        """After the optimiser's step: a finite gradient times a large rate may still be too much.

        Raises:
            Diverged: a weight is not finite or beyond all measure; on a GPU that is seen one step later.
        """
        with torch.no_grad():
            # ten times as fast as the largest weight; it overflows from 1e19 on, where nothing is learnt any more
            size = nn.utils.get_total_norm(weights)
        if not self._late:
            _raise_unless_finite(step, [0.0, 0.0, float(size)])
            return
        values = torch.stack([value.detach().float().reshape(()) for value in (loss, norm, size)])
        there = torch.empty(len(NAMES), pin_memory=True)
        there.copy_(values, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._unread = (step, there, event)

    def read(self) -> None:
        """Look at the values of the last step that a GPU had not computed yet.

        Raises:
            Diverged: one of them is not finite.
        """
        if self._unread is not None:
            step, values, event = self._unread
            event.synchronize()
            self._unread = None
            _raise_unless_finite(step, values.tolist())


def _raise_unless_finite(step: int, values: Sequence[float]) -> None:
    for name, value in zip(NAMES, values, strict=False):
        if not isfinite(value):
            raise Diverged(step, name)
