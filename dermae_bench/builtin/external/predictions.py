"""`external-predictions`: what a classifier that ran elsewhere said of each image, from a CSV, scored like our own.

One row an image: its id as the data set has it, and a number for each class of the task. Columns are named as the
classes, or `prob.CLASS` or `logit.CLASS`; others are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.datasets.tables import Row, read_table, repeated

IDS = ("id", "image_id", "isic_id")
PREFIXES: Mapping[str, str] = {"logits": "logit.", "probabilities": "prob."}
SHOWN = 10
"""Images without an answer that are named, and half of the wrong rows that are; the others are counted."""
ROUNDING = 1e-6
"""How far outside of 0..1 a probability in float32 may lie."""

OTHER_TASK = (
    "; a file that answers another task: `derive: TASK` beside `params` if this one follows from it, else a preset "
    "with `tasks: [TASK]`; one that answers both: columns named as the classes, without prefix (docs/external.md)"
)
"""Every task of the suite is asked of the file, and the plugin knows no other task than this one."""


@dataclass(frozen=True, kw_only=True)
class ExternalPredictionsConfig:
    """Where the answers lie, what they mean, and where they come from."""

    file: api.File
    """CSV in UTF-8 with a row for each image that is asked about, on every data set and split. Rows of other images are
    counted and left alone."""
    scale: Literal["logits", "probabilities"]
    """What the numbers are: unnormalised log-probabilities, or probabilities, of which the logarithm is taken."""
    protocol: Literal["zero-shot", "linear-probe", "trained"]
    """How the classifier came to this task: not at all, by a head on frozen features, or by training. Rows are ranked
    within their protocol."""
    source: str
    """What was run, and where: model, version, prompts, code."""
    corpora: tuple[str, ...] | None = None
    """Public data collections that the classifier was trained on, its pretraining included, e.g. ISIC Archive: those
    that hold test images are listed. null: nobody has said."""
    id: str | None = None
    """Column of the images' ids. null: the one of `id`, `image_id` and `isic_id` that is there."""
    columns: str | Mapping[str, str] | None = None
    """Columns of the classes: what stands before the class in their names, e.g. `biomedclip_`, or class -> column.
    null: named as the classes, or `logit.CLASS` or `prob.CLASS` by the scale."""
    positive: str | None = None
    """For a task of two classes, in place of `columns`: the column of its positive class alone. The other class has
    one minus this probability, or the logit 0."""
    floor: Annotated[float, api.Between(1e-300, 1e-2)] = 1e-12
    """Smallest probability whose logarithm is taken; smaller ones, such as a 0 by rounding, count as this one and
    tie."""
    tolerance: Annotated[float, api.Between(0, 0.1)] = 0.005
    """How far from 1 the probabilities of an image may sum, by rounding. Sums within it are scaled to 1."""

    def __post_init__(self) -> None:
        if not self.source.strip():
            raise ValueError("`source` is empty: it says what was run, and where")
        if self.positive is not None and self.columns is not None:
            raise ValueError("`positive` names the one column that counts; remove `columns`")


