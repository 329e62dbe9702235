"""What a classifier's fit reads besides its images: an encoder to start from, a teacher, and what the teacher says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dermae_bench.plugin.catalog import Card
from dermae_bench.suite.lineage import reaches
from dermae_bench.suite.parts import Parts, SeedContext, choice_words, sample_batch
from dermae_bench.suite.spec import ClassifierSpec, TeacherSpec
from dermae_bench.suite.stage import Stage

if TYPE_CHECKING:
    from dermae_bench.suite.plan import Planner


@dataclass
class Helpers:
    """Additions to a train stage."""

    inputs: dict[str, Stage] = field(default_factory=dict)
    cards: list[Card] = field(default_factory=list)
    work: dict[str, Any] = field(default_factory=lambda: {"init": False, "teacher": None})
    hashed: dict[str, Any] = field(default_factory=dict)
    """The same with digests in place of paths, where they differ."""

    def reads(self, role: str, stage: Stage, model: tuple[dict[str, Any], dict[str, Any] | None, Card]) -> None:
        """Let the fit read another fit's result."""
        self.inputs[role] = stage
        self.work[role], self.hashed[role], card = model
        self.cards.append(card)


def helpers_of(plan: Planner, spec: ClassifierSpec, parts: Parts, task: str, seeds: SeedContext) -> Helpers:
    """Everything that a classifier of the suite reads while it is fitted on `parts`."""
    found = Helpers()
    if spec.init is not None:
        pretrainer = plan.suite.pretrained[spec.init]
        model = plan.model("pretrainer", pretrainer.plugin, pretrainer.params, None)
        found.reads("init", plan.pretrained(spec.init, seeds), model)
    if spec.teacher is not None:
        teacher = plan.classifier(spec.teacher.classifier, spec.teacher.train, task, seeds)
        found.reads("teacher", teacher, plan.classifier_model(spec.teacher.classifier, task))
        found.inputs |= teacher_logits(plan, spec.teacher, teacher, parts, task)
    return found


def teacher_logits(plan: Planner, spec: TeacherSpec, teacher: Stage, parts: Parts, task: str) -> dict[str, Stage]:
    """Role -> what the teacher says of each part of the training set: one stage a part, whoever asks for it."""
    samples = dict(parts.samples)
    found = {}
    for number, part in enumerate(parts.spec):
        drawn = {"samples0": samples[part["samples"]]} if "samples" in part else {}
        images = {"samples": "samples0"} if drawn else dict(part)
        stage = predict(plan, spec.classifier, teacher, task, images, drawn, labelled=False)
        found[f"teacher-logits{number}"] = stage
    return found


def taught(parts: Parts, task: str, tasks: Mapping[str, Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """The parts of a training set, with those marked that have no label of `task` but the teacher's."""
    asking = dict(parts.asking)
    marked = {role for role, its in asking.items() if tasks is not None and not reaches(tasks, its, task)}
    return [{**part, "labels": "teacher"} if part.get("samples") in marked else dict(part) for part in parts.spec]


def predict(
    plan: Planner,
    name: str,
    model: Stage | None,
    task: str,
    images: Mapping[str, Any],
    extra: Mapping[str, Stage],
    *,
    labelled: bool = True,
    on: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> Stage:
    """Logits of one classifier on one image set, beside the labels of its task if `labelled`.

    Args:
        model: its fit; None for answers that were given elsewhere.
        on: a set under `evaluate_on` whose images they are, in place of the suite's own.
        more: how answers to them are reached: `answers`, the task that is scored, and `between`, all tasks.
    """
    work, hashed, card = plan.classifier_model(name, task)
    common = {
        "images": [dict(images)],
        "labelled": labelled,
        "batch": sample_batch(plan.image_size),
        "precision": plan.suite.precision,
        "threads": plan.suite.threads,
        **(more or {}),
    }
    where = extra["samples0"].name if "samples" in images else images["split"]
    where += f",{chosen}" if (chosen := choice_words(images.get("choose"))) else ""
    who = model.name.removeprefix("train/") if model is not None else f"given/{name}/{task}"
    inputs = {} if model is None else {"train": model}
    if on is not None:
        where = f"{on}:{where}/{common['answers']['name']}"
    amount = 0 if on is not None else plan.drawing.size(images["split"]) if "split" in images else 0
    return plan.add(
        "predict",
        f"predict/{who}/{where}",
        {"model": work, **common},
        None if hashed is None else {"model": hashed, **common},
        [card],
        {**inputs, "prepare": plan.prepare() if on is None else plan.prepare_other(on), **extra},
        steps=extra["samples0"].steps if "samples" in images else amount,
    )
