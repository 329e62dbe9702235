"""A sweep becomes rows and image sets: from here on nothing else knows that there was one.

Each point is a row over sets that are named by what they hold (`train-500`, `flow-x0.5`), so two points share what they
have in common, and a sweep that grows costs its new points alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dermae_bench.durable import digest_of
from dermae_bench.plugin.checking import Finding, Path, suggestion
from dermae_bench.suite.places import specs, texts

AXES = ("generator", "real", "ratio")
"""Columns of the board that say where a row stands on a sweep."""
NOBODY = "none"
"""Generator of a point without generated images; no generator of a suite with sweeps has that name."""
LARGEST = 1e9
"""Generated images, or generated images a real one, of one point."""
MOST_POINTS = 400
"""Points of one sweep."""
MOST_IN_ALL = 4_000
"""Points of all sweeps of a suite."""
LONGEST_WORDS = 24
"""Letters of a sampling that an image set is called by; longer ones are called by a digest."""


@dataclass(frozen=True)
class Origins:
    """Where the rows and image sets that sweeps made stand in the file."""

    rows: tuple[tuple[int, bool, bool], ...] = ()
    """Of every row: its entry in the file, whether a sweep made it, and whether it is a control."""
    sets: Mapping[str, Path] = field(default_factory=dict)
    """Image set that a sweep made -> the sweep."""

    def at_home(self, finding: Finding) -> Finding:
        """The same finding at the place that the user wrote."""
        section, *rest = finding.path or ("",)
        if section == "rows" and self.rows and rest and isinstance(rest[0], int):
            entry, made, control = self.rows[rest[0]]
            inner = tuple(rest[1:])
            if made and inner[:1] == ("classifiers",):
                inner = ("sweep", "control", *inner[1:]) if control else inner
            elif made and inner:
                inner = ("sweep",)
            return replace(finding, path=("rows", entry, *inner))
        if section == "image_sets" and rest and rest[0] in self.sets:
            # what the sets of a sweep are made of, as the sweep says it
            word = {"task": "balance", "even": "balance"}.get(str(rest[1]), str(rest[1])) if rest[1:] else ""
            inner = (word, *rest[2:]) if word in ("samples", "sampling", "captions", "balance") else ()
            return replace(finding, path=(*self.sets[str(rest[0])], *inner))
        return finding


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
    for at, row, sweep in _sweeps(suite):
        place = (*at, "sweep")
        for name_at, name in texts(sweep.get("samples"), (*place, "samples")):
            if name == NOBODY:
                message = f"{NOBODY!r} is what boards call a point without generated images"
                yield Finding(name_at, message, "give the generator another name")
        for key in ("ratio", "synthetic_n"):
            for number, value in enumerate(_list(sweep, key)):
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
            len(_list(sweep, "real_n")) * len(_list(sweep, "ratio")) + len(_list(sweep, "synthetic_n"))
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
        if sweep.get("balance") is not None and "all" in _list(sweep, "real_n"):
            message = "classes cannot stand in equal numbers in all of `train`"
            yield Finding((*place, "real_n"), message, "write numbers, or leave `balance` out")
        yield from _small(place, sweep)
        yield from _control(suite, at, row, sweep)
        for name, body in (pair for point in _points(sweep) for pair in point.sets):
            if given.get(name, body) != body:
                message = f"the sweep makes an image set {name!r}, and the suite has another of that name"
                yield Finding(("image_sets", name), message, "choose another name", on_key=True)
                break
            if made.setdefault(name, body) != body:
                message = f"the image set {name!r} would be two different ones: sweeps make both"
                yield Finding(place, message, "give one of the generators another name")
                break


def expand(suite: dict[str, Any]) -> Origins:
    """Put the rows and image sets of every sweep in its place, and tell where each comes from.

    Args:
        suite: normalised JSON of a suite without `sweep_findings`; changed.
    """
    rows = suite.get("rows")
    if not isinstance(rows, list) or not any(isinstance(row, dict) and row.get("sweep") for row in rows):
        return Origins()
    given = set(suite["image_sets"])
    found: list[Any] = []
    origins: list[tuple[int, bool, bool]] = []
    sets: dict[str, Path] = {}
    # sweeps of several generators share their points of real images alone
    done: set[tuple[str, str, str]] = set()
    for entry, row in enumerate(rows):
        sweep = row.get("sweep") if isinstance(row, dict) else None
        if not isinstance(sweep, dict):
            found.append(row)
            origins.append((entry, False, False))
            continue
        for point in _points(sweep):
            suite["image_sets"].update(point.sets)
            sets |= {name: ("rows", entry, "sweep") for name, _ in point.sets if name not in given}
            own = {"train": point.train, "sweep": None, "point": dict(point.axes)}
            controls = [name for _, name in texts(sweep.get("control"), ())] if point.control else []
            for names, control in ((row.get("classifiers"), False), (controls, True)):
                left = _left(names, own, done)
                if left:
                    found.append({**row, **own, "classifiers": left})
                    origins.append((entry, True, control))
    suite["rows"] = found
    return Origins(tuple(origins), sets)


def _left(names: Any, own: Mapping[str, Any], done: set[tuple[str, str, str]]) -> Any:
    """Those classifiers that have no row at this point yet; what is no name is left as it is."""
    if not isinstance(names, str | list):
        return names

    def fresh(name: Any) -> bool:
        if not isinstance(name, str):
            return True
        key = (name, repr(own["train"]), repr(own["point"]))
        before = key in done
        done.add(key)
        return not before

    if isinstance(names, str):
        return names if fresh(names) else None
    return [name for name in names if fresh(name)]


class _Point:
    """One training set of a sweep."""

    def __init__(self, real: str | int | None, samples: str, amount: float, sweep: Mapping[str, Any]) -> None:
        self.sets: list[tuple[str, dict[str, Any]]] = []
        self.control = real is not None and amount == 0
        names: list[str] = []
        balance, captions = sweep.get("balance"), sweep.get("captions")
        even = "-even" if balance is not None else ""
        if real == "all":
            names.append("train")
        elif real is not None:
            seed = sweep.get("seed") or 0
            names.append(f"train-{real}{even}" + (f"-seed{seed}" if seed else ""))
            chosen = {"fraction": None, "count": real, "per_class": None, "task": balance, "seed": seed}
            self.sets.append((names[0], {"from": "train", **chosen}))
        if amount:
            # of all images nobody knows the number yet
            share = float(amount) if real == "all" else None
            count = None if share else _drawn(real, amount)
            how: dict[str, Any] = {"per_class": None, "even": balance is not None, "sampling": sweep.get("sampling")}
            how |= {"captions": captions, "labels": None}
            name = f"{samples}-" + (f"x{_said(amount)}" if share else str(count)) + even
            name += (f"-{captions}" if isinstance(captions, str) else "") + _words(sweep.get("sampling"))
            names.append(name)
            self.sets.append((name, {"samples": samples, "count": count, "ratio": share, **how}))
        self.train: str | list[str] = names[0] if len(names) == 1 else names
        seed = sweep.get("seed") or 0
        which = ["in equal classes"] if balance is not None else []
        which += [f"seed {seed}"] if seed and real not in (None, "all") else []
        told = [f"captions {captions}"] if isinstance(captions, str) else []
        told += [_words(sweep.get("sampling")).strip("-")] if isinstance(sweep.get("sampling"), dict) else []
        self.axes = {
            "generator": ", ".join([samples, *told]) if amount else NOBODY,
            "real": "0" if real is None else ", ".join([str(real), *which]),
            "ratio": _said(amount) if real is not None else f"n={_said(amount)}",
        }


def _drawn(real: str | int | None, amount: float) -> int:
    """Generated images beside so many real ones, or alone."""
    return round(amount) if real is None else round(amount * int(real))


def _said(amount: float) -> str:
    """A number in full, in letters that a name may have."""
    return str(int(amount)) if amount == int(amount) else repr(float(amount))


def _words(sampling: Any) -> str:
    """What tells sets of one generator apart that are drawn in different ways."""
    if not isinstance(sampling, dict):
        return ""
    plain = all(isinstance(value, str | int | float) for value in sampling.values())
    told = "".join(f"-{name}-{value}" for name, value in sorted(sampling.items())) if plain else ""
    usual = told.replace("-", "").replace("_", "").replace(".", "")
    if 0 < len(told) <= LONGEST_WORDS and usual.isalnum() and usual.isascii():
        return told
    return f"-{digest_of(sampling)[:8]}"


def _points(sweep: Mapping[str, Any]) -> Iterator[_Point]:
    """Every training set, those without samples once for all generators."""
    seen: set[str] = set()
    for _, samples in texts(sweep.get("samples"), ()):
        amounts = [(real, ratio) for real in _list(sweep, "real_n") for ratio in _list(sweep, "ratio")]
        for real, amount in [*amounts, *((None, count) for count in _list(sweep, "synthetic_n"))]:
            if not _number(amount) or not (real is None or real == "all" or _whole(real)):
                continue
            point = _Point(real, samples, amount, sweep)
            if (key := repr(point.train)) not in seen:
                seen.add(key)
                yield point


def _number(value: Any) -> bool:
    # JSON has neither NaN nor infinity
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list(sweep: Mapping[str, Any], key: str) -> Sequence[Any]:
    held = sweep.get(key)
    return held if isinstance(held, list) else []


def _sweeps(suite: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any], dict[str, Any]]]:
    for at, row in specs(suite, "rows"):
        if isinstance(row.get("sweep"), dict):
            yield at, row, row["sweep"]


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
    for number, value in enumerate(_list(sweep, key)):
        known = value if isinstance(value, str) or _number(value) else None
        if known is not None and known in seen:
            said = repr(known) if isinstance(known, str) else _said(known)
            yield Finding((*place, key, number), f"{said} is given twice", "remove one")
        seen.add(known)


def _small(place: Path, sweep: Mapping[str, Any]) -> Iterator[Finding]:
    """Ratios of so many images that are none, or as many as another ratio of them."""
    for real in _list(sweep, "real_n"):
        counts: dict[int, float] = {}
        for number, ratio in enumerate(_list(sweep, "ratio")):
            if not _whole(real) or real < 1 or not _number(ratio) or ratio <= 0:
                continue
            count = _drawn(real, ratio)
            if count == 0:
                message = f"{_said(ratio)} times {real} real images is no generated one"
                yield Finding((*place, "ratio", number), message, "take a larger ratio, or more real images")
            elif counts.setdefault(count, ratio) != ratio:
                message = (
                    f"{_said(counts[count])} and {_said(ratio)} times {real} real images are {count} generated ones"
                )
                yield Finding((*place, "ratio", number), message, "remove one")


def _control(suite: Mapping[str, Any], at: Path, row: Mapping[str, Any], sweep: Mapping[str, Any]) -> Iterator[Finding]:
    """Controls spend what the swept classifiers spend, and stand where there are real images alone."""
    controls = list(texts(sweep.get("control"), (*at, "sweep", "control")))
    if not controls:
        return
    if 0 not in _list(sweep, "ratio"):
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

    swept = {name: spent(name) for _, name in texts(row.get("classifiers"), ())}
    for place, name in controls:
        if name not in classifiers:
            yield Finding(place, f"unknown classifier {name!r}", suggestion(name, classifiers, "classifiers"))
        elif name in swept:
            yield Finding(place, f"{name!r} is swept itself", "name a classifier with another augmentation")
        elif any(found != spent(name) for found in swept.values()):
            message = f"{name!r} has another budget than what it is a control of"
            yield Finding(place, message, "give them one budget")
