"""Flow matching along straight paths: which times are trained, and how the flow is solved.

x_t = (1 - t) x0 + t eps, so t = 0 is the image and t = 1 the noise, and the velocity dx_t/dt is eps - x0 (Liu et al.
2023; Lipman et al. 2023, the optimal-transport path with sigma_min = 0; both count time the other way). The direction
is that of Esser et al. 2024 (Stable Diffusion 3), of FLUX, and of the sigmas of FlowMatchEulerDiscreteScheduler.

The only noise of a picture is where it starts. Coefficients are Python floats, so nothing waits for a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal, TypeVar

import torch
from torch import Tensor

from dermae_bench import api
from dermae_plugins.parts.latents import Space

Velocity = Callable[[Tensor, Tensor], Tensor]
"""(x_t float (B, C, h, w), t float (B,) in 0..1) -> the velocity at that point, float (B, C, h, w)."""
Solver = Literal["euler", "heun", "midpoint"]
Time = TypeVar("Time", float, Tensor)

TIME_SCALE = 1000.0
"""What a network is told of t is TIME_SCALE * t, a float in 0..1000: the range, and so the frequencies of the time
embedding, of a diffusion in 1,000 timesteps, which tells the integers 0..999."""


@dataclass(frozen=True, kw_only=True)
class TimesConfig:
    """Which times t of the path are trained."""

    times: Literal["uniform", "logit-normal"] = "uniform"
    """Distribution of t in training: uniform in 0..1 (Liu et al. 2023), or the sigmoid of a normal number, which
    prefers the middle of the path (Esser et al. 2024, section 3.1)."""
    logit_mean: float = 0.0
    """Mean of that normal number; above 0 prefers noisy images. `logit-normal` only."""
    logit_scale: Annotated[float, api.Between(0.01)] = 1.0
    """Standard deviation of that normal number. `logit-normal` only."""
    shift: Annotated[float, api.Between(0.01)] = 1.0
    """Resolution shift s of t, in training and, unless `sampling` says otherwise, in drawing: s t / (1 + (s - 1) t)
    (Esser et al. 2024, resolution-dependent shifting). Above 1 gives more time to noisy images, as large pictures need
    (3 for latents of 1024 px); 1 is none."""

    def check_times(self) -> None:
        """Raises ValueError: an option of `logit-normal` was given to uniform times."""
        if self.times == "uniform" and (self.logit_mean != 0.0 or self.logit_scale != 1.0):
            raise ValueError("logit_mean and logit_scale need times: logit-normal")


@dataclass(frozen=True, kw_only=True)
class FlowSampling:
    """How images of a class are drawn: an ODE solver, its steps, and guidance. All are deterministic."""

    sampler: Solver = "euler"
    """`euler` (first order; one network call a step), `heun` (second order; two calls a step, one in the last, which
    is Euler's, as in Karras et al. 2022, algorithm 1) or `midpoint` (second order; two calls a step)."""
    steps: Annotated[int, api.Between(1)] = 20
    """Steps n from noise to image, evenly spaced in t before the shift. An image takes n network calls with `euler`,
    2 n - 1 with `heun` and 2 n with `midpoint` (there are twice as many passes with guidance)."""
    shift: Annotated[float, api.Between(0.01)] | None = None
    """Resolution shift of the steps; that of training if null."""
    guidance: Annotated[float, api.Between(0)] = 0.0
    """Weight w of classifier-free guidance (Ho and Salimans 2022) on the velocity: v + w (v - u); 0 is none, else every
    call costs two passes."""


def noised(x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """x_t for x0 and eps (B, C, h, w) and t (B,) in 0..1."""
    t = t.view(-1, 1, 1, 1)
    return (1 - t) * x0 + t * eps


def velocity(x0: Tensor, eps: Tensor) -> Tensor:
    """dx/dt of the straight path from x0 to eps, which is the same at every t."""
    return eps - x0


def shifted(t: Time, shift: float) -> Time:
    """t in 0..1 moved towards the noise (`shift` above 1) or the image; 0 and 1 stay."""
    return shift * t / (1 + (shift - 1) * t)


def draw_times(config: TimesConfig, count: int, device: torch.device) -> Tensor:
    """Times t of a training batch, float32 (count,) in 0..1, from torch's global generator."""
    if config.times == "uniform":
        t = torch.rand(count, device=device)
    else:
        t = torch.sigmoid(config.logit_mean + config.logit_scale * torch.randn(count, device=device))
    return shifted(t, config.shift)


def times(steps: int, shift: float = 1.0) -> list[float]:
    """steps + 1 descending times from 1 to 0: 1, 1 - 1/n, ..., 1/n, 0, shifted. Those of FLUX, whose s is exp(mu)."""
    return [shifted((steps - i) / steps, shift) for i in range(steps + 1)]


def calls(sampler: Solver, steps: int) -> int:
    """Calls of the network that an image takes, without guidance."""
    return {"euler": steps, "heun": 2 * steps - 1, "midpoint": 2 * steps}[sampler]


@torch.no_grad()
def draw(network: Velocity, sampler: Solver, ts: Sequence[float], noise: api.Noise, space: Space) -> Tensor:
    """uint8 images (B, 3, S, S), one for each of `noise`, in `calls(sampler, len(ts) - 1)` calls of `network`.

    Nothing is clipped on the way; latents are decoded once, at the end.
    """
    return space.pixels(SOLVERS[sampler](network, ts, noise.normal(space.shape)))


def euler(network: Velocity, ts: Sequence[float], x: Tensor) -> Tensor:
    """x at the last of the descending times `ts`, from x at the first; first order."""
    for t, after in pairwise(ts):
        x = x + (after - t) * _at(network, x, t)
    return x


def heun(network: Velocity, ts: Sequence[float], x: Tensor) -> Tensor:
    """The mean of the velocities at both ends of a step. The last step is Euler's, so t = 0 is never asked about."""
    for t, after in pairwise(ts[:-1]):
        slope = _at(network, x, t)
        x = x + (after - t) / 2 * (slope + _at(network, x + (after - t) * slope, after))
    return euler(network, ts[-2:], x)


def midpoint(network: Velocity, ts: Sequence[float], x: Tensor) -> Tensor:
    """The velocity in the middle of a step, where half an Euler step leads."""
    for t, after in pairwise(ts):
        half = (after - t) / 2
        x = x + (after - t) * _at(network, x + half * _at(network, x, t), t + half)
    return x


SOLVERS: dict[Solver, Callable[[Velocity, Sequence[float], Tensor], Tensor]] = {
    "euler": euler,
    "heun": heun,
    "midpoint": midpoint,
}


def _at(network: Velocity, x: Tensor, t: float) -> Tensor:
    return network(x, torch.full((len(x),), t, dtype=x.dtype, device=x.device))
