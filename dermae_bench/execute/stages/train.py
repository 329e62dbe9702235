"""Fit a generator, a pretrainer or a classifier within its budget."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file

from dermae_bench.errors import PluginError
from dermae_bench.execute.checkpoints import Checkpoints, save_tensors
from dermae_bench.execute.run import BudgetOf, FitRun, reseed
from dermae_bench.execute.stages.captions import captioned
from dermae_bench.execute.stages.common import (
    StageContext,
    build_model,
    image_set,
    load_model,
    pick_device,
    set_threads,
)
from dermae_bench.execute.stages.logits import logits_in_batches
from dermae_bench.execute.stages.teaching import said_by_teacher
from dermae_bench.faults import point
from dermae_bench.plugin.contracts import Classifier, Model
from dermae_bench.plugin.images import ImageSet
from dermae_bench.plugin.measures import PredictionMetric, Predictions
from dermae_bench.plugin.weights import state_digest
from dermae_bench.scoring.labels import task_of

if TYPE_CHECKING:
    from dermae_bench.plugin.data import Task

PREDICT_BATCH = 64


def train(context: StageContext) -> dict[str, Any]:
    """weights.safetensors (EMA or selected weights where the budget says so), curves.csv.

    Pretrainers also leave encoder.safetensors.
    """
    work = context.work
    set_threads(work["threads"])
    device = pick_device()
    budget = BudgetOf(**work["budget"])
    task = task_of(work["model"]["task"])
    context.phase = "building"
    reseed(work["seed"], "init")
    model = build_model(context, work["model"])
    if work.get("init"):
        _start_from(context, model)
    model.to(device)
    images = image_set(context, work["images"], task, said_by_teacher(context, work["images"], task))
    images = captioned(context, images, work["images"])
    teacher = None
    if work.get("teacher"):
        # it is asked, not trained: its own views need no graph
        teacher = load_model(context, work["teacher"], "teacher", device).requires_grad_(False)
    validate, better = _validation(context, model, task, budget, device)
    run = FitRun(
        model,
        budget,
        work["seed"],
        device,
        Checkpoints(context.folder / "checkpoints", context.spec["key"], context.hold),
        validate=validate,
        better=better,
        report=lambda done, total, loss: context.status(done, total, "steps", loss),
        stop=context.stop,
    )
    context.phase = "fitting"
    # without its cache, which would hold the first step's weights until the fit is over
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=work["precision"] == "bf16", cache_enabled=False)
    with autocast:
        # the three kinds share one call; only classifiers know teachers
        fit: Any = model.fit
        if teacher is not None:
            fit(images, run, teacher=teacher)
        else:
            fit(images, run)
    run.check_spent()
    context.phase = "saving"
    state = run.artifact()
    save_tensors(state, context.out / "weights.safetensors")
    _write_curves(context, run)
    if work["model"]["role"] == "pretrainer":
        model.load_state_dict(state)
        pretrained: Any = model
        encoder = {k: v.detach().cpu().clone().contiguous() for k, v in pretrained.encoder().items()}
        save_tensors(encoder, context.out / "encoder.safetensors")
    return {
        "weights": state_digest(state),
        "frozen": {name: state_digest(module.state_dict()) for name, module in model.frozen_modules.items()},
        "parameters_trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "parameters_total": sum(p.numel() for p in model.parameters()),
        "steps": budget.steps,
        "images_seen": run.images_seen,
        "epochs": run.images_seen / len(images),
        "train_images": len(images),
        "labelled_by_teacher": _labelled_by_teacher(context, images),
        "selected": {"step": run.best[0], "value": run.best[1]} if run.best else None,
        "final_loss": run.curves[-1].get("loss") if run.curves else None,
    }


def _start_from(context: StageContext, model: Model) -> None:
    if not isinstance(model, Classifier):
        raise PluginError("only a classifier can start from an encoder")
    folder, _ = context.input("init")
    model.start_from(load_file(folder / "encoder.safetensors"))


def _labelled_by_teacher(context: StageContext, images: ImageSet) -> dict[str, int]:
    """Class -> images that have no label but the one their teacher gave."""
    if images.task is None or images.labels is None:
        return {}
    taught = [item.get("labels") == "teacher" for item in context.work["images"]]
    marked = np.repeat(taught, [len(part.rows) for part in images.parts])
    counts = np.bincount(images.labels[marked], minlength=len(images.task.classes)).tolist()
    return dict(zip(images.task.classes, counts, strict=True)) if marked.any() else {}


def _validation(
    context: StageContext, model: Model, task: Task, budget: BudgetOf, device: torch.device
) -> tuple[Callable[[], float] | None, int]:
    if budget.select == "last":
        return None, 1
    name = budget.select.removeprefix("best:")
    metric: PredictionMetric = context.configured(name, {})
    column = metric.columns(metric.config)[0]
    images = image_set(context, [{"split": "val"}], task)

    def validate() -> float:
        logits = np.concatenate(list(logits_in_batches(model, images, device, PREDICT_BATCH)))
        assert images.labels is not None
        predictions = Predictions(task=task, ids=images.ids, groups=images.groups, labels=images.labels, logits=logits)
        return metric.values(predictions)[column.name]

    return validate, -1 if column.better == "lower" else 1


def _write_curves(context: StageContext, run: FitRun) -> None:
    # in an order of their own: a checkpoint gives back what was logged sorted by name
    names = ["step", *sorted({name for point in run.curves for name in point} - {"step"})]
    point("write", context.out / "curves.csv")
    with (context.out / "curves.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_cell(point, name) for name in names] for point in run.curves)


def _cell(point: Mapping[str, float], name: str) -> str:
    if name not in point:
        return ""
    return str(int(point[name])) if name == "step" else repr(point[name])
