"""A student that learns from what a finished teacher says of the images, and from labels where there are some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from dermae_bench import api
from dermae_plugins.parts.distillation import Direction, blended, divergence
from dermae_plugins.parts.fine_tuning import FineTuned
from dermae_plugins.parts.recipe import Recipe
from dermae_plugins.parts.views import View, changes_images


class Distilled(FineTuned):
    """DerMAE eq. 5, after Hinton et al. 2015: (1 - alpha) CE(p_s, y) + alpha KL, for any timm student and any teacher.

    At alpha 0 it is `timm` to the last bit, at alpha 1 labels are not looked at. `training_cost` is the student's:
    with `views: consistent` and an augmenting recipe one forward pass of the teacher an image comes on top, which
    cannot be counted before the teacher is known.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(Recipe):
        """The recipe of `timm`, and how much is learnt from the teacher, and how."""

        alpha: Annotated[float, api.Between(0, 1)] = 0.5
        """Weight of the teacher; labels have the rest. The paper does not give its value."""
        temperature: Annotated[float, api.Between(0.01)] = 4.0
        """Both sides' logits are divided by it before the softmax."""
        rescaled: bool = True
        """Multiply the divergence by the square of the temperature, so that its gradients do not shrink with it
        (Hinton et al. 2015); eq. 5 of the paper does not."""
        kl: Direction = "teacher-student"
        """`teacher-student` is KL(p_t || p_s) as in Hinton et al. 2015; `student-teacher` is KL(p_s || p_t), as eq. 5
        is written."""
        views: Literal["consistent", "stored"] = "consistent"
        """`consistent` asks the teacher about the very pixels that the student sees, mixed ones too, resized from the
        student's size to its own (Beyer et al. 2022); where the recipe changes no pixel its stored answers are taken.
        `stored` takes what it said of the images without augmentation, and mixes these probabilities as labels are
        mixed: cheaper, but not the teacher's opinion of what the student sees."""

        def __post_init__(self) -> None:
            if self.alpha == 1 and self.balance == "loss":
                raise ValueError("balance: loss weights what is learnt from labels, and alpha: 1 leaves labels out")

    config: Config
    teaching: ClassVar[Literal["none", "optional", "required"]] = "required"
    tiny: ClassVar[Mapping[str, Any]] = {"arch": "test_efficientnet"}

    def fit(self, train: api.ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        if teacher is None:
            raise api.PluginError("distilled needs a teacher", hint="add `teacher:`, or use `timm`")
        alpha, weights = self.config.alpha, self.class_weights(train).to(run.device)

        def loss(logits: Tensor, batch: api.Batch, view: View) -> Tensor:
            # at alpha 0 and 1 the other part is left out, not multiplied by 0: it may cost a pass, or not exist
            labels = self.cross_entropy(logits, batch, view, weights) if alpha < 1 else None
            taught = self.divergence(logits, self.said(teacher, batch, view)) if alpha > 0 else None
            if labels is None or taught is None:
                (only,) = (part for part in (labels, taught) if part is not None)
                return only
            run.log(cross_entropy=labels, divergence=taught)
            return (1 - alpha) * labels + alpha * taught

        self.learn(train, run, loss)

    def said(self, teacher: api.Classifier, batch: api.Batch, view: View) -> Tensor:
        """Log-probabilities (B, C) of the teacher at the temperature, for what the student sees."""
        asked = self.config.views == "consistent" and changes_images(self.config)
        logits = _asked(teacher, view.pixels) if asked else _stored(batch)
        if logits.shape[1] != len(self.task.classes):
            raise api.PluginError(f"the teacher knows {logits.shape[1]} classes, the student {len(self.task.classes)}")
        softened = (logits.float() / self.config.temperature).log_softmax(1)
        return softened if asked else blended(softened, view.share)

    def divergence(self, logits: Tensor, said: Tensor) -> Tensor:
        """Of the student's logits from the teacher's log-probabilities, mean over the batch."""
        config = self.config
        softened = (logits / config.temperature).log_softmax(1)
        return (config.temperature**2 if config.rescaled else 1.0) * divergence(softened, said, config.kl)


def _asked(teacher: api.Classifier, pixels: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = teacher(api.resize(pixels, teacher.input_size or teacher.task.image_size))
    return logits


def _stored(batch: api.Batch) -> Tensor:
    if batch.teacher_logits is None:
        raise api.PluginError("the teacher's stored answers are missing", hint="use `views: consistent`")
    return batch.teacher_logits


@api.hookimpl
def dermae_classifiers() -> dict[str, type[api.Classifier]]:
    return {"distilled": Distilled}
