"""What is wrong with the origins of images and labels in a suite: leaks, images taken twice, missing labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dermae_bench.plugin.checking import Finding, Path, suggestion
from dermae_bench.suite.lineage import Lineage, Tasks, reaches
from dermae_bench.suite.places import asked_of, chosen_in, specs, texts


def lineage_findings(suite: Mapping[str, Any]) -> Iterator[Finding]:
    """Training on images that are scored, or twice on the same; of a suite in which nothing goes in a circle."""
    lineage = Lineage(suite)
    uses: list[tuple[Path, Any]] = []
    for section, key in (("generators", "images"), ("pretrained", "images"), ("rows", "train")):
        uses += [((*at, key), entry.get(key)) for at, entry in specs(suite, section)]
    for section, key in (("classifiers", "teacher"), ("sample_metrics", "judge"), ("extractors", "from")):
        pairs = [((*at, key), entry.get(key)) for at, entry in specs(suite, section)]
        uses += [((*at, "train"), pair.get("train")) for at, pair in pairs if isinstance(pair, dict)]
    for at, names in uses:
        for split in lineage.twice(names):
            message = f"{split!r} is in this set twice: its images would count double"
            yield Finding(at, message, "name it once, directly or through another image set")
        for place, name in texts(names, at):
            splits, generators = lineage.of(name)
            if "test" in splits:
                how = "is" if name == "test" else f"({name}) holds"
                yield Finding(place, f"the training set {how} 'test', which is scored on", "remove 'test' from it")
            if place[0] == "sample_metrics" and generators:
                message = (
                    f"a judge may only have seen real images; {name!r} holds samples of {', '.join(sorted(generators))}"
                )
                yield Finding(place, message, "train: train")


def task_findings(suite: Mapping[str, Any], tasks: Tasks) -> Iterator[Finding]:
    """Tasks that do not exist, and image sets without the labels that a use of them needs."""
    lineage = Lineage(suite)
    places: list[tuple[Path, str]] = list(texts(suite.get("tasks"), ("tasks",)))
    for section, key in (("generators", "task"), ("classifiers", "derive"), ("captions", "task")):
        for at, entry in specs(suite, section):
            places += texts(entry.get(key), (*at, key))
    for at, part in chosen_in(suite):
        places += texts(part.get("task"), (*at, "task"))
    for at, entry in specs(suite, "extractors"):
        source = entry.get("from")
        places += texts(source.get("task"), (*at, "from", "task")) if isinstance(source, dict) else []
    yield from _words(suite, tasks)
    for at, name in places:
        if name not in tasks:
            yield Finding(at, f"the dataset has no task {name!r}", suggestion(name, tasks, "tasks"))
    if any(name not in tasks for _, name in places):
        return
    for at, entry in specs(suite, "generators"):
        task = entry.get("task")
        if isinstance(task, str):
            yield from _need_labels(lineage, tasks, (*at, "images"), entry.get("images"), task)
    yield from _derived(lineage, tasks)
    classifiers = suite.get("classifiers")
    known: Mapping[str, Any] = classifiers if isinstance(classifiers, dict) else {}
    for at, row in specs(suite, "rows"):
        for _, name in texts(row.get("classifiers"), ()):
            if isinstance(known.get(name), dict):
                yield from _row(lineage, tasks, at, row, name, known)


def _words(suite: Mapping[str, Any], tasks: Tasks) -> Iterator[Finding]:
    """Words of captions for classes that no task has whose labels they say."""
    for at, entry in specs(suite, "captions"):
        own, words = entry.get("task"), entry.get("words")
        asked = [own] if own is not None else [user.get("task") for _, user in asked_of(suite, str(at[-1]))]
        known = [tasks[name] for name in asked if isinstance(name, str) and name in tasks]
        classes = [name for task in known for name in task["classes"]]
        for name in words if isinstance(words, dict) and known else ():
            if name not in classes:
                hint = suggestion(name, classes, "classes")
                yield Finding((*at, "words", name), f"there is no class {name!r}", hint, on_key=True)


def _derived(lineage: Lineage, tasks: Tasks) -> Iterator[Finding]:
    wanted = [name for _, name in texts(lineage.suite.get("tasks"), ())]
    for at, entry in specs(lineage.suite, "classifiers"):
        derive, source = entry.get("derive"), entry.get("from")
        if isinstance(derive, str):
            for task in wanted:
                if not reaches(tasks, derive, task):
                    hint = _from_above(tasks, task)
                    yield Finding((*at, "derive"), f"no map leads from task {derive!r} to task {task!r}", hint)
        elif isinstance(source, dict) and (name := lineage.answering(source)) is not None:
            for task in wanted:
                if lineage.task_of(name) is not None and not reaches(tasks, lineage.task_of(name), task):
                    message = f"generator {name!r} answers {lineage.task_of(name)!r}; no map leads to task {task!r}"
                    yield Finding((*at, "from"), message, _from_above(tasks, task))


def _from_above(tasks: Tasks, task: str) -> str:
    return f"tasks that lead to {task!r}: " + ", ".join(name for name in tasks if reaches(tasks, name, task))


def _row(
    lineage: Lineage, tasks: Tasks, at: Path, row: Mapping[str, Any], name: str, known: Mapping[str, Any]
) -> Iterator[Finding]:
    entry, train = known[name], row.get("train")
    source = entry.get("from")
    if isinstance(source, dict):
        generator = lineage.answering(source)
        images = None if generator is None else lineage.generators[generator].get("images")
        if images is not None and [n for _, n in texts(images, ())] != [n for _, n in texts(train, ())]:
            message = f"{name!r} is the generator {generator!r}, which is fitted on other images than this row says"
            fitted = images if isinstance(images, str) else f"[{', '.join(name for _, name in texts(images, ()))}]"
            yield Finding((*at, "train"), message, f"train: {fitted}")
        return
    derive, teacher = entry.get("derive"), entry.get("teacher")
    wanted = [derive] if isinstance(derive, str) else [task for _, task in texts(lineage.suite.get("tasks"), ())]
    taught = isinstance(teacher, dict)
    labelled = [task for task in wanted if not lineage.unlabelled(train, task, tasks, taught)]
    # tasks without labels are left out of a row; a row that has none is a mistake
    for task in wanted if not labelled else ():
        yield from _need_labels(lineage, tasks, (*at, "train"), train, task, f" (for {name!r})", taught)
    if isinstance(teacher, dict):
        yield from _teacher(lineage, tasks, name, teacher, labelled, known)


def _teacher(
    lineage: Lineage,
    tasks: Tasks,
    name: str,
    teacher: Mapping[str, Any],
    labelled: Sequence[str],
    known: Mapping[str, Any],
) -> Iterator[Finding]:
    """A teacher must answer the very task that its student is trained on, from labels that its images have."""
    place = ("classifiers", name, "teacher")
    its = known.get(str(teacher.get("classifier")))
    if not isinstance(its, dict):
        return
    source, inner = its.get("from"), its.get("teacher")
    for task in labelled:
        answers = its.get("derive") or task
        if isinstance(source, dict):
            answers = lineage.task_of(lineage.answering(source) or "") or task
        if answers != task:
            message = f"{name!r} is trained on {task!r}, but its teacher {teacher['classifier']!r} answers {answers!r}"
            yield Finding((*place, "classifier"), message, f"add `derive: {answers}` to {name!r}, or choose another")
            continue
        who = f" (for the teacher of {name!r})"
        yield from _need_labels(
            lineage, tasks, (*place, "train"), teacher.get("train"), task, who, isinstance(inner, dict)
        )


def _need_labels(
    lineage: Lineage, tasks: Tasks, at: Path, names: Any, task: str, who: str = "", taught: bool = False
) -> Iterator[Finding]:
    for place, name in texts(names, at):
        for generator in lineage.unlabelled(name, task, tasks, taught):
            its = lineage.task_of(generator)
            given = f"labels of {its!r}" if its is not None else "no labels"
            message = f"image set {name!r} has no labels for task {task!r}{who}: samples of {generator!r} have {given}"
            valid: Iterable[str] = [other for other in tasks if reaches(tasks, other, task)]
            hint = f"take a conditional generator with task: {' or '.join(valid)}"
            if taught:
                hint += "; or add `labels: teacher` to these samples"
            elif generator in lineage.labelled_by_teacher(name, task, tasks):
                hint += "; `labels: teacher` needs a classifier that has a `teacher:`"
            yield Finding(place, message, hint)
