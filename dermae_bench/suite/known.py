"""Checks that need to know what the images are: their attributes, and which tasks have a positive class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Any, Literal, Protocol

import yaml

from dermae_bench.plugin.catalog import Card
from dermae_bench.plugin.checking import Finding, Path, suggestion
from dermae_bench.suite.lineage import Tasks
from dermae_bench.suite.measuring import PLANNED, prediction_metrics
from dermae_bench.suite.parts import names_of
from dermae_bench.suite.places import chosen_in, entries, specs

Attributes = Mapping[str, Literal["number", "text"]]
"""Name -> what its values are."""
BY_CLASS = "class"
"""In `by:`, the classes of the generator's task."""
MAPPED = ("task", "classes", "maps", "positive")
"""Params of a data set whose tasks the user says."""
SHOWN_LABELS = 6
"""Labels of an example."""


class Cards(Protocol):
    """Where cards come from."""

    def card(self, kind: str, name: str) -> Card:
        """The card of a plugin that is known to be there."""


def asks_of_data(suite: Mapping[str, Any]) -> bool:
    """Whether `data_findings` and `other_findings` may have more to tell of a suite, right or wrong in itself."""
    metrics = [entry for _, entry in specs(suite, "sample_metrics")]
    return bool(
        any(entries(suite, "evaluate_on"))
        or any(entries(suite, "subgroups"))
        or any(part.get("count") is not None for _, part in chosen_in(suite))
        or any(entry.get("by") is not None or entry.get("metric") in PLANNED for entry in metrics)
        or any(entry.get("template") is not None for _, entry in specs(suite, "captions"))
    )


def data_findings(
    suite: Mapping[str, Any],
    cards: Cards,
    tasks: Tasks | None,
    attributes: Attributes | None,
    counts: Mapping[str, Mapping[str, int]] | None = None,
) -> Iterator[Finding]:
    """What the images cannot give.

    Args:
        suite: normalised JSON of a suite that passed all other checks.
        tasks: None where the data that tell them are missing.
        attributes: likewise.
        counts: images of each class by split, or None where there are no data to count.
    """
    yield from _conditional(suite)
    yield from _too_many(suite, counts or {})
    if tasks is not None:
        yield from _positives(suite, cards, tasks)
    if attributes is not None:
        for at, entry in entries(suite, "subgroups"):
            yield from _attribute(entry, at, attributes)
        for at, entry in entries(suite, "sample_metrics"):
            if entry["by"] is not None and entry["by"] != BY_CLASS:
                yield from _attribute(entry["by"], (*at, "by"), attributes)
        yield from _said(suite, attributes)


def _too_many(suite: Mapping[str, Any], counts: Mapping[str, Mapping[str, int]]) -> Iterator[Finding]:
    """More real images than a split has."""
    for at, part in chosen_in(suite):
        there = sum(counts.get(part["from"], {}).values())
        if part["count"] is not None and 0 < there < part["count"]:
            message = f"{part['count']:,} images are asked for, but {part['from']!r} has {there:,}"
            yield Finding((*at, "count"), message, "ask for fewer, or for all of them")


def _said(suite: Mapping[str, Any], attributes: Attributes) -> Iterator[Finding]:
    """Attributes that captions name, and that the images do not have."""
    for at, entry in entries(suite, "captions"):
        fields = [name for _, name, *_ in Formatter().parse(entry["template"] or "") if name is not None]
        for name in dict.fromkeys(fields):
            if name != "label" and name not in attributes:
                hint = suggestion(name, ["label", *attributes], "fields")
                yield Finding((*at, "template"), f"the images have no attribute {name!r}", hint)


def _questions(tasks: Tasks) -> str:
    told = [
        f"{task}: {', '.join(about['classes'])} (positive: {about['positive'] or 'none'})"
        for task, about in tasks.items()
    ]
    return "; ".join(told)


def same_question(own: Mapping[str, Any], other: Mapping[str, Mapping[str, Any]] | None, task: str) -> bool:
    """Whether another data set has a task of this name, the same classes in any order, and the same positive one."""
    found = (other or {}).get(task)
    return (
        found is not None
        and sorted(found["classes"]) == sorted(own["classes"])
        and found["positive"] == own["positive"]
    )


