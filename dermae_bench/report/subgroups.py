"""Subgroup boards: the same metrics on the images of one attribute value, the worst of them, and the gap to the best.

A gap is best minus worst of the means over seeds. Its interval is gap ± z sqrt(e_best² + e_worst²) with e the standard
errors over test sets: unlike subgroups hold unlike images, so they are taken as independent; a lesion with images in
both makes the interval wider than it need be. Best and worst are chosen by the same numbers, so z is Bonferroni's over
all pairs of eligible subgroups (95 % together).

A generator is not asked for attributes: inside a subgroup all of its images stand against the real ones. Real images
differ between these numbers in the same way, so there is no worst, best or gap; the real images' number stands beside.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from dermae_bench.durable import digest_of
from dermae_bench.report.leaderboard import KINDS, NAMES
from dermae_bench.report.ranking import comparable, section_of
from dermae_bench.report.records import Board, Boards, Record, RowInfo
from dermae_bench.scoring.subgroups import UNKNOWN
from dermae_bench.statistics.bootstrap import ROUNDING

LEAST_IMAGES, LEAST_LESIONS = 10, 2
"""Of a subgroup that may be called worst or best."""
LEAST_OF_A_CLASS = 5
"""Images of each class that such a subgroup needs under a metric that is measured class by class, and under every
metric of two classes: one image of two more or less makes half of a sensitivity."""
BY_CLASS = ("binary", "macro")
"""Averages of metrics that give each class its own weight, however few its images are."""
ALL = "all"
"""Of the generated images, beside the real ones of each subgroup."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One metric inside one subgroup."""

    subgroup: str
    """The attribute's value."""
    n: int | None
    """Images; generated ones on the board of generators."""
    lesions: int | None
    """None where images have no lesions."""
    real: int | None
    """Real images that generated ones are compared with."""
    value: float | None
    """Mean over seeds."""
    low: float | None
    high: float | None
    error: float | None
    """Mean over seeds of interval ends and of standard errors: no less than those of the mean."""
    sd: float | None
    """Spread over seeds."""
    status: str
    """``ok``, or why there is no number."""
    aside: str
    """Why it is neither worst nor best; empty where it may be."""
    identity: str
    """First 8 hex digits of the digest of its identity."""
    floor: float | None = None
    """The same of held-out real images, beside all images of a generator."""


@dataclass(frozen=True, kw_only=True)
class Gap:
    value: float
    low: float | None
    high: float | None
    """Ends of the interval; None without standard errors."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One metric of one row over the values of one attribute."""

    metric: str
    unit: str
    better: str
    parts: tuple[Part, ...]
    generated: str = ""
    """Images of a generator: those of the `same` class as the real ones, or `all` beside those of each subgroup."""
    worst: str = ""
    best: str = ""
    gap: Gap | None = None
    """None where fewer than two subgroups may be compared, no direction is better, or all generated images stand
    beside each."""

    def part(self, subgroup: str) -> Part | None:
        return next((part for part in self.parts if part.subgroup == subgroup), None)


