"""Small values that planning passes around: seeds, image sets as stages see them, names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dermae_bench.errors import DataMissing
from dermae_bench.plugin.catalog import Card
from dermae_bench.suite.stage import Stage


@dataclass(frozen=True)
class SeedContext:
    """One choice of seeds, by role."""

    generator: int = 0
    pretrain: int = 0
    classifier: int = 0


@dataclass(frozen=True)
class Parts:
    """An image set as stages see it: real splits and sample artifacts, joined."""

    spec: tuple[Mapping[str, Any], ...]
    """{"split": name}, perhaps with {"choose": which of its images}, or {"samples": role of the input}."""
    samples: tuple[tuple[str, Stage], ...]
    """Role -> sample stage."""
    asking: tuple[tuple[str, str | None], ...] = ()
    """Role -> the generator's task, of samples that a teacher labels where they have no label."""

    @property
    def generated(self) -> bool:
        return bool(self.samples)


def sample_batch(image_size: int) -> int:
    """Images sampled, predicted or extracted together: a pure function of the size, since it is part of keys."""
    return max(4, min(64, 64 * 128 * 128 // (image_size * image_size)))


def set_name(train: str | Sequence[str]) -> str:
    """How a training set is called on boards."""
    return train if isinstance(train, str) else " + ".join(train)


def where_to_get(error: DataMissing, card: Card) -> str:
    """What is missing, and where a person gets it."""
    home = card.flags.get("home")
    return f"{error.message} (for {card.name})" + (f"; {home}" if home else "")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row under one choice of seeds."""

    seeds: Mapping[str, int]
    scores: tuple[Stage, ...]
    models: tuple[Stage, ...] = ()
    """Train stages whose curves belong to the row."""
    samples: Stage | None = None
    predictions: Mapping[str, Stage] = field(default_factory=dict)
    """Split -> predict stage."""


@dataclass(frozen=True, kw_only=True)
class RowPlan:
    """One line of a leaderboard."""

    board: Literal["classifiers", "generators"]
    row: str
    """Stable id: the names joined by ` | `."""
    names: Mapping[str, str]
    kind: Literal["measured", "floor"]
    cells: tuple[Cell, ...]
    cost: Stage | None = None
    marks: tuple[str, ...] = ()
    protocol: str = ""
    """`trained`, `linear-probe`, `zero-shot`, or `external` for images that were made elsewhere; "" of floors."""
    prepare: Stage | None = None
    """The data set that it is scored on, where that is not the suite's own."""


@dataclass(frozen=True, kw_only=True)
class FigurePlan:
    """One grid of samples."""

    name: str
    """Names the picture: `figures/NAME.png`."""
    columns: int
    rows: tuple[tuple[str, str, Stage], ...]
    """(generator, its sampling in words, sample stage whose work has `columns`), from top to bottom."""


def names_of(value: str | Sequence[str]) -> list[str]:
    """One name or several, as a list."""
    return [value] if isinstance(value, str) else list(value)


def choice_words(asked: Mapping[str, Any] | None) -> str:
    """Which images of a split are taken, in words: ``count=500,seed=0``."""
    return ",".join(f"{name.replace('_', '-')}={value}" for name, value in (asked or {}).items() if value is not None)


def row_id(names: Mapping[str, str]) -> str:
    """The stable id of a row: its names joined."""
    return " | ".join(value for value in names.values() if value)
