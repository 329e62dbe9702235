"""Any architecture of timm, trained from scratch, from a weights file or from a pretrainer's encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from dermae_bench import api
from dermae_plugins.parts.fine_tuning import FineTuned
from dermae_plugins.parts.recipe import Recipe
from dermae_plugins.parts.views import View


class TimmClassifier(FineTuned):
    """Cross-entropy with the usual recipe of fine-tuning: AdamW, cosine, label smoothing, mixup, mild augmentation."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Recipe):
        """The recipe, and nothing else."""

    teaching: ClassVar[Literal["none", "optional", "required"]] = "none"
    tiny: ClassVar[Mapping[str, Any]] = {"arch": "test_efficientnet"}

    def fit(self, train: api.ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        if teacher is not None:
            raise api.PluginError("timm learns from labels alone", hint="`distilled` learns from a teacher")
        weights = self.class_weights(train).to(run.device)

        def loss(logits: Tensor, batch: api.Batch, view: View) -> Tensor:
            return self.cross_entropy(logits, batch, view, weights)

        self.learn(train, run, loss)


@api.hookimpl
def dermae_classifiers() -> dict[str, type[api.Classifier]]:
    return {"timm": TimmClassifier}
