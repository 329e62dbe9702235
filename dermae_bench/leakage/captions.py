"""The lint of captions: whether they tell the label, by its name or by other words, and whether splits share them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.leakage.chance import happens_at_least
from dermae_bench.leakage.findings import Finding, Tally
from dermae_bench.leakage.wording import (
    Guess,
    Telling,
    Words,
    guess,
    holds,
    named,
    names_of,
    repeated,
    repeated_within,
    shown,
    telling,
    words_of,
)

SURE = 0.95
"""Share of captions whose class is guessed from their words, from which on they are said to tell it."""
LESS = 0.5
"""Share of the mistakes of always naming the most frequent class that such a guess makes at most."""
CHANCE = 1e-3
"""Probability up to which as many repeated captions are no chance."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """Captions of the images of one split; row i of everything is image i."""

    ids: Sequence[str]
    groups: Sequence[str]
    captions: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Question:
    """A task, with the answers for the training images."""

    task: str
    classes: Sequence[str]
    labels: NDArray[np.int64]
    """(N,) of the images in train."""
    said: Mapping[str, str] = field(default_factory=dict)
    """Class -> what the suite calls it."""
    above: str | None = None
    """Another question that answers this one, too."""
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Class of that question -> class of this one."""
    asked: bool = False
    """Whether a template names the class."""


@dataclass(frozen=True, kw_only=True)
class CaptionLint:
    """What was found, and how well each class is guessed."""

    tally: Tally
    guesses: Mapping[str, Guess]
    """Task -> a guess from the words, of tasks with images enough."""

    def summary(self) -> dict[str, Any]:
        """Small JSON: that of the tally, and {"guesses": {task: {accuracy, majority, n}}}."""
        rounded = {
            task: {name: round(value, 4) for name, value in asdict(found).items()}
            for task, found in self.guesses.items()
        }
        return {**self.tally.summary(), "guesses": rounded}


def lint_captions(
    train: Said, bare: Sequence[str], held: Mapping[str, Said], questions: Sequence[Question]
) -> CaptionLint:
    """Captions of `train` against the answers to some questions, and against those of other splits.

    Args:
        bare: the captions of `train` without the class that a template puts in: what tells it besides.
        held: split -> its captions, as far as there are any.
        questions: those above others first.
    """
    tally = Tally()
    guesses: dict[str, Guess] = {}
    words = [words_of(text) for text in bare]
    told: dict[str, list[tuple[str, Telling]]] = {}
    for question in questions:
        by_name = _names(train, words, question, tally)
        found = telling(words, train.groups, question.labels, len(question.classes))
        told[question.task] = [(question.classes[its.label], its) for its in found]
        unnamed = [its for its in found if not any(holds(its.phrase, name) for name in by_name.get(its.label, ()))]
        _telling(train, question, unnamed, told, tally)
        answer = guess(words, train.groups, question.labels, len(question.classes))
        if answer is not None:
            guesses[question.task] = answer
            if answer.accuracy >= SURE and 1 - answer.accuracy <= LESS * (1 - answer.majority):
                right = round(answer.accuracy * answer.n)
                finding = Finding(kind="caption-class", ids=(), task=question.task, count=right, among=answer.n)
                tally.add(finding.kind, [finding])
    _repeated(train, held, tally)
    return CaptionLint(tally=tally, guesses=guesses)


def _names(train: Said, words: Sequence[Words], question: Question, tally: Tally) -> dict[int, list[Words]]:
    """Classes by name in the captions of their own images -> class -> the names."""
    if question.asked:
        counts = np.bincount(question.labels, minlength=len(question.classes)).tolist()
        asked = [
            Finding(
                kind="caption-label",
                ids=(),
                labels=(label,),
                task=question.task,
                phrase=question.said.get(label, label),
                count=count,
                among=count,
            )
            for label, count in zip(question.classes, counts, strict=True)
            if count
        ]
        tally.add("caption-label", asked)
    names = [names_of(label, question.said.get(label)) for label in question.classes]
    found: dict[int, list[Words]] = {}
    for label, name, rows, among in named(words, question.labels, names):
        found.setdefault(label, []).append(name)
        finding = Finding(
            kind="caption-names",
            ids=(),
            labels=(question.classes[label],),
            task=question.task,
            phrase=shown(name),
            count=len(rows),
            among=among,
        )
        tally.add(finding.kind, [finding])
        tally.touch(finding.kind, "captions>train", [train.ids[row] for row in rows])
    return found


def _telling(
    train: Said,
    question: Question,
    found: Sequence[Telling],
    told: Mapping[str, Sequence[tuple[str, Telling]]],
    tally: Tally,
) -> None:
    """Phrases that tell a class; not those that tell it because they tell a finer one."""
    finer = {(its.phrase, question.mapping.get(label)) for label, its in told.get(question.above or "", ())}
    fresh = [its for its in found if (its.phrase, question.classes[its.label]) not in finer]
    findings = [
        Finding(
            kind="caption-words",
            ids=(),
            labels=(question.classes[its.label],),
            task=question.task,
            phrase=shown(its.phrase),
            count=its.count,
            among=its.among,
        )
        for its in fresh
    ]
    tally.add("caption-words", findings)
    for its in fresh:
        tally.touch("caption-words", "captions>train", [train.ids[row] for row in its.rows])


def _repeated(train: Said, held: Mapping[str, Said], tally: Tally) -> None:
    """Captions of held-out images that stand in train, too: by chance, where lesions of train share theirs as often."""
    words = [words_of(text) for text in train.captions]
    pairs: list[tuple[str, int, int]] = []
    lesions: set[tuple[str, str]] = set()
    of_all = 0
    for split, its in held.items():
        found = list(repeated(words, [words_of(text) for text in its.captions]))
        pairs += [(split, i, j) for i, j in found]
        lesions |= {(split, its.groups[j]) for _, j in found}
        of_all += len(set(its.groups))
    if not pairs:
        return
    count = len(set(train.groups))
    # one added to both sides, so that no share is 0 or 1
    chance = (repeated_within(words, train.groups) + 1) / (count + 2)
    kind = "caption-copied" if happens_at_least(len(lesions), of_all, chance) <= CHANCE else "caption-repeated"
    findings = [
        Finding(
            kind=kind,
            ids=(train.ids[i], held[split].ids[j]),
            splits=("train", split),
            groups=(train.groups[i], held[split].groups[j]),
        )
        for split, i, j in pairs
    ]
    tally.add(kind, findings)
    for finding in findings:
        tally.touch(kind, f"train>{finding.splits[1]}", [finding.ids[1]])
