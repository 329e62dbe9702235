"""What is said of images: by the data set itself, by a file, or by a template over labels and attributes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.builtin.datasets.tables import read_table, repeated
from dermae_bench.errors import DataError, UserError
from dermae_bench.execute.stages.common import StageContext, dataset_tasks, image_set
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.images import ImageSet

UNKNOWN = "unknown"
"""How a template says an attribute that nobody noted."""
SHOWN = 10
"""Images that an error names."""
LONGEST = 4_000
"""Characters of a caption."""


def captioned(context: StageContext, images: ImageSet, spec: Sequence[Mapping[str, Any]]) -> ImageSet:
    """The same images, each with the caption that the suite asks for; unchanged where it asks for none."""
    about = context.work.get("captions")
    return images if about is None else replace(images, captions=_captions(context, about, images, spec))


def learnt(work: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The real images that a generator has learnt from: all of `train`, where a sample stage says nothing else."""
    return list((work.get("learnt") or {}).get("real") or [{"split": "train"}])


def captions_to_draw(
    context: StageContext, labels: NDArray[np.int64] | None, nth: Sequence[int], task: Task
) -> list[str] | None:
    """A caption for each image to be drawn: that of a real image of the class asked for, out of those that were learnt
    from; None without any.

    These images of a class come in an order that only their ids and the seed of the sample decide; when all have
    been asked for, they begin anew.

    Args:
        nth: how many images of the same class stand before each one.
    """
    if context.work.get("captions") is None:
        return None
    spec = learnt(context.work)
    images = captioned(context, image_set(context, spec, task if task.classes else None), spec)
    assert images.captions is not None
    seed = context.work["seed"]
    order = sorted(range(len(images)), key=lambda i: hashlib.sha256(f"{seed}/{images.ids[i]}".encode()).digest())
    if labels is None or images.labels is None:
        return [images.captions[order[n % len(order)]] for n in nth]
    of_class = [[i for i in order if images.labels[i] == label] for label in range(len(task.classes))]
    absent = sorted({task.classes[label] for label in np.unique(labels).tolist() if not of_class[label]})
    if absent:
        raise UserError(f"no real image that was learnt from shows {', '.join(absent)}: there is no caption to ask for")
    return [
        images.captions[of_class[label][n % len(of_class[label])]]
        for label, n in zip(labels.tolist(), nth, strict=True)
    ]


def _captions(
    context: StageContext, about: Mapping[str, Any], images: ImageSet, spec: Sequence[Mapping[str, Any]]
) -> list[str]:
    if about["file"] is not None:
        found = _from_file(Path(about["file"]), images.ids)
    elif about["template"] is not None:
        found = _from_template(context, about, images, spec)
    elif images.captions is None:
        hint = "write a template, or name a file with columns id and caption"
        raise UserError("these images have no captions of their own", hint=hint)
    else:
        found = list(images.captions)
    empty = [name for name, text in zip(images.ids, found, strict=True) if not text.strip()]
    long = [name for name, text in zip(images.ids, found, strict=True) if len(text) > LONGEST]
    problems = [f"{name}: no caption" for name in empty] + [f"{name}: longer than {LONGEST:,} letters" for name in long]
    if problems:
        raise DataError(f"{len(problems)} images have no caption that can be used", problems)
    return found


def _from_file(path: Path, ids: Sequence[str]) -> list[str]:
    problems: list[str] = []
    _, rows = read_table(path, ("id", "caption"), problems)
    given = {row["id"]: row["caption"] for row in repeated(rows, "id", path.name, problems)}
    absent = [name for name in ids if name not in given]
    problems += [f"{path.name}: no line for {name}" for name in absent[:SHOWN]]
    if len(absent) > SHOWN:
        problems.append(f"{path.name}: no line for {len(absent) - SHOWN:,} more of {len(ids):,} images")
    if problems:
        raise DataError(f"the captions of {path.name} cannot be used", problems)
    return [given[name] for name in ids]


def _from_template(
    context: StageContext, about: Mapping[str, Any], images: ImageSet, spec: Sequence[Mapping[str, Any]]
) -> list[str]:
    template = about["template"]
    fields = {name for _, name, *_ in Formatter().parse(template) if name is not None}
    known: dict[str, Sequence[Any]] = dict(images.attributes)
    if "label" in fields:
        task = dataset_tasks(context.input("prepare")[1])[about["task"]]
        labelled = image_set(context, spec, task)
        assert labelled.labels is not None
        known["label"] = [about["words"].get(name, name) for name in (task.classes[i] for i in labelled.labels)]
    lacking = sorted(fields - set(known))
    if lacking:
        hint = f"fields: label{''.join(f', {name}' for name in sorted(images.attributes))}"
        raise UserError(f"the template names {{{lacking[0]}}}, which these images do not have", hint=hint)

    def said(value: Any) -> str:
        if value is None:
            return UNKNOWN
        return f"{value:g}" if isinstance(value, float) else str(value)

    return [
        template.format(**{name: said(known[name][position]) for name in fields}) for position in range(len(images))
    ]
