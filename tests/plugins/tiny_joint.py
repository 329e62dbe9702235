"""A generator and a classifier that share a trunk, trained as one: a diffusion network whose features also classify."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermae_bench import api


class TinyJoint(api.Joint):
    """x_t = cos(a) x0 + sin(a) eps; one trunk tells x0 and, at every noise level, the class (Class-N-Diff's idea)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Size, learning rate and balance of the two losses."""

        width: Annotated[int, api.Between(1)] = 32
        """Channels of the trunk."""
        lr: Annotated[float, api.Between(0)] = 1e-3
        """Learning rate of AdamW."""
        class_weight: Annotated[float, api.Between(0)] = 0.1
        """Weight of the cross-entropy beside the mean squared error."""

    @dataclass(frozen=True, kw_only=True)
    class Sampling:
        """DDIM over evenly spaced angles."""

        steps: Annotated[int, api.Between(1)] = 10
        """Network calls an image."""

    tiny: ClassVar[dict[str, Any]] = {"width": 8}
    tiny_sampling: ClassVar[dict[str, Any]] = {"steps": 2}

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        width, classes = config.width, len(task.classes)
        self.entry = nn.Conv2d(3, width, 3, padding=1)
        self.angle = nn.Linear(2, width)
        self.asked = nn.Embedding(classes + 1, width)
        self.trunk = nn.Sequential(
            nn.SiLU(), nn.Conv2d(width, width, 3, 2, 1), nn.SiLU(), nn.Conv2d(width, width, 3, 1, 1), nn.SiLU()
        )
        self.painter = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(width, 3, 3, padding=1))
        self.head = nn.Linear(width, classes)

    def features(self, x_t: Tensor, angle: Tensor, labels: Tensor) -> Tensor:
        """Shared by both parts: float (B, 3, S, S), radians (B,), int64 (B,) -> (B, width, S/2, S/2)."""
        told = self.angle(torch.stack([angle.cos(), angle.sin()], dim=1)) + self.asked(labels)
        shared: Tensor = self.trunk(self.entry(x_t) + told[:, :, None, None])
        return shared

    def fit(self, train: api.ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        if teacher is not None:
            raise api.PluginError("tiny-joint has no teacher")
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.config.lr)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            assert batch.labels is not None
            api.schedule(optimizer, api.cosine(run.progress, warmup=0.1))
            x0 = api.from_uint8(batch.images)
            angle = torch.rand(len(x0), device=run.device) * math.pi / 2
            x_t = angle.cos().view(-1, 1, 1, 1) * x0 + angle.sin().view(-1, 1, 1, 1) * torch.randn_like(x0)
            painted = F.mse_loss(self.painter(self.features(x_t, angle, batch.labels)), x0)
            # the label that is asked for would give the answer away: the classifier is never told it
            named = F.cross_entropy(self._logits(x_t, angle), batch.labels)
            run.log(painted=painted, named=named)
            run.step(painted + self.config.class_weight * named, optimizer)

    def forward(self, images: Tensor) -> Tensor:
        return self._logits(api.from_uint8(images), torch.zeros(len(images), device=images.device))

    def sample(self, conditions: api.Conditions, sampling: Sampling, noise: api.Noise) -> Tensor:
        assert conditions.labels is not None
        size = self.task.image_size
        x = noise.normal((3, size, size))
        x0 = x
        for step in range(sampling.steps, 0, -1):
            angle, following = (math.pi / 2 * k / sampling.steps for k in (step, step - 1))
            angles = torch.full((len(x),), angle, device=x.device)
            x0 = self.painter(self.features(x, angles, conditions.labels)).clamp(-1, 1)
            eps = (x - math.cos(angle) * x0) / math.sin(angle)
            x = math.cos(following) * x0 + math.sin(following) * eps
        return api.to_uint8(x0)

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        device, size = self.head.weight.device, self.task.image_size
        if of == "predict":
            return [api.CostUnit(self, (torch.zeros(1, 3, size, size, dtype=torch.uint8, device=device),))]
        inputs = (
            torch.zeros(1, 3, size, size, device=device),
            torch.zeros(1, device=device),
            torch.zeros(1, dtype=torch.int64, device=device),
        )
        return [api.CostUnit(_Painting(self), inputs, sampling.steps)]

    def _logits(self, x_t: Tensor, angle: Tensor) -> Tensor:
        nobody = torch.full((len(x_t),), len(self.task.classes), device=x_t.device)
        logits: Tensor = self.head(self.features(x_t, angle, nobody).mean(dim=(2, 3)))
        return logits


class _Painting(nn.Module):
    """One network call of sampling, as something whose cost can be counted."""

    def __init__(self, joint: TinyJoint) -> None:
        super().__init__()
        self.joint = joint

    def forward(self, x_t: Tensor, angle: Tensor, labels: Tensor) -> Tensor:
        painted: Tensor = self.joint.painter(self.joint.features(x_t, angle, labels))
        return painted


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"tiny-joint": TinyJoint}