class ExternalPredictions(api.GivenAnswers):
    """Answers of a classifier that ran elsewhere (a vision-language model, a closed system), by image id."""

    Config: ClassVar[type] = ExternalPredictionsConfig
    protocols: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "protocol": {"zero-shot": "zero-shot", "linear-probe": "linear-probe"}
    }
    config: ExternalPredictionsConfig

    def answers(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """(N, C) unnormalised log-probabilities of the images with these ids.

        Raises:
            DataMissing: the file is not there.
            DataError: images without an answer, or whatever is wrong with the file, by line.
        """
        places, values = self._table
        missing = [name for name in ids if name not in places]
        if missing:
            raise api.DataError(
                f"{self._name} has no answer for {len(missing):,} of {len(ids):,} images",
                _first(missing, SHOWN),
                hint=_other_names(missing[0], places),
            )
        return values[[places[name] for name in ids]]

    def extra(self, ids: Iterable[str]) -> int:
        """How many rows are about images that are not among `ids`."""
        return len(self._table[0].keys() - set(ids))

    @property
    def _name(self) -> str:
        return Path(self.config.file).name

    @cached_property
    def _table(self) -> tuple[dict[str, int], NDArray[np.float32]]:
        """Id -> row of the array, and the array: (rows, C) unnormalised log-probabilities."""
        path = Path(self.config.file)
        if not path.is_file():
            raise api.DataMissing(f"there is no file {path}; `file` names the table of the answers")
        problems: list[str] = []
        header, rows = read_table(path, (), problems)
        about, columns = self._columns(header)
        rows = self._named(rows, about, problems)
        numbers = self._numbers(rows, columns, problems)
        scores = self._scores(rows, numbers, problems) if not problems else np.empty(0, dtype=np.float32)
        if problems:
            told = _first(problems, 2 * SHOWN)
            raise api.DataError(f"{self._name} cannot be used: {len(problems):,} problem(s)", told)
        return {row[about]: place for place, row in enumerate(rows)}, scores

    def _columns(self, header: Sequence[str]) -> tuple[str, list[str]]:
        """The column of ids, and those of the classes in the task's order."""
        ids = [name for name in IDS if name in header] if self.config.id is None else [self.config.id]
        wrong = [] if ids else [f"none of {', '.join(IDS)} is a column; `id` names the column of the images"]
        if len(ids) > 1:
            wrong.append(f"{' and '.join(ids)} are columns; `id` says which holds the images")
        before = len(wrong)
        if self.config.positive is not None:
            if len(self.task.classes) != 2 or self.task.positive is None:
                wrong.append(f"`positive` is for tasks of two classes, one of them positive; {self.task.name} is none")
            columns = [self.config.positive]
        else:
            columns = self._class_columns(header, wrong)
        found = [name for name in columns if name in header]
        # a file that has some of the classes lacks the others; one that has none or more may answer another task
        other = len(found) in (0, len(columns)) and (len(wrong) > before or not found)
        wrong += [f"column {name!r} is missing" for name in [*ids, *columns] if name not in header]
        wrong += [f"column {name!r} stands for two classes" for name in columns if columns.count(name) > 1]
        if wrong:
            raise api.DataError(
                f"{self._name} does not fit the task {self.task.name} ({', '.join(self.task.classes)})",
                list(dict.fromkeys(wrong)),
                hint=_what_it_has(header) + (OTHER_TASK if other and len(header) > 1 else ""),
            )
        return ids[0], columns

    def _class_columns(self, header: Sequence[str], wrong: list[str]) -> list[str]:
        classes, given = self.task.classes, self.config.columns
        if isinstance(given, Mapping):
            wrong += [f"`columns` names no column of the class {name!r}" for name in classes if name not in given]
            wrong += [f"`columns` names {name!r}, which is no class" for name in given if name not in classes]
            return [given[name] for name in classes if name in given]
        if given is None and (plain := [name for name in classes if name in header]):
            prefix = ""
            if twice := [name for name in plain if f"{PREFIXES[self.config.scale]}{name}" in header]:
                wrong.append(
                    f"{twice[0]} and {PREFIXES[self.config.scale]}{twice[0]} are columns; `columns` says which"
                )
        else:
            prefix = PREFIXES[self.config.scale] if given is None else given
        # an answer that is no class of the task took its share of the probability
        known = {f"{prefix}{name}" for name in classes}
        strange = [name for name in header if prefix and name.startswith(prefix) and name not in known]
        wrong += [f"column {name!r} is of no class; `columns` can name those that count" for name in strange]
        return [f"{prefix}{name}" for name in classes]

    def _named(self, rows: Sequence[Row], about: str, problems: list[str]) -> list[Row]:
        problems += [f"{self._name}, line {row.line}: no {about}" for row in rows if not row[about]]
        return repeated([row for row in rows if row[about]], about, self._name, problems)

    def _numbers(self, rows: Sequence[Row], columns: Sequence[str], problems: list[str]) -> NDArray[np.float64]:
        """(rows, columns) finite numbers; what is none is 0, and told."""
        numbers = np.zeros((len(rows), len(columns)))
        for place, row in enumerate(rows):
            for column, name in enumerate(columns):
                try:
                    # Python alone reads 1_000 as a number
                    numbers[place, column] = float(row[name].replace("_", "?"))
                except ValueError:
                    problems.append(f"{self._name}, line {row.line}: {name} is {row[name][:40]!r}, no number")
        # a logit beyond float32 would be infinite there
        endless = ~(np.abs(numbers) <= np.finfo(np.float32).max)
        for place, column in np.argwhere(endless).tolist():
            row, name = rows[place], columns[column]
            problems.append(f"{self._name}, line {row.line}: {name} is {row[name][:40]!r}, which is not finite")
        return numbers

    def _scores(self, rows: Sequence[Row], numbers: NDArray[np.float64], problems: list[str]) -> NDArray[np.float32]:
        """(rows, C) unnormalised log-probabilities of what stands in the columns."""
        single = self.config.positive is not None
        if self.config.scale == "logits":
            if not single and len(rows) > 1 and _are_probabilities(numbers, self.config.tolerance):
                problems.append(f"{self._name}: every row lies in 0..1 and sums to 1: `scale: probabilities`")
            scores = np.concatenate([np.zeros_like(numbers), numbers], axis=1) if single else numbers
        else:
            outside = (numbers < -ROUNDING) | (numbers > 1 + ROUNDING)
            for place in np.flatnonzero(outside.any(axis=1)).tolist():
                worst = numbers[place][outside[place]][0]
                problems.append(f"{self._name}, line {rows[place].line}: {worst:g} is no probability")
            shares = np.concatenate([1 - numbers, numbers], axis=1) if single else numbers
            sums = shares.sum(axis=1)
            off = (np.abs(sums - 1) > self.config.tolerance) & ~outside.any(axis=1)
            problems += [
                f"{self._name}, line {rows[place].line}: the probabilities sum to {sums[place]:.4g}, not to 1"
                for place in np.flatnonzero(off).tolist()
            ]
            if problems:
                return np.empty(0, dtype=np.float32)
            scores = np.log(np.maximum(shares / sums[:, None], self.config.floor))
        if single and self.task.classes[0] == self.task.positive:
            scores = scores[:, ::-1]
        return np.ascontiguousarray(scores, dtype=np.float32)


def _what_it_has(header: Sequence[str]) -> str:
    if len(header) == 1:
        return f"it has one column, {header[0][:300]!r}; separate columns by commas"
    return f"its columns: {', '.join(header)[:300]}"


def _first(names: Sequence[str], most: int) -> list[str]:
    return [*names[:most], *([f"and {len(names) - most:,} more"] if len(names) > most else [])]


def _other_names(missing: str, known: Mapping[str, int]) -> str | None:
    """What the ids of the table have that those of the images have not, or the other way round."""
    stem = PurePosixPath(missing).stem
    if stem != missing and stem in known:
        return f"the table has {stem!r}: ids are those of the data set, here with the end of a file name"
    ended = next((f"{missing}{end}" for end in (".jpg", ".png", ".jpeg", ".JPG") if f"{missing}{end}" in known), None)
    return None if ended is None else f"the table has {ended!r}: ids are those of the data set, without .{ended[-3:]}"


def _are_probabilities(numbers: NDArray[np.float64], tolerance: float) -> bool:
    """Whether so-called logits are probabilities: of real ones no file has all rows in 0..1 with the sum 1."""
    inside = bool(((numbers >= 0) & (numbers <= 1)).all())
    return inside and bool((np.abs(numbers.sum(axis=1) - 1) <= tolerance).all())


@api.hookimpl
def dermae_classifiers() -> dict[str, type[api.Classifier]]:
    """Names that a suite may use."""
    return {"external-predictions": ExternalPredictions}
