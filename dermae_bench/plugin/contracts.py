"""What a generator, a pretrainer and a classifier promise, and what the harness lends them while they fit.

Two conventions hold at every boundary: **images are uint8 RGB (B, 3, H, W) in 0..255, labels are int64 (B,)**.
Floats live inside plugins only, so every metric sees what a viewer would see.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from dermae_bench.errors import PluginError
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.images import ImageSet
from dermae_bench.plugin.noise import Noise

Of = Literal["sample", "predict"]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One budget step's images, on the run's device."""

    images: Tensor
    """uint8 (B, 3, S, S); S is the model's `input_size` where it declares one."""
    labels: Tensor | None
    """int64 (B,) of the row's task, or None for unlabelled images."""
    indices: Tensor
    """int64 (B,) positions in the image set (on the CPU)."""
    captions: tuple[str, ...] | None = None
    """What is said of each image, by the `captions:` that a captioned generator names."""
    teacher_logits: Tensor | None = None
    """float32 (B, C) where the row has a teacher: what it said of these images as they lie in the store, without
    any augmentation. Computed once per image set."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What is asked of each image of a batch to be generated."""

    count: int
    labels: Tensor | None = None
    """int64 (B,) of the generator's task, on the model's device."""
    captions: tuple[str, ...] | None = None
    """What each image shall show, for captioned generators."""
    indices: tuple[int, ...] = ()
    """Position of each image in the sample set, from 0."""
    nth: tuple[int, ...] = ()
    """How many images with the same label stand before each one in the sample set; `indices` without labels."""

    def __len__(self) -> int:
        return self.count


@dataclass(frozen=True)
class CostUnit:
    """A part of what ONE image costs: `calls` passes of `module` over `inputs` (batch size 1)."""

    module: nn.Module
    inputs: tuple[Any, ...]
    calls: int = 1
    keywords: Mapping[str, Any] = field(default_factory=dict)
    backward: Literal["none", "inputs", "all"] = "all"
    """In training only: gradients of nothing (a network that only looks), of the inputs (a frozen loss network), or
    of inputs and weights. A pass then counts 1, 2 or 3 times its multiply-adds."""


class Run(Protocol):
    """Lent to a plugin while it fits: the harness owns budget, batches, precision, checkpoints and clocks.

    A fit reads::

        optimizer = torch.optim.AdamW(self.parameters(), lr=self.config.lr)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            schedule(optimizer, cosine(run.progress))
            run.step(self.loss(batch.images), optimizer)

    It is run again from its first line when a killed stage is resumed, so everything before the loop must be a
    pure function of the config, the data and `run.rng`. torch, numpy and random are reseeded from (seed, step)
    before every item; state that lives across steps is a parameter, a buffer or optimiser state.
    """

    device: torch.device

    @property
    def progress(self) -> float:
        """Share of the budget spent before the current item, 0 <= progress < 1."""

    @property
    def step_index(self) -> int:
        """Number of the current item over the whole budget, from 0."""

    def optimizers(self, *optimizers: Optimizer) -> None:
        """Register, once and before the loop, every optimiser whose state a checkpoint must hold."""

    def batches(
        self, data: ImageSet, phase: str | None = None, weights: NDArray[np.float64] | None = None
    ) -> Iterator[Batch]:
        """Batches of shuffled images, one item a budget step; ends when the row's budget is spent.

        `weights`, float64 (N,), draws images with replacement in proportion to them (class-balanced sampling);
        without it every image is seen equally often.

        `phase` names a part of the budget (`budget: {phases: {NAME: steps}}`) for models fitted in several
        loops; a phase that was finished before a resume yields nothing.
        """

    def step(self, loss: Tensor, optimizer: Optimizer) -> None:
        """Backward, finite check, clipping, optimiser step, gradients to None. Several calls an item are fine.

        Only the optimiser's own parameters receive gradients. `loss` is a scalar.

        Raises:
            Diverged: loss or gradient norm is not finite.
        """

    def rng(self, name: str) -> torch.Generator:
        """A CPU generator seeded from (seed, name), for choices made outside the loop."""

    def log(self, **scalars: Tensor | float) -> None:
        """Note numbers for the curves of this step; tensors are read later, so this does not wait for a GPU."""


def _check_config(owner: type, name: str) -> None:
    config = owner.__dict__.get(name)
    if config is None:
        return
    params = getattr(config, "__dataclass_params__", None)
    if not is_dataclass(config) or params is None or not params.frozen:
        raise PluginError(
            f"{owner.__qualname__}.{name} must be a frozen dataclass: @dataclass(frozen=True, kw_only=True)"
        )


