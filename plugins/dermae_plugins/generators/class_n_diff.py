"""Class-N-Diff: a diffusion transformer and a classifier on its latents, trained as one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from dermae_bench import api
from dermae_plugins.parts.gating import GatingConfig
from dermae_plugins.parts.latent_net import (
    LatentNetConfig,
    answering_cost,
    build_latent_net,
    losses,
    net_optimizer,
    set_net_rate,
    still,
)
from dermae_plugins.parts.transformer_diffusion import Guess, TransformerDiffusion, TransformerDiffusionConfig


class Verdict(NamedTuple):
    """What the classifier's look at a batch gives to each half."""

    own: Tensor | None
    """Scalar loss of the classifier itself; None where it is not trained."""
    passed_on: Tensor | None
    """Scalar with the value of L_cl and its gradient through x0-hat; None where no gradient reaches the diffusion."""


class ClassNDiff(TransformerDiffusion, api.Joint):
    """L = L_diff + lambda L_cl (Class-N-Diff, eq. 4), with gamma between clean and denoised latents.

    The classifier reads x0, or x0-hat as the transformer's pass of this very step tells it from x_t; only the latter
    carries the gradient of L_cl into the transformer, so lambda without gating changes nothing. Each half has an
    optimiser and its gradients are clipped by themselves. lambda weighs what reaches the transformer; the classifier's
    own loss is L_cl as it is (as in the released code), else its learning rate would be another one.

    The halves share nothing else: first weights, draws of a step and the classifier's dropout come from streams of
    their own. So with lambda 0 the transformer is that of `dit`, and with the diffusion switched off the classifier is
    that of `latent-classifier`, to the last bit, for the same seed, data and budget.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(TransformerDiffusionConfig, GatingConfig):
        """Diffusion (as in `dit`), classifier (as in `latent-classifier`), and how they are joined."""

        classifier: LatentNetConfig = field(default_factory=LatentNetConfig)
        """Network and optimiser of the classifier: the options of `latent-classifier` but for its space."""
        class_weight: Annotated[float, api.Between(0)] = 0.2
        """lambda: weight of the classification loss in the transformer's (eq. 4); 0.2 or 0.3 in Table I."""
        diffusion_weight: Annotated[float, api.Between(0)] = 1.0
        """Weight of L_diff; 1 in the paper. At 0 the transformer is not trained at all, and the classifier is trained
        alone: that needs gamma 0."""
        classifier_from: Annotated[float, api.Between(0, 1)] = 0.0
        """Share of the budget from which the classifier takes part. Setting 2, "the last two epochs only" of
        200,000 x 8 / 57,882 = 27.64, is 0.9276."""
        classifier_every: Annotated[int, api.Between(1)] = 1
        """The classifier's optimiser steps once in so many steps of the budget ("optimizer step" of Table I: 1 or 3);
        the transformer steps in every one."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.gating == "rising" and self.gamma_start > self.gamma:
                raise ValueError(f"gamma_start {self.gamma_start} is above gamma {self.gamma}, where the rise ends")
            alone = not self.gamma and not self.classifier_from and self.classifier_every == 1
            if not self.diffusion_weight and not alone:
                raise ValueError(
                    "diffusion_weight: 0 trains the classifier alone, at every step and on clean latents: "
                    "it needs gamma: 0, classifier_from: 0 and classifier_every: 1"
                )

    teaching: ClassVar[Literal["none", "optional", "required"]] = "none"
    tiny: ClassVar[Mapping[str, Any]] = {
        **TransformerDiffusion.tiny,
        "classifier": {"arch": "test_efficientnet", "hidden": 8, "lr": 1e-3},
        "gate_by": "image",
        "gamma": 0.5,
    }

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.classifier = build_latent_net(config.classifier, self.space, len(task.classes))

    # -- training ----------------------------------------------------------------------------------------------------

    def fit(self, train: api.ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        if teacher is not None:
            raise api.PluginError("class-n-diff learns from labels alone")
        config = self.config
        painting, naming = self.optimizer(), net_optimizer(config.classifier, self.classifier)
        run.optimizers(painting, naming)
        clean = self.space.clean(train, config.flip, run.device)
        for batch in run.batches(train):
            assert batch.labels is not None
            x0 = clean(batch)
            guess = self.guess(x0, batch.labels) if config.diffusion_weight else None
            verdict = Verdict(None, None)
            if run.progress >= config.classifier_from:
                verdict = self.judge(x0, batch.labels, guess, run)
            if verdict.own is not None:
                span = 1 - config.classifier_from
                set_net_rate(config.classifier, naming, (run.progress - config.classifier_from) / span)
                run.step(verdict.own, naming)
            if guess is not None:
                self.pace(painting, run.progress)
                run.log(mse=guess.mse)
                loss = config.diffusion_weight * guess.mse
                if verdict.passed_on is not None:
                    loss = loss + config.class_weight * verdict.passed_on
                run.step(loss, painting)

    def judge(self, x0: Tensor, labels: Tensor, guess: Guess | None, run: api.Run) -> Verdict:
        """L_cl of clean and denoised latents: what each half learns from it at this step, if anything.

        The classifier looks at a detached x0-hat, and its slope there stands for it in the transformer's loss: each
        half has a graph of its own, and neither optimiser's step spoils the other's.
        """
        config = self.config
        gamma = config.gamma_at(run.progress)
        gated = config.gates(gamma, len(x0))
        denoising = guess is not None and bool(gated.any())
        due = run.step_index % config.classifier_every == 0
        if config.learns_from == "clean" and bool(gated.all()):
            due = False
        linked = denoising and config.class_weight > 0
        if not (due or linked):
            return Verdict(None, None)
        if guess is None or not denoising:
            loss = losses(self.classifier, x0, labels).mean()
            run.log(classification=loss, gamma=gamma, gated=0.0)
            return Verdict(loss, None)
        x0_hat = self.process.x0(guess.output, guess.x_t, guess.t)
        shown = gated.to(x0.device) & (guess.t < config.gate_until * config.timesteps)
        mask = shown.view(-1, 1, 1, 1)
        seen = torch.where(mask, x0_hat.detach(), x0).requires_grad_(linked)
        # what the classifier does not learn from, its running statistics do not take in either
        with contextlib.nullcontext() if due else still(self.classifier):
            each = losses(self.classifier, seen, labels)
        loss = each.mean()
        run.log(classification=loss, gamma=gamma, gated=shown.float().mean())
        passed_on = None
        if linked:
            (slope,) = torch.autograd.grad(loss, seen, retain_graph=due)
            along = (torch.where(mask, slope, 0) * x0_hat).sum()
            passed_on = loss.detach() + (along - along.detach())
        if not due:
            return Verdict(None, passed_on)
        if config.learns_from == "both":
            return Verdict(loss, passed_on)
        ungated = (~gated).nonzero().squeeze(1).to(x0.device)
        return Verdict(each[ungated].mean(), passed_on)

    # -- answering ---------------------------------------------------------------------------------------------------

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.space.means(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        return self.classifier.features(self.space.means(images)).float()

    # -- cost --------------------------------------------------------------------------------------------------------

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        return answering_cost(self.space, self.classifier) if of == "predict" else super().cost(of, sampling)

    def training_cost(self) -> Iterable[api.CostUnit]:
        """A step in which both halves are trained: an upper bound where the classifier starts late or steps seldom.

        A gated step asks for the slope of L_cl at the latents, which is once more a pass of the classifier.
        """
        config = self.config
        looks = api.CostUnit(self.classifier, self.classifier.example_inputs())
        if not config.diffusion_weight:
            return [looks, *self.space.training_cost()]
        again = api.CostUnit(self.classifier, self.classifier.example_inputs(), backward="none")
        return [*super().training_cost(), looks, *([again] if config.class_weight and config.gamma else [])]


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"class-n-diff": ClassNDiff}
