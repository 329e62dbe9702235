"""Data with planted mistakes, drawn from noise: what the checks must find is known by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api

CLASSES = ("nevus", "melanoma", "keratosis")
SPLITS = ("train", "train", "train", "val", "test", "test")
COPIED = "lesion-000"
"""A training lesion; its copy in test is called `copy-K`."""


class Planted(api.Dataset):
    """Two photographs a lesion; a lesion's colour tells its class about half of the time."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        image_size: Annotated[int, api.Between(8, 64)] = 16
        """Side in pixels."""
        lesions: Annotated[int, api.Between(30, 1000)] = 120
        """In all splits together."""
        divided: Annotated[int, api.Between(0, 5)] = 0
        """Lesions with one photograph in train and one in test."""
        leaky: str | None = None
        """Why lesions are divided."""
        copies: Annotated[int, api.Between(0, 5)] = 0
        """Test images that are training images with other noise."""

    tiny = {"lesions": 60}

    @classmethod
    def tasks(cls, config: Config) -> Sequence[api.Task]:
        answers = {name: "malignant" if name == "melanoma" else "benign" for name in CLASSES}
        malignancy = api.Task(
            name="malignancy",
            classes=("benign", "malignant"),
            positive="malignant",
            parent="diagnosis",
            mapping=answers,
        )
        return (api.Task(name="diagnosis", classes=CLASSES), malignancy)

    @property
    def split_rule(self) -> str:
        return "lesion by lesion"

    @property
    def leaky(self) -> str | None:
        found: str | None = self.config.leaky
        return found

    def examples(self) -> Sequence[api.Example]:
        found = []
        for lesion in range(self.config.lesions):
            name, split = f"lesion-{lesion:03}", SPLITS[lesion % len(SPLITS)]
            label = CLASSES[lesion // len(SPLITS) % len(CLASSES)]
            for photo in range(2):
                # the first ones are training lesions
                moved = photo == 1 and split == "train" and lesion // 6 < self.config.divided and lesion % 6 == 0
                found.append(self._example(f"{name}-{photo}", name, "test" if moved else split, label, lesion))
        label = found[0].label
        found += [self._example(f"copy-{n}", f"copy-{n}", "test", label, n) for n in range(self.config.copies)]
        return found

    def _example(self, name: str, group: str, split: Any, label: str, lesion: int) -> api.Example:
        facts: dict[str, str | float | None] = {"age": float(30 + lesion % 40), "sex": "fm"[lesion // 3 % 2]}
        return api.Example(id=name, group=group, split=split, label=label, attributes=facts)

    def image(self, example: api.Example, size: int) -> NDArray[np.uint8]:
        copy = example.id.startswith("copy-")
        lesion, photo = (COPIED if copy else example.group).rpartition("-")[2], example.id.rpartition("-")[2]
        drawn = np.random.default_rng((1, int(lesion)))
        blocks = drawn.uniform(40, 215, (3, 4, 4)).repeat(size // 4, 1).repeat(size // 4, 2)
        # photographs of one lesion differ by more than a copy does
        own = np.random.default_rng((2, int(lesion), 0 if copy else int(photo)))
        blocks = blocks + own.uniform(-45, 45, (3, 4, 4)).repeat(size // 4, 1).repeat(size // 4, 2)
        blocks[CLASSES.index(example.label)] += 35
        noise = np.random.default_rng((3, int(photo))).integers(-2, 3, blocks.shape) if copy else 0
        return np.clip(blocks + noise, 0, 255).astype(np.uint8)


@api.hookimpl
def dermae_datasets() -> dict[str, type[api.Dataset]]:
    return {"planted": Planted}
