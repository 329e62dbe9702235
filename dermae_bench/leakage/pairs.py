"""Pairs of images that may be one photograph: by digest, by perceptual hash, and confirmed by pixels and features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermae_bench.leakage.fingerprints import THUMBNAIL, TURNS, Fingerprints, turned, turned_pictures

HAMMING = 40
"""Bits of 256 in which the hashes of a near-duplicate may differ; see `fingerprints` for what was measured."""
FIRST = 12
"""Of the first 64 bits, the most stable: pairs beyond are not looked at further. Copies differ in at most 6."""
CORRELATION = 0.985
"""Least correlation of the 16 x 16 grey thumbnails. Measured: copies 0.993 and above, photographs of different
lesions 0.982 and below."""
ROWS, COLUMNS = 512, 4096
"""Images compared at once: what fits into a processor's cache."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """K pairs (left, right) of positions in two sets."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    hamming: NDArray[np.int64]
    """Bits in which the hashes differ, 0..256; the least over the turns."""
    turn: NDArray[np.int64]
    """Which of `TURNS` takes the left image to the right one."""
    correlation: NDArray[np.float64]
    """Of the thumbnails, -1..1, after the turn."""

    def __len__(self) -> int:
        return len(self.left)

    def at(self, chosen: NDArray[np.bool_]) -> Pairs:
        """Some of them."""
        return Pairs(
            left=self.left[chosen],
            right=self.right[chosen],
            hamming=self.hamming[chosen],
            turn=self.turn[chosen],
            correlation=self.correlation[chosen],
        )


def same_pixels(prints: Fingerprints) -> list[NDArray[np.int64]]:
    """Positions of images with equal pixels, each group ascending; images that stand alone are left out."""
    if not len(prints):
        return []
    _, member, counts = np.unique(prints.digests, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(member.reshape(-1), kind="stable")
    return [group for group in np.split(order, np.cumsum(counts)[:-1]) if len(group) > 1]


def near_pairs(left: Fingerprints, right: Fingerprints | None = None, *, turns: int = len(TURNS)) -> Iterator[Pairs]:
    """Pairs whose hashes are near and whose thumbnails agree, block by block, so that any number fits into memory.

    Pairs with equal pixels and images that show nothing are left out.

    Args:
        right: another set; None pairs `left` with itself, each pair once, with left < right.
        turns: how many of `TURNS` are tried, the identity first.
    """
    other = left if right is None else right
    seen = [np.flatnonzero(~prints.flat) for prints in (left, other)]
    words = [np.ascontiguousarray(turned(left.hashes[seen[0]], turn).T) for turn in range(turns)]
    against = np.ascontiguousarray(other.hashes[seen[1]].T)
    for top in range(0, len(seen[0]), ROWS):
        for start in range(0, len(seen[1]), COLUMNS):
            if right is None and start + COLUMNS <= top:
                continue
            found = [
                _candidates(word[:, top : top + ROWS], against[:, start : start + COLUMNS], turn)
                for turn, word in enumerate(words)
            ]
            i, j, hamming, turn = (np.concatenate(columns) for columns in zip(*found, strict=True))
            i, j = seen[0][i + top], seen[1][j + start]
            keep = np.any(left.digests[i] != other.digests[j], axis=1)
            if right is None:
                keep &= i < j
            best = _nearest_turn(i[keep], j[keep], hamming[keep], turn[keep])
            pairs = _compared(left, other, *best)
            pairs = pairs.at(pairs.correlation >= CORRELATION)
            if len(pairs):
                yield pairs


def _candidates(
    left: NDArray[np.uint64], right: NDArray[np.uint64], turn: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(i, j, hamming, turn) of hashes (4, I) and (4, J) that are near."""
    near = np.bitwise_count(left[0, :, None] ^ right[0, None, :]) <= FIRST
    i, j = np.divmod(np.flatnonzero(near), near.shape[1])
    hamming = np.bitwise_count(left[:, i] ^ right[:, j]).sum(axis=0, dtype=np.int64)
    keep = hamming <= HAMMING
    return i[keep], j[keep], hamming[keep], np.full(int(keep.sum()), turn)


def _nearest_turn(
    i: NDArray[np.int64], j: NDArray[np.int64], hamming: NDArray[np.int64], turn: NDArray[np.int64]
) -> tuple[NDArray[np.int64], ...]:
    """Each pair once, with the turn that brings it nearest."""
    order = np.lexsort((turn, hamming, j, i))
    i, j, hamming, turn = i[order], j[order], hamming[order], turn[order]
    first = np.ones(len(i), dtype=np.bool_)
    first[1:] = (i[1:] != i[:-1]) | (j[1:] != j[:-1])
    return i[first], j[first], hamming[first], turn[first]


def compared(left: Fingerprints, right: Fingerprints, i: NDArray[np.int64], j: NDArray[np.int64]) -> Pairs:
    """Pairs that something else than the hash found, each with the turn in which its thumbnails agree best."""
    asked = np.arange(len(i) * len(TURNS))
    k, turn = np.divmod(asked, len(TURNS))
    words = np.stack([turned(left.hashes[i], number) for number in range(len(TURNS))], axis=1).reshape(-1, 4)
    hamming = np.bitwise_count(words ^ right.hashes[j[k]]).sum(axis=1, dtype=np.int64)
    pairs = _compared(left, right, i[k], j[k], hamming, turn)
    best = pairs.correlation.reshape(-1, len(TURNS)).argmax(axis=1)
    chosen = np.zeros(len(asked), dtype=np.bool_)
    chosen[np.arange(len(i)) * len(TURNS) + best] = True
    return pairs.at(chosen)


def _compared(
    left: Fingerprints,
    right: Fingerprints,
    i: NDArray[np.int64],
    j: NDArray[np.int64],
    hamming: NDArray[np.int64],
    turn: NDArray[np.int64],
) -> Pairs:
    correlation = np.empty(len(i))
    for first in range(0, len(i), COLUMNS):
        part = slice(first, first + COLUMNS)
        here = left.thumbnails[i[part]]
        for number in np.unique(turn[part]):
            chosen = turn[part] == number
            here[chosen] = turned_pictures(here[chosen], int(number))
        correlation[part] = _correlation(here, right.thumbnails[j[part]])
    return Pairs(left=i, right=j, hamming=hamming, turn=turn, correlation=correlation)


def _correlation(one: NDArray[np.uint16], two: NDArray[np.uint16]) -> NDArray[np.float64]:
    a, b = (pictures.reshape(-1, THUMBNAIL**2).astype(np.float64) for pictures in (one, two))
    a -= a.mean(axis=1, keepdims=True)
    b -= b.mean(axis=1, keepdims=True)
    # a thumbnail without contrast agrees with none
    length = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.asarray((a * b).sum(axis=1) / np.maximum(length, 1.0))
