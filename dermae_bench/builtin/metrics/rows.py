"""Reading features block by block, so that 50,000 x 2,048 never stand in float64 as a whole; classes of both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api

BLOCK = 1024
"""Rows of one block: at 2,048 dimensions 16 MiB in float64."""

Result = TypeVar("Result")


class Once(Generic[Result]):
    """A function of a comparison that remembers its last answer, as values, warnings and details share one."""

    def __init__(self, function: Callable[[api.Comparison], Result]) -> None:
        self._function = function
        self._last: tuple[api.Comparison, Result] | None = None

    def __call__(self, comparison: api.Comparison) -> Result:
        if self._last is None or self._last[0] is not comparison:
            self._last = (comparison, self._function(comparison))
        return self._last[1]


def check_rows(metric: str, least: int, sides: Mapping[str, api.Features]) -> None:
    """Refuse what has no distance.

    Raises:
        InvalidOutput: unlike dimensions, a side of fewer than `least` images, or numbers that are not finite.
    """
    shapes = {name: side.values.shape for name, side in sides.items()}
    if any(len(shape) != 2 or shape[1] == 0 for shape in shapes.values()) or len({s[1] for s in shapes.values()}) != 1:
        raise api.InvalidOutput(f"{metric}: features of shapes {shapes} cannot be compared")
    for name, side in sides.items():
        if len(side.values) < least:
            raise api.InvalidOutput(f"{metric} needs at least {least} {name} images, there are {len(side.values)}")
        if not all(
            np.isfinite(side.values[first : first + BLOCK]).all() for first in range(0, len(side.values), BLOCK)
        ):
            raise api.InvalidOutput(f"{metric}: features of the {name} images are not finite")


def blocks(values: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """(N, D) in pieces of at most `BLOCK` rows, as they lie."""
    for first in range(0, len(values), BLOCK):
        yield values[first : first + BLOCK]


def rows_by_class(metric: str, comparison: api.Comparison, least: int) -> Mapping[str, tuple[NDArray[np.int64], ...]]:
    """Class -> rows of its generated and of its real images, for every class that either side has images of.

    Raises:
        InvalidOutput: a side has no labels, or fewer than `least` images of a class that the other side has.
    """
    sides = {"generated": comparison.generated.labels, "real": comparison.real.labels}
    missing = [name for name, labels in sides.items() if labels is None]
    if missing:
        raise api.InvalidOutput(f"{metric} compares images of one class, and the {missing[0]} images have no labels")
    found: dict[str, tuple[NDArray[np.int64], ...]] = {}
    for number, name in enumerate(comparison.classes):
        rows = tuple(np.flatnonzero(labels == number) for labels in sides.values())
        if not any(len(side) for side in rows):
            continue
        for side, there in zip(sides, rows, strict=True):
            if len(there) < least:
                raise api.InvalidOutput(
                    f"{metric} needs at least {least} {side} images of every class, there are {len(there)} of {name}"
                )
        found[name] = rows
    if not found:
        raise api.InvalidOutput(f"{metric}: no image has a class")
    return found
