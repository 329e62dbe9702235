"""Images that one row decides rightly and the other wrongly."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermae_bench.report.compare.answers import Answered

RULE = (
    "a row is right where the argmax of more than half of its seeds is the label; half and half is undecided; sorted "
    "by the change in the probability of the label, mean over seeds"
)


@dataclass(frozen=True, kw_only=True)
class Flip:
    """One image on which the two rows part."""

    id: str
    group: str
    label: str
    a: str
    """What most seeds of A decide; several classes where they tie, and the share where seeds differ."""
    b: str
    confidence_a: float
    """Probability that A gives the label, mean over seeds."""
    confidence_b: float

    @property
    def change(self) -> float:
        """Of the confidence, B - A."""
        return self.confidence_b - self.confidence_a


@dataclass(frozen=True, kw_only=True)
class Flips:
    """All images on which the rows part, largest change of confidence first."""

    lost: tuple[Flip, ...]
    """A right, B wrong."""
    won: tuple[Flip, ...]
    """B right, A wrong."""
    undecided: tuple[Flip, ...]
    """The seeds of one row are half right and half wrong."""


def flips(a: Answered, b: Answered) -> Flips:
    """Compare decisions image by image; both answered the same images in the same order."""
    first, second = _votes(a), _votes(b)
    tied = (first == 0) | (second == 0)
    images = a.predictions[0]
    confidence = [_confidence(side) for side in (a, b)]

    def listed(chosen: NDArray[np.bool_]) -> tuple[Flip, ...]:
        found = [
            Flip(
                id=images.ids[i],
                group=images.groups[i],
                label=images.task.classes[images.labels[i]],
                a=_decision(a, i),
                b=_decision(b, i),
                confidence_a=float(confidence[0][i]),
                confidence_b=float(confidence[1][i]),
            )
            for i in np.flatnonzero(chosen).tolist()
        ]
        return tuple(sorted(found, key=lambda flip: (-abs(flip.change), flip.id)))

    return Flips(
        lost=listed((first > 0) & (second < 0)),
        won=listed((first < 0) & (second > 0)),
        undecided=listed(tied),
    )


def _votes(answered: Answered) -> NDArray[np.int64]:
    """(N,) seeds that are right less seeds that are wrong."""
    right = answered.right.sum(axis=0)
    return np.asarray(2 * right - len(answered.right), dtype=np.int64)


def _confidence(answered: Answered) -> NDArray[np.float64]:
    rows = np.arange(len(answered.predictions[0].labels))
    return np.asarray(np.mean([one.probabilities[rows, one.labels] for one in answered.predictions], axis=0))


def _decision(answered: Answered, image: int) -> str:
    """``nv``, ``nv 2/3`` where seeds differ, ``mel or nv 1/2`` where they tie."""
    classes = answered.predictions[0].task.classes
    decided = Counter(classes[int(one.logits[image].argmax())] for one in answered.predictions)
    most = max(decided.values())
    named = " or ".join(name for name in classes if decided[name] == most)
    return named if most == len(answered.predictions) else f"{named} {most}/{len(answered.predictions)}"
