"""`phantom`: a procedural dermoscopy phantom with known truth, drawn on the spot, no file needed.

Seven classes with HAM10000's names and imbalance, lesions with repeat photographs, true attributes and a caption
for every image. `phantom_truth.bayes` gives the best possible class probabilities, so that metrics and plugins can
be checked against truth; `phantom_drawing.draw` sees the attributes and never the class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.builtin.datasets import phantom_drawing as drawing
from dermae_bench.builtin.datasets import phantom_truth as truth

SKIN_TYPES = ("I", "II", "III", "IV", "V", "VI")
SKIN_SHARES = (0.16, 0.28, 0.24, 0.14, 0.10, 0.08)
REPEATS = (0.74, 0.19, 0.07)
"""Share of lesions with one, two and three photographs: 1.33 a lesion, as in HAM10000 (10,015 of 7,470)."""
MALIGNANT = frozenset({"akiec", "bcc", "mel"})
# Words of the seed that keep the random streams of one lesion apart.
_START, _LESION, _SHAPE, _VIEW, _PIXELS = range(1, 6)
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, kw_only=True)
class PhantomConfig:
    """What is drawn."""

    image_size: Annotated[int, api.Between(8, 2048)] = 32
    """Side of the square images in pixels; the same lesions are drawn at every size."""
    images: Annotated[int, api.Between(50, 1_000_000)] = 2000
    """Number of photographs over all splits; a larger number keeps all earlier ones and adds new ones."""
    seed: Annotated[int, api.Between(0, None)] = 0
    """Other seeds give other lesions of the same kinds."""
    floor: Annotated[float, api.Between(0, 1)] = 0.06
    """Each class's share of HAM10000 is raised to at least this before the shares are scaled to sum to 1, so that
    small sets keep rare classes (df is 1.1 % of HAM10000); 0 keeps HAM10000's imbalance, 1 makes classes equal."""
    difficulty: Annotated[float, api.Between(0, 1)] = 0.3
    """How far classes overlap: 0 every lesion is typical of its class, 1 attributes vary widely and 16 % of the
    lesions look like another class."""
    label_noise: Annotated[float, api.Between(0, 1)] = 0.0
    """Share of lesions in train and val whose label is drawn anew, blindly; 1 leaves nothing to learn.
    Labels of the test images are always true."""


class Phantom(api.Dataset):
    """Drawn lesions; every image is a pure function of (seed, lesion, photograph, size)."""

    Config: ClassVar[type] = PhantomConfig
    tiny: ClassVar[dict[str, Any]] = {"image_size": 16, "images": 120}
    home: ClassVar[str] = "drawn by dermae-bench itself"

    config: PhantomConfig

    @classmethod
    def tasks(cls, config: PhantomConfig) -> Sequence[api.Task]:
        """`diagnosis` (7 classes) and `malignancy` (mel, bcc and akiec are malignant)."""
        mapping = {name: "malignant" if name in MALIGNANT else "benign" for name in truth.CLASSES}
        return (
            api.Task(name="diagnosis", classes=truth.CLASSES),
            api.Task(
                name="malignancy",
                classes=("benign", "malignant"),
                positive="malignant",
                parent="diagnosis",
                mapping=mapping,
            ),
        )

    @property
    def split_rule(self) -> str:
        return api.split_rule("lesion-grouped", own_test=True).name

    def examples(self) -> Sequence[api.Example]:
        """All photographs, lesion by lesion."""
        found: list[api.Example] = []
        start, lesion = self._rng(_START).random(), 0
        while len(found) < self.config.images:
            found.extend(self._lesion(lesion, start))
            lesion += 1
        return found[: self.config.images]

    def image(self, example: api.Example, size: int) -> NDArray[np.uint8]:
        """Draw one photograph as uint8 RGB (3, size, size), from its id and its attributes."""
        lesion, photo = (int(word) for word in example.id.removeprefix("phantom-").split("-"))
        facts = {name: float(value) for name, value in example.attributes.items() if isinstance(value, float)}
        view = drawing.View(facts["skin_shade"], facts["hair"], facts["bubbles"], facts["ruler"] > 0, facts["mask"] > 0)
        return drawing.draw(facts, view, self._rng(_SHAPE, lesion), self._rng(_PIXELS, lesion, photo), size)

    def bayes(self, examples: Sequence[api.Example]) -> NDArray[np.float64]:
        """Class probabilities float64 (N, 7) given the true attributes: what no classifier can beat on average."""
        columns = {name: np.array([e.attributes[name] for e in examples], float) for name in truth.ATTRIBUTES}
        return truth.bayes(columns, difficulty=self.config.difficulty, floor=self.config.floor)

    def _rng(self, stream: int, *numbers: int) -> np.random.Generator:
        return np.random.default_rng((self.config.seed, stream, *numbers))

    def _class_at(self, place: float) -> str:
        bounds = np.cumsum(truth.prior(self.config.floor))[:-1]
        return truth.CLASSES[int(np.searchsorted(bounds, place, side="right"))]

    def _lesion(self, lesion: int, start: float) -> list[api.Example]:
        # Steps of the golden ratio fill the shares evenly: class counts stay within a few lesions of them.
        label = self._class_at((start + lesion * _GOLDEN) % 1)
        rng = self._rng(_LESION, lesion)
        facts = truth.draw(truth.CLASSES.index(label), self.config.difficulty, rng)
        # Drawn whether used or not, so that no parameter moves the draws that follow.
        repeat, tone, shade, blind, anew = rng.random(5)
        kind = int(np.searchsorted(np.cumsum(SKIN_SHARES)[:-1], tone, side="right"))
        skin = round(float(np.clip(kind + 0.8 * (shade - 0.5), 0, 5)), 4)
        group = f"phantom-{lesion:06d}"
        split = api.lesion_grouped(group)
        if split != "test" and blind < self.config.label_noise:
            label = self._class_at(anew)
        found = []
        for photo in range(1 + int(np.searchsorted(np.cumsum(REPEATS)[:-1], repeat, side="right"))):
            luck = self._rng(_VIEW, lesion, photo).random(6)
            attributes: dict[str, str | float | None] = {
                **facts,
                "skin_tone": SKIN_TYPES[kind],
                "skin_shade": skin,
                "hair": round(float(luck[1]), 4) if luck[0] < 0.35 else 0.0,
                "bubbles": round(float(luck[3]), 4) if luck[2] < 0.12 else 0.0,
                "ruler": float(luck[4] < 0.07),
                "mask": float(luck[5] < 0.12),
            }
            found.append(
                api.Example(
                    id=f"{group}-{photo}",
                    group=group,
                    split=split,
                    label=label,
                    attributes=attributes,
                    caption=truth.caption(attributes),
                )
            )
        return found


@api.hookimpl
def dermae_datasets() -> dict[str, type[api.Dataset]]:
    """Names that a suite may use."""
    return {"phantom": Phantom}
