"""Distances between features of one extractor: a second opinion on what pixels say, and an eye for crops.

How far is near depends on the extractor, so distances are measured by those from an image to its nearest neighbour of
another lesion: as far as different photographs are apart at least. An image network has its own weakness: to
EfficientNet-Lite0 a re-compressed copy is 7.5 away, the nearest other lesion 8.8. So an extractor confirms what hash
and pixels found, and never strikes it out; but a copy with 5 % cut off, which the hash loses, is 4.2 away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIRM = 0.99
"""Quantile of the nearest distances between lesions up to which a distance confirms a pair: as near as neighbours."""
TOUCH = 0.5
"""Share of their median below which features alone make a candidate: nearer than any two lesions were measured."""
QUERIES = 2000
"""Images whose nearest neighbours are looked for."""
LEAST = 20
"""Fewer nearest distances say nothing."""
ROWS, COLUMNS = 256, 4096


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How far is near, for one extractor on one data set."""

    touch: float
    confirm: float


def reach_of(features: NDArray[np.float32], groups: Sequence[str], ids: Sequence[str]) -> Reach | None:
    """From real images: the distances from some of them, chosen by the hash of their ids, to the nearest of another
    group. None where there are too few to say.
    """
    ranked = sorted(range(len(ids)), key=lambda i: hashlib.sha256(ids[i].encode()).digest())[:QUERIES]
    member = np.unique(np.asarray(groups), return_inverse=True)[1]
    found = []
    for first in range(0, len(ranked), ROWS):
        queries = np.array(ranked[first : first + ROWS])
        best = np.full(len(queries), np.inf)
        for start in range(0, len(features), COLUMNS):
            squared = _squared(features[queries], features[start : start + COLUMNS])
            squared[member[queries, None] == member[None, start : start + COLUMNS]] = np.inf
            best = np.minimum(best, squared.min(axis=1))
        found.append(best)
    nearest = np.sqrt(np.concatenate(found)) if found else np.empty(0)
    nearest = nearest[np.isfinite(nearest)]
    if len(nearest) < LEAST or not nearest.max() > 0:
        return None
    # rounded, so that the order of sums does not show
    touch, confirm = TOUCH * np.median(nearest), np.quantile(nearest, CONFIRM)
    return Reach(touch=float(f"{touch:.4g}"), confirm=float(f"{confirm:.4g}"))


def distances(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Euclidean, of row i of the one to row i of the other."""
    between = left.astype(np.float64) - right
    return np.asarray(np.sqrt((between * between).sum(axis=1)))


def touching(
    left: NDArray[np.float32], right: NDArray[np.float32] | None, reach: Reach
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(i, j) whose distance is below `reach.touch`, block by block; within one set i < j where `right` is None."""
    other = left if right is None else right
    bound = reach.touch**2
    for top in range(0, len(left), ROWS):
        for start in range(0, len(other), COLUMNS):
            if right is None and start + COLUMNS <= top:
                continue
            squared = _squared(left[top : top + ROWS], other[start : start + COLUMNS])
            # a little more than is asked for: these are sums of large numbers, and the pairs are measured again
            i, j = np.nonzero(squared < 1.01 * bound)
            i, j = i + top, j + start
            keep = distances(left[i], other[j]) < reach.touch
            if right is None:
                keep &= i < j
            if keep.any():
                yield i[keep], j[keep]


def _squared(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """(I, J) squared distances, not below 0."""
    cross = left @ right.T
    own = np.einsum("nd,nd->n", left, left)[:, None] + np.einsum("nd,nd->n", right, right)[None]
    return np.asarray(np.maximum(own - 2 * cross, 0))
