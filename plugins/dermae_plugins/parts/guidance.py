"""Classifier-free guidance (Ho and Salimans 2022): labels that are left out in training, and weights that need them."""

from __future__ import annotations

import torch
from torch import Tensor

from dermae_bench import api


def left_out(labels: Tensor, share: float, anything: int) -> Tensor:
    """Labels int64 (B,) with a share of them, drawn one by one, replaced by the class `anything`."""
    hidden = torch.rand(len(labels), device=labels.device) < share
    return labels.masked_fill(hidden, anything)


def guidance_weight(asked: float, p_uncond: float) -> float:
    """The weight asked for.

    Args:
        p_uncond: share of the training images whose label was left out.

    Raises:
        PluginError: the weight is above 0, but the network never saw an image without its label.
    """
    if asked and not p_uncond:
        raise api.PluginError("guidance needs a network that was trained with p_uncond above 0")
    return asked
