"""What a report is made of: measured numbers, rows, timings, pictures and the facts of one suite. Plain values.

The collector fills these from plan and store; everything else in here only reads them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dermae_bench.report.escape import public

Board = Literal["classifiers", "generators"]
Kind = Literal["measured", "floor", "reported"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One measured number: one line of records.jsonl."""

    board: Board
    row: str
    """Stable id of the row it belongs to."""
    names: Mapping[str, str]
    """`classifier, train, task` or `generator, sampling, against`."""
    kind: Kind
    metric: str
    """Column key, e.g. ``f1-macro`` or ``fd[tf-efficientnet-lite0/blocks3@64]``."""
    value: float | None
    """None unless `status` is ``ok``."""
    low: float | None = None
    high: float | None = None
    error: float | None = None
    """Standard error over test sets, by the bootstrap of lesions."""
    n: int | None
    """Images the number was taken over; None where a publication does not tell it."""
    unit: str
    better: str
    """higher, lower or neither."""
    identity: Mapping[str, Any]
    """Nested JSON: everything that must be equal before two values may be compared."""
    key: str
    """Key of the score stage."""
    seeds: Mapping[str, int]
    """Role -> seed."""
    status: str
    """``ok``, ``failed: reason`` or ``pending``."""
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.status == "ok") != (self.value is not None):
            raise ValueError(f"record {self.row} {self.metric}: a value stands exactly where the status is ok")
        if any(number is not None and not math.isfinite(number) for number in (self.value, self.low, self.high)):
            raise ValueError(f"record {self.row} {self.metric}: a number that is not finite is a failure, not a value")


