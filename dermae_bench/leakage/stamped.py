"""Copies with something put on them, such as a label in a corner: most of both thumbnails agree, the rest does not.

A solid label of one hundredth of the picture moves every frequency, so that the hash loses the pair (measured: up to
62 of 256 bits) and the correlation of the whole falls to 0.94, where many photographs of other lesions are. So the
cells that agree worst are left out. On very smooth pictures most frequencies are rounding, and the hash loses copies
with a single changed pixel; there is nothing to leave out then, and they are found here, too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dermae_bench.leakage.fingerprints import THUMBNAIL, TURNS, Fingerprints, turned_pictures
from dermae_bench.leakage.pairs import Pairs, compared

KEPT = 0.85
"""Share of the cells that must agree."""
AGREE = 0.998
"""Least correlation of these cells. Measured on 5,474 dermoscopic images: at most 0.994 between photographs of other
lesions, of 15 million pairs in all turns; labelled copies, also compressed and brightened, have 0.9985 and above."""
COARSE = 0.985
"""Least correlation of one half of 8 x 8 cells, of the four halves, of pairs that are looked at closely: a label in a
corner or along a side leaves two halves as they were."""
SPREAD = 0.25
"""Standard deviations by which kept cells may differ before their correlation is worth computing."""
ROWS, COLUMNS = 512, 4096


def stamped_pairs(left: Fingerprints, right: Fingerprints | None = None) -> Iterator[Pairs]:
    """Pairs whose thumbnails agree but for a few cells, in any turn, block by block.

    Pairs with equal pixels and images that show nothing are left out; those that the hash finds are not.

    Args:
        right: another set; None pairs `left` with itself, each pair once, with left < right.
    """
    other = left if right is None else right
    seen = [np.flatnonzero(~prints.flat) for prints in (left, other)]
    pictures = [prints.thumbnails[rows] for prints, rows in zip((left, other), seen, strict=True)]
    against = _coarse(pictures[1])
    for top in range(0, len(seen[0]), ROWS):
        here = pictures[0][top : top + ROWS]
        found: set[tuple[int, int]] = set()
        for turn in range(len(TURNS)):
            turned = turned_pictures(here, turn)
            coarse = _coarse(turned)
            for start in range(0, len(seen[1]), COLUMNS):
                if right is None and start + COLUMNS <= top:
                    continue
                near = [
                    mine @ its[start : start + COLUMNS].T >= COARSE for mine, its in zip(coarse, against, strict=True)
                ]
                i, j = np.nonzero(np.logical_or.reduce(near))
                j = j + start
                # within one set both have the same images that show something, in the same order
                if right is None:
                    i, j = i[top + i < j], j[top + i < j]
                keep = _agree(turned[i], pictures[1][j])
                found |= set(zip((top + i[keep]).tolist(), j[keep].tolist(), strict=True))
        if found:
            pairs = np.array(sorted(found), dtype=np.int64)
            i, j = seen[0][pairs[:, 0]], seen[1][pairs[:, 1]]
            fresh = np.any(left.digests[i] != other.digests[j], axis=1)
            if fresh.any():
                yield compared(left, other, i[fresh], j[fresh])


def _coarse(pictures: NDArray[np.uint16]) -> list[NDArray[np.float32]]:
    """(N, 32) of length 1 and mean 0: upper, lower, left and right half."""
    side = THUMBNAIL // 2
    cells = pictures.reshape(-1, side, 2, side, 2).astype(np.float32).mean(axis=(2, 4))
    middle = side // 2
    halves = cells[:, :middle], cells[:, middle:], cells[:, :, :middle], cells[:, :, middle:]
    return [_unit(half.reshape(len(pictures), -1)) for half in halves]


def _unit(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    cells = cells - cells.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("nd,nd->n", cells, cells))[:, None]
    return np.asarray(cells / np.maximum(length, 1.0), dtype=np.float32)


def _agree(one: NDArray[np.uint16], two: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """(K,) whether the best `KEPT` of the cells of two thumbnails correlate, after their offset."""
    kept = np.zeros(len(one), dtype=np.bool_)
    for first in range(0, len(one), COLUMNS):
        part = slice(first, first + COLUMNS)
        a, b = (pictures[part].reshape(-1, THUMBNAIL**2).astype(np.float32) for pictures in (one, two))
        apart = b - a
        apart = np.abs(apart - np.median(apart, axis=1, keepdims=True))
        most = int(KEPT * THUMBNAIL**2)
        bound = np.partition(apart, most - 1, axis=1)[:, most - 1 : most]
        rows = np.flatnonzero(bound[:, 0] <= SPREAD * np.minimum(a.std(axis=1), b.std(axis=1)))
        best = (apart[rows] <= bound[rows]).astype(np.float64)
        kept[first + rows] = _weighted(a[rows].astype(np.float64), b[rows].astype(np.float64), best) >= AGREE
    return kept


def _weighted(a: NDArray[np.float64], b: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K,) correlation of the cells that are weighed 1."""
    count = weights.sum(axis=1, keepdims=True)
    a = (a - (a * weights).sum(axis=1, keepdims=True) / count) * weights
    b = (b - (b * weights).sum(axis=1, keepdims=True) / count) * weights
    # cells without contrast agree with none
    length = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.asarray((a * b).sum(axis=1) / np.maximum(length, 1.0))
