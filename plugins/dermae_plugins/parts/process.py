"""The diffusion process in discrete time: noise schedules, and what a network may be asked to predict.

x_t = alpha_t x0 + sigma_t eps with alpha_t^2 + sigma_t^2 = 1 (Ho et al. 2020, eq. 4; DerMAE eq. 1).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Schedule = Literal["linear", "cosine"]
Prediction = Literal["eps", "v", "x0"]


def betas(schedule: Schedule, timesteps: int) -> NDArray[np.float64]:
    """Noise variances beta_1..beta_T, float64 (T,), each <= 0.999.

    `linear`: 1e-4 to 0.02 at T = 1000 (Ho et al. 2020), scaled by 1000/T otherwise, so that the end is as noisy.
    `cosine`: Nichol and Dhariwal 2021, eq. 17, with s = 0.008.
    """
    if schedule == "linear":
        straight: NDArray[np.float64] = np.linspace(1e-4, 0.02, timesteps) * 1000 / timesteps
        return np.minimum(straight, 0.999)
    clean: NDArray[np.float64] = np.cos((np.arange(timesteps + 1) / timesteps + 0.008) / 1.008 * math.pi / 2) ** 2
    return np.minimum(1 - clean[1:] / clean[:-1], 0.999)


class Process(nn.Module):
    """Forward process and the exact conversions between x0, eps and v. Holds no parameter and no saved buffer.

    Args:
        timesteps: T; t runs from 0 (least noise) to T - 1.
        prediction: what the network's output stands for: the noise (`eps`), the clean image (`x0`), or
            v = alpha eps - sigma x0 (Salimans and Ho 2022).
    """

    alpha: Tensor
    sigma: Tensor

    def __init__(self, timesteps: int, schedule: Schedule, prediction: Prediction) -> None:
        super().__init__()
        self.timesteps = timesteps
        self.prediction = prediction
        self.signal: NDArray[Any] = np.cumprod(1 - betas(schedule, timesteps))
        """alpha_t^2, float64 (T,): what Ho et al. call alpha-bar."""
        self.register_buffer("alpha", torch.from_numpy(np.sqrt(self.signal)).float(), persistent=False)
        self.register_buffer("sigma", torch.from_numpy(np.sqrt(1 - self.signal)).float(), persistent=False)

    def diffuse(self, x0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(x_t, t, eps) for float images (B, 3, S, S): a uniform t (int64, (B,)) and standard normal noise each."""
        t = torch.randint(self.timesteps, (len(x0),), device=x0.device)
        eps = torch.randn_like(x0)
        return self.noised(x0, eps, t), t, eps

    def noised(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_t."""
        alpha, sigma = self._at(t)
        return alpha * x0 + sigma * eps

    def target(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What the network should have said."""
        if self.prediction == "eps":
            return eps
        if self.prediction == "x0":
            return x0
        alpha, sigma = self._at(t)
        return alpha * eps - sigma * x0

    def x0(self, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """x0-hat, not clipped: what the network's output says about the clean image. float32 even under autocast."""
        output = output.float()
        if self.prediction == "x0":
            return output
        alpha, sigma = self._at(t)
        return (x_t - sigma * output) / alpha if self.prediction == "eps" else alpha * x_t - sigma * output

    def eps(self, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """eps-hat: what the network's output says about the noise."""
        output = output.float()
        if self.prediction == "eps":
            return output
        alpha, sigma = self._at(t)
        return (x_t - alpha * output) / sigma if self.prediction == "x0" else sigma * x_t + alpha * output

    def _at(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return self.alpha[t].view(-1, 1, 1, 1), self.sigma[t].view(-1, 1, 1, 1)
