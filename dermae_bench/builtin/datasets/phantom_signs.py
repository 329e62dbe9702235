"""The lesion itself: outline, colours and the signs that dermoscopy names, each as strong as its attribute says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermae_bench.builtin.datasets.phantom_canvas import Frame, Plane, blend, line_weight, step

_STEPS = 512
_HARMONICS = np.array([1, 2, 3, 4, 5, 6, 7, 9, 11, 13])
_TURNS = _HARMONICS[:, None] * np.linspace(-np.pi, np.pi, _STEPS)
_COSINES, _SINES = np.cos(_TURNS), np.sin(_TURNS)
_BROWN = np.array([[224, 182, 158], [178, 122, 82], [122, 76, 48], [72, 44, 34], [40, 27, 26]], np.float32)
"""From pale pink over light and dark brown to nearly black: the depth of melanin."""


@dataclass(frozen=True)
class Outline:
    """Radius of the border in each of 512 directions, in mean radii."""

    edge: Plane
    wobble: float
    softness: float

    @property
    def reach(self) -> float:
        """No ink lies farther out than this."""
        return float(self.edge.max()) + 3 * self.wobble + self.softness / 2


@dataclass(frozen=True)
class Layers:
    """What every sign is painted on."""

    image: Plane
    frame: Frame
    inside: Plane
    """0 outside the lesion .. 1 inside."""
    depth: Plane
    """Below the border, in radii."""
    u: Plane
    v: Plane
    clouds: Plane
    """(3, h, w) slow noise."""
    grain: Plane
    base: Plane

    def shade(self, factor: Plane) -> None:
        """Darken (below 1) or lighten (above 1) every pixel by a factor (h, w), in place."""
        np.multiply(self.image, factor, out=self.image)


def outline(truth: Mapping[str, float], lesion: np.random.Generator) -> Outline:
    """Asymmetry bends the circle in few, an irregular border in many places."""
    few, many = 0.03 + 0.30 * truth["asymmetry"], 0.01 + 0.17 * truth["border"]
    sizes = lesion.uniform(0.6, 1.0, len(_HARMONICS)) * np.where(_HARMONICS <= 3, few, many) / np.sqrt(_HARMONICS)
    phases = lesion.uniform(0, 2 * np.pi, len(_HARMONICS))
    edge = (1 + (sizes * np.cos(phases)) @ _COSINES - (sizes * np.sin(phases)) @ _SINES).astype(np.float32)
    edge = np.maximum(edge, np.float32(0.25))
    # Same area whatever the shape, so that diameter and irregularity stay independent facts.
    edge /= np.sqrt(np.mean(edge * edge))
    return Outline(edge, 0.02 + 0.09 * truth["border"], 0.05 + 0.5 * (1 - truth["sharpness"]) ** 1.5)


def paint(image: Plane, truth: Mapping[str, float], shape: Outline, frame: Frame, lesion: np.random.Generator) -> None:
    """Lay the lesion over the skin `image` (3, h, w) of the frame, in place."""
    u, v = frame.lesion_coordinates()
    rho = np.sqrt(u * u + v * v)
    turn = ((np.arctan2(v, u) + np.float32(np.pi)) * np.float32((_STEPS - 1) / (2 * np.pi))).astype(np.int32)
    wobble = np.clip(frame.noise(lesion, 12, 1)[0], -3, 3) * np.float32(shape.wobble)
    depth = shape.edge[np.clip(turn, 0, _STEPS - 1)] - rho + wobble
    blur = max(shape.softness, 3 / frame.pixels / frame.radius)
    inside = step(depth / np.float32(blur) + np.float32(0.5))
    clouds, grain = frame.noise(lesion, 6, 3), frame.noise(lesion, 23, 1)[0]
    layers = Layers(image, frame, inside, depth, u, v, clouds, grain, _base(truth))
    # Each sign has its own stream: a weak sign that is not drawn moves no other.
    key = int(lesion.integers(2**62))
    _ground(layers, truth)
    _network(layers, _seen(truth["network"]))
    _veil(layers, _seen(truth["veil"]))
    for number, (name, sign) in enumerate((("scale", _scale), ("lacunae", _lacunae), ("vessels", _vessels))):
        if strength := _seen(truth[name]):
            sign(layers, strength, np.random.default_rng((key, number)))
    _scar(layers, _seen(truth["scar"]), rho)
    if strength := _seen(truth["cysts"]):
        _cysts(layers, strength, np.random.default_rng((key, 3)))


def _seen(strength: float) -> float:
    """Weak signs are not drawn at all, strong ones fully: what a reader of dermoscopy would call present."""
    return float(np.clip((strength - 0.15) / 0.6, 0, 1))


def _base(truth: Mapping[str, float]) -> Plane:
    at = float(np.clip(truth["pigment"], 0, 0.9999)) * (len(_BROWN) - 1)
    brown = _BROWN[int(at)] + (_BROWN[int(at) + 1] - _BROWN[int(at)]) * np.float32(at - int(at))
    red = np.array([212, 104, 98], np.float32) * np.float32(1.08 - 0.45 * truth["pigment"])
    colour: Plane = brown + (red - brown) * np.float32(0.85 * truth["redness"])
    return colour


def _ground(on: Layers, truth: Mapping[str, float]) -> None:
    blend(on.image, on.base, on.inside * np.float32(0.93))
    # Naevi fade towards the border; pigment lies in clouds and fine grains.
    on.shade(1 + on.inside * (on.clouds[0] * np.float32(0.06) + on.grain * np.float32(0.035)))
    colours = np.float32(truth["colours"])
    light = on.base + (np.array([206, 150, 110], np.float32) - on.base) * np.float32(0.75)
    for cloud, shade in ((on.clouds[1], on.base * np.float32(0.40)), (on.clouds[2], light)):
        spot = step(cloud * np.float32(1.3) + 3 * colours - np.float32(1.6))
        blend(on.image, shade, on.inside * spot * np.float32(0.8) * colours)


def _network(on: Layers, strength: float) -> None:
    if strength == 0:
        return
    pitch = np.float32(2 * np.pi / 0.17)
    u = on.u + on.clouds[1] * np.float32(0.07) + on.grain * np.float32(0.018)
    v = on.v + on.clouds[2] * np.float32(0.07) - on.grain * np.float32(0.018)
    third = pitch * np.float32(0.8660254) * v
    # Three waves at 120 degrees: they meet in the holes; the lines between are the honeycomb of the rete ridges.
    mesh = np.cos(pitch * u) + 2 * np.cos(pitch * np.float32(0.5) * u) * np.cos(third)
    lines = 1 - step((mesh + np.float32(1.1)) * np.float32(0.5))
    place = on.inside * (np.float32(0.75) + np.float32(0.25) * step(on.clouds[0] + np.float32(0.8)))
    on.shade(1 - place * (lines - np.float32(0.22)) * np.float32(0.5 * strength))


def _veil(on: Layers, strength: float) -> None:
    if strength == 0:
        return
    haze = step(np.float32(0.62) - on.clouds[2] * np.float32(0.42)) * step(on.depth * np.float32(1.8))
    blend(on.image, (112, 126, 156), on.inside * haze * (1 + on.grain * np.float32(0.10)) * np.float32(0.68 * strength))


def _scale(on: Layers, strength: float, rng: np.random.Generator) -> None:
    """Strawberry pattern: pale follicles in a red ground, flakes of white to yellow keratin on top."""
    u, v = on.frame.scattered(rng, 46, 1.05)
    follicles = on.frame.blobs(u, v, np.full(len(u), 0.055, np.float32), np.ones(len(u), np.float32))
    blend(on.image, (232, 178, 150), on.inside * np.clip(follicles, 0, 1) * np.float32(0.6 * strength))
    flakes = step((on.clouds[1] * np.float32(0.7) + on.grain * np.float32(0.7) - np.float32(0.5)) * np.float32(1.3))
    blend(on.image, (243, 232, 208), on.inside * flakes * np.float32(0.8 * strength))


def _lacunae(on: Layers, strength: float, rng: np.random.Generator) -> None:
    u, v = on.frame.scattered(rng, 16, 0.85)
    wide = rng.uniform(0.09, 0.19, len(u)).astype(np.float32)
    deep = (104, 12, 44) if rng.random() < 0.4 else (158, 20, 36)
    lakes = on.frame.blobs(u, v, wide, np.ones(len(u), np.float32))
    sharp = step((lakes - np.float32(0.45)) * np.float32(2.2))
    blend(on.image, (226, 170, 172), on.inside * (1 - sharp) * np.float32(0.45 * strength))
    blend(on.image, deep, on.inside * sharp * (np.float32(0.82) + on.grain * np.float32(0.05)) * np.float32(strength))


def _vessels(on: Layers, strength: float, rng: np.random.Generator) -> None:
    """Arborising vessels: thick stems from the border, thinner twigs, sharp and bright red."""
    parts: list[NDArray[np.float64]] = []
    first = rng.uniform(0, 2 * np.pi)
    for start in first + np.array([0, 2.1, 4.2]) + rng.uniform(-0.4, 0.4, 3):
        stem = _walk(rng, 1.05 * np.array([np.cos(start), np.sin(start)]), start + np.pi + rng.uniform(-0.4, 0.4), 44)
        parts.append(np.column_stack([stem, np.linspace(0.034, 0.016, len(stem))]))
        for fork in rng.integers(6, 40, 5):
            heading = start + np.pi + rng.choice([-1, 1]) * rng.uniform(0.5, 1.1)
            twig = _walk(rng, stem[fork], heading, 22)
            parts.append(np.column_stack([twig, np.linspace(0.018, 0.008, len(twig))]))
    u, v, wide = np.concatenate(parts).astype(np.float32).T
    red = np.clip(on.frame.blobs(u, v, wide, line_weight(1.3, _STRIDE, wide)), 0, 1)
    blend(on.image, (172, 28, 38), step(on.inside * 2) * red * np.float32(0.85 * strength))


_STRIDE = 0.03


def _walk(rng: np.random.Generator, start: NDArray[np.float64], heading: float, steps: int) -> NDArray[np.float64]:
    turns = heading + np.cumsum(rng.normal(0, 0.2, steps))
    return start + np.cumsum(_STRIDE * np.column_stack([np.cos(turns), np.sin(turns)]), axis=0)


def _scar(on: Layers, strength: float, rho: Plane) -> None:
    if strength == 0:
        return
    patch = step(
        (np.float32(0.66) - rho + on.clouds[0] * np.float32(0.05) + on.grain * np.float32(0.03)) * np.float32(2)
    )
    blend(on.image, (240, 216, 204), on.inside * patch * np.float32(0.85 * strength))


def _cysts(on: Layers, strength: float, rng: np.random.Generator) -> None:
    """Milia-like cysts shine; comedo-like openings are brown plugs."""
    u, v = on.frame.scattered(rng, 22, 0.9)
    small, large = rng.uniform(0.03, 0.06, 14).astype(np.float32), rng.uniform(0.05, 0.085, 8).astype(np.float32)
    plugs = on.frame.blobs(u[14:], v[14:], large, np.ones(8, np.float32))
    shine = on.frame.blobs(u[:14], v[:14], small, np.full(14, 1.2, np.float32))
    blend(on.image, (62, 40, 24), on.inside * step(plugs * np.float32(1.4)) * np.float32(0.75 * strength))
    blend(on.image, (250, 240, 214), on.inside * np.clip(shine, 0, 1) * np.float32(0.88 * strength))
