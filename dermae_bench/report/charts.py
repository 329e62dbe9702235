"""Charts as geometry and texts: one layout for the page and for the files, drawn by hand as SVG.

Nothing is measured in a font: room for a text is reckoned from its letters, generously, so that no machine's fonts move
anything, and equal charts are equal bytes.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dermae_bench.durable import digest_of
from dermae_bench.report.escape import visible, width_of
from dermae_bench.report.numbers import shown

LETTER = 0.6
"""Width of a letter as a share of the size of its font: more than common fonts need on average."""
SIZE = 11
"""Pixels of the font of every text."""
LONGEST_NAME = 80
"""Characters of a file's name before its ending."""


@dataclass(frozen=True, kw_only=True)
class Path:
    """A line, an area or many dots."""

    d: str
    """SVG path data, in user units."""
    css: str
    """Classes: a colour `c0`..`c5` or `soft`; what it is: `line`, `area`, `dots`, `mark`, `whisker`, `rule`, ..."""


@dataclass(frozen=True, kw_only=True)
class Text:
    x: float
    y: float
    """Of the base line."""
    text: str
    css: str = "soft"
    anchor: str = "start"
    """start, middle or end."""
    turned: bool = False
    """Written upwards."""


@dataclass(frozen=True, kw_only=True)
class Lines:
    """A table of texts, which says in words what a picture shows."""

    heads: tuple[str, ...]
    numeric: tuple[bool, ...]
    """Which columns hold numbers."""
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One chart with everything that is said about it; texts are as they came, and escaped where they are written."""

    name: str
    """Names the files: `figures/NAME.svg`, and `figures/NAME.txt` with the caption and the table."""
    title: str
    caption: str
    alt: str
    """What a reader hears who does not see it."""
    width: int
    height: int
    paths: tuple[Path, ...]
    """From the lowest to the uppermost."""
    texts: tuple[Text, ...]
    table: Lines


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A plot's place in a picture, and the values at its borders."""

    left: float
    top: float
    width: float
    height: float
    x_low: float
    x_high: float
    y_low: float
    y_high: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def x(self, value: float) -> float:
        return self.left + (value - self.x_low) / (self.x_high - self.x_low) * self.width

    def y(self, value: float) -> float:
        return self.bottom - (value - self.y_low) / (self.y_high - self.y_low) * self.height

    def holds(self, x: float, y: float) -> bool:
        return self.x_low <= x <= self.x_high and self.y_low <= y <= self.y_high