def record_of(
    scored: Mapping[str, Any],
    *,
    board: Board,
    row: str,
    names: Mapping[str, str],
    kind: Kind,
    key: str,
    seeds: Mapping[str, int],
    warnings: Sequence[str],
) -> Record:
    """What a score stage says of one metric (`scoring.records.record`), as the record of a row."""
    own = {name: value for name, value in scored.items() if name != "reason"}
    status = "ok" if scored["value"] is not None else f"failed: {scored['reason']}"
    return Record(
        **own, board=board, row=row, names=names, kind=kind, key=key, seeds=seeds, status=status,
        warnings=tuple(warnings),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RowInfo:
    """One row of a board, also where it failed or waits."""

    board: Board
    row: str
    names: Mapping[str, str]
    kind: Kind
    status: str
    """``ok``, ``failed`` or ``pending``."""
    reason: str | None = None
    """Why it failed."""
    seeds: tuple[Mapping[str, int], ...] = ()
    """Role -> seed, once for every record that each metric of this row shall have."""
    costs: Mapping[str, float | None] = field(default_factory=dict)
    """`gmacs`, `parameters`, `network-calls`; None where not counted."""
    confusions: tuple[Mapping[str, Any], ...] = ()
    """{seeds, metrics, classes, confusion, per_class}: metrics that saw the same answers; integer counts, rows are true
    classes, columns decisions; and the name of a per-class number -> one value a class, None where it has none."""
    marks: tuple[str, ...] = ()
    """What a reader must see beside the name: leaky, derived, ..."""
    protocol: str = ""
    """How it came to its task: trained, linear-probe or zero-shot; "" of floors and publications."""
    started_from: str = ""
    """Where its weights began: scratch, our pretraining, external weights with their corpora; "" of the same."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Uncertainty:
    """How far the mean over seeds would lie elsewhere on another test set of as many lesions."""

    low: float | None
    high: float | None
    """Ends of the 95 % interval; None where too many replicates have no such number."""
    error: float | None
    """Standard error."""
    replicates: NDArray[np.float64]
    """(R,) the mean over seeds under the bootstrap of lesions; aligned between rows scored on the same images."""


@dataclass(frozen=True, kw_only=True)
class Reported:
    """One published number, and which measured one it may be shown beside."""

    board: Board
    row: str
    """Id of the reported row it belongs to."""
    names: Mapping[str, str]
    """Those of the measured row that does the same here; `against` is not compared."""
    metric: str
    """As the publication calls it, e.g. ``f1 (average not stated)``."""
    value: float
    n: int | None
    """None where the publication does not tell it."""
    source: str
    beside: str = ""
    """Measured column that is nearest to it; empty where there is none."""
    note: str = ""
    """What a reader should know before comparing."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What one stage cost on one machine. Never part of a leaderboard."""

    key: str
    """Key of the stage."""
    kind: str
    name: str
    seconds: float | None
    images: int | None = None
    """Images drawn by a sample stage, or seen by a training stage."""
    seconds_per_image: float | None = None
    """Of sample stages."""
    images_per_second: float | None = None
    """Of training stages."""
    network_calls: float | None = None
    """Passes of the network for one image of a sample stage."""
    max_rss_mb: float | None
    hardware: str
    status: str


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Sample grids: strips of images, each with its label."""

    name: str
    """Names the picture: `figures/NAME.png`."""
    title: str
    caption: str = ""
    rows: tuple[tuple[str, NDArray[np.uint8]], ...]
    """Label and uint8 RGB images (k, 3, S, S). Consecutive lines of one band have labels ``BAND: what``."""
    bands: tuple[str, ...] = ()
    """The band of each line, e.g. its generator; empty where each line stands for itself."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Values over steps, e.g. the losses of one fit."""

    title: str
    series: Mapping[str, Sequence[tuple[int, float]]]
    """Name -> (step, value), steps ascending; a value that is not finite breaks the line."""


@dataclass(frozen=True, kw_only=True)
class Boards:
    """Everything that a results folder shows of one suite."""

    suite: str
    preset: str | None = None
    description: str = ""
    dataset: str = ""
    """Name of the dataset plugin."""
    image_size: int | None = None
    split_rule: str = ""
    split_digest: str = ""
    class_counts: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    """Task -> class -> split -> images."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Further facts to show beside the dataset, e.g. precision and threads."""
    interval: str = ""
    """What `low` and `high` are, e.g. ``95 %, 2,000 resamples of whole lesions``."""
    rows: tuple[RowInfo, ...]
    records: tuple[Record, ...]
    subgroups: tuple[Record, ...] = ()
    """The same metrics inside a class or on the images of one attribute value; `identity["subgroup"]` says which."""
    subgroup_classes: Mapping[tuple[str, str], Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    """(row, attribute) -> subgroup -> class -> images that the row was scored on."""
    uncertainty: Mapping[tuple[str, str], Uncertainty] = field(default_factory=dict)
    """(row, metric) -> what the test set alone leaves open; rows without replicates are not in it."""
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Row -> metric column -> what stands behind its number: a curve, the nearest pairs."""
    contamination: tuple[tuple[str, ...], ...] = ()
    """Header and lines of the matrix of everything trained against the test sets; empty where nobody looked."""
    reported: tuple[Reported, ...] = ()
    """The published numbers of the reported rows."""
    timings: tuple[Timing, ...] = ()
    figures: tuple[Figure, ...] = ()
    curves: tuple[Curve, ...] = ()
    warnings: tuple[str, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.suite}-{self.preset}" if self.preset else self.suite


def published(boards: Boards) -> Boards:
    """The same boards with no folder of this machine in any text: what leaves the machine is made from these."""

    def row(info: RowInfo) -> RowInfo:
        return dataclasses.replace(
            info,
            names=public(info.names),
            reason=public(info.reason),
            marks=tuple(public(info.marks)),
            started_from=str(public(info.started_from)),
        )

    def record(item: Record) -> Record:
        return dataclasses.replace(
            item, names=public(item.names), identity=public(item.identity), status=public(item.status),
            warnings=tuple(public(item.warnings)),
        )  # fmt: skip

    def number(item: Reported) -> Reported:
        texts = {name: public(getattr(item, name)) for name in ("names", "source", "beside", "note")}
        return dataclasses.replace(item, **texts)

    def figure(item: Figure) -> Figure:
        rows = tuple((public(label), images) for label, images in item.rows)
        return dataclasses.replace(item, title=public(item.title), caption=public(item.caption), rows=rows)

    def timing(item: Timing) -> Timing:
        return dataclasses.replace(item, hardware=public(item.hardware), status=public(item.status))

    return dataclasses.replace(
        boards,
        description=public(boards.description),
        facts=public(boards.facts),
        rows=tuple(row(info) for info in boards.rows),
        records=tuple(record(item) for item in boards.records),
        subgroups=tuple(record(item) for item in boards.subgroups),
        details=public(boards.details),
        contamination=tuple(tuple(public(line)) for line in boards.contamination),
        reported=tuple(number(item) for item in boards.reported),
        timings=tuple(timing(item) for item in boards.timings),
        figures=tuple(figure(item) for item in boards.figures),
        warnings=tuple(public(boards.warnings)),
        environment=public(boards.environment),
    )
