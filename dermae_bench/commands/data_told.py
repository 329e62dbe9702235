"""What `validate --data` prints of prepared data: splits, classes of the tasks that the suite uses, attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dermae_bench.commands.printing import echo
from dermae_bench.report.collect import class_counts
from dermae_bench.suite.known import BY_CLASS, same_question
from dermae_bench.suite.places import SPLITS

FEW = 10
"""A class with fewer test images is named in a warning."""
Counts = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Task -> class -> split -> images."""


def tell_data(prepared: Mapping[str, Any], suite: Mapping[str, Any]) -> int:
    """The suite's own data set, with what its tasks have in each split; returns how many warnings there are.

    Args:
        prepared: summary of its `prepare` stage.
        suite: normalised JSON.
    """
    split = prepared.get("split", {})
    counts, root = class_counts(prepared), prepared["tasks"][0]["name"]
    derived = [task for task in _used(suite) if task in counts and task != root]
    echo(f"split: {prepared['split_rule']}")
    echo(f"digest: {prepared['split_digest']}")
    for name in SPLITS:
        lesions = f", {split['groups'][name]} lesions" if "groups" in split else ""
        images = sum(prepared["counts"][name].values())
        echo(f"  {name}: {images} images{lesions}: {_classes(counts, root, name)}")
        for task in derived:
            echo(f"    {task}: {_classes(counts, task, name)}")
    for name, about in prepared["attributes"].items():
        echo(f"  attribute {name}: {_attribute(about)}")
    return _warn("", [*_scarce(counts, _measured(suite), ("val", "test")), *_further(prepared)])


def tell_other(name: str, prepared: Mapping[str, Any], suite: Mapping[str, Any], own: Mapping[str, Any]) -> int:
    """The test images of a set under `evaluate_on`; returns how many warnings there are.

    Args:
        own: summary of the suite's own data set, whose tasks the other has to answer.
    """
    lesions = prepared.get("split", {}).get("groups", {}).get("test")
    counts, root = class_counts(prepared), prepared["tasks"][0]["name"]
    images = sum(prepared["counts"]["test"].values())
    echo(f"other set {name}: {images} images{f', {lesions} lesions' if lesions else ''}: "
         f"{_classes(counts, root, 'test')}")  # fmt: skip
    asked, its = ({task["name"]: task for task in about["tasks"]} for about in (own, prepared))
    answered = [task for task in suite["tasks"] if task in asked and same_question(asked[task], its, task)]
    for task in answered:
        if task != root:
            echo(f"    {task}: {_classes(counts, task, 'test')}")
    return _warn(f"{name}: ", [*_scarce(counts, answered, ("test",)), *_further(prepared)])


def _used(suite: Mapping[str, Any]) -> list[str]:
    """Tasks that anything of the suite is asked, or learns."""
    learnt = [entry["task"] for entry in suite["generators"].values()]
    learnt += [entry.get("derive") for entry in suite["classifiers"].values()]
    return list(dict.fromkeys([*suite["tasks"], *(task for task in learnt if task is not None)]))


def _measured(suite: Mapping[str, Any]) -> list[str]:
    """Tasks whose classes have scores."""
    asked = [entry["task"] for entry in suite["generators"].values() if entry["task"] is not None]
    by_class = any(isinstance(metric, Mapping) and metric["by"] == BY_CLASS for metric in suite["sample_metrics"])
    return list(dict.fromkeys([*suite["tasks"], *(asked if by_class else [])]))


def _scarce(counts: Counts, tasks: Sequence[str], splits: Sequence[str]) -> Iterator[str]:
    """Classes that have no image in a split that measures, or few in test."""
    for task in tasks:
        for split in splits:
            none = [name for name, images in counts.get(task, {}).items() if not images[split]]
            if none:
                yield f"no {split} images of {task}: {', '.join(none)}; a metric that needs them will not exist"
        few = [
            f"{name} ({images['test']})" for name, images in counts.get(task, {}).items() if 0 < images["test"] < FEW
        ]
        if few:
            yield f"fewer than {FEW} test images of {task}: {', '.join(few)}; their scores mean little"


def _further(prepared: Mapping[str, Any]) -> Iterator[str]:
    """What else was told when the data were prepared; few images are told by task here."""
    return (text for text in prepared["warnings"] if not text.startswith(f"fewer than {FEW} test images of: "))


def _warn(who: str, warnings: Sequence[str]) -> int:
    for warning in warnings:
        echo(f"WARNING {who}{warning}")
    return len(warnings)


def _classes(counts: Counts, task: str, split: str) -> str:
    return ", ".join(f"{name} {images[split]}" for name, images in counts[task].items())


def _attribute(about: Mapping[str, Any]) -> str:
    """The values of an attribute, as a suite would divide them."""
    unknown = f", unknown {about['unknown']}" if about["unknown"] else ""
    if "images" not in about:
        return f"{about['lowest']:g} to {about['highest']:g}{unknown}"
    named = ", ".join(f"{value} {count}" for value, count in about["images"].items())
    more = about["values"] - len(about["images"])
    return named + (f", {more} more" if more > 0 else "") + unknown
