"""Denoising diffusion without conditions: a U-Net learns to tell an image from the noise laid over it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from dermae_bench import api
from dermae_plugins.parts.diffusion import Diffusion
from dermae_plugins.parts.unet import DiffusionConfig


class DDPM(Diffusion):
    """Ho et al. 2020, algorithms 1 and 2 (DerMAE eq. 1 and 2)."""

    @dataclass(frozen=True, kw_only=True)
    class Config(DiffusionConfig):
        """Space, network, process and optimiser."""

    def loss(self, x0: Tensor, labels: Tensor | None, run: api.Run) -> Tensor:
        """Mean squared error of the prediction (DerMAE eq. 2)."""
        x_t, t, eps = self.process.diffuse(x0)
        return F.mse_loss(self.unet(x_t, t).sample.float(), self.process.target(x0, eps, t))


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"ddpm": DDPM}
