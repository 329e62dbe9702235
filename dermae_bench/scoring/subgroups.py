"""Parts of a test set by an attribute of its images: age band, sex, site, skin tone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dermae_bench.errors import UserError
from dermae_bench.plugin.measures import Predictions

UNKNOWN = "unknown"
"""Value of images whose attribute is not known; shown, but never the worst."""


@dataclass(frozen=True, kw_only=True)
class Subgroup:
    """The answers to the images of one attribute value."""

    attribute: str
    value: str
    predictions: Predictions

    @property
    def facts(self) -> dict[str, Any]:
        """What sets the identity of its numbers apart from those of the whole set."""
        return {
            "subgroup": {"attribute": self.attribute, "value": self.value},
            "n": len(self.predictions.labels),
            "groups": len(set(self.predictions.groups)),
        }


def subgroups(predictions: Predictions, asked: Mapping[str, Any]) -> list[Subgroup]:
    """The parts of one attribute, in a fixed order, unknown ones last.

    Args:
        asked: `attribute`, and for numbers `bands`: ascending limits a < b < c, which make the bands below a,
            a to b, b to c (the lower limit belongs to its band), and from c; for names `join`: subgroup -> its values.

    Raises:
        UserError: the images have no such attribute, or its values are numbers and there are no bands.
    """
    name = asked["attribute"]
    if name not in predictions.attributes:
        known = ", ".join(sorted(predictions.attributes)) or "none"
        raise UserError(f"the images have no attribute {name!r}", hint=f"attributes of this data set: {known}")
    words = in_words(asked, predictions.attributes[name])
    order = sorted({word for word in words if word != UNKNOWN}, key=_numeric_first)
    order += [UNKNOWN] if UNKNOWN in words else []
    held = np.array(words)
    return [
        Subgroup(attribute=name, value=value, predictions=predictions.at(np.flatnonzero(held == value)))
        for value in order
    ]


def in_words(asked: Mapping[str, Any], values: Sequence[str | float | None]) -> list[str]:
    """The subgroup of each image.

    Args:
        asked: as `subgroups` takes it.

    Raises:
        UserError: values are numbers and there are no bands, or the other way round.
    """
    name, bands = asked["attribute"], asked["bands"]
    joined = {value: whole for whole, parts in asked["join"].items() for value in parts}
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if numbers and not bands:
        hint = f"for example {{attribute: {name}, bands: [{min(numbers):g}, {max(numbers):g}]}}"
        raise UserError(f"attribute {name!r} is a number: a subgroup needs bands", hint=hint)
    if bands and any(isinstance(value, str) for value in values):
        raise UserError(f"attribute {name!r} is no number: it has no bands", hint=f"write {name} alone")
    return [joined.get(word, word) for word in (_word(value, bands) for value in values)]


def _word(value: str | float | None, bands: Sequence[float] | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return UNKNOWN
    if not bands or isinstance(value, str):
        return str(value)
    place = int(np.searchsorted(np.asarray(bands, dtype=np.float64), float(value), side="right"))
    if place == 0:
        return f"below {bands[0]:g}"
    if place == len(bands):
        return f"{bands[-1]:g} and over"
    return f"{bands[place - 1]:g} to below {bands[place]:g}"


def _numeric_first(word: str) -> tuple[int, float, str]:
    """Bands in their order, names by the alphabet."""
    head = word.removeprefix("below ").partition(" ")[0]
    try:
        return (0 if word.startswith("below ") else 1, float(head), word)
    except ValueError:
        return (2, 0.0, word)
