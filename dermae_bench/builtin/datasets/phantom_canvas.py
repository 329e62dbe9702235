"""Brushes of the phantom: grids, smooth noise, blobs and lines, on float32 planes of 0 .. 255 sRGB values.

Positions are fractions of the picture (view: -1 .. 1, x to the right, y down) or of the lesion's radius (lesion
coordinates), never pixels, so 32 px and 256 px show the same lesion. Noise and lines are sums of round Gaussians:
those are separable whatever way the lesion is turned, so a whole layer is one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

_KERNEL = 0.6
"""Width (sigma) of the Gaussian at each knot of a noise lattice, in distances between knots."""

_NOTHING = np.float32(-30)
"""Exponents stop here: smaller ones give denormal numbers, which are ten times slower to multiply."""


@lru_cache(maxsize=32)
def positions(pixels: int) -> Plane:
    """(pixels,) centres of the pixels in view coordinates."""
    centres: Plane = ((np.arange(pixels) + 0.5) / pixels * 2 - 1).astype(np.float32)
    return centres


@lru_cache(maxsize=64)
def _rise(pixels: int, knots: int) -> Plane:
    """(pixels, knots): what each knot of a lattice over the whole picture gives to each pixel's width."""
    fine = max(1, -(-4 * knots // pixels))
    at = (np.arange(pixels * fine) + 0.5) / (pixels * fine) * knots - 0.5
    weights = np.exp(-0.5 * ((at[:, None] - np.arange(knots)) / _KERNEL) ** 2) / np.sqrt(np.sqrt(np.pi) * _KERNEL)
    averaged: Plane = weights.reshape(pixels, fine, knots).mean(axis=1).astype(np.float32)
    return averaged


@lru_cache(maxsize=8)
def _lattice(knots: int) -> tuple[Plane, Plane, Plane]:
    """(u, v, width) of the Gaussians of a noise over a disc of 1.5 radii of a lesion."""
    line = np.linspace(-1.5, 1.5, knots, dtype=np.float32)
    u, v = np.repeat(line, knots), np.tile(line, knots)
    near = u * u + v * v <= np.float32(1.6**2)
    width = np.full(int(near.sum()), _KERNEL * 3 / (knots - 1), np.float32)
    return u[near], v[near], width


def view_noise(rng: np.random.Generator, pixels: int, knots: int) -> Plane:
    """(pixels, pixels) smooth noise of about unit variance, with `knots` details along a side of the picture."""
    lattice = rng.standard_normal((knots, knots), dtype=np.float32)
    rise = _rise(pixels, knots)
    noise: Plane = np.matmul(rise @ lattice, rise.T)
    return noise


def step(x: Plane) -> Plane:
    """Smooth step from 0 (x <= 0) to 1 (x >= 1)."""
    x = np.clip(x, 0, 1)
    smooth: Plane = x * x * (3 - 2 * x)
    return smooth


def blend(image: Plane, colour: Sequence[float] | Plane, alpha: Plane) -> None:
    """Lay `colour` (3,) over `image` (3, h, w), in place, where `alpha` (h, w) says how densely."""
    image += alpha * (np.asarray(colour, np.float32).reshape(3, 1, 1) - image)


def gaussians(across: Plane, down: Plane, x: Plane, y: Plane, sigma: Plane, weight: Plane, pixels: int) -> Plane:
    """Sums of Gaussians at (x, y), seen at the columns `across` and rows `down`.

    One that is narrower than about half a pixel widens and fades instead, so its ink stays the same.
    `weight` is (n,) or, for several sums over the same places, (planes, n).
    """
    wide = np.maximum(sigma, np.float32(1.1 / pixels))
    scale = np.float32(-0.5) / (wide * wide)
    ink = np.atleast_2d(weight) * np.square(sigma / wide)
    columns = np.exp(np.maximum(scale[:, None] * np.square(across - x[:, None]), _NOTHING))
    rows = np.exp(np.maximum(scale * np.square(down[:, None] - y), _NOTHING))
    # Plane by plane: a batched product of these shapes would leave BLAS.
    painted: Plane = np.stack([(rows * one) @ columns for one in ink])
    return painted[0] if weight.ndim == 1 else painted


def line_weight(alpha: float, spacing: float, sigma: Plane) -> Plane:
    """Weight of the Gaussians `spacing` apart along a line whose middle shall have density `alpha`."""
    weight: Plane = (np.float32(alpha * spacing / np.sqrt(2 * np.pi)) / sigma).astype(np.float32)
    return weight


@dataclass(frozen=True)
class Frame:
    """Where a lesion lies in the picture, and the pixels that it can reach."""

    pixels: int
    x: float
    y: float
    radius: float
    angle: float
    across: Plane
    """View coordinates of the columns that are painted."""
    down: Plane
    """View coordinates of the rows that are painted."""

    def lesion_coordinates(self) -> tuple[Plane, Plane]:
        """(u, v) of every painted pixel, in radii."""
        cos, sin = np.float32(np.cos(self.angle) / self.radius), np.float32(np.sin(self.angle) / self.radius)
        dx, dy = self.across - np.float32(self.x), (self.down - np.float32(self.y))[:, None]
        return cos * dx + sin * dy, cos * dy - sin * dx

    def blobs(self, u: Plane, v: Plane, sigma: Plane, weight: Plane) -> Plane:
        """`gaussians` with places and widths in radii of the lesion."""
        cos, sin = self.radius * np.cos(self.angle), self.radius * np.sin(self.angle)
        x, y = (self.x + cos * u - sin * v).astype(np.float32), (self.y + sin * u + cos * v).astype(np.float32)
        return gaussians(self.across, self.down, x, y, (sigma * self.radius).astype(np.float32), weight, self.pixels)

    def noise(self, rng: np.random.Generator, knots: int, planes: int) -> Plane:
        """(planes, h, w) noise of about unit variance that is fixed to the lesion, `knots` over 3 radii."""
        u, v, width = _lattice(knots)
        lattice = rng.standard_normal((planes, len(u)), dtype=np.float32)
        return self.blobs(u, v, width, lattice / np.float32(np.sqrt(np.pi) * _KERNEL))

    def scattered(self, rng: np.random.Generator, count: int, reach: float) -> tuple[Plane, Plane]:
        """`count` places spread evenly over a disc of `reach` radii."""
        r, t = np.sqrt(rng.random(count)) * reach, rng.random(count) * 2 * np.pi
        return (r * np.cos(t)).astype(np.float32), (r * np.sin(t)).astype(np.float32)
