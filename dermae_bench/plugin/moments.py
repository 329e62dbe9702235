"""Mean and covariance root of features that are read once, block by block."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dermae_bench.errors import InvalidOutput

LEAST_PANEL = 1024
"""Rows that are gathered before a factorisation, or four times D where that is more."""


def moments(
    blocks: Iterable[NDArray[np.float32] | NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and a root of the covariance over N - 1, in one pass and in float64.

    Args:
        blocks: (n_k, D) pieces of N rows, in any sizes: the result is bit for bit the same for the same rows.

    Returns:
        mean (D,) and root (min(N, D), D) with root' root the covariance.

    Raises:
        InvalidOutput: fewer than 2 rows, rows of unlike width, or numbers that are not finite.
    """
    stream = Moments()
    for block in blocks:
        stream.add(block)
    return stream.current()


class Moments:
    """The same for rows that come one block after another, and at any point between two blocks.

    Holds R of the QR factorisation of [1 X - x_0], with x_0 the first row: R's first row gives the mean, what is left
    the root of the covariance. R of some panels is R of their R's stacked. No covariance is formed, so small
    variances keep their digits beside large ones; the shift by x_0 keeps them beside a large mean. Memory is
    five times D x D float64 and a copy of it, whatever N is.
    """

    def __init__(self) -> None:
        self.count = 0
        """Rows so far."""
        self._first: NDArray[np.float64] | None = None
        self._triangle = np.zeros((0, 0))
        self._panel = np.zeros((0, 0))
        self._pending = 0

    def add(self, rows: NDArray[np.float32] | NDArray[np.float64]) -> None:
        """Take (n, D) rows.

        Raises:
            InvalidOutput: the width differs from that of earlier rows, or a number is not finite.
        """
        if rows.ndim != 2 or rows.shape[1] == 0 or (self._first is not None and rows.shape[1] != len(self._first)):
            known = "" if self._first is None else f" after rows of {len(self._first)} numbers"
            raise InvalidOutput(f"features of shape {rows.shape}{known} have no common mean")
        if not np.isfinite(rows).all():
            raise InvalidOutput("features are not finite")
        if len(rows) == 0:
            return
        if self._first is None:
            width = rows.shape[1]
            self._first = rows[0].astype(np.float64)
            self._panel = np.empty((max(LEAST_PANEL, 4 * width), width + 1))
            self._triangle = np.zeros((0, width + 1))
        done = 0
        while done < len(rows):
            taken = min(len(self._panel) - self._pending, len(rows) - done)
            place = self._panel[self._pending : self._pending + taken]
            place[:, 0] = 1
            np.subtract(rows[done : done + taken], self._first, out=place[:, 1:])
            self._pending += taken
            self.count += taken
            done += taken
            if self._pending == len(self._panel):
                self._triangle = self._factor()
                self._pending = 0

    def current(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean (D,) and root (min(count, D), D) of the rows so far; more rows may follow.

        Raises:
            InvalidOutput: there are fewer than 2 rows.
        """
        if self._first is None or self.count < 2:
            raise InvalidOutput(f"a covariance needs at least 2 images, there are {self.count}")
        scale = np.sqrt(self.count - 1)
        if self.count <= len(self._first):
            # the centred rows are the smaller root, and need no factorisation
            shifted = self._panel[: self.count, 1:]
            offset = shifted.mean(axis=0)
            return self._first + offset, (shifted - offset) / scale
        triangle = self._factor()
        return self._first + triangle[0, 1:] / triangle[0, 0], triangle[1:, 1:] / scale

    def _factor(self) -> NDArray[np.float64]:
        stacked = np.concatenate([self._triangle, self._panel[: self._pending]])
        return np.asarray(np.linalg.qr(stacked, mode="r"), dtype=np.float64)