def other_findings(
    suite: Mapping[str, Any],
    tasks: Tasks | None,
    others: Mapping[str, tuple[Tasks | None, Attributes | None]],
) -> Iterator[Finding]:
    """Sets under `evaluate_on` that answer no task of the suite, or lack an attribute.

    Args:
        others: name -> its tasks and attributes, None where the data that tell them are missing.
    """
    for name, (its, attributes) in others.items():
        at: Path = ("evaluate_on", name)
        wanted = {task: tasks[task] for task in suite["tasks"]} if tasks is not None else {}
        if wanted and its is not None and not any(same_question(own, its, task) for task, own in wanted.items()):
            message = f"{name!r} answers no task of this suite with the same classes and the same positive one"
            hint = f"its tasks are {_questions(its)}; those of the suite are {_questions(wanted)}"
            hint += f"; {_way_out(name, suite['evaluate_on'][name]['params'], its, wanted, tasks or {})}"
            yield Finding(at, message, hint, on_key=True)
        if attributes is not None:
            for number, asked in enumerate(suite["evaluate_on"][name]["subgroups"]):
                yield from _attribute(asked, (*at, "subgroups", number), attributes)


def _way_out(name: str, params: Mapping[str, Any], its: Tasks, wanted: Tasks, own: Tasks) -> str:
    """What makes a set answer a task of the suite."""
    out = f"or leave {name!r} out"
    shared = [task for task, about in own.items() if same_question(about, its, task)]
    if shared:
        return f"add {shared[0]!r} to the suite's `tasks`, {out}"
    if not its or not all(word in params for word in MAPPED):
        return f"no other task of the suite's own data is the same there: leave {name!r} out"
    # the first is that of the labels themselves
    labels = next(iter(its))
    classes = its[labels]["classes"]
    for task, about in wanted.items():
        if sorted(classes) == sorted(about["classes"]):
            return f"for example params: {_flow({'task': task, 'positive': about['positive']})}, {out}"
    task = min(wanted, key=lambda asked: len(wanted[asked]["classes"]))
    answers = dict.fromkeys(classes[:SHOWN_LABELS], "ANSWER")
    example = {"maps": {task: answers}, "positive": wanted[task]["positive"]}
    if task == labels:
        # a map has another name than the task of the labels
        example = {"task": f"{task}-label", **example}
    told = f"with one of {', '.join(wanted[task]['classes'])} for the ANSWER of every label"
    return f"for example params: {_flow(example)}, {told}; {out}"


def _flow(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return text.strip()


def _conditional(suite: Mapping[str, Any]) -> Iterator[Finding]:
    """Metrics of what a generator was asked for, where no generator of the rows is asked for a class."""
    named = [name for row in suite["generator_rows"] for name in names_of(row["samples"])]
    if not named or any(suite["generators"][name]["task"] is not None for name in named):
        return
    hint = "add a row of a conditional generator, or remove the metric"
    for at, entry in entries(suite, "sample_metrics"):
        asks = entry["metric"] if entry["metric"] in PLANNED else "by: class" if entry["by"] == BY_CLASS else None
        if asks is not None:
            message = f"{asks} needs a generator that is asked for a class, and no generator row has one"
            yield Finding(at, message, hint)


def _positives(suite: Mapping[str, Any], cards: Cards, tasks: Tasks) -> Iterator[Finding]:
    """A metric of the positive class where no task has one: it would be on no row."""
    if any(tasks[name]["positive"] is not None for name in suite["tasks"]):
        return
    for at, name in prediction_metrics(suite):
        if any(column["positive"] for column in cards.card("metric", name).columns):
            having = [task for task, about in tasks.items() if about["positive"] is not None]
            hint = f"tasks with one: {', '.join(having)}" if having else "no task of this data set has one"
            yield Finding(at, f"{name!r} is about a positive class, and no task of this suite has one", hint)


def _attribute(asked: Any, at: Path, attributes: Attributes) -> Iterator[Finding]:
    name = asked["attribute"] if isinstance(asked, dict) else asked
    bands = asked["bands"] if isinstance(asked, dict) else None
    place = (*at, "attribute") if isinstance(asked, dict) else at
    if name not in attributes:
        hint = suggestion(name, attributes, "attributes") if attributes else "this data set has no attributes"
        yield Finding(place, f"the images have no attribute {name!r}", hint)
    elif attributes[name] == "number" and not bands:
        hint = f"write {{attribute: {name}, bands: [LIMIT, ...]}}"
        yield Finding(place, f"attribute {name!r} is a number, and needs bands to be divided", hint)
    elif attributes[name] == "number" and isinstance(asked, dict) and asked["join"]:
        yield Finding(
            (*at, "join"), f"attribute {name!r} is a number: its bands cannot be joined", "choose other bands"
        )
    elif attributes[name] == "text" and bands:
        yield Finding((*at, "bands"), f"attribute {name!r} is no number, and has no bands", f"write {name} alone")
