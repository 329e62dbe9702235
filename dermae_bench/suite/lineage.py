"""What an image set is made of, and so: what goes in circles, what leaks, and which labels its images have.

Labels go from a task to the tasks below it, along declared maps. Real images have the labels of every task; the
samples of a generator have those of its task and of the tasks below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from dermae_bench.suite.circles import inner_first
from dermae_bench.suite.places import SPLITS, texts

Tasks = Mapping[str, Mapping[str, Any]]
"""Task name -> at least `parent`: the name of the task that its map starts from, None for the root."""
Samples = tuple[str, bool]
"""(generator, whether a teacher labels these samples)."""


class Lineage:
    """The origins of every image set of a suite (normalised JSON), whether or not it is right."""

    def __init__(self, suite: Mapping[str, Any]) -> None:
        self.suite = suite
        sets, generators = suite.get("image_sets"), suite.get("generators")
        self.sets: Mapping[str, Any] = sets if isinstance(sets, dict) else {}
        self.generators: Mapping[str, Any] = generators if isinstance(generators, dict) else {}
        self._known: dict[str, tuple[frozenset[str], frozenset[Samples]]] = {}

    def of(self, names: Any) -> tuple[frozenset[str], frozenset[str]]:
        """(real splits, generators) that the named image sets consist of, joined."""
        splits, samples = self._joined(names)
        return splits, frozenset(generator for generator, _ in samples)

    def twice(self, names: Any) -> list[str]:
        """Real splits that the named image sets, joined, hold more than once."""
        found: Counter[str] = Counter()
        for _, name in texts(names, ()):
            found.update([name] if name in SPLITS else self._splits.get(name, ()))
        return [name for name, count in found.items() if count > 1]

    @cached_property
    def _splits(self) -> Mapping[str, tuple[str, ...]]:
        """Image set -> the real splits that it holds, each named twice at most."""
        held = {name: [*(inner for _, inner in texts(entry, ())), *_real(entry)] for name, entry in self.sets.items()}
        found: dict[str, tuple[str, ...]] = {}
        for name in inner_first(held):
            counts: Counter[str] = Counter()
            for inner in held[name]:
                counts.update([inner] if inner in SPLITS else found.get(inner, ()))
            found[name] = tuple(split for split, count in counts.items() for _ in range(min(count, 2)))
        return found

    def _joined(self, names: Any) -> tuple[frozenset[str], frozenset[Samples]]:
        found = [self._one(name) for _, name in texts(names, ())]
        return frozenset().union(*(f[0] for f in found)), frozenset().union(*(f[1] for f in found))

    def _one(self, name: str) -> tuple[frozenset[str], frozenset[Samples]]:
        if name in self._known:
            return self._known[name]
        splits: set[str] = set()
        samples: set[Samples] = set()
        seen, todo = {name}, [name]
        while todo:
            current = todo.pop()
            if current in SPLITS:
                splits.add(current)
                continue
            entry = self.sets.get(current)
            splits.update(_real(entry))
            for part in entry if isinstance(entry, list) else [entry]:
                if isinstance(part, dict) and isinstance(part.get("samples"), str):
                    samples.add((part["samples"], part.get("labels") == "teacher"))
                elif isinstance(part, str) and part not in seen:
                    seen.add(part)
                    todo.append(part)
        self._known[name] = frozenset(splits), frozenset(samples)
        return self._known[name]

    def unlabelled(self, names: Any, task: str, tasks: Tasks, taught: bool = False) -> list[str]:
        """Generators whose samples stand in the named image sets without a label of `task`.

        Args:
            taught: whether there is a teacher, who labels those that the suite marks `labels: teacher`.
        """
        return sorted({name for name, marked in self._without(names, task, tasks) if not (taught and marked)})

    def labelled_by_teacher(self, names: Any, task: str, tasks: Tasks) -> list[str]:
        """Generators whose samples have no label of `task` but what a teacher gives them."""
        return sorted({name for name, marked in self._without(names, task, tasks) if marked})

    def _without(self, names: Any, task: str, tasks: Tasks) -> list[Samples]:
        known = (part for part in self._joined(names)[1] if isinstance(self.generators.get(part[0]), dict))
        return [part for part in known if not reaches(tasks, self.task_of(part[0]), task)]

    def task_of(self, generator: str) -> str | None:
        """The task that conditions a generator."""
        entry = self.generators.get(generator)
        task = entry.get("task") if isinstance(entry, dict) else None
        return task if isinstance(task, str) else None

    def answering(self, source: Mapping[str, Any]) -> str | None:
        """The generator that a classifier's `from:` names, where it is one of the suite."""
        name = source.get("generator")
        return name if isinstance(name, str) and isinstance(self.generators.get(name), dict) else None


def _real(entry: Any) -> list[str]:
    """Real splits of which an image set takes some images."""
    parts = entry if isinstance(entry, list) else [entry]
    return [part["from"] for part in parts if isinstance(part, dict) and part.get("from") in SPLITS]


def reaches(tasks: Tasks, source: str | None, target: str) -> bool:
    """Whether a label of `source` gives one of `target`: the same task, or one above it."""
    seen: set[str] = set()
    current: str | None = target
    while current is not None and current not in seen:
        if current == source:
            return True
        seen.add(current)
        current = tasks[current].get("parent") if current in tasks else None
    return False


def row_tasks(suite: Mapping[str, Any], tasks: Tasks, classifier: str, train: str | Sequence[str]) -> list[str]:
    """Tasks of the suite that a classifier can be scored on after fitting on `train`; the others have no labels there.

    Args:
        suite: normalised JSON of the suite.
        train: one image set, or several joined.
    """
    names = list(train) if not isinstance(train, str) else train
    return _scored(Lineage(suite), suite["classifiers"][classifier], names, tasks)


def _scored(lineage: Lineage, entry: Mapping[str, Any], train: Any, tasks: Tasks) -> list[str]:
    wanted = [task for task in lineage.suite["tasks"] if task in tasks]
    source, derive = entry.get("from"), entry.get("derive")
    if isinstance(source, dict):
        return [task for task in wanted if reaches(tasks, lineage.task_of(source.get("generator", "")), task)]
    taught = isinstance(entry.get("teacher"), dict)
    if derive is not None:
        return (
            []
            if lineage.unlabelled(train, derive, tasks, taught)
            else [task for task in wanted if reaches(tasks, derive, task)]
        )
    return [task for task in wanted if not lineage.unlabelled(train, task, tasks, taught)]
