"""A generative adversarial network, written as an outsider would: one file, two optimisers, two steps an item."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermae_bench import api


class TinyGAN(api.Generator):
    """Goodfellow et al. 2014 with the non-saturating loss; convolutions as in DCGAN (Radford et al. 2016)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Size and learning rate of both networks."""

        latent: Annotated[int, api.Between(1)] = 16
        """Numbers an image is drawn from."""
        width: Annotated[int, api.Between(1)] = 16
        """Channels of the widest layer."""
        lr: Annotated[float, api.Between(0)] = 2e-4
        """Learning rate of both Adams."""

    tiny: ClassVar[dict[str, Any]] = {"latent": 4, "width": 4}

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        side, width = task.image_size // 4, config.width
        self.painter = nn.Sequential(
            nn.Linear(config.latent, width * side * side),
            nn.Unflatten(1, (width, side, side)),
            nn.GroupNorm(1, width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width, 4, 2, 1),
            nn.GroupNorm(1, width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, 3, 4, 2, 1),
            nn.Tanh(),
        )
        self.critic = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(width * side * side, 1),
        )

    def fit(self, train: api.ImageSet, run: api.Run) -> None:
        painting, judging = (
            torch.optim.Adam(net.parameters(), lr=self.config.lr, betas=(0.5, 0.999))
            for net in (self.painter, self.critic)
        )
        run.optimizers(painting, judging)
        for batch in run.batches(train):
            real = api.from_uint8(batch.images)
            fake = self.painter(torch.randn(len(real), self.config.latent, device=run.device))
            doubt = F.softplus(-self.critic(real)).mean() + F.softplus(self.critic(fake.detach())).mean()
            run.step(doubt, judging)
            run.step(F.softplus(-self.critic(fake)).mean(), painting)

    def sample(self, conditions: api.Conditions, sampling: Any, noise: api.Noise) -> Tensor:
        return api.to_uint8(self.painter(noise.normal((self.config.latent,))))

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        latent = torch.zeros(1, self.config.latent, device=next(self.parameters()).device)
        return [api.CostUnit(self.painter, (latent,))]


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"tiny-gan": TinyGAN}
