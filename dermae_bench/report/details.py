"""What stands behind a distance: its curve over the number of images, and the nearest training images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dermae_bench.report.leaderboard import NAMES, Value
from dermae_bench.report.records import Boards, RowInfo


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A generated image and the training image nearest to it."""

    generated: str
    training: str
    """Names of both."""
    distance: float
    held_out_distance: float
    """From the same generated image to the nearest image that the generator never saw."""
    near: bool
    """Whether it counts as a near copy."""


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The nearest pairs of one row by one metric."""

    info: RowInfo
    metric: str
    reach: float
    """Distance below which a pair counts as a near copy."""
    expected: float
    """Share of near copies of an honest generator."""
    pairs: tuple[Pair, ...]
    """By distance, the nearest first."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A distance at one number of images."""

    n: int
    subsets: int
    value: float
    """Mean over the subsets."""
    sd: float | None
    """Spread over the subsets; None for one."""


@dataclass(frozen=True, kw_only=True)
class OverCount:
    """The distance of one row over the number of generated images."""

    info: RowInfo
    metric: str
    points: tuple[Point, ...]
    intercept: float
    """Of the straight line over 1 / n: the distance at infinitely many images."""


def nearest(boards: Boards) -> tuple[Nearest, ...]:
    """Every list of nearest pairs, in the order of the rows."""
    return tuple(
        Nearest(
            info=info,
            metric=metric,
            reach=float(its["reach"]),
            expected=float(its["expected_near_copies"]),
            pairs=tuple(_pair(about, float(its["reach"])) for about in its["pairs"]),
        )
        for info, metric, its in _details(boards)
        if "pairs" in its
    )


def over_counts(boards: Boards) -> dict[str, tuple[OverCount, ...]]:
    """Metric column -> the curve of each row that has one."""
    found: dict[str, list[OverCount]] = {}
    for info, metric, its in _details(boards):
        if "curve" in its:
            points = tuple(
                Point(n=int(p["n"]), subsets=int(p["subsets"]), value=float(p["fd"]), sd=p["sd"]) for p in its["curve"]
            )
            made = OverCount(info=info, metric=metric, points=points, intercept=float(its["intercept"]))
            found.setdefault(metric, []).append(made)
    return {metric: tuple(curves) for metric, curves in found.items()}


def name_of(info: RowInfo) -> str:
    """A row's name for a reader: all of its names but the section."""
    names = [*NAMES[info.board][:2], *sorted(set(info.names) - set(NAMES[info.board]))]
    return " / ".join(filter(None, (info.names.get(name, "") for name in names)))


def pair_cells(boards: Boards) -> Iterator[list[Value]]:
    """`nearest-pairs.csv`: header and one line a pair."""
    lists = nearest(boards)
    own = NAMES["generators"]
    names = [*own, *sorted({name for its in lists for name in its.info.names} - set(own))]
    yield [*names, "kind", "metric", "generated", "training", "distance", "held-out distance", "reach", "near copy"]
    for its in lists:
        named = [its.info.names.get(name, "") for name in names]
        for pair in its.pairs:
            yield [
                *named, its.info.kind, its.metric, pair.generated, pair.training, pair.distance,
                pair.held_out_distance, its.reach, "yes" if pair.near else "no",
            ]  # fmt: skip


def curve_cells(boards: Boards) -> Iterator[list[Value]]:
    """`distance-over-n.csv`: header and one line a point."""
    curves = [curve for its in over_counts(boards).values() for curve in its]
    own = NAMES["generators"]
    names = [*own, *sorted({f"row {name}" for curve in curves for name in curve.info.names if name not in own})]
    yield [*names, "kind", "metric", "n", "subsets", "value", "sd", "intercept"]
    for curve in curves:
        named = [curve.info.names.get(name.removeprefix("row "), "") for name in names]
        for p in curve.points:
            yield [*named, curve.info.kind, curve.metric, p.n, p.subsets, p.value, p.sd, curve.intercept]


def _details(boards: Boards) -> Iterator[tuple[RowInfo, str, Mapping[str, Any]]]:
    for info in boards.rows:
        for metric, its in boards.details.get(info.row, {}).items():
            yield info, metric, its


def _pair(about: Mapping[str, Any], reach: float) -> Pair:
    distance = float(about["distance"])
    return Pair(
        generated=str(about["generated"]),
        training=str(about["training"]),
        distance=distance,
        held_out_distance=float(about["held_out_distance"]),
        near=distance < reach or distance == 0,
    )
