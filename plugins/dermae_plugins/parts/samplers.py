"""Samplers: from noise to images in a given number of network calls. One function, one algorithm, one source.

They are written in terms of x0-hat, which is kept in the range of pixels at every call (latents have none, and are
left alone), and their coefficients are Python floats, so nothing waits for a GPU. Noise is drawn per image: a picture
does not depend on its batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from dermae_bench import api
from dermae_plugins.parts.latents import Space
from dermae_plugins.parts.process import Process

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x_t float (B, C, h, w), t int64 (B,)) -> the network's output in the process's prediction."""

DYNAMIC_QUANTILE = 0.995


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How images are drawn from a fitted network."""

    sampler: Literal["ddpm", "ddim", "dpm-solver++"] = "ddim"
    """`ddpm` is ancestral (Ho et al. 2020), `ddim` deterministic from its noise unless `eta` is given (Song et al.
    2021), `dpm-solver++` the multistep 2M solver (Lu et al. 2022)."""
    steps: Annotated[int, api.Between(1)] = 50
    """Network calls an image, at most the timesteps of training (there are twice as many passes with guidance)."""
    eta: Annotated[float, api.Between(0, 1)] = 0.0
    """Share of the ancestral noise that DDIM adds at every step; 1 is `ddpm`."""
    thresholding: Literal["static", "dynamic"] = "static"
    """How x0-hat is kept in the range of pixels: clipped, or divided by its 99.5 % quantile where that is beyond 1
    (Saharia et al. 2022). In latent space x0-hat is never clipped, and `dynamic` is refused."""

    def __post_init__(self) -> None:
        if self.eta and self.sampler != "ddim":
            raise ValueError(f"eta belongs to ddim, not to {self.sampler}")


@dataclass(frozen=True, kw_only=True)
class GuidedSampling(Sampling):
    """How images of a class are drawn."""

    guidance: Annotated[float, api.Between(0)] = 0.0
    """Weight w of classifier-free guidance (Ho and Salimans 2022): e + w (e - u); 0 is none, else every step costs
    two passes."""


def times(timesteps: int, steps: int) -> list[int]:
    """Descending t of the network calls, evenly spaced and ending the training range ("trailing", Lin et al. 2024).

    Raises:
        PluginError: more steps than there are timesteps.
    """
    if steps > timesteps:
        raise api.PluginError(f"{steps} sampling steps, but the model was trained on {timesteps} timesteps")
    spaced = np.round(np.arange(steps, 0, -1) * (timesteps / steps)).astype(int) - 1
    return [int(t) for t in spaced]


@torch.no_grad()
def draw(network: Denoiser, process: Process, sampling: Sampling, noise: api.Noise, space: Space) -> Tensor:
    """uint8 images (B, 3, S, S), one for each of `noise`, in exactly `sampling.steps` calls of `network`.

    Latents are decoded once, at the end.

    Raises:
        PluginError: dynamic thresholding in a space without a range, or more steps than timesteps.
    """
    dynamic = sampling.thresholding == "dynamic"
    if dynamic and not space.bounded:
        raise api.PluginError(
            "thresholding: dynamic keeps x0-hat in the range of pixels, and latents have none",
            hint="leave `thresholding` out in latent space",
        )

    def x0_hat(x_t: Tensor, t: int) -> Tensor:
        ts = torch.full((len(x_t),), t, dtype=torch.int64, device=x_t.device)
        clean = process.x0(network(x_t, ts), x_t, ts)
        if not space.bounded:
            return clean
        return _dynamic(clean) if dynamic else clean.clamp(-1, 1)

    ts = times(process.timesteps, sampling.steps)
    x = noise.normal(space.shape)
    if sampling.sampler == "dpm-solver++":
        return space.pixels(dpm_solver_pp(x0_hat, process, ts, x))
    # ancestral sampling over a subset of the steps is DDIM with eta = 1 (Song et al. 2021, section 4.1)
    eta = 1.0 if sampling.sampler == "ddpm" else sampling.eta
    return space.pixels(ddim(x0_hat, process, ts, x, eta, noise))


def ddim(
    x0_hat: Callable[[Tensor, int], Tensor], process: Process, ts: list[int], x: Tensor, eta: float, noise: api.Noise
) -> Tensor:
    """Song et al. 2021, eq. 12 and 16, with eps taken from the thresholded x0-hat. Ends with x0-hat itself."""
    for t, earlier in zip(ts, [*ts[1:], None], strict=True):
        clean = x0_hat(x, t)
        if earlier is None:
            return clean
        signal, next_signal = float(process.signal[t]), float(process.signal[earlier])
        spread = eta * math.sqrt((1 - next_signal) / (1 - signal) * (1 - signal / next_signal))
        eps = (x - math.sqrt(signal) * clean) / math.sqrt(1 - signal)
        x = math.sqrt(next_signal) * clean + math.sqrt(max(1 - next_signal - spread**2, 0.0)) * eps
        if eta:
            x = x + spread * noise.normal(x.shape[1:])
    return x


def dpm_solver_pp(x0_hat: Callable[[Tensor, int], Tensor], process: Process, ts: list[int], x: Tensor) -> Tensor:
    """Lu et al. 2022, algorithm 2 (data prediction, second order, multistep); first order at both ends."""
    before: Tensor | None = None
    h_before = 0.0
    for t, earlier in zip(ts, [*ts[1:], None], strict=True):
        clean = x0_hat(x, t)
        if earlier is None:
            return clean
        alpha, sigma = _alpha_sigma(process, t)
        next_alpha, next_sigma = _alpha_sigma(process, earlier)
        h = math.log(next_alpha / next_sigma) - math.log(alpha / sigma)
        ahead = clean
        if before is not None:
            ahead = clean + (clean - before) * (h / (2 * h_before))
        x = (next_sigma / sigma) * x - next_alpha * math.expm1(-h) * ahead
        before, h_before = clean, h
    return x


def guided(conditional: Denoiser, unconditional: Denoiser, weight: float) -> Denoiser:
    """Classifier-free guidance. At a given x_t, eps, v and x0 are affine in each other: one formula serves all."""

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        asked = conditional(x_t, t).float()
        return asked + weight * (asked - unconditional(x_t, t).float())

    return network if weight else conditional


def _alpha_sigma(process: Process, t: int) -> tuple[float, float]:
    signal = float(process.signal[t])
    return math.sqrt(signal), math.sqrt(1 - signal)


def _dynamic(clean: Tensor) -> Tensor:
    limit = torch.quantile(clean.abs().flatten(1), DYNAMIC_QUANTILE, dim=1).clamp(min=1).view(-1, 1, 1, 1)
    return clean.clamp(-limit, limit) / limit
