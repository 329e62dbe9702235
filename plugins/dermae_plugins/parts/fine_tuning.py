"""A timm network trained by a recipe; what its classifiers share, whoever teaches them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from dermae_bench import api
from dermae_plugins.parts import augment, trunks
from dermae_plugins.parts.optimisation import Group, decayed_groups, optimizer_for, set_learning_rate
from dermae_plugins.parts.recipe import Recipe
from dermae_plugins.parts.views import View, view_of

Loss = Callable[[Tensor, api.Batch, View], Tensor]
"""(logits (B, C), batch, what the network saw of it) -> scalar."""


class FineTuned(api.Classifier):
    """Network, start, loop and cost; a classifier adds `Config`, a `Recipe` or more, and `fit`, which calls `learn`."""

    protocols: ClassVar[Mapping[str, Mapping[str, str]]] = {"train": {"head": "linear-probe"}}
    mean: Tensor
    std: Tensor
    config: Recipe

    def __init__(self, config: Recipe, task: api.Task) -> None:
        super().__init__(config, task)
        self.input_size = config.input_size
        arguments: dict[str, Any] = {"num_classes": len(task.classes)}
        if trunks.has_fixed_size(config.arch):
            arguments["img_size"] = config.input_size or task.image_size
        if config.drop_path is not None:
            arguments["drop_path_rate"] = config.drop_path
        if config.pool != "default":
            arguments["global_pool"] = config.pool
        self.net = trunks.create(config.arch, {**arguments, **trunks.whole_numbers(config.arch_args)})
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(1, 3, 1, 1), persistent=False)
        if config.weights is not None:
            self._load(api.load_weights(config.weights), "weights")
        if config.train == "head":
            self.net.requires_grad_(False)
            for name in trunks.head_names(self.net):
                _probe(self.net, name)

    def start_from(self, encoder: Mapping[str, Tensor]) -> None:
        self._load(encoder, "the encoder's weights")

    def _load(self, state: Mapping[str, Tensor], what: str) -> None:
        fresh = trunks.head_names(self.net) + moved_norms(self.net.state_dict(), state)
        trunks.load_strictly(self.net, state, but=fresh, what=what)

    def train(self, mode: bool = True) -> FineTuned:
        super().train(mode)
        if self.config.train == "head":
            self.net.eval()
            for name in trunks.head_names(self.net):
                self.net.get_submodule(name).train(mode)
        return self

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net((images.float() / 255 - self.mean) / self.std)
        return logits

    def features(self, images: Tensor) -> Tensor:
        # what timm's networks hand to their classifier: pooled, after the last norm and any hidden layer of the head
        body = self.net.forward_features((images.float() / 255 - self.mean) / self.std)
        pooled: Tensor = self.net.forward_head(body, pre_logits=True)
        return pooled.float()

    def learn(self, train: api.ImageSet, run: api.Run, loss: Loss) -> None:
        """Spend the budget on `loss` by the recipe."""
        config = self.config
        optimizer = optimizer_for("adamw", self.groups(), config.lr)
        run.optimizers(optimizer)
        weights = balanced_draws(train) if config.balance == "sampling" else None
        for batch in run.batches(train, weights=weights):
            set_learning_rate(optimizer, config.decay, config.warmup, run.progress)
            view = view_of(batch.images, config)
            logits = self.net(((view.images + 1) / 2 - self.mean) / self.std).float()
            run.step(loss(logits, batch, view), optimizer)

    def groups(self) -> list[Group]:
        """Parameter groups of the optimiser, with a learning rate for each layer where they differ."""
        config = self.config
        if config.layer_decay == 1:
            return decayed_groups(self, config.weight_decay)
        from timm.optim import param_groups_layer_decay

        groups = param_groups_layer_decay(self.net, weight_decay=config.weight_decay, layer_decay=config.layer_decay)
        return [
            {"params": group["params"], "weight_decay": group["weight_decay"], "lr": config.lr * group["lr_scale"]}
            for group in groups
        ]

    def cross_entropy(self, logits: Tensor, batch: api.Batch, view: View, weights: Tensor) -> Tensor:
        """Mean over the batch against smoothed labels, mixed as the images are; `weights` (C,) are the classes'."""
        if batch.labels is None:
            raise api.PluginError("these images have no labels to learn from", hint="`labels: teacher` gives them some")
        targets = augment.soft_targets(batch.labels, len(self.task.classes), self.config.label_smoothing)
        return F.cross_entropy(logits, view.blended(targets), weight=weights)

    def class_weights(self, train: api.ImageSet) -> Tensor:
        """float (C,): all 1, or inverse frequencies; a class without images has weight 0."""
        classes = len(self.task.classes)
        if self.config.balance != "loss":
            return torch.ones(classes)
        counts = torch.bincount(torch.as_tensor(labels_of(train)), minlength=classes).double()
        present = (counts > 0).sum()
        return torch.where(counts > 0, counts.sum() / (present * counts.clamp(min=1)), 0.0).float()

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        size = self.config.input_size or self.task.image_size
        images = torch.zeros(1, 3, size, size, dtype=torch.uint8, device=self.mean.device)
        return [api.CostUnit(self, (images,))]

    def training_cost(self) -> Iterable[api.CostUnit]:
        passes = super().training_cost()
        if self.config.train == "all":
            return passes
        # the gradient of the head's weights costs what its forward pass does, and nothing below it has one
        heads = [self.net.get_submodule(name)[-1] for name in trunks.head_names(self.net)]
        once_more = [
            api.CostUnit(head, (torch.zeros(1, head.in_features, device=self.mean.device),), backward="none")
            for head in heads
        ]
        return [*(replace(unit, backward="none") for unit in passes), *once_more]


def moved_norms(own: Iterable[str], given: Iterable[str]) -> tuple[str, ...]:
    """Names of the final norms of two transformers that pool differently, () where they pool alike.

    `norm` stands before a class token is read, `fc_norm` behind a mean.
    """
    places = {"norm", "fc_norm"}
    ours, theirs = ({name.partition(".")[0] for name in names} & places for names in (own, given))
    return tuple(sorted(places)) if len(ours) == len(theirs) == 1 and ours != theirs else ()


def balanced_draws(train: api.ImageSet) -> NDArray[np.float64]:
    """float64 (N,): inverse frequency of each image's class, so that every class is drawn equally often."""
    labels = labels_of(train)
    counts = np.bincount(labels)
    return np.asarray(1 / counts[labels], dtype=np.float64)


def labels_of(train: api.ImageSet) -> NDArray[np.int64]:
    """int64 (N,).

    Raises:
        PluginError: there are none to balance classes by.
    """
    if train.labels is None:
        raise api.PluginError("classes cannot be balanced without labels", hint="remove `balance:`")
    return train.labels


def _probe(net: Any, name: str) -> None:
    """Put a batch norm without parameters before a linear head, and let the head alone be trained."""
    head = net.get_submodule(name)
    if not isinstance(head, nn.Linear):
        raise api.PluginError(
            f"the head of this architecture is no linear layer but {type(head).__name__}", hint="use `train: all`"
        )
    head.requires_grad_(True)
    parent, _, last = name.rpartition(".")
    norm = nn.BatchNorm1d(head.in_features, affine=False, eps=1e-6)
    setattr(net.get_submodule(parent), last, nn.Sequential(norm, head))
