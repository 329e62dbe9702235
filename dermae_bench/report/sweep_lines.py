"""Rows of a ratio sweep as curves: which points belong together, and what they are held against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dermae_bench.report.leaderboard import Line
from dermae_bench.report.ranking import Cell
from dermae_bench.report.swept import NOBODY, controls, place_of, swept

TOGETHER = 6
"""Curves of one panel: more are divided by what they are trained on, then by classifier."""
MAJORITY = "majority class"


@dataclass(frozen=True, kw_only=True)
class Spot:
    """One point of a curve."""

    x: float
    """Generated images per real one; their number where there are no real ones."""
    cell: Cell
    note: str
    """Why it has no number, or what sets it apart; else empty."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One classifier with more and more images of one generator."""

    classifier: str
    generator: str
    real: str
    """``500`` or ``all``; ``0`` without real images."""
    repeat: int
    """From 1: curves of equal names, e.g. of real images drawn under another seed."""
    spots: tuple[Spot, ...]
    """By x."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """A number that a sweep is held against, whatever the ratio."""

    classifier: str
    real: str
    """Real images that a control was trained on; empty for the majority class, which is no control."""
    label: str
    """What it is called in its panel."""
    cell: Cell

    @property
    def floor(self) -> bool:
        return not self.real


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Curves that share one plot."""

    title: str
    alone: bool
    """Whether x counts images, since no real ones stand beside them."""
    names: tuple[tuple[str, ...], ...]
    """What each curve is called in this panel: the names that tell it from the others."""
    curves: tuple[Curve, ...]
    levels: tuple[Level, ...]


def panels_of(lines: Sequence[Line], metric: str) -> tuple[Panel, ...]:
    """The plots of one section of the board; none where no generated image has given a number."""
    points = [line for line in lines if line.info.kind == "measured" and swept(line.info)]
    curves = list(_curves(points, metric))
    if not any(spot.cell.value is not None for curve in curves for spot in curve.spots if spot.x > 0):
        return ()
    levels = list(_controls(points, metric))
    floors = [
        Level(classifier=MAJORITY, real="", label=MAJORITY, cell=line.cells[metric])
        for line in lines
        if line.info.kind == "floor" and line.info.names.get("classifier") == MAJORITY
        if line.cells[metric].value is not None
    ][:1]
    return tuple(_panels(curves, levels, floors))


def words(curve: Curve) -> dict[str, str]:
    """The names of a curve as a reader takes them."""
    return {
        "classifier": curve.classifier,
        "generator": curve.generator,
        "real": "no real images" if curve.real == "0" else f"{_count(curve.real)} real images",
        "repeat": f"({curve.repeat})" if curve.repeat > 1 else "",
    }


def _curves(points: Sequence[Line], metric: str) -> Iterator[Curve]:
    """Every classifier, generator and number of real images; points without generated ones open all their curves."""
    found: dict[tuple[str, str, str], dict[float, list[Line]]] = {}
    for line in points:
        names = line.info.names
        place = place_of(line.info)
        assert place is not None
        at = found.setdefault((names["classifier"], names["generator"], names["real"]), {})
        at.setdefault(place, []).append(line)
    for (classifier, generator, real), at in sorted(found.items(), key=lambda item: _order(item[0])):
        if generator == NOBODY:
            continue
        places = {**found.get((classifier, NOBODY, real), {}), **at}
        # equal names at one place are repeats, e.g. under several seeds of a sweep: each is a curve of its own
        for repeat in range(max(map(len, at.values()))):
            its = {x: sorted(lines, key=lambda line: line.info.row) for x, lines in places.items()}
            spots = [_spot(x, lines[repeat], metric) for x, lines in sorted(its.items()) if repeat < len(lines)]
            yield Curve(classifier=classifier, generator=generator, real=real, repeat=repeat + 1, spots=tuple(spots))


def _controls(points: Sequence[Line], metric: str) -> Iterator[Level]:
    """Classifiers that stand at ratio 0 alone, by the number of their real images."""
    alone = controls(line.info for line in points)
    for line in sorted(points, key=lambda line: _order((line.info.names["classifier"], "", line.info.names["real"]))):
        names = line.info.names
        if line.info.row in alone:
            name = names["classifier"]
            yield Level(classifier=name, real=names["real"], label=name, cell=line.cells[metric])


def _panels(curves: Sequence[Curve], held: Sequence[Level], floors: Sequence[Level]) -> Iterator[Panel]:
    for alone in (False, True):
        kind = [curve for curve in curves if (curve.real == "0") == alone]
        for group in _divided(kind):
            own = [words(curve) for curve in group]
            same = {name: text for name, text in own[0].items() if all(one[name] == text for one in own)}
            reals = {curve.real for curve in group}
            levels = [level for level in held if level.real in reals and level.cell.value is not None]
            if len({level.real for level in levels}) > 1:
                levels = [replace(level, label=f"{level.classifier}, {_count(level.real)} real") for level in levels]
            title = ", ".join(filter(None, (same.get(name, "") for name in ("classifier", "generator", "real"))))
            # a panel whose curves share nothing is called by what they are about
            yield Panel(
                title=title or ("Generated images alone" if alone else "Generated beside real images"),
                alone=alone,
                names=tuple(tuple(text for name, text in one.items() if text and name not in same) for one in own),
                curves=tuple(group),
                levels=(*levels, *floors),
            )


def _divided(curves: Sequence[Curve]) -> Iterator[list[Curve]]:
    """At most `TOGETHER` curves each, if dividing by real images and then by classifier makes them so few."""
    if not curves:
        return
    if len(curves) <= TOGETHER:
        yield list(curves)
        return
    for by_real in _grouped(curves, [curve.real for curve in curves]):
        if len(by_real) <= TOGETHER:
            yield by_real
        else:
            yield from _grouped(by_real, [curve.classifier for curve in by_real])


def _grouped(curves: Sequence[Curve], keys: Iterable[str]) -> list[list[Curve]]:
    found: dict[str, list[Curve]] = {}
    for curve, key in zip(curves, keys, strict=True):
        found.setdefault(key, []).append(curve)
    return list(found.values())


def _spot(x: float, line: Line, metric: str) -> Spot:
    cell = line.cells[metric]
    if cell.value is None:
        return Spot(x=x, cell=cell, note=line.info.reason or cell.reason or line.info.status)
    return Spot(x=x, cell=cell, note=cell.apart)


def _order(names: tuple[str, str, str]) -> tuple[int, float, str, str]:
    classifier, generator, real = names
    amount = real.partition(",")[0]
    return (0, float(amount), classifier, generator + real) if amount.isdecimal() else (1, 0.0, classifier, generator)


def _count(real: str) -> str:
    amount, comma, how = real.partition(",")
    return f"{int(amount):,}{comma}{how}" if amount.isdecimal() else real
