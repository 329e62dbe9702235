"""Rows of ratio sweeps: where they stand on their axis, and which of them are controls."""

from __future__ import annotations

import math
from collections.abc import Iterable

from dermae_bench.report.ranking import section_of
from dermae_bench.report.records import RowInfo

AXES = ("generator", "real", "ratio")
"""Names of a row that say where it stands on a sweep."""
NOBODY = "none"
"""Generator of a point without generated images."""
ALONE = "n="
"""How the ratio of generated images without real ones begins; their number follows."""
CONTROL = "control: real images alone"
"""The mark of a row that a sweep is held against."""


def swept(info: RowInfo) -> bool:
    """Whether a row is a point of a sweep."""
    return info.board == "classifiers" and all(info.names.get(name) for name in AXES) and place_of(info) is not None


def place_of(info: RowInfo) -> float | None:
    """Where a row stands on its axis; None where its ratio is no number: then it is no point of a sweep."""
    text = info.names["ratio"].removeprefix(ALONE)
    try:
        place = float(text)
    except ValueError:
        return None
    return place if math.isfinite(place) and place >= 0 else None


def controls(infos: Iterable[RowInfo]) -> frozenset[str]:
    """The rows that stand at ratio 0 alone: classifiers with no point of generated images beside as many real ones, in
    a section where others have such points.
    """
    points = [info for info in infos if info.kind == "measured" and swept(info)]
    curves, amounts = set(), set()
    for info in points:
        names = info.names
        if names["generator"] != NOBODY:
            curves.add((section_of(info), names["classifier"], names["real"]))
            amounts.add((section_of(info), names["real"]))
    return frozenset(
        info.row
        for info in points
        if info.names["generator"] == NOBODY
        and (section_of(info), info.names["real"]) in amounts
        and (section_of(info), info.names["classifier"], info.names["real"]) not in curves
    )
