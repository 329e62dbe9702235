"""The classifier of Class-N-Diff, trained by itself: the control of its joint training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from dermae_bench import api
from dermae_plugins.parts.autoencoders import SpaceConfig
from dermae_plugins.parts.latent_net import (
    LatentNetConfig,
    answering_cost,
    build_latent_net,
    losses,
    net_optimizer,
    set_net_rate,
)
from dermae_plugins.parts.latents import build_space


class LatentClassifier(api.Classifier):
    """Stem, timm trunk and head on the latents of a frozen autoencoder (setting 1 of Table III).

    With the same seed, data and budget its weights are, to the last bit, those of the classifier inside a
    `class-n-diff` whose diffusion is switched off.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(SpaceConfig, LatentNetConfig):
        """Space, network and optimiser."""

        flip: bool = True
        """Mirror half of the training images left to right."""

    teaching: ClassVar[Literal["none", "optional", "required"]] = "none"
    tiny: ClassVar[Mapping[str, Any]] = {"arch": "test_efficientnet", "hidden": 8, "lr": 1e-3}

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.space = build_space(self, config, task.image_size)
        self.classifier = build_latent_net(config, self.space, len(task.classes))

    def fit(self, train: api.ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        if teacher is not None:
            raise api.PluginError("latent-classifier learns from labels alone", hint="remove `teacher:`")
        optimizer = net_optimizer(self.config, self.classifier)
        run.optimizers(optimizer)
        clean = self.space.clean(train, self.config.flip, run.device)
        for batch in run.batches(train):
            assert batch.labels is not None
            set_net_rate(self.config, optimizer, run.progress)
            run.step(losses(self.classifier, clean(batch), batch.labels).mean(), optimizer)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.space.means(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        return self.classifier.features(self.space.means(images)).float()

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        return answering_cost(self.space, self.classifier)

    def training_cost(self) -> Iterable[api.CostUnit]:
        net = api.CostUnit(self.classifier, self.classifier.example_inputs())
        return [net, *self.space.training_cost()]


@api.hookimpl
def dermae_classifiers() -> dict[str, type[api.Classifier]]:
    return {"latent-classifier": LatentClassifier}
