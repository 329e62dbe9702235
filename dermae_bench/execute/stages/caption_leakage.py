"""The lint of captions as a stage: what those of the training images tell of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter
from typing import Any

from dermae_bench.builtin.datasets.tables import read_table
from dermae_bench.errors import DataError
from dermae_bench.execute.stages.captions import LONGEST, captioned
from dermae_bench.execute.stages.common import StageContext, dataset_tasks, image_set
from dermae_bench.leakage.captions import CaptionLint, Question, Said, lint_captions
from dermae_bench.leakage.lints import SPLITS
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.images import ImageSet

BLANK = "something"
"""In place of the class that a template names, to see what else tells it."""


@dataclass(frozen=True, kw_only=True)
class Linted:
    """How many captions of `train` were read, and what is wrong with them."""

    n: int
    found: CaptionLint


def caption_leakage(context: StageContext) -> Linted:
    """`work` has `captions`, as fits have them, and `tasks`, names. Input: `prepare`."""
    work = context.work
    tasks = dataset_tasks(context.input("prepare")[1])
    context.phase = "reading captions"
    train = _said(context, "train")
    held = {split: its for split in SPLITS if split != "train" and (its := _said(context, split)).ids}
    context.phase = "comparing words"
    about = work["captions"]
    names_class = about["template"] is not None and "label" in _fields(about["template"])
    bare = train.captions
    if names_class:
        words = dict.fromkeys(tasks[about["task"]].classes, BLANK)
        blank = {**work, "captions": {**about, "words": words}}
        bare = _said(replace(context, spec={**context.spec, "work": blank}), "train").captions
    asked = [task for name, task in tasks.items() if name in work["tasks"]]
    questions = [_question(context, task, train.ids, asked, names_class) for task in asked]
    return Linted(n=len(train.ids), found=lint_captions(train, bare, held, questions))


def _question(
    context: StageContext, task: Task, ids: Sequence[str], asked: Sequence[Task], names_class: bool
) -> Question:
    images = image_set(context, [{"split": "train"}], task)
    assert images.labels is not None
    place = {name: row for row, name in enumerate(images.ids)}
    about = context.work["captions"]
    mine = about["task"] == task.name
    return Question(
        task=task.name,
        classes=task.classes,
        labels=images.labels[[place[name] for name in ids]],
        said=about["words"] if mine or about["task"] is None else {},
        above=task.parent if task.parent in {other.name for other in asked} else None,
        mapping=task.mapping,
        asked=names_class and mine,
    )


def _said(context: StageContext, split: str) -> Said:
    """Captions of the images of a split that have one: a file needs lines for those of `train` alone."""
    spec = [{"split": split}]
    images = image_set(context, spec, None)
    about = context.work["captions"]
    if about["file"] is not None:
        images = _having(images, _lines(Path(about["file"])))
    elif about["template"] is None and images.captions is not None and split != "train":
        images = _having(images, dict(zip(images.ids, images.captions, strict=True)))
    found: Any = captioned(context, images, spec).captions if len(images) else ()
    return Said(ids=images.ids, groups=images.groups, captions=found)


def _having(images: ImageSet, captions: dict[str, str]) -> ImageSet:
    kept = [row for row, name in enumerate(images.ids) if 0 < len(captions.get(name, "").strip()) <= LONGEST]
    return images.take(kept)


def _lines(path: Path) -> dict[str, str]:
    problems: list[str] = []
    _, rows = read_table(path, ("id", "caption"), problems)
    if problems:
        raise DataError(f"the captions of {path.name} cannot be used", problems)
    return {row["id"]: row["caption"] for row in rows}


def _fields(template: str) -> set[str]:
    return {name for _, name, *_ in Formatter().parse(template) if name is not None}
