"""What is wrong with the sweeps of a suite, told before they become rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dermae_bench.plugin.checking import Finding, Path, suggestion
from dermae_bench.suite.places import specs, texts
from dermae_bench.suite.sweeps import (
    AXES,
    LARGEST,
    MOST_IN_ALL,
    MOST_POINTS,
    NOBODY,
    drawn_at,
    is_number,
    is_whole,
    listed,
    points_of,
    said_amount,
    sweeps_of,
)


def sweep_findings(suite: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with the sweeps of a suite (normalised JSON)."""
    for at, row in specs(suite, "rows"):
        point = row.get("point")
        strange = [name for name in point if name not in AXES] if isinstance(point, dict) else []
        if strange:
            message = f"{strange[0]!r} is no axis of a sweep"
            yield Finding((*at, "point", strange[0]), message, f"axes: {', '.join(AXES)}", on_key=True)
    named = suite.get("image_sets")
    given: Mapping[str, Any] = named if isinstance(named, dict) else {}
    made: dict[str, Any] = {}
    total = 0
    for at, row, sweep in sweeps_of(suite):
        place = (*at, "sweep")
        for name_at, name in texts(sweep.get("samples"), (*place, "samples")):
            if name == NOBODY:
                message = f"{NOBODY!r} is what boards call a point without generated images"
                yield Finding(name_at, message, "give the generator another name")
        for key in ("ratio", "synthetic_n"):
            for number, value in enumerate(listed(sweep, key)):
                if isinstance(value, int | float) and abs(value) > LARGEST:
                    yield Finding((*place, key, number), f"{value:g} is out of range: at most {LARGEST:g}")
        if row.get("train") not in ("train", None):
            message = "a row with a sweep says in the sweep what it is trained on"
            yield Finding((*at, "train"), message, "remove `train`", on_key=True)
        if row.get("point"):
            yield Finding((*at, "point"), "a sweep finds its own points", "remove `point`", on_key=True)
        if not sweep.get("ratio") and not sweep.get("synthetic_n"):
            yield Finding(place, "a sweep needs ratio or synthetic_n", "for example ratio: [0, 0.5, 1]")
        for key in ("samples", "real_n"):
            if sweep.get(key) == []:
                yield Finding((*place, key), "the list is empty")
        for key in ("samples", "real_n", "ratio", "synthetic_n"):
            yield from _twice(sweep, key, place)
        points = len(list(texts(sweep.get("samples"), ()))) * (
            len(listed(sweep, "real_n")) * len(listed(sweep, "ratio")) + len(listed(sweep, "synthetic_n"))
        )
        total += points
        if points > MOST_POINTS:
            message = f"a sweep of {points:,} points; at most {MOST_POINTS} are planned"
            yield Finding(place, message, "take fewer values")
            continue
        if total > MOST_IN_ALL:
            message = f"the sweeps up to here have {total:,} points; at most {MOST_IN_ALL:,} are planned"
            yield Finding(place, message, "divide the suite into several")
            return
        yield from _by_another_task(suite, sweep, place)
        beside_all = "all" in listed(sweep, "real_n") and bool(listed(sweep, "ratio"))
        if sweep.get("balance") is not None and beside_all:
            message = "classes cannot stand in equal numbers in all of `train`"
            yield Finding((*place, "real_n"), message, "write numbers, or leave `balance` out")
        yield from _small(place, sweep)
        yield from _control(suite, at, row, sweep)
        for name, body in (pair for point in points_of(sweep) for pair in point.sets):
            if given.get(name, body) != body:
                message = f"the sweep makes an image set {name!r}, and the suite has another of that name"
                yield Finding(("image_sets", name), message, "choose another name", on_key=True)
                break
            if made.setdefault(name, body) != body:
                message = f"the image set {name!r} would be two different ones: sweeps make both"
                yield Finding(place, message, "give one of the generators another name")
                break


