"""What a dataset promises, and the labels that tasks give to its images. No torch in here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Task:
    """A question asked of an image, with a fixed list of answers.

    A dataset's first task is its root: the labels as they stand in the data. Every other task is reached
    from a parent through a declared map, so a label can be carried over but never guessed.
    """

    name: str
    classes: tuple[str, ...]
    """Answers in the order of their label numbers; () for an unlabelled problem."""
    positive: str | None = None
    """The answer counted as positive in binary metrics (the malignant one)."""
    parent: str | None = None
    """Name of the task that `mapping` starts from; None for the root."""
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Parent's class -> this task's class, for every class of the parent."""
    image_size: int = 0
    """Side of the square images in pixels, as prepared; filled in by the harness before a model is built."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One photograph: identity, label and facts, and where its pixels come from."""

    id: str
    """Unique within the dataset."""
    group: str
    """Lesion (or patient) identity: photographs of one lesion share it, and a split never divides it."""
    split: Split
    label: str
    """A class of the dataset's root task."""
    source: Path | None = None
    """Encoded image file (JPEG or PNG); None when the dataset draws its images."""
    attributes: Mapping[str, str | float | None] = field(default_factory=dict)
    """Age, sex, site, skin tone, ...; None where unknown. The same names for every example."""
    caption: str | None = None


class Dataset(ABC):
    """Images with labels, groups and splits.

    The harness calls `tasks` when it plans, and `examples` and `image` when it prepares: every image is
    decoded and resized once into one uint8 array, so nothing here needs to be fast to call twice.
    """

    Config: ClassVar[type]
    """Frozen, keyword-only dataclass of the suite's `params:`; must have an int field `image_size`."""
    tiny: ClassVar[Mapping[str, Any]] = {}
    """Config values small enough for the conformance kit; empty when the kit cannot make the data."""
    home: ClassVar[str] = ""
    """Where a person gets the data, in one line; shown when they are missing."""
    contained_in: ClassVar[tuple[str, ...]] = ()
    """Public data collections that these images are part of (HAM10000, ISIC 2019, ...): weights that were trained on
    one of them may have seen the test set. A dataset of anybody's images may have a param of the same name."""
    test_contained_in: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Param -> collections of the test images where that param is given, in place of `contained_in`."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @classmethod
    @abstractmethod
    def tasks(cls, config: Any) -> Sequence[Task]:
        """The root task first, then those reached from it.

        Raises:
            DataMissing: when the classes can only be read from data that are not there.
        """

    @abstractmethod
    def examples(self) -> Sequence[Example]:
        """Every image, in a fixed order that does not depend on the file system.

        Raises:
            DataMissing: in one line, what is missing and where to get it.
            DataError: all that is wrong (ragged rows, unknown classes, double ids, missing files), by name.
        """

    @property
    @abstractmethod
    def split_rule(self) -> str:
        """Name of the rule that made the splits, e.g. ``lesion-grouped 70/10/20 by sha256``."""

    @property
    def leaky(self) -> str | None:
        """Why groups may be divided between splits, where the rule allows it; None where it does not."""
        return None

    def image(self, example: Example, size: int) -> NDArray[np.uint8] | None:
        """Draw one image as uint8 RGB (3, size, size), or None to have `example.source` decoded and resized."""
        return None
