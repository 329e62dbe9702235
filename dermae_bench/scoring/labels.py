"""Labels and predictions carried from one task to another, along the maps that a dataset declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.errors import UserError
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.measures import Predictions


def task_of(about: Mapping[str, Any]) -> Task:
    """A task from its JSON form."""
    return Task(**{**about, "classes": tuple(about["classes"])})


def map_labels(labels: NDArray[np.int64], source: Task, target: Task, tasks: Mapping[str, Task]) -> NDArray[np.int64]:
    """Carry labels of `source` over to `target` through the declared maps.

    Raises:
        UserError: there is no chain of maps from `source` to `target`.
    """
    chain = [target]
    while chain[-1].name != source.name:
        parent = chain[-1].parent
        if parent is None:
            raise UserError(
                f"labels of task {source.name!r} cannot be turned into those of {target.name!r}: no map is declared"
            )
        chain.append(tasks[parent])
    for upper, lower in zip(reversed(chain[1:]), reversed(chain[:-1]), strict=True):
        lookup = np.array([lower.classes.index(lower.mapping[name]) for name in upper.classes], dtype=np.int64)
        labels = lookup[labels]
    return labels


def derive(predictions: Predictions, task: Task, tasks: Mapping[str, Task]) -> Predictions:
    """Reach `task` from a finer one: class probabilities summed through the map, labels carried over."""
    source = predictions.task
    target_of = map_labels(np.arange(len(source.classes)), source, task, tasks)
    summed = np.zeros((len(predictions.labels), len(task.classes)), dtype=np.float64)
    for c, t in enumerate(target_of):
        summed[:, t] += predictions.probabilities[:, c]
    logits = np.log(np.maximum(summed, np.finfo(np.float32).tiny)).astype(np.float32)
    validation = predictions.validation
    return replace(
        predictions,
        task=task,
        labels=map_labels(predictions.labels, source, task, tasks),
        logits=logits,
        validation=derive(validation, task, tasks) if validation is not None else None,
    )
