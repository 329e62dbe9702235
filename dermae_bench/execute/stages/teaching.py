"""What a teacher said of a training set: read from the store, once computed for everyone who asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.errors import InvalidOutput
from dermae_bench.execute.stages.common import StageContext, Table, image_set
from dermae_bench.plugin.data import Task


def said_by_teacher(
    context: StageContext, spec: Sequence[Mapping[str, Any]], task: Task
) -> dict[int, NDArray[np.float32]] | None:
    """Number of the part -> the teacher's logits, float32 (n, C), in the order of its images; None without a teacher.

    Raises:
        InvalidOutput: the predictions are not of these images or not of the task's classes.
    """
    if not context.work.get("teacher"):
        return None
    found = {}
    for number, part in enumerate(spec):
        folder, _ = context.input(f"teacher-logits{number}")
        table = Table.read(folder / "predictions.parquet").columns
        columns = [f"logit.{name}" for name in task.classes]
        if [name for name in table if name.startswith("logit.")] != columns:
            raise InvalidOutput(f"the teacher answers other classes than {', '.join(task.classes)}")
        bare = {name: value for name, value in part.items() if name != "labels"}
        if list(table["id"]) != list(image_set(context, [bare], None).ids):
            raise InvalidOutput(f"the teacher's predictions are not of part {number} of the training set")
        found[number] = np.stack([np.asarray(table[name], dtype=np.float32) for name in columns], axis=1)
    return found
