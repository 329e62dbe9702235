"""What a results folder keeps so that every number in it can be computed again, without the store.

`predictions.parquet` has each set of answers once: the key of its stage, split, id, group, label, logits.
`images.parquet` has the attributes of the images that were scored, those of other data sets too. `evidence.json` says
which score was made from which answers, by which metrics, for which rows. `report/evidence_writer.py` writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dermae_bench.bounded.tables import Kind, read_parquet
from dermae_bench.bounded.texts import read_json
from dermae_bench.errors import DataError, UserError
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.measures import Predictions
from dermae_bench.report.data_sets import ATTRIBUTE, DataSet
from dermae_bench.scoring.deriving import derive
from dermae_bench.scoring.labels import task_of

VERSION = 1
FILE = "evidence.json"
PREDICTIONS = "predictions.parquet"
IMAGES = "images.parquet"


@dataclass(frozen=True, kw_only=True)
class Score:
    """One finished score stage and the rows that show it."""

    key: str
    name: str
    of: str
    """predictions | samples"""
    work: Mapping[str, Any]
    """What it was asked, with digests in place of paths."""
    inputs: Mapping[str, Mapping[str, str]]
    """Role -> {kind, key} of what it read."""
    rows: tuple[Mapping[str, Any], ...]
    """{board, row, seeds} of every cell that shows it."""


ANSWER_COLUMNS: Mapping[str, Kind] = {
    "predictions": "text", "id": "text", "group": "text", "label": "whole", "logits": "numbers",
}  # fmt: skip
VERIFY = "`dermae-bench verify` names all that differs"


class Evidence:
    """A results folder as something to compute from.

    Raises:
        UserError: there is no evidence in the folder, or it is of another version, or no JSON.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / FILE
        if not folder.is_dir():
            raise UserError(
                f"there is no results folder {folder}", hint="`dermae-bench list` shows those that are there"
            )
        if not path.is_file():
            raise UserError(
                f"{folder} holds no {FILE}", hint="it is half a folder, or an older version wrote it: report it again"
            )
        about = read_json(path)
        if not isinstance(about, dict) or about.get("version") != VERSION:
            raise UserError(f"{path} is of another version of dermae-bench", hint="make the folder again with `report`")
        self.about: Mapping[str, Any] = about

    @cached_property
    def scores(self) -> tuple[Score, ...]:
        """Every finished score."""
        return tuple(Score(**{**item, "rows": tuple(item["rows"])}) for item in self.about["scores"])

    @property
    def prepared(self) -> Mapping[str, Any]:
        """The summary of the prepared data set."""
        found: Mapping[str, Any] = self.about["prepared"]
        return found

    @property
    def others(self) -> Mapping[str, Mapping[str, Any]]:
        """Name under `evaluate_on` -> the summary of that data set; older folders have none."""
        found: Mapping[str, Mapping[str, Any]] = self.about.get("others", {})
        return found

    @cached_property
    def sets(self) -> tuple[DataSet, ...]:
        """The suite's own data set, then the others in the order of their names; of two names for one set the first."""
        found = {str(about["key"]): DataSet(name, about) for name, about in sorted(self.others.items(), reverse=True)}
        return (DataSet("", self.prepared), *sorted(found.values(), key=lambda its: its.name))

    def set_of(self, key: str) -> DataSet:
        """The data set that a prepare stage made.

        Raises:
            LookupError: no data set of this folder has this key.
        """
        found = next((its for its in self.sets if its.key == key), None)
        if found is None:
            raise LookupError(f"no data set here has the key {key[:40]}")
        return found

    def facts(self, score: Score) -> Mapping[str, Any]:
        """The summary of the data set that a score was taken on."""
        return self.set_of(score.inputs["prepare"]["key"]).about

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Tasks of the suite's own data set by name."""
        return self.sets[0].tasks

    @cached_property
    def _table(self) -> Mapping[str, Any]:
        path = self.folder / PREDICTIONS
        if not path.is_file():
            raise UserError(f"{self.folder} holds no {PREDICTIONS}: nothing can be computed from it")
        table = read_parquet(path, ANSWER_COLUMNS)
        return {name: table.column(name).combine_chunks() for name in table.column_names}

    @cached_property
    def _rows_of(self) -> Mapping[str, np.ndarray[Any, np.dtype[np.int64]]]:
        column = self._table["predictions"]
        codes = column.indices.to_numpy()
        order = np.argsort(codes, kind="stable")
        ends = np.searchsorted(codes[order], np.arange(len(column.dictionary)), side="right")
        rows = zip(column.dictionary.to_pylist(), np.split(order, ends)[:-1], strict=True)
        return {str(key): its for key, its in rows if len(its)}

    @cached_property
    def attributes(self) -> Mapping[str, Mapping[str, Mapping[str, str | float | None]]]:
        """Split -> attribute -> image id -> value, of the images that were scored."""
        path = self.folder / IMAGES
        if not path.is_file():
            return {}
        table = read_parquet(path, {"id": "text", "split": "text"}, beginning=ATTRIBUTE)
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for its in self.sets:
            named = {name.removeprefix(its.prefix): values for name, values in columns.items()
                     if name.startswith(its.prefix)}  # fmt: skip
            for split in map(its.label, its.splits):
                rows = [row for row, where in enumerate(columns["split"]) if where == split]
                found[split] = {
                    name: {columns["id"][row]: values[row] for row in rows} for name, values in named.items()
                }
        return found

    def has(self, key: str) -> bool:
        """Whether the answers of this predict stage are here."""
        return key in self._rows_of

    def predictions(self, key: str) -> Predictions:
        """One set of answers, in the task that was predicted, with the images' attributes.

        Raises:
            UserError: these answers are not in the folder, or are not what they should be.
        """
        if not self.has(key):
            raise UserError(f"{self.folder / PREDICTIONS} holds no answers of {key}")
        rows = self._rows_of[key]
        columns = {name: self._table[name].take(rows).to_pylist() for name in ("id", "group", "label")}
        logits = self._table["logits"].take(rows)
        ids = columns["id"]
        about = self.about["predictions"][key]
        task = task_of(about["task"])
        classes = len(task.classes)
        # looked at before the numbers are taken out: a single row may hold a hundred million
        uniform = set(logits.value_lengths().unique().to_pylist()) == {classes}
        if not uniform or not all(0 <= label < classes for label in columns["label"]):
            told = f"answers of {key[:40]} are not to {classes} classes"
            raise DataError(f"{self.folder / PREDICTIONS}: {told}", hint=VERIFY)
        return Predictions(
            task=task,
            ids=ids,
            groups=columns["group"],
            labels=np.asarray(columns["label"], dtype=np.int64),
            logits=logits.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(ids), classes),
            attributes={
                name: [values.get(image) for image in ids]
                for name, values in self.attributes.get(about.get("split"), {}).items()
            },
        )

    def scored(self, score: Score) -> Predictions:
        """What a score of predictions was taken on: of its task, with what the same model said of `val`."""
        found = self.predictions(score.inputs["predictions"]["key"])
        task, other = task_of(score.work["task"]), score.work.get("other")
        if "validation" in score.inputs:
            validation = self.predictions(score.inputs["validation"]["key"])
            if other and validation.task.name != task.name:
                # the answers are to this task already, those on `val` to what was trained
                validation = derive(validation, task, {about["name"]: task_of(about) for about in other})
            found = replace(found, validation=validation)
        return found if task.name == found.task.name else derive(found, task, self.tasks)