@dataclass(frozen=True, kw_only=True)
class Block:
    """One row of a board over the values of one attribute."""

    info: RowInfo
    attribute: str
    measures: tuple[Measure, ...]
    classes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Subgroup -> class -> images; empty where nobody counted them, and for generators."""

    @property
    def subgroups(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part.subgroup for measure in self.measures for part in measure.parts))

    @property
    def whole(self) -> bool:
        """Whether all generated images stand beside the real ones of each subgroup."""
        return any(measure.generated == ALL for measure in self.measures)

    @property
    def section(self) -> str:
        return section_of(self.info)

    @property
    def name(self) -> str:
        names = (self.info.names.get(name, "") for name in (*NAMES[self.info.board][:2], "captions"))
        return " / ".join(filter(None, names))


def blocks(boards: Boards, board: Board) -> tuple[Block, ...]:
    """Every row and attribute of a board that has subgroups: by section and attribute, floors last.

    Raises:
        ValueError: a record has no row.
    """
    rows = {info.row: info for info in boards.rows}
    found: dict[tuple[str, str], dict[str, dict[str, list[Record]]]] = {}
    for record in boards.subgroups:
        if record.board != board:
            continue
        if record.row not in rows:
            raise ValueError(f"a subgroup's record of {record.metric} names row {record.row!r}, which {board} lack")
        its = record.identity["subgroup"]
        by_metric = found.setdefault((record.row, its["attribute"]), {})
        by_metric.setdefault(record.metric, {}).setdefault(str(its["value"]), []).append(record)
    made = [
        Block(
            info=rows[row],
            attribute=attribute,
            measures=tuple(_measure(metric, values, rows[row], mix) for metric, values in by_metric.items()),
            classes=mix,
        )
        for (row, attribute), by_metric in found.items()
        for mix in (boards.subgroup_classes.get((row, attribute), {}),)
    ]
    made = [_beside_real(block, made) if block.whole and block.info.kind == "measured" else block for block in made]
    return tuple(sorted(made, key=lambda b: (b.section, b.attribute, KINDS.index(b.info.kind), b.name, b.info.row)))


def by_section(found: Sequence[Block]) -> Iterator[tuple[str, tuple[Block, ...]]]:
    """Blocks of `blocks`, section by section."""
    for section, its in groupby(found, key=lambda block: block.section):
        yield section, tuple(its)


def identities(boards: Boards, board: Board) -> dict[str, Mapping[str, Any]]:
    """Digest, as parts hold it -> the whole identity."""
    found = {_digest(record): comparable(record) for record in boards.subgroups if record.board == board}
    return dict(sorted(found.items()))


def _beside_real(block: Block, made: Sequence[Block]) -> Block:
    """The block with the numbers of the real-images floor in its parts: the floor of its n, else the largest."""

    def unlike(floor: Block) -> tuple[bool, int]:
        n = max((part.n or 0 for measure in floor.measures for part in measure.parts), default=0)
        return floor.info.names.get("n") != block.info.names.get("n"), -n

    floors = [
        b for b in made if b.info.kind == "floor" and (b.section, b.attribute) == (block.section, block.attribute)
    ]
    if not floors:
        return block
    known = {
        (measure.metric, part.subgroup): part.value
        for measure in min(floors, key=unlike).measures
        for part in measure.parts
    }
    measures = tuple(
        replace(
            measure,
            parts=tuple(replace(part, floor=known.get((measure.metric, part.subgroup))) for part in measure.parts),
        )
        for measure in block.measures
    )
    return replace(block, measures=measures)


def _measure(
    metric: str, values: Mapping[str, Sequence[Record]], info: RowInfo, mix: Mapping[str, Mapping[str, int]]
) -> Measure:
    parts = tuple(_part(value, records, info, mix.get(value, {})) for value, records in values.items())
    head = next(iter(values.values()))[0]
    generated = head.identity["subgroup"].get("generated", "")
    measure = Measure(metric=metric, unit=head.unit, better=head.better, parts=parts, generated=generated)
    able = [part for part in parts if not part.aside]
    if head.better not in ("higher", "lower") or len(able) < 2 or generated == ALL:
        return measure
    sign = 1.0 if head.better == "higher" else -1.0
    ordered = sorted(able, key=lambda part: sign * (part.value or 0.0))
    worst, best = ordered[0], ordered[-1]
    if equal(worst, best):
        return replace(measure, gap=_gap(best, worst, len(able)))
    return replace(measure, worst=worst.subgroup, best=best.subgroup, gap=_gap(best, worst, len(able)))


def equal(one: Part, other: Part) -> bool:
    """Whether two subgroups have the same number, but for the last bit of a mean."""
    assert one.value is not None and other.value is not None
    return abs(one.value - other.value) <= ROUNDING


def _gap(best: Part, worst: Part, compared: int) -> Gap:
    assert best.value is not None and worst.value is not None
    value = 0.0 if equal(best, worst) else abs(best.value - worst.value)
    if None in (best.error, worst.error, best.low, worst.low):
        # where one of them does not vary in this sample, nothing is known of how far it would elsewhere
        return Gap(value=value, low=None, high=None)
    assert best.error is not None and worst.error is not None
    pairs = compared * (compared - 1) / 2
    half = statistics.NormalDist().inv_cdf(1 - 0.025 / pairs) * math.hypot(best.error, worst.error)
    return Gap(value=value, low=value - half, high=value + half)


def _part(subgroup: str, records: Sequence[Record], info: RowInfo, mix: Mapping[str, int]) -> Part:
    head = records[0]
    values = [record.value for record in records if record.value is not None]
    status = _status(records, len(values), max(len(info.seeds), len(records)))
    # a mean over survivors, or over unlike images, would flatter
    kept = values if status == "ok" else []
    whole = {name: [getattr(record, name) for record in records] for name in ("low", "high", "error")}
    mean = {
        name: statistics.fmean(numbers) if kept and None not in numbers else None for name, numbers in whole.items()
    }
    return Part(
        subgroup=subgroup,
        n=head.n,
        lesions=head.identity.get("groups"),
        real=head.identity.get("n_real"),
        value=statistics.fmean(kept) if kept else None,
        low=mean["low"],
        high=mean["high"],
        error=mean["error"],
        sd=statistics.stdev(kept) if len(kept) > 1 else None,
        status=status,
        aside=_aside(subgroup, head, status, mix),
        identity=_digest(head),
    )


def _status(records: Sequence[Record], values: int, expected: int) -> str:
    broken = next((record.status for record in records if record.status.startswith("failed")), None)
    if broken is not None:
        return broken
    if any(comparable(record) != comparable(records[0]) for record in records[1:]):
        return "n/a (seeds on unlike images)"
    if values < expected:
        return f"n/a ({values} of {expected} seeds)"
    return "ok"


def _aside(subgroup: str, record: Record, status: str, mix: Mapping[str, int]) -> str:
    images = [count for count in (record.n, record.identity.get("n_real")) if count is not None]
    lesions = record.identity.get("groups")
    if status != "ok":
        return "no number"
    if subgroup == UNKNOWN:
        return "value unknown"
    if images and min(images) < LEAST_IMAGES:
        return f"fewer than {LEAST_IMAGES} images"
    if lesions is not None and lesions < LEAST_LESIONS:
        return f"fewer than {LEAST_LESIONS} lesions"
    classes = record.identity.get("classes") or ()
    if record.identity.get("average") in BY_CLASS or len(classes) == 2:
        few = [f"{mix[name]} of {name}" for name in classes if name in mix and mix[name] < LEAST_OF_A_CLASS]
        if few:
            return f"fewer than {LEAST_OF_A_CLASS} images of a class: {', '.join(few)}"
    return ""


def _digest(record: Record) -> str:
    return digest_of(comparable(record))[:8]
