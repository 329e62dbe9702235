"""Draws a photograph of a phantom lesion from its attributes, at any size: skin, lesion, then what the camera adds.

Small pictures are drawn twice as large and averaged. numpy alone, no file, no state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermae_bench.builtin.datasets.phantom_canvas import (
    Frame,
    Plane,
    blend,
    gaussians,
    line_weight,
    positions,
    step,
    view_noise,
)
from dermae_bench.builtin.datasets.phantom_signs import outline, paint

HALF_FIELD_MM = 5.5
"""The picture shows 11 mm of skin at zoom 1."""
SKIN = np.array(
    [[244, 214, 200], [236, 199, 178], [222, 178, 148], [196, 146, 112], [150, 103, 75], [104, 70, 52]], np.float32
)
"""sRGB of skin of the types I to VI under a dermatoscope's light."""
SUPERSAMPLED = 96
"""Up to this size, in pixels, a picture is drawn twice as large."""


@dataclass(frozen=True)
class View:
    """How one photograph was taken."""

    skin: float
    """Skin type, 0 (I) .. 5 (VI); between two numbers the colours are mixed."""
    hair: float
    """0 none .. 1 dense."""
    bubbles: float
    """0 none .. 1 many gel bubbles."""
    ruler: bool
    mask: bool
    """Whether the round black edge of the optics is in the picture."""


def draw(
    truth: Mapping[str, float], view: View, lesion: np.random.Generator, photo: np.random.Generator, size: int
) -> NDArray[np.uint8]:
    """One photograph as uint8 RGB (3, size, size).

    Args:
        truth: the lesion's attributes (`phantom_truth.ATTRIBUTES`).
        view: light, hair and artefacts.
        lesion: what is the same in every photograph of the lesion (outline, places of its structures).
        photo: what belongs to this photograph (framing, light, course of the hairs, noise).
        size: side in pixels, at least 8.
    """
    times = 2 if size <= SUPERSAMPLED else 1
    pixels = size * times
    image = _skin(view, photo, pixels)
    shape = outline(truth, lesion)
    angle, radius = photo.uniform(0, 2 * np.pi), truth["diameter"] / 2 / HALF_FIELD_MM * photo.uniform(0.9, 1.15)
    # Off centre, but never so far that the lesion leaves the picture.
    room = max(0.03, 0.55 - 0.6 * radius)
    x, y = photo.uniform(-room, room, 2)
    across, down = (_reached(at, shape.reach * radius, pixels) for at in (x, y))
    line = positions(pixels)
    frame = Frame(pixels, float(x), float(y), float(radius), float(angle), line[across], line[down])
    paint(image[:, down, across], truth, shape, frame, lesion)
    _photograph(image, view, photo, pixels)
    if times > 1:
        image = image[:, ::2] + image[:, 1::2]
        image = (image[:, :, ::2] + image[:, :, 1::2]) * np.float32(0.25)
    image += photo.standard_normal((3, size, size), dtype=np.float32) * np.float32(1.6)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _reached(middle: float, reach: float, pixels: int) -> slice:
    low, high = (int((at + 1) / 2 * pixels) for at in (middle - reach, middle + reach))
    return slice(max(0, low - 1), min(pixels, high + 2))


def _skin(view: View, photo: np.random.Generator, pixels: int) -> Plane:
    low = int(min(view.skin, len(SKIN) - 1.001))
    base = SKIN[low] + (SKIN[low + 1] - SKIN[low]) * np.float32(view.skin - low)
    slow, quick = view_noise(photo, pixels, 9), view_noise(photo, pixels, 64)
    image = np.empty((3, pixels, pixels), np.float32)
    image[:] = base[:, None, None]
    # Blood shines through in patches (red stays, green and blue go); furrows are fine and darker.
    for channel, amount in enumerate((1.2, -3.6, -3.2)):
        image[channel] += slow * np.float32(amount)
    image *= 1 - np.float32(0.045) * np.exp(quick * quick * np.float32(-6)) + quick * np.float32(0.010)
    return image


