"""A sweep becomes rows and image sets: from here on nothing else knows that there was one.

Each point is a row over sets that are named by what they hold (`train-500`, `flow-x0.5`), so two points share what they
have in common, and a sweep that grows costs its new points alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dermae_bench.durable import digest_of
from dermae_bench.plugin.checking import Finding, Path
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
        for point in points_of(sweep):
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
            # the same number of real images in equal classes is another set for every task
            names.append(f"train-{real}{even}" + (f"-{balance}" if even else "") + (f"-seed{seed}" if seed else ""))
            chosen = {"fraction": None, "count": real, "per_class": None, "task": balance, "seed": seed}
            self.sets.append((names[0], {"from": "train", **chosen}))
        if amount:
            # of all images nobody knows the number yet
            share = float(amount) if real == "all" else None
            count = None if share else drawn_at(real, amount)
            how: dict[str, Any] = {"per_class": None, "even": balance is not None, "sampling": sweep.get("sampling")}
            how |= {"captions": captions, "labels": None}
            name = f"{samples}-" + (f"x{said_amount(amount)}" if share else str(count)) + even
            name += (f"-{captions}" if isinstance(captions, str) else "") + _words(sweep.get("sampling"))
            names.append(name)
            self.sets.append((name, {"samples": samples, "count": count, "ratio": share, **how}))
        self.train: str | list[str] = names[0] if len(names) == 1 else names
        seed = sweep.get("seed") or 0
        which = [f"in equal classes of {balance}"] if balance is not None else []
        which += [f"seed {seed}"] if seed and real not in (None, "all") else []
        # samples alone have no real images that would say it
        told = which if real is None else []
        told = [*told, *([f"captions {captions}"] if isinstance(captions, str) else [])]
        told += [_words(sweep.get("sampling")).strip("-")] if isinstance(sweep.get("sampling"), dict) else []
        self.axes = {
            "generator": ", ".join([samples, *told]) if amount else NOBODY,
            "real": "0" if real is None else ", ".join([str(real), *which]),
            "ratio": said_amount(amount) if real is not None else f"n={said_amount(amount)}",
        }


def drawn_at(real: str | int | None, amount: float) -> int:
    """Generated images beside so many real ones, or alone."""
    return round(amount) if real is None else round(amount * int(real))


def said_amount(amount: float) -> str:
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


def points_of(sweep: Mapping[str, Any]) -> Iterator[_Point]:
    """Every training set, those without samples once for all generators."""
    seen: set[str] = set()
    for _, samples in texts(sweep.get("samples"), ()):
        amounts = [(real, ratio) for real in listed(sweep, "real_n") for ratio in listed(sweep, "ratio")]
        for real, amount in [*amounts, *((None, count) for count in listed(sweep, "synthetic_n"))]:
            if not is_number(amount) or not (real is None or real == "all" or is_whole(real)):
                continue
            point = _Point(real, samples, amount, sweep)
            if (key := repr(point.train)) not in seen:
                seen.add(key)
                yield point


def is_number(value: Any) -> bool:
    """Whether it is a number of a size that images can have."""
    # JSON has neither NaN nor infinity
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def is_whole(value: Any) -> bool:
    """Whether it is a whole number, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


def listed(sweep: Mapping[str, Any], key: str) -> Sequence[Any]:
    """The values of an axis; none where something else stands there."""
    held = sweep.get(key)
    return held if isinstance(held, list) else []


def sweeps_of(suite: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any], dict[str, Any]]]:
    """(place of the row, row, its sweep) of every row that has one."""
    for at, row in specs(suite, "rows"):
        if isinstance(row.get("sweep"), dict):
            yield at, row, row["sweep"]
