"""Nearest neighbours between and within sets of features, tile by tile and in float64."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

TILE = 2048
"""Rows and columns of one tile of distances: 32 MiB in float64."""
TIE = 1e-9
"""Relative difference of squared distances that counts as equal: what rounding does to a tie."""
ROUNDING = 1e-12
"""Squared distance that counts as none, as a share of the squared extent of the set: a copy's, after rounding."""

Tile = tuple[int, int, NDArray[np.float64]]


def tiles(x: NDArray[np.float32], y: NDArray[np.float32] | None = None) -> Iterator[Tile]:
    """(first row, first column, squared Euclidean distances) of every tile of (N, D) against (M, D).

    Without `y`: x against itself, only tiles on and above the diagonal. A few blocks of TILE x D float64 and a
    few tiles are held.
    """
    others = x if y is None else y
    # distances stay, and rounding shrinks, when the origin lies among the points
    origin = x[:TILE].mean(axis=0, dtype=np.float64)
    for i in range(0, len(x), TILE):
        rows = x[i : i + TILE] - origin
        # |a|^2 + |b|^2 - 2 a.b as one product: the tile is written once
        left = np.column_stack([rows * -2, np.einsum("nd,nd->n", rows, rows), np.ones(len(rows))])
        for j in range(i if y is None else 0, len(others), TILE):
            columns = others[j : j + TILE] - origin
            right = np.column_stack([columns, np.ones(len(columns)), np.einsum("nd,nd->n", columns, columns)])
            distances = left @ right.T
            yield i, j, np.maximum(distances, 0, out=distances)


def radii(x: NDArray[np.float32], nearest: int) -> NDArray[np.float64]:
    """(N,) squared distance of each row of (N, D) to its `nearest`-th nearest other row; N > `nearest`."""
    best = np.full((len(x), nearest), np.inf)
    for i, j, distances in tiles(x):
        if i == j:
            np.fill_diagonal(distances, np.inf)
        else:
            _keep(best[j : j + distances.shape[1]], distances, by_column=True)
        _keep(best[i : i + len(distances)], distances, by_column=False)
    return np.asarray(best.max(axis=1))


def _keep(best: NDArray[np.float64], distances: NDArray[np.float64], *, by_column: bool) -> None:
    """Let the distances of one tile join the smallest so far (n, k) of its rows, or of its columns."""
    worst = best.max(axis=1)
    count = best.shape[1]
    if np.isinf(worst).any():
        found = distances.T if by_column else distances
    else:
        # after the first tile few distances are small enough, and sorting them out beats partitioning all
        rows, columns = np.nonzero(distances < (worst if by_column else worst[:, None]))
        owner = columns if by_column else rows
        order = np.argsort(owner, kind="stable")
        owner, small = owner[order], distances[rows[order], columns[order]]
        hits = np.bincount(owner, minlength=len(best))
        found = np.full((len(best), int(hits.max(initial=0))), np.inf)
        found[owner, np.arange(len(owner)) - np.repeat(np.cumsum(hits) - hits, hits)] = small
    best[:] = np.partition(np.concatenate([best, found], axis=1), count - 1, axis=1)[:, :count]


def closest(
    x: NDArray[np.float32], y: NDArray[np.float32], same: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distance (N,) and row in `y` (N,) of the nearest of (M, D) to each of (N, D).

    The distance is computed anew from the difference, so that of a copy is exactly 0.

    Args:
        x: (N, D) points that ask.
        y: (M, D) points that answer.
        same: (P, 2) pairs of a row of x and a row of y that show the same image and are no neighbours.

    Returns:
        infinity and -1 for a row to which no other image is left.
    """
    best, where = np.full(len(x), np.inf), np.full(len(x), -1, dtype=np.int64)
    forbidden = np.zeros((0, 2), dtype=np.int64) if same is None else same
    for i, j, distances in tiles(x, y):
        rows, columns = forbidden[:, 0] - i, forbidden[:, 1] - j
        height, width = distances.shape
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        distances[rows[inside], columns[inside]] = np.inf
        nearest = distances.argmin(axis=1)
        found = distances[np.arange(height), nearest]
        better = found < best[i : i + height]
        best[i : i + height][better] = found[better]
        where[i : i + height][better] = nearest[better] + j
    for first in range(0, len(x), TILE):
        rows = np.flatnonzero(where[first : first + TILE] >= 0) + first
        gaps = x[rows].astype(np.float64) - y[where[rows]]
        best[rows] = np.sqrt(np.einsum("nd,nd->n", gaps, gaps))
    return best, where


def equal_ids(x: Sequence[str], y: Sequence[str]) -> NDArray[np.int64]:
    """(P, 2) every pair of a row of `x` and a row of `y` that bear one id."""
    places: dict[str, list[int]] = {}
    for row, name in enumerate(y):
        places.setdefault(name, []).append(row)
    pairs = [(row, other) for row, name in enumerate(x) for other in places.get(name, ())]
    return np.asarray(pairs, dtype=np.int64).reshape(-1, 2)


def inside(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    radius_x: NDArray[np.float64],
    radius_y: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which points lie in the closed balls of the other set, in one pass; radii are squared.

    Returns:
        (N,) for each x, the number of balls of `y` that hold it; (M,) for each y, whether its own ball holds an x;
        (M,) for each y, whether a ball of `x` holds it.
    """
    within_x, within_y = (radius * (1 + TIE) + ROUNDING * _extent(y) for radius in (radius_x, radius_y))
    balls = np.zeros(len(x), dtype=np.int64)
    covers = np.zeros(len(y), dtype=np.bool_)
    held = np.zeros(len(y), dtype=np.bool_)
    for i, j, distances in tiles(x, y):
        rows, columns = slice(i, i + len(distances)), slice(j, j + distances.shape[1])
        in_y = distances <= within_y[columns]
        balls[rows] += in_y.sum(axis=1)
        covers[columns] |= in_y.any(axis=0)
        held[columns] |= (distances <= within_x[rows, None]).any(axis=0)
    return balls, covers, held


def _extent(x: NDArray[np.float32]) -> float:
    """Largest squared distance of a row to the first."""
    first = x[0].astype(np.float64)
    return max(float(((x[i : i + TILE] - first) ** 2).sum(axis=1).max()) for i in range(0, len(x), TILE))
