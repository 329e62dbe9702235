"""Draws a phantom lesion from its attributes, at any size: uint8 RGB, numpy only.

Positions are fractions of the picture (view: -1 .. 1, x to the right, y down) or of the lesion's radius (lesion
coordinates), never pixels, so 32 px and 256 px show the same lesion. Small pictures are drawn twice as large and
averaged. Smooth textures are random lattices brought to the grid by two matrix products; blobs, vessels and hairs
are sums of separable Gaussians, one matrix product each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

HALF_FIELD_MM = 7.0
"""The picture shows 14 mm of skin at zoom 1."""
SKIN = np.array(
    [[244, 214, 200], [236, 199, 178], [222, 178, 148], [196, 146, 112], [150, 103, 75], [104, 70, 52]], np.float32
)
"""sRGB of untanned skin of the types I to VI under a dermatoscope's light."""
LATTICE = 64


@dataclass(frozen=True)
class View:
    """How one photograph was taken: its own for each photograph of a lesion."""

    skin: float
    """Skin type, 0 (I) .. 5 (VI); between two numbers the colours are mixed."""
    hair: float
    """0 none .. 1 dense."""
    bubbles: float
    """0 none .. 1 many gel bubbles."""
    ruler: bool
    mask: bool
    """Whether the round black edge of the optics is in the picture."""


@lru_cache(maxsize=32)
def _grid(pixels: int) -> tuple[Plane, Plane]:
    line = ((np.arange(pixels, dtype=np.float32) + 0.5) / pixels * 2 - 1).astype(np.float32)
    return np.ascontiguousarray(np.broadcast_to(line, (pixels, pixels))), np.ascontiguousarray(
        np.broadcast_to(line[:, None], (pixels, pixels))
    )