def _photograph(image: Plane, view: View, photo: np.random.Generator, pixels: int) -> None:
    x = positions(pixels)
    y = x[:, None]
    if view.bubbles > 0:
        _bubbles(image, view.bubbles, photo, x, y)
    if view.hair > 0:
        _hairs(image, view, photo, pixels)
    if view.ruler:
        _ruler(image, photo, pixels)
    left, top = photo.uniform(-0.12, 0.12, 2).astype(np.float32)
    away = np.square(x - left) + np.square(y - top)
    image *= (photo.normal(1.0, 0.05) * (1 + photo.normal(0, 0.02, 3))).astype(np.float32).reshape(3, 1, 1)
    image *= 1 - np.float32(photo.uniform(0.12, 0.30)) * np.clip(away - np.float32(0.25), 0, 1.6)
    if view.mask:
        reach = np.float32(photo.uniform(1.08, 1.2))
        image *= step((reach - np.sqrt(away)) * np.float32(min(24.0, pixels / 4)) + np.float32(0.5))


def _hairs(image: Plane, view: View, photo: np.random.Generator, pixels: int) -> None:
    count = 1 + int(view.hair * 13)
    heading = photo.uniform(0, 2 * np.pi) + photo.normal(0, 0.35, count)
    offset, bend = photo.uniform(-1, 1, count), photo.normal(0, 0.16, count)
    start, length = photo.uniform(-1.4, -0.2, count), photo.uniform(0.9, 2.6, count)
    sigma = photo.uniform(0.0055, 0.0105, count)
    colour = (38, 26, 20) if photo.random() < 0.6 or view.skin > 1.2 else (120, 84, 52)
    # Fewer, wider dots where pixels are coarse: the line is the same.
    spacing = 1.4 * max(0.0055, 1.1 / pixels)
    along = np.arange(-1.6, 1.6, spacing)
    side = offset[:, None] + bend[:, None] * along**2
    x = np.cos(heading)[:, None] * along - np.sin(heading)[:, None] * side
    y = np.sin(heading)[:, None] * along + np.cos(heading)[:, None] * side
    drawn = (along >= start[:, None]) & (along <= (start + length)[:, None]) & (np.abs(x) < 1.1) & (np.abs(y) < 1.1)
    wide = np.broadcast_to(sigma[:, None], x.shape)[drawn].astype(np.float32)
    places = x[drawn].astype(np.float32), y[drawn].astype(np.float32)
    line = positions(pixels)
    strands = gaussians(line, line, *places, wide, line_weight(1.3, spacing, wide), pixels)
    blend(image, colour, np.clip(strands, 0, 1) * np.float32(0.88))


def _bubbles(image: Plane, amount: float, photo: np.random.Generator, x: Plane, y: Plane) -> None:
    for _ in range(1 + int(amount * 4)):
        left, top = photo.uniform(-0.95, 0.95, 2).astype(np.float32)
        r = np.float32(photo.uniform(0.05, 0.13))
        away = np.sqrt(np.square(x - left) + np.square(y - top)) / r
        glint = np.sqrt(np.square(x - left + np.float32(0.4) * r) + np.square(y - top + np.float32(0.4) * r)) / r
        rim = np.clip(1 - np.abs(away - 1) * np.float32(5), 0, 1) * np.float32(0.4)
        image *= 1 + step(1 - away) * np.float32(0.06)
        blend(image, (255, 250, 244), np.maximum(rim, np.clip(1 - glint * np.float32(3.3), 0, 1) * np.float32(0.9)))


def _ruler(image: Plane, photo: np.random.Generator, pixels: int) -> None:
    """Millimetre ticks along the lower edge; every fifth is longer."""
    line = positions(pixels)
    place = line * np.float32(HALF_FIELD_MM) + np.float32(photo.uniform(0, 5))
    near = np.abs(place - np.rint(place))
    pixel_mm = 2 * HALF_FIELD_MM / pixels
    half = max(0.05, pixel_mm / 2)
    tick = np.clip(1.5 - near / np.float32(half), 0, 1) * np.float32(0.05 / half)
    top = np.where(np.rint(place) % 5 == 0, np.float32(0.84), np.float32(0.91))
    blend(image, (30, 28, 30), tick * (line[:, None] > top) * np.float32(0.85))
