"""Answers to one task from those to a finer one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dermae_bench.plugin.data import Task
from dermae_bench.plugin.measures import Predictions
from dermae_bench.scoring.labels import map_labels


def derive(predictions: Predictions, task: Task, tasks: Mapping[str, Task]) -> Predictions:
    """Reach `task` from a finer one: class probabilities summed through the map, labels carried over.

    The logit of a class is the log-sum-exp of the logits below it, which is the logarithm of the summed probability up
    to a constant of each image. No probability is formed, so confident answers keep their order.
    """
    source = predictions.task
    target_of = map_labels(np.arange(len(source.classes)), source, task, tasks)
    values = predictions.logits.astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    joined = [np.logaddexp.reduce(values[:, target_of == t], axis=1) for t in range(len(task.classes))]
    logits = np.stack(joined, axis=1).astype(np.float32)
    validation = predictions.validation
    return replace(
        predictions,
        task=task,
        labels=map_labels(predictions.labels, source, task, tasks),
        logits=logits,
        validation=derive(validation, task, tasks) if validation is not None else None,
    )