def _by_another_task(suite: Mapping[str, Any], sweep: Mapping[str, Any], place: Path) -> Iterator[Finding]:
    """Generators that draw the classes of another task than those that stand in equal numbers."""
    generators = suite.get("generators")
    for at, name in texts(sweep.get("samples"), (*place, "samples")) if sweep.get("balance") is not None else ():
        entry = generators.get(name) if isinstance(generators, dict) else None
        task = entry.get("task") if isinstance(entry, dict) else None
        if task is not None and task != sweep["balance"]:
            message = f"{name!r} draws classes of {task!r}, and this sweep balances those of {sweep['balance']!r}"
            yield Finding(at, message, f"balance: {task}")


def _twice(sweep: Mapping[str, Any], key: str, place: Path) -> Iterator[Finding]:
    seen: set[Any] = set()
    for number, value in enumerate(listed(sweep, key)):
        known = value if isinstance(value, str) or is_number(value) else None
        if known is not None and known in seen:
            said = repr(known) if isinstance(known, str) else said_amount(known)
            yield Finding((*place, key, number), f"{said} is given twice", "remove one")
        seen.add(known)


def _small(place: Path, sweep: Mapping[str, Any]) -> Iterator[Finding]:
    """Ratios of so many images that are none, or as many as another ratio of them."""
    for real in listed(sweep, "real_n"):
        counts: dict[int, float] = {}
        for number, ratio in enumerate(listed(sweep, "ratio")):
            if not is_whole(real) or real < 1 or not is_number(ratio) or ratio <= 0:
                continue
            count = drawn_at(real, ratio)
            if count == 0:
                message = f"{said_amount(ratio)} times {real} real images is no generated one"
                yield Finding((*place, "ratio", number), message, "take a larger ratio, or more real images")
            elif counts.setdefault(count, ratio) != ratio:
                both = f"{said_amount(counts[count])} and {said_amount(ratio)}"
                message = f"{both} times {real} real images are {count} generated ones"
                yield Finding((*place, "ratio", number), message, "remove one")


def _control(suite: Mapping[str, Any], at: Path, row: Mapping[str, Any], sweep: Mapping[str, Any]) -> Iterator[Finding]:
    """Controls spend what the swept classifiers spend, and stand where there are real images alone."""
    controls = list(texts(sweep.get("control"), (*at, "sweep", "control")))
    if not controls:
        return
    if 0 not in listed(sweep, "ratio"):
        message = "a control is trained on real images alone: it needs the point of ratio 0"
        yield Finding((*at, "sweep", "control"), message, "ratio: [0, ...]")
    classifiers, budgets = suite.get("classifiers"), suite.get("budgets")
    if not isinstance(classifiers, dict) or not isinstance(budgets, dict):
        return

    def spent(name: str) -> Any:
        entry = classifiers.get(name)
        chosen = entry.get("budget") if isinstance(entry, dict) else None
        budget = budgets.get(chosen) if isinstance(chosen, str) else None
        # how often a checkpoint is written changes nothing
        return (
            {key: value for key, value in budget.items() if key != "checkpoint"} if isinstance(budget, dict) else None
        )

    def lacks_one(name: str) -> bool:
        # where the cards are known it is told whether it needs a budget, or is not fitted and can be no control
        entry = classifiers.get(name)
        return isinstance(entry, dict) and entry.get("from") is None and entry.get("budget") is None

    swept = {name: spent(name) for _, name in texts(row.get("classifiers"), ())}
    for place, name in controls:
        if name not in classifiers:
            yield Finding(place, f"unknown classifier {name!r}", suggestion(name, classifiers, "classifiers"))
        elif name in swept:
            yield Finding(place, f"{name!r} is swept itself", "name a classifier with another augmentation")
        elif lacks_one(name):
            continue
        elif any(found != spent(name) for other, found in swept.items() if not lacks_one(other)):
            message = f"{name!r} has another budget than what it is a control of"
            yield Finding(place, message, "give them one budget")