class Model(nn.Module, ABC):
    """Common ground. Weights travel by `state_dict`: plugins write no I/O, no arguments, no checkpoints."""

    Config: ClassVar[type]
    """Frozen keyword-only dataclass with every field documented; its schema checks the suite's `params:`."""
    tiny: ClassVar[Mapping[str, Any]] = {}
    """Config values small enough for the conformance kit (16-32 px, 2 steps)."""
    corpora: ClassVar[tuple[str, ...]] = ()
    """Data collections (ImageNet-1k, ISIC 2019, ...) that weights which the plugin brings itself were trained on."""
    corpora_with: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Parameter -> the same, for weights that the plugin brings only where this parameter is neither 0 nor left out."""
    fits: ClassVar[bool] = True
    """Whether it is fitted. One that is not (images or answers that were made elsewhere) has no budget, no weights and
    no seed, and `fit` is never called."""
    protocols: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """Parameter -> value -> what such a fit is called on boards, where it is not `trained`: `linear-probe` (a head on
    frozen features) or `zero-shot` (nothing was fitted to the task). Rows are ranked within their protocol."""
    input_size: int | None = None
    """Side in pixels the model wants; images of another size are resized on integers by the harness."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        _check_config(cls, "Config")
        _check_config(cls, "Sampling")

    def __init__(self, config: Any, task: Task) -> None:
        super().__init__()
        self.config = config
        self.task = task
        self._frozen: dict[str, nn.Module] = {}

    def frozen(self, name: str, module: nn.Module) -> nn.Module:
        """Attach a module loaded from given weights: moved with the model, but not trained, saved or averaged."""
        module.eval().requires_grad_(False)
        self._frozen[name] = module
        object.__setattr__(self, name, module)
        return module

    def __setattr__(self, name: str, value: Any) -> None:
        # `self.features = self.frozen(...)` must not make the frozen module a saved and trained part
        if any(value is module for module in self.__dict__.get("_frozen", {}).values()):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def frozen_modules(self) -> Mapping[str, nn.Module]:
        """The modules attached by `frozen`, by name."""
        return self._frozen

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for module in self._frozen.values():
            module._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    @abstractmethod
    def cost(self, of: Of, sampling: Any = None) -> Iterable[CostUnit]:
        """What ONE image costs: `sample` (with its `Sampling`) or `predict`, in passes of the parts."""

    def training_cost(self) -> Iterable[CostUnit]:
        """What ONE image costs in ONE training step, in forward passes; `backward` of a unit says what comes on top.

        By default one pass of each part that draws or answers. A model whose training looks elsewhere (a loss
        network, a decoder that is thrown away, a teacher) says so here.
        """
        return [replace(unit, calls=1) for unit in self.cost("predict")]


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """The sampling of a generator that knows one way to draw."""


class Generator(Model):
    """Learns a distribution of images and draws from it."""

    Sampling: ClassVar[type] = NoOptions
    """Frozen keyword-only dataclass of the suite's `sampling:`: how images are drawn, never how they are learnt."""
    tiny_sampling: ClassVar[Mapping[str, Any]] = {}
    """Sampling values small enough for the conformance kit."""
    conditional: ClassVar[bool] = False
    """Whether `fit` needs labels and `sample` takes them; a conditional generator names its `task` in the suite."""
    captioned: ClassVar[bool] = False
    """Whether `fit` reads `Batch.captions` and `sample` takes them; a captioned generator names its `captions`."""

    @abstractmethod
    def fit(self, train: ImageSet, run: Run) -> None:
        """Train until `run.batches` ends."""

    @abstractmethod
    def sample(self, conditions: Conditions, sampling: Any, noise: Noise) -> Tensor:
        """Draw `len(conditions)` images, uint8 (B, 3, S, S) with S the task's image size, on any device.

        Called in eval mode, without gradients. All randomness comes from `noise`, so that an image does not
        depend on its batch.
        """

    def training_cost(self) -> Iterable[CostUnit]:
        # a part that guidance lists twice is trained once an image
        parts = {id(unit.module): replace(unit, calls=1) for unit in self.cost("sample", type(self).Sampling())}
        return list(parts.values())


class Pretrainer(Model):
    """Learns an encoder from images without labels."""

    @abstractmethod
    def fit(self, images: ImageSet, run: Run) -> None:
        """Train until `run.batches` ends."""

    @abstractmethod
    def encoder(self) -> Mapping[str, Tensor]:
        """State dict that a classifier of the same architecture can start from."""


class Classifier(Model):
    """Answers a task: `forward(images)` gives float logits (B, C) for uint8 images (B, 3, S, S)."""

    teaching: ClassVar[Literal["none", "optional", "required"]] = "optional"
    """Whether a row may or must name a `teacher:`; checked before anything runs."""

    @abstractmethod
    def fit(self, train: ImageSet, run: Run, teacher: Classifier | None = None) -> None:
        """Train until `run.batches` ends.

        Args:
            teacher: the finished classifier named in the row, in eval mode, without gradients; None where there is
                none. What it says of every image as it lies in the store is in `Batch.teacher_logits` already: it is
                called only for views that are made during the fit, on uint8 images of its own `input_size`.
        """

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, S, S) -> float logits (B, C)."""

    def features(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, S, S) -> float32 (B, D): what the last layer reads; needed as an extractor (`from:`).

        Raises:
            PluginError: this classifier has no such layer.
        """
        raise PluginError(
            f"{type(self).__name__} gives no features", hint="choose another classifier for the extractor"
        )

    def start_from(self, encoder: Mapping[str, Tensor]) -> None:
        """Take over the encoder of a pretrainer (`init:` in the suite), strictly.

        Raises:
            PluginError: this classifier cannot, or the names or shapes do not fit.
        """
        raise PluginError(
            f"{type(self).__name__} cannot start from an encoder", hint="remove `init:` or choose another classifier"
        )


class Joint(Generator, Classifier):
    """A generator and a classifier trained as one, under `generators:`.

    A classifier row takes its predictions with `from: {generator: NAME}`; it is always `conditional`.
    """

    conditional: ClassVar[bool] = True

    @abstractmethod
    def fit(self, train: ImageSet, run: Run, teacher: Classifier | None = None) -> None:
        """Train both parts until `run.batches` ends."""

    def training_cost(self) -> Iterable[CostUnit]:
        drawing = {id(unit.module): unit for unit in self.cost("sample", type(self).Sampling())}
        answering = {id(unit.module): unit for unit in self.cost("predict")}
        return [replace(unit, calls=1) for unit in {**drawing, **answering}.values()]