def polyline(points: Iterable[tuple[float, float]]) -> str:
    """Path data through some places."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def dots(points: Iterable[tuple[float, float]]) -> str:
    """Path data of lines without length: round caps make dots of them."""
    return "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)


def mark(shape: int, x: float, y: float, size: float = 3.5) -> str:
    """Path data of one of six marks: disc, square, triangle, diamond, cross, triangle on its head."""
    s = size
    if shape % 6 == 0:
        return f"M{x - s:.1f} {y:.1f}a{s} {s} 0 1 0 {2 * s} 0a{s} {s} 0 1 0 {-2 * s} 0z"
    corners = {
        1: [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        2: [(0, -1.2), (1.15, 0.9), (-1.15, 0.9)],
        3: [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
        4: [(-1.2, -0.4), (-0.4, -0.4), (-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4),
            (1.2, 0.4), (0.4, 0.4), (0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4)],
        5: [(0, 1.2), (1.15, -0.9), (-1.15, -0.9)],
    }[shape % 6]  # fmt: skip
    return polyline((x + dx * s, y + dy * s) for dx, dy in corners) + "z"


def round_steps(low: float, high: float, about: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten inside [low, high], `about` so many."""
    span = high - low
    if span <= 0:
        return [low]
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    return [round(i * step, 12) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def tick_texts(values: Sequence[float]) -> list[str]:
    """Ticks of one axis, with as many decimals as tell them apart."""
    gaps = [abs(b - a) for a, b in pairwise(values)] or [abs(values[0]) or 1.0] if values else []
    if not gaps or min(gaps) < 1e-4 or max(map(abs, values)) >= 1e6:
        return [format(value, ".3g") for value in values]
    places = next(p for p in range(7) if abs(round(min(gaps), p) - min(gaps)) < min(gaps) * 1e-6 or p == 6)
    return [shown(value, places) for value in values]


def fitted(text: str, width: float, size: float = SIZE) -> str:
    """A text without control characters that takes at most `width` pixels, cut with an ellipsis."""
    letters = max(1, int(width / (LETTER * size)))
    shown = visible(text)
    if width_of(shown) <= letters:
        return shown
    while shown and width_of(shown) > letters - 1:
        shown = shown[:-1]
    return shown.rstrip() + "…"


def spread(places: Sequence[float], low: float, high: float, gap: float) -> list[float]:
    """The same places moved apart to at least `gap`, as little as need be, between `low` and `high` where they fit."""
    order = sorted(range(len(places)), key=lambda i: (places[i], i))
    # neighbours that are too near make a group, which stands about its own mean
    groups: list[list[int]] = []
    centres: list[float] = []
    for i in order:
        groups.append([i])
        centres.append(_kept(places[i], 1, low, high, gap))
        while len(groups) > 1 and centres[-1] - centres[-2] < gap * (len(groups[-1]) + len(groups[-2])) / 2:
            last = groups.pop()
            centres.pop()
            groups[-1] += last
            mean = sum(places[j] for j in groups[-1]) / len(groups[-1])
            centres[-1] = _kept(mean, len(groups[-1]), low, high, gap)
    found = [0.0] * len(places)
    for group, centre in zip(groups, centres, strict=True):
        for number, i in enumerate(group):
            found[i] = centre + (number - (len(group) - 1) / 2) * gap
    return found


def thinned(places: Sequence[float], widths: Sequence[float]) -> list[bool]:
    """Which texts, centred at ascending places, stay when none may touch another; the first and the last first."""
    kept: list[int] = []
    for i in [0, len(places) - 1, *range(1, len(places) - 1)] if places else []:
        if all(abs(places[i] - places[j]) >= (widths[i] + widths[j]) / 2 + SIZE / 2 for j in kept):
            kept.append(i)
    return [i in kept for i in range(len(places))]


def file_names(prefix: str, wanted: Sequence[tuple[str, object]]) -> list[str]:
    """Names of files from what they show; where two come out alike, or one is cut, a digest of the second part tells.

    Args:
        wanted: (what is shown, what makes it unlike all others, as JSON).
    """
    plain = [f"{prefix}-{re.sub(r'[^a-z0-9]+', '-', text.lower()).strip('-')}".rstrip("-") for text, _ in wanted]
    return [
        name if plain.count(name) == 1 and len(name) <= LONGEST_NAME
        else f"{name[: LONGEST_NAME - 7].rstrip('-')}-{digest_of(identity)[:6]}"
        for name, (_, identity) in zip(plain, wanted, strict=True)
    ]  # fmt: skip


def told(picture: Picture) -> str:
    """Title, caption and table as text, for whoever does not see the picture."""
    rows = [tuple(visible(text, 1000) for text in row) for row in (picture.table.heads, *picture.table.rows)]
    widths = [max(width_of(row[k]) for row in rows) for k in range(len(picture.table.heads))]
    lines = []
    for row in rows:
        cells = []
        for text, width, numeric in zip(row, widths, picture.table.numeric, strict=True):
            padding = " " * (width - width_of(text))
            cells.append(padding + text if numeric else text + padding)
        lines.append("  ".join(cells).rstrip())
    caption = textwrap.fill(visible(picture.caption, 4000), 100, break_long_words=False, break_on_hyphens=False)
    return "\n".join([visible(picture.title), "", caption, "", *lines, ""])


def _kept(centre: float, count: int, low: float, high: float, gap: float) -> float:
    half = (count - 1) / 2 * gap
    return max(low + half, min(high - half, centre))
