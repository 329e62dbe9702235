"""Labels carried from one task to another, along the maps that a dataset declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.errors import UserError
from dermae_bench.plugin.data import Task


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
