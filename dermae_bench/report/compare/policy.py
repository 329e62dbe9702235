"""A policy: what the candidate must reach, metric by metric, read as strictly as a suite.

version: 1
metrics:
  balanced-accuracy: {margin: 0.01}
  auc-binary: {gain: 0.02, at_least: 0.8}
  ece: {at_most: 0.05}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from dermae_bench.errors import DataMissing, Problem, UserError
from dermae_bench.plugin.checking import Finding, check, suggestion
from dermae_bench.plugin.params import Between, build, schema_of
from dermae_bench.report.compare.names import about_columns
from dermae_bench.report.compare.ranges import Range, beyond
from dermae_bench.suite.yaml import Node, read_file

WORDS = ("margin", "gain", "at_least", "at_most")


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """What one metric must reach; every word that is given must hold for the whole interval."""

    margin: Annotated[float, Between(0)] | None = None
    """B may be worse than A by at most this much (non-inferiority); 0 asks that it is not worse at all."""
    gain: Annotated[float, Between(0)] | None = None
    """B must be better than A by at least this much."""
    at_least: float | None = None
    """B itself must reach this value, whatever A has; for metrics that are better when higher."""
    at_most: float | None = None
    """B itself must stay at or below this value; for metrics that are better when lower."""

    @property
    def given(self) -> dict[str, float]:
        """Word -> number of those that are given."""
        return {word: value for word in WORDS if (value := getattr(self, word)) is not None}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """When the candidate B may take the place of the reference A."""

    version: Literal[1]
    """Of this format."""
    metrics: Mapping[str, Criteria]
    """Column, as boards call it -> what it must reach."""
    level: Annotated[float, Between(0.5, 0.9999)] = 0.95
    """Of the intervals that the criteria are held against."""
    tasks: tuple[str, ...] = field(default=())
    """Tasks that it judges, for generators the sets that they are measured against; all of them by default."""


class PolicyError(UserError):
    """Everything that is wrong in a policy, at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        count = len(problems)
        super().__init__(f"{count} error{'s' if count != 1 else ''} in the policy")
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([*(str(problem) for problem in self.problems), self.message])


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedPolicy:
    """What a policy file says, and what is wrong in it as far as that is known without results."""

    plain: Any
    root: Node
    problems: tuple[Problem, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that it names; whatever is wrong elsewhere."""
        tasks = self.plain.get("tasks") if isinstance(self.plain, dict) else None
        return tuple(tasks) if isinstance(tasks, list | tuple) and all(isinstance(one, str) for one in tasks) else ()

    def fitting(
        self, columns: Mapping[str, str], sections: Sequence[str], ranges: Mapping[str, Range] | None = None
    ) -> Policy:
        """Check it in itself and against what is compared.

        Args:
            columns: column -> its better side, of what both sides have.
            sections: tasks, and sets that generators are measured against.
            ranges: column -> between what it lies, where that is known.

        Raises:
            PolicyError: it is no policy, a column or a task is not compared, or a word asks a column to be bad: all at
                once, in the order of the file.
        """
        unfitting = self._unfitting(columns, sections, ranges or {})
        problems = [*self.problems, *(_problem(self.root, one) for one in unfitting)]
        if problems:
            places = {id(one): (one.place.line, one.place.column) if one.place else (0, 0) for one in problems}
            raise PolicyError(sorted(problems, key=lambda one: places[id(one)]))
        policy: Policy = build(Policy, self.plain)
        return policy

    def _unfitting(
        self, columns: Mapping[str, str], sections: Sequence[str], ranges: Mapping[str, Range]
    ) -> Iterator[Finding]:
        for place, name in enumerate(self.tasks):
            if name not in sections:
                hint = suggestion(name, sections, "compared")
                yield Finding(("tasks", place), f"task {name!r} is not compared", hint)
        metrics = self.plain.get("metrics") if isinstance(self.plain, dict) else None
        for name, criteria in metrics.items() if isinstance(metrics, dict) else ():
            if name not in columns:
                hint = about_columns([name], columns)
                yield Finding(("metrics", name), f"A and B have no column {name!r}", hint, on_key=True)
                continue
            refused = _REFUSED[columns[name]]
            for word in criteria if isinstance(criteria, dict) else ():
                if word in refused and criteria[word] is not None:
                    yield Finding(("metrics", name, word), f"{name} {refused[word]}", on_key=True)
            asked = criteria if isinstance(criteria, dict) and name in ranges else {}
            numbers = {word: value for word, value in asked.items() if word in WORDS and type(value) in (int, float)}
            for word, message, hint in beyond(name, numbers, ranges[name]) if numbers else ():
                yield Finding(("metrics", name, word), message, hint)


_REFUSED: Mapping[str, Mapping[str, str]] = {
    "higher": {"at_most": "is better when higher: say at_least"},
    "lower": {"at_least": "is better when lower: say at_most"},
    "neither": {
        "margin": "has no better side: only at_least and at_most can judge it",
        "gain": "has no better side: only at_least and at_most can judge it",
    },
}


def load_policy(path: Path) -> LoadedPolicy:
    """Read a policy file; `fitting` says all that is wrong in it.

    Raises:
        PolicyError: it cannot be read, or is no YAML.
    """
    try:
        root, problems = read_file(path)
    except DataMissing:
        raise PolicyError([Problem(f"there is no policy file {path}")]) from None
    if root is None:
        raise PolicyError(problems)
    plain, findings = check(root.plain(), schema_of(Policy))
    findings += _without_criteria(plain)
    return LoadedPolicy(plain=plain, root=root, problems=(*problems, *(_problem(root, one) for one in findings)))


def _without_criteria(plain: Any) -> list[Finding]:
    metrics = plain.get("metrics") if isinstance(plain, dict) else None
    if not isinstance(metrics, dict):
        return []
    hint = f"say one or more of {', '.join(WORDS)}"
    if not metrics:
        return [Finding(("metrics",), "no metric is judged", "for example balanced-accuracy: {margin: 0.01}")]
    return [
        Finding(("metrics", name), f"{name} has no criterion", hint)
        for name, about in metrics.items()
        if isinstance(about, dict) and all(about.get(word) is None for word in WORDS)
    ]


def _problem(root: Node, finding: Finding) -> Problem:
    """At the value's place, or at the nearest place around it when it is not written out."""
    node, complete = root, True
    for step in finding.path:
        inner: Any = node.value
        in_list = isinstance(inner, list) and isinstance(step, int) and step < len(inner)
        if not (in_list or (isinstance(inner, dict) and step in inner)):
            complete = False
            break
        node = inner[step]
    return node.problem(finding.message, finding.hint, on_key=finding.on_key and complete)
