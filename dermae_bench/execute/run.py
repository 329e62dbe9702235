"""What a plugin is lent while it fits: the harness owns budget, batches, precision, checkpoints and clocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from math import isfinite

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from dermae_bench.errors import InvalidOutput, PluginError, UserError
from dermae_bench.execute.averaging import Average
from dermae_bench.execute.checkpoints import Checkpoint, Checkpoints
from dermae_bench.execute.finite import FiniteCheck
from dermae_bench.execute.state import judge, packed, restore
from dermae_bench.execute.steps import BudgetOf as BudgetOf
from dermae_bench.execute.steps import Stopped as Stopped
from dermae_bench.execute.steps import batch_indices as batch_indices
from dermae_bench.execute.steps import drawing_shares, drawn_indices
from dermae_bench.execute.steps import order as order
from dermae_bench.execute.steps import reseed as reseed
from dermae_bench.plugin.contracts import Batch, Model
from dermae_bench.plugin.images import ImageSet, resize
from dermae_bench.plugin.noise import seed_of

CHECKPOINT_SECONDS = 120.0
LOGGED_POINTS = 500
"""Points kept on a curve at most; a run of more steps logs every k-th."""


class FitRun:
    """The harness's `Run` (see `dermae_bench.plugin.contracts.Run`).

    Args:
        model: the model being fitted, already on `device`.
        budget: what it may spend.
        seed: of batches and of everything random inside a step.
        checkpoints: where the state is kept between attempts.
        validate: value of the selection metric for the model as it is (eval mode, EMA weights), higher or lower better.
        better: 1 if a higher value is better, -1 if a lower one.
        report: told (step, steps, last loss) now and then, for the progress display.
        stop: asked between two items whether to write a checkpoint and leave.
    """

    def __init__(
        self,
        model: Model,
        budget: BudgetOf,
        seed: int,
        device: torch.device,
        checkpoints: Checkpoints,
        *,
        validate: Callable[[], float] | None = None,
        better: int = 1,
        report: Callable[[int, int, float | None], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self.model = model
        self.budget = budget
        self.seed = seed
        self.device = device
        self.images_seen = 0
        self.best: tuple[int, float] | None = None
        self.curves: list[dict[str, float]] = []
        self._checkpoints = checkpoints
        self._validate = validate
        self._better = better
        self._report = report
        self._stop = stop
        self._optimizers: tuple[Optimizer, ...] = ()
        self._parameters = [p for p in model.parameters()]
        self._average = Average(model, budget.ema)
        self._best_state: dict[str, Tensor] | None = None
        self._step = 0
        self._pending: dict[str, Tensor | float] = {}
        self._stepped = False
        self._restored = False
        self._validated_at = 0
        self._finite = FiniteCheck(device)
        self._saved_at = 0
        self._last_checkpoint = time.monotonic()
        self._log_every = max(1, budget.steps // LOGGED_POINTS)
        self._last_loss: Tensor | None = None

    # -- what the contract names ---------------------------------------------------------------------------------

    @property
    def progress(self) -> float:
        return self._step / self.budget.steps

    @property
    def step_index(self) -> int:
        return self._step

    def optimizers(self, *optimizers: Optimizer) -> None:
        if self._optimizers:
            raise PluginError(
                "run.optimizers() was called twice", hint="register all optimisers in one call before the loop"
            )
        self._optimizers = optimizers

    def rng(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(seed_of(self.seed, "rng", name))

    def log(self, **scalars: Tensor | float) -> None:
        self._pending |= {
            name: value.detach() if isinstance(value, Tensor) else float(value) for name, value in scalars.items()
        }

    def step(self, loss: Tensor, optimizer: Optimizer) -> None:
        number = next((number for number, known in enumerate(self._optimizers) if known is optimizer), None)
        if number is None:
            raise PluginError(
                "run.step() was given an optimiser that was not registered",
                hint="call run.optimizers(...) before the loop",
            )
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        if self._holds_all(parameters):
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            # what another optimiser or none holds must not collect gradients of this loss
            loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]
        limit = self.budget.clip if self.budget.clip is not None else float("inf")
        norm = nn.utils.clip_grad_norm_(parameters, limit)
        self._finite.before(self._step, loss.detach(), norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        self._finite.after(self._step, loss, norm, parameters)
        # autocast keeps low-precision copies of weights until its outermost block ends, and the whole fit is inside one
        torch.clear_autocast_cache()
        self._average.stepped(number, self._step)
        self._stepped = True
        self._last_loss = loss.detach()

    def batches(
        self, data: ImageSet, phase: str | None = None, weights: NDArray[np.float64] | None = None
    ) -> Iterator[Batch]:
        shares = drawing_shares(weights, len(data)) if weights is not None else None
        start, end = self.budget.span(phase)
        if not self._restored:
            self._restore()
        if len(data) == 0:
            raise UserError("the training set is empty")
        while start <= self._step < end:
            self._between_items()
            reseed(self.seed, "step", self._step)
            batch = self._load(data, shares)
            self._stepped = False
            self._pending = {}
            yield batch
            self._finish_item(len(batch.indices))
        if self._step == self.budget.steps:
            self.check_unread()
            self._select(final=True)

    # -- what the stage asks afterwards ----------------------------------------------------------------------------

    def check_unread(self) -> None:
        """Look at the step that a GPU had not computed yet. Raises `Diverged` for it."""
        self._finite.read()

    def check_spent(self) -> None:
        """Raise if the plugin left before its budget was spent: its row would not be comparable."""
        if self._step != self.budget.steps:
            raise PluginError(
                f"fit returned after {self._step} of {self.budget.steps} steps",
                hint="iterate run.batches() until it ends",
            )

    def artifact(self) -> dict[str, Tensor]:
        """The weights that stand for the row: best on `val` if asked for, else EMA if there is one, else the last."""
        if self._best_state is not None:
            return self._best_state
        with self._average.inside():
            return {
                name: tensor.detach().cpu().clone().contiguous() for name, tensor in self.model.state_dict().items()
            }

    # -- inside ----------------------------------------------------------------------------------------------------

    def _load(self, data: ImageSet, shares: NDArray[np.float64] | None) -> Batch:
        size = self.budget.batch_size
        if shares is None:
            indices = batch_indices(self.seed, self._step, len(data), size)
        else:
            indices = drawn_indices(self.seed, self._step, shares, size)
        images = data[indices]
        labels = torch.from_numpy(data.labels[indices]) if data.labels is not None else None
        said = torch.from_numpy(data.teacher_logits[indices]) if data.teacher_logits is not None else None
        if self.device.type == "cuda":
            images = images.pin_memory().to(self.device, non_blocking=True)
            labels = labels.to(self.device, non_blocking=True) if labels is not None else None
            said = said.to(self.device, non_blocking=True) if said is not None else None
        if self.model.input_size is not None:
            images = resize(images, self.model.input_size)
        captions = tuple(data.captions[i] for i in indices) if data.captions is not None else None
        positions = torch.from_numpy(indices)
        return Batch(images=images, labels=labels, indices=positions, captions=captions, teacher_logits=said)

    def _finish_item(self, images: int) -> None:
        if not self._stepped:
            raise PluginError(
                "an item of run.batches() passed without run.step()", hint="every budget step must be an optimiser step"
            )
        self._average.update(self._step)
        self.images_seen += images
        if self._step % self._log_every == 0 or self._step == self.budget.steps - 1:
            scalars = {"loss": self._last_loss, **self._pending}
            numbers = {k: float(v) for k, v in scalars.items() if v is not None}
            # a plugin may log what it likes; only loss and gradients must be finite, and JSON knows no NaN
            self.curves.append({"step": float(self._step), **{k: v for k, v in numbers.items() if isfinite(v)}})
        self._step += 1
        if self._report is not None:
            self._report(self._step, self.budget.steps, self.curves[-1].get("loss") if self.curves else None)

    def _holds_all(self, parameters: list[nn.Parameter]) -> bool:
        held = {id(p) for p in parameters}
        return all(id(p) in held for p in self._parameters if p.requires_grad)

    def _between_items(self) -> None:
        self._select(final=False)
        stop = self._stop is not None and self._stop()
        by_steps = self.budget.checkpoint is not None and self._step % self.budget.checkpoint == 0 and self._step > 0
        by_time = self.budget.checkpoint is None and time.monotonic() - self._last_checkpoint > CHECKPOINT_SECONDS
        if (stop or by_steps or by_time) and self._step > self._saved_at:
            self._save()
        if stop:
            raise Stopped

    def _select(self, *, final: bool) -> None:
        if self._validate is None or self._step == 0:
            return
        every = self.budget.every or max(1, self.budget.steps // 10)
        if not final and self._step % every:
            return
        if self._validated_at == self._step:
            return
        self._validated_at = self._step
        training = self.model.training
        self.model.eval()
        with self._average.inside(), torch.no_grad():
            value = self._validate()
            if not isfinite(value):
                raise InvalidOutput(
                    f"the metric that selects weights is not finite after step {self._step - 1}: {value}"
                )
            if self.best is None or self._better * value > self._better * self.best[1]:
                self.best = (self._step, value)
                self._best_state = {
                    k: v.detach().cpu().clone().contiguous() for k, v in self.model.state_dict().items()
                }
        self.model.train(training)
        # the copies of weights that autocast made in there know no gradient
        torch.clear_autocast_cache()
        if self.curves:
            self.curves[-1]["validation"] = value

    def _save(self) -> None:
        # on a GPU the last step has not been looked at yet, and no checkpoint holds what is not finite
        self.check_unread()
        tensors, facts = packed(self.model, self._average, self._best_state, self._optimizers)
        facts |= {
            "step": self._step,
            "images_seen": self.images_seen,
            "best": list(self.best) if self.best else None,
            "curves": self.curves,
        }
        self._checkpoints.save(Checkpoint(self._step, tensors, facts))
        self._saved_at = self._step
        self._last_checkpoint = time.monotonic()

    def _restore(self) -> None:
        self._restored = True
        self.model.train()
        if not self._optimizers:
            raise PluginError(
                "run.batches() was asked for before run.optimizers()", hint="register every optimiser before the loop"
            )
        self._average.start(self._optimizers)
        parts = self.model, self._average, self._optimizers
        selects = self._validate is not None
        found = self._checkpoints.load(lambda one: judge(one, *parts, self.budget.steps, selects))
        if found is None:
            return
        self._best_state = restore(found, *parts)
        facts = found.facts
        # a checkpoint is written after the validation of its step
        self._step = self._validated_at = self._saved_at = found.step
        self.images_seen = int(facts["images_seen"])
        self.best = (int(facts["best"][0]), float(facts["best"][1])) if facts["best"] else None
        self.curves = [dict(point) for point in facts["curves"]]
