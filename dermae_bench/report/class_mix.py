"""Images of each class in the subgroups that rows were scored on, counted from labels and attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.report.data_sets import OWN, answered
from dermae_bench.scoring.labels import map_labels, task_of
from dermae_bench.scoring.subgroups import in_words

if TYPE_CHECKING:
    from dermae_bench.plugin.data import Task
    from dermae_bench.report.collect import Collector
    from dermae_bench.report.evidence import Evidence, Score
    from dermae_bench.suite.parts import RowPlan

Mix = Mapping[str, Mapping[str, int]]
"""Subgroup -> class -> images."""


def counted(
    task: Task, labels: NDArray[np.int64], asked: Mapping[str, Any], values: Sequence[str | float | None]
) -> Mix:
    """Every class of the task in every subgroup.

    Args:
        labels: (N,) true classes.
        asked: as `scoring.subgroups.subgroups` takes it.
        values: (N,) of the attribute.
    """
    found: dict[str, NDArray[np.int64]] = {}
    for word, label in zip(in_words(asked, values), labels, strict=True):
        found.setdefault(word, np.zeros(len(task.classes), dtype=np.int64))[label] += 1
    return {
        word: {name: int(count) for name, count in zip(task.classes, counts, strict=True)}
        for word, counts in found.items()
    }


def of_row(collector: Collector, row: RowPlan) -> dict[tuple[str, str], Mix]:
    """(row, attribute) -> what its first finished score with subgroups was taken on; from the store.

    Nothing of generators: their images are not those whose attributes are known.
    """
    import pyarrow.parquet as pq

    for cell in row.cells if row.board == "classifiers" else ():
        for score in cell.scores:
            manifest = collector.manifest(score)
            if manifest is None or not manifest.summary.get("subgroups") or score.work["of"] != "predictions":
                continue
            said, prepare = score.inputs["predictions"], score.inputs["prepare"]
            answers = pq.read_table(
                collector.store.file(said.kind, said.key, "predictions.parquet"), columns=["id", "label"]
            )
            columns = [OWN + asked["attribute"] for asked in score.work["subgroups"]]
            table = pq.read_table(
                collector.store.file(prepare.kind, prepare.key, "table.parquet"),
                columns=["id", *dict.fromkeys(columns)],
            )
            places = {name: place for place, name in enumerate(table.column("id").to_pylist())}
            rows = [places[name] for name in answers.column("id").to_pylist()]
            task, source = task_of(score.work["task"]), task_of(answered(said.work))
            labels = answers.column("label").to_numpy().astype(np.int64)
            if task.name != source.name:
                tasks = {about["name"]: task_of(about) for about in collector.prepared()["tasks"]}
                labels = map_labels(labels, source, task, tasks)
            made = {}
            for asked, column in zip(score.work["subgroups"], columns, strict=True):
                values = table.column(column).to_pylist()
                made[row.row, asked["attribute"]] = counted(task, labels, asked, [values[place] for place in rows])
            return made
    return {}


def of_score(evidence: Evidence, score: Score) -> dict[str, Mix]:
    """Attribute -> the same of one score, from the answers and images of a results folder.

    Raises:
        UserError: as `Evidence.scored`.
    """
    asked = score.work.get("subgroups") if score.of == "predictions" else None
    if not asked:
        return {}
    its = evidence.scored(score)
    return {one["attribute"]: counted(its.task, its.labels, one, its.attributes[one["attribute"]]) for one in asked}