@lru_cache(maxsize=128)
def _rise(pixels: int, knots: int) -> Plane:
    """(pixels, knots): weights that bring a lattice of `knots` to the grid, each pixel averaged over its width."""
    fine = max(1, -(-4 * knots // pixels))
    at = (np.arange(pixels * fine) + 0.5) / (pixels * fine) * (knots - 3) + 1
    distance = np.abs(at[:, None] - np.arange(knots))
    # Cubic B-spline: smooth, and the same curve whatever the number of pixels.
    near, far = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance).clip(0) ** 3 / 6
    weights = np.where(distance < 1, near, far).reshape(pixels, fine, knots).mean(axis=1)
    return weights.astype(np.float32)


def _texture(rng: np.random.Generator, pixels: int, knots: int, planes: int = 1) -> Plane:
    """(planes, pixels, pixels) smooth noise of about unit variance with details of 1 / `knots` of the picture."""
    lattice = rng.standard_normal((planes, knots, knots), dtype=np.float32)
    rise = _rise(pixels, knots)
    smooth: Plane = (rise @ lattice @ rise.T) * np.float32(2.1)
    return smooth


def _step(x: Plane) -> Plane:
    """Smooth step from 0 (x <= 0) to 1 (x >= 1)."""
    x = np.clip(x, 0, 1)
    smooth: Plane = x * x * (3 - 2 * x)
    return smooth


def _blobs(pixels: int, x: Plane, y: Plane, sigma: Plane, weight: Plane) -> Plane:
    """Sum of Gaussians at (x, y) in view coordinates; narrower than half a pixel they widen and fade instead."""
    line = _grid(pixels)[0][0]
    wide = np.maximum(sigma, np.float32(1.1 / pixels))
    scale = (np.float32(-0.5) / (wide * wide))[:, None]
    across = np.exp(scale * np.square(line - x[:, None]))
    down = np.exp(scale * np.square(line - y[:, None]))
    painted: Plane = (down * (weight * (sigma / wide))[:, None]).T @ across
    return painted


def _blend(image: Plane, colour: tuple[float, float, float] | Plane, alpha: Plane) -> None:
    target = np.asarray(colour, np.float32)
    image += alpha * (target.reshape(3, 1, 1) - image)


def draw(truth: Mapping[str, float], view: View, lesion: np.random.Generator, photo: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """One photograph as uint8 RGB (3, size, size).

    Args:
        truth: the lesion's attributes (`phantom_truth.ATTRIBUTES`).
        lesion: what is the same in every photograph of the lesion (outline, positions of its structures).
        photo: what belongs to this photograph (framing, light, hair, noise).
        size: side in pixels, at least 8.
    """
    times = 2 if size <= 96 else 1
    pixels = size * times
    x, y = _grid(pixels)
    angle, zoom = photo.uniform(0, 2 * np.pi), photo.uniform(0.9, 1.15)
    radius = np.float32(truth["diameter"] / 2 / HALF_FIELD_MM * zoom)
    # Off centre, but never so far that the lesion leaves the picture.
    room = max(0.03, 0.55 - 0.6 * float(radius))
    cx, cy = photo.uniform(-room, room, 2).astype(np.float32)
    cos, sin = np.float32(np.cos(angle) / radius), np.float32(np.sin(angle) / radius)
    u = cos * (x - cx) + sin * (y - cy)
    v = cos * (y - cy) - sin * (x - cx)
    frame = _Frame(pixels, cx, cy, float(radius), float(np.cos(angle)), float(np.sin(angle)))

    image = _skin(view, photo, pixels)
    depth, rho = _outline(truth, u, v, lesion, frame)
    _paint(image, truth, depth, rho, u, v, lesion, frame)
    _photograph(image, view, photo, pixels, x, y)
    if times > 1:
        image = image.reshape(3, size, times, size, times).mean(axis=(2, 4), dtype=np.float32)
    image += photo.standard_normal((3, size, size), dtype=np.float32) * np.float32(1.6)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class _Frame:
    """Where the lesion lies in the picture: from lesion coordinates back to the view."""

    pixels: int
    cx: np.float32
    cy: np.float32
    radius: float
    cos: float
    sin: float

    def blobs(self, u: Plane, v: Plane, sigma: Plane, weight: Plane) -> Plane:
        """`_blobs` with positions and widths in radii of the lesion."""
        x = self.cx + self.radius * (self.cos * u - self.sin * v)
        y = self.cy + self.radius * (self.sin * u + self.cos * v)
        return _blobs(
            self.pixels, x.astype(np.float32), y.astype(np.float32), (sigma * self.radius).astype(np.float32), weight
        )

    def texture(self, lesion: np.random.Generator, u: Plane, v: Plane, knots: int, planes: int) -> Plane:
        """(planes, pixels, pixels) noise fixed to the lesion: sampled bilinearly from a lattice over 3.2 radii."""
        lattice = lesion.standard_normal((knots, knots, planes), dtype=np.float32)
        scale = np.float32((knots - 1.001) / 3.2)
        at_u = np.clip((u + np.float32(1.6)) * scale, 0, knots - np.float32(1.01))
        at_v = np.clip((v + np.float32(1.6)) * scale, 0, knots - np.float32(1.01))
        i, j = at_u.astype(np.int32), at_v.astype(np.int32)
        a, b = _step(at_u - i)[..., None], _step(at_v - j)[..., None]
        flat, k = lattice.reshape(-1, planes), j * knots + i
        top = flat[k] + a * (flat[k + 1] - flat[k])
        low = flat[k + knots] + a * (flat[k + knots + 1] - flat[k + knots])
        return np.ascontiguousarray(np.moveaxis(top + b * (low - top), -1, 0))


def _skin(view: View, photo: np.random.Generator, pixels: int) -> Plane:
    low = int(min(view.skin, 4.999))
    base = SKIN[low] + (SKIN[low + 1] - SKIN[low]) * np.float32(view.skin - low)
    image = np.empty((3, pixels, pixels), np.float32)
    image[:] = base[:, None, None]
    slow, quick = _texture(photo, pixels, 9)[0], _texture(photo, pixels, LATTICE)[0]
    # Blood shines through in patches (red stays, green and blue go), furrows are fine and darker.
    image += slow * np.array([1.5, -5.0, -4.5], np.float32).reshape(3, 1, 1)
    image *= 1 - np.float32(0.05) * np.exp(quick * quick * np.float32(-6)) + quick * np.float32(0.012)
    return image


def _outline(truth: Mapping[str, float], u: Plane, v: Plane, lesion: np.random.Generator, frame: _Frame) -> tuple[Plane, Plane]:
    """Depth below the border in radii (positive inside), and the distance from the centre in radii."""
    theta = np.arctan2(v, u)
    rho = np.sqrt(u * u + v * v)
    angles = np.linspace(-np.pi, np.pi, 512, dtype=np.float32)
    edge = np.ones(512, np.float32)
    coarse = 0.03 + 0.30 * truth["asymmetry"]
    fine = 0.01 + 0.17 * truth["border"]
    for harmonics, amount in (((1, 2, 3), coarse), ((4, 5, 6, 7, 9, 11, 13), fine)):
        phases = lesion.uniform(0, 2 * np.pi, len(harmonics))
        sizes = lesion.uniform(0.6, 1.0, len(harmonics)) * amount
        for k, phase, one in zip(harmonics, phases, sizes, strict=True):
            edge += (one / np.sqrt(k) * np.cos(k * angles + phase)).astype(np.float32)
    # Same area whatever the shape, so that diameter and irregularity stay independent facts.
    edge /= np.sqrt(np.mean(edge * edge))
    turn = np.clip((theta + np.float32(np.pi)) * np.float32(511 / (2 * np.pi)), 0, 511).astype(np.int32)
    wobble = frame.texture(lesion, u, v, 14, 1)[0] * np.float32(0.02 + 0.10 * truth["border"])
    return np.maximum(edge, np.float32(0.25))[turn] - rho + wobble, rho


def _base_colour(truth: Mapping[str, float]) -> Plane:
    """From pale pink over light and dark brown to nearly black, bent towards red."""
    stops = np.array([[224, 182, 158], [178, 122, 82], [122, 76, 48], [72, 44, 34], [40, 27, 26]], np.float32)
    at = float(np.clip(truth["pigment"], 0, 0.999)) * 4
    brown = stops[int(at)] + (stops[int(at) + 1] - stops[int(at)]) * np.float32(at - int(at))
    red = np.array([212, 104, 98], np.float32) * np.float32(1.08 - 0.45 * truth["pigment"])
    colour: Plane = brown + (red - brown) * np.float32(0.85 * truth["redness"])
    return colour


def _paint(
    image: Plane,
    truth: Mapping[str, float],
    depth: Plane,
    rho: Plane,
    u: Plane,
    v: Plane,
    lesion: np.random.Generator,
    frame: _Frame,
) -> None:
    pixel = 2 / frame.pixels / frame.radius
    soft = np.float32(max(0.05 + 0.55 * (1 - truth["sharpness"]) ** 1.5, 1.5 * pixel))
    inside = _step(depth / soft + np.float32(0.5))
    clouds = frame.texture(lesion, u, v, 7, 3)
    grain = frame.texture(lesion, u, v, 26, 1)[0]
    base = _base_colour(truth)
    _blend(image, base, inside * np.float32(0.93))
    image *= 1 + inside * (clouds[0] * np.float32(0.05) + grain * np.float32(0.05))

    colours = np.float32(truth["colours"])
    for plane, shade in ((clouds[1], base * np.float32(0.42)), (clouds[2], base + (np.array([206, 150, 110]) - base) * 0.75)):
        _blend(image, shade.astype(np.float32), inside * _step(plane * 2 + 3 * colours - np.float32(1.6)) * np.float32(0.75) * colours)

    _network(image, truth, inside, depth, u, v, grain, base)
    _blend(image, (118, 132, 158), inside * np.float32(0.85 * _seen(truth["veil"])) * _step(clouds[2] * np.float32(-0.9) + np.float32(0.75)) * _step(depth * 2))
    _scale(image, truth, inside, clouds, grain, frame, lesion)
    _lacunae(image, truth, inside, frame, lesion)
    _vessels(image, truth, inside, frame, lesion)
    patch = _step((np.float32(0.62) - rho + grain * np.float32(0.06)) * np.float32(2.6))
    _blend(image, (240, 216, 204), inside * patch * np.float32(0.85 * _seen(truth["scar"])))
    _cysts(image, truth, inside, frame, lesion)


def _seen(strength: float) -> float:
    """Weak signs are not drawn at all, strong ones fully: what a reader of dermoscopy would call present."""
    return float(np.clip((strength - 0.15) / 0.6, 0, 1))


def _network(image: Plane, truth: Mapping[str, float], inside: Plane, depth: Plane, u: Plane, v: Plane, grain: Plane, base: Plane) -> None:
    if (strength := _seen(truth["network"])) == 0:
        return
    pitch = np.float32(2 * np.pi / 0.22)
    bent_u, bent_v = u + grain * np.float32(0.022), v - grain * np.float32(0.022)
    mesh = sum(np.cos(pitch * (np.float32(c) * bent_u + np.float32(s) * bent_v)) for c, s in ((1, 0), (-0.5, 0.866), (-0.5, -0.866)))
    # Three waves at 120 degrees: holes where they meet, lines between: the honeycomb of rete ridges.
    holes = _step((np.asarray(mesh, np.float32) + np.float32(0.2)) * np.float32(0.55))
    place = inside * _step(np.float32(1.25) - depth) * np.float32(strength)
    image *= 1 - place * (1 - holes) * np.float32(0.42)
    _blend(image, np.minimum(base * np.float32(1.35) + 22, 235), place * holes * np.float32(0.5))


def _scale(image: Plane, truth: Mapping[str, float], inside: Plane, clouds: Plane, grain: Plane, frame: _Frame, lesion: np.random.Generator) -> None:
    if (strength := _seen(truth["scale"])) == 0:
        return
    # Strawberry pattern: pale follicles in a red ground, then flakes of white to yellow keratin on top.
    count = 46
    r, t = np.sqrt(lesion.random(count)) * 1.05, lesion.random(count) * 2 * np.pi
    at_u, at_v = (r * np.cos(t)).astype(np.float32), (r * np.sin(t)).astype(np.float32)
    follicles = frame.blobs(at_u, at_v, np.full(count, 0.055, np.float32), np.ones(count, np.float32))
    _blend(image, (232, 178, 150), inside * np.clip(follicles, 0, 1) * np.float32(0.6 * strength))
    flakes = _step((clouds[1] * np.float32(0.7) + grain * np.float32(0.9) - np.float32(0.55)) * np.float32(1.6))
    _blend(image, (243, 232, 208), inside * flakes * np.float32(0.85 * strength))


def _lacunae(image: Plane, truth: Mapping[str, float], inside: Plane, frame: _Frame, lesion: np.random.Generator) -> None:
    if (strength := _seen(truth["lacunae"])) == 0:
        return
    count = 18
    r, t = np.sqrt(lesion.random(count)) * 0.85, lesion.random(count) * 2 * np.pi
    wide = lesion.uniform(0.10, 0.21, count).astype(np.float32)
    lakes = frame.blobs((r * np.cos(t)).astype(np.float32), (r * np.sin(t)).astype(np.float32), wide, np.ones(count, np.float32))
    sharp = _step((lakes - np.float32(0.45)) * np.float32(3))
    _blend(image, (226, 170, 172), inside * (1 - sharp) * np.float32(0.45 * strength))
    deep = np.array([104, 12, 44], np.float32) if lesion.random() < 0.4 else np.array([158, 20, 36], np.float32)
    _blend(image, deep, inside * sharp * np.float32(0.9 * strength))


def _vessels(image: Plane, truth: Mapping[str, float], inside: Plane, frame: _Frame, lesion: np.random.Generator) -> None:
    if (strength := _seen(truth["vessels"])) == 0:
        return
    points: list[NDArray[np.float64]] = []
    for trunk in range(3):
        start = lesion.uniform(0, 2 * np.pi) + trunk * 2.1
        stem = _walk(lesion, 1.05 * np.array([np.cos(start), np.sin(start)]), start + np.pi + lesion.uniform(-0.4, 0.4), 34)
        points.append(np.column_stack([stem, np.linspace(0.042, 0.022, len(stem))]))
        for fork in lesion.integers(5, 30, 4):
            heading = start + np.pi + lesion.choice([-1, 1]) * lesion.uniform(0.5, 1.1)
            twig = _walk(lesion, stem[fork], heading, 16)
            points.append(np.column_stack([twig, np.linspace(0.026, 0.010, len(twig))]))
    at_u, at_v, wide = np.concatenate(points).astype(np.float32).T
    red = np.clip(frame.blobs(at_u, at_v, wide, np.full(len(wide), 0.75, np.float32)), 0, 1)
    _blend(image, (172, 24, 34), _step(inside * 2) * red * np.float32(0.9 * strength))


def _walk(rng: np.random.Generator, start: NDArray[np.float64], heading: float, steps: int) -> NDArray[np.float64]:
    turns = heading + np.cumsum(rng.normal(0, 0.22, steps))
    path: NDArray[np.float64] = start + np.cumsum(0.04 * np.column_stack([np.cos(turns), np.sin(turns)]), axis=0)
    return path


def _cysts(image: Plane, truth: Mapping[str, float], inside: Plane, frame: _Frame, lesion: np.random.Generator) -> None:
    if (strength := _seen(truth["cysts"])) == 0:
        return
    count = 22
    r, t = np.sqrt(lesion.random(count)) * 0.9, lesion.random(count) * 2 * np.pi
    at_u, at_v = (r * np.cos(t)).astype(np.float32), (r * np.sin(t)).astype(np.float32)
    white = np.arange(count) % 3 > 0
    wide = np.where(white, lesion.uniform(0.03, 0.06, count), lesion.uniform(0.05, 0.085, count)).astype(np.float32)
    # Milia-like cysts shine; comedo-like openings are brown plugs.
    shine = frame.blobs(at_u[white], at_v[white], wide[white], np.ones(int(white.sum()), np.float32))
    plugs = frame.blobs(at_u[~white], at_v[~white], wide[~white], np.ones(int((~white).sum()), np.float32))
    _blend(image, (62, 40, 24), inside * _step(plugs * np.float32(1.4)) * np.float32(0.75 * strength))
    _blend(image, (250, 240, 214), inside * np.clip(shine * np.float32(1.2), 0, 1) * np.float32(0.9 * strength))


def _photograph(image: Plane, view: View, photo: np.random.Generator, pixels: int, x: Plane, y: Plane) -> None:
    if view.bubbles > 0:
        _bubbles(image, view.bubbles, photo, x, y)
    if view.hair > 0:
        _hairs(image, view, photo, pixels)
    if view.ruler:
        _ruler(image, pixels, photo)
    off = photo.uniform(-0.12, 0.12, 2).astype(np.float32)
    out = np.square(x - off[0]) + np.square(y - off[1])
    light = photo.normal(1.0, 0.05) * (1 + photo.normal(0, 0.02, 3))
    image *= light.astype(np.float32).reshape(3, 1, 1)
    image *= 1 - np.float32(photo.uniform(0.12, 0.30)) * np.clip(out - np.float32(0.25), 0, 1.6)
    if view.mask:
        reach = np.float32(photo.uniform(1.08, 1.2))
        image *= _step((reach - np.sqrt(out)) * np.float32(min(24.0, pixels / 4)))


def _hairs(image: Plane, view: View, photo: np.random.Generator, pixels: int) -> None:
    count = 1 + int(view.hair * 13)
    along = np.linspace(-1.6, 1.6, 150, dtype=np.float32)
    way = photo.uniform(0, 2 * np.pi)
    heading = way + photo.normal(0, 0.35, count)
    offset, bend = photo.uniform(-1, 1, count), photo.normal(0, 0.16, count)
    start, length = photo.uniform(-1.4, -0.2, count), photo.uniform(0.9, 2.6, count)
    side = offset[:, None] + bend[:, None] * along**2
    px = (np.cos(heading)[:, None] * along - np.sin(heading)[:, None] * side).ravel().astype(np.float32)
    py = (np.sin(heading)[:, None] * along + np.cos(heading)[:, None] * side).ravel().astype(np.float32)
    drawn = ((along >= start[:, None]) & (along <= (start + length)[:, None])).ravel() & (np.abs(px) < 1.1) & (np.abs(py) < 1.1)
    wide = np.repeat(photo.uniform(0.009, 0.015, count), len(along)).astype(np.float32)[drawn]
    strands = _blobs(pixels, px[drawn], py[drawn], wide, np.full(len(wide), 0.85, np.float32))
    colour = (38, 26, 20) if view.skin > 1.2 or photo.random() < 0.6 else (120, 84, 52)
    _blend(image, colour, np.clip(strands, 0, 1) * np.float32(0.88))


def _bubbles(image: Plane, amount: float, photo: np.random.Generator, x: Plane, y: Plane) -> None:
    for _ in range(1 + int(amount * 4)):
        bx, by, r = photo.uniform(-0.95, 0.95), photo.uniform(-0.95, 0.95), photo.uniform(0.05, 0.13)
        away = np.sqrt(np.square(x - np.float32(bx)) + np.square(y - np.float32(by))) / np.float32(r)
        rim = np.clip(1 - np.abs(away - 1) * np.float32(5), 0, 1)
        glint = np.clip(1 - np.hypot(x - np.float32(bx - 0.4 * r), y - np.float32(by - 0.4 * r)) / np.float32(0.3 * r), 0, 1)
        image *= 1 + _step(1 - away) * np.float32(0.06)
        _blend(image, (255, 250, 244), np.maximum(rim * np.float32(0.4), glint * np.float32(0.9)))


def _ruler(image: Plane, pixels: int, photo: np.random.Generator) -> None:
    """Millimetre ticks along the lower edge; every fifth is longer."""
    line = _grid(pixels)[0][0]
    shift = photo.uniform(0, 1)
    at = (line * np.float32(HALF_FIELD_MM) + np.float32(shift)) % 1
    near = np.minimum(at, 1 - at)
    tick = np.clip(1.5 - near / np.float32(max(0.05, HALF_FIELD_MM / pixels)), 0, 1)
    fifth = np.floor(line * np.float32(HALF_FIELD_MM) + np.float32(shift) + np.float32(0.5)) % 5 == 0
    top = np.where(fifth, np.float32(0.84), np.float32(0.91))
    dark = tick[None, :] * (line[:, None] > top[None, :])
    _blend(image, (30, 28, 30), dark.astype(np.float32) * np.float32(0.85))
