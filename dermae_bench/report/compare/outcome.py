"""What a comparison says: plain values, from which tables, JSON and verdicts are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dermae_bench.report.compare.answers import Answered
from dermae_bench.report.compare.procedures import Test
from dermae_bench.report.compare.sides import Pairing, RowPair
from dermae_bench.statistics.bootstrap import ROUNDING


@dataclass(frozen=True, kw_only=True)
class Number:
    """One row's column: the mean over its seeds."""

    value: float
    by_seed: tuple[tuple[Mapping[str, int], float], ...]
    sd: float | None
    """Spread over seeds (n - 1): what another training would give. None for one seed."""
    low: float | None = None
    high: float | None = None
    """Interval of the mean over seeds on other test sets; None where none exists."""
    error: float | None = None
    """Standard error over test sets. Not a part of `sd`, nor `sd` of it."""


@dataclass(frozen=True, kw_only=True)
class Verified:
    """One test of the difference."""

    method: str
    p: float
    adjusted: float
    """By Holm, over all tests of the call."""
    clustered: bool
    """Whether photographs of a lesion are kept together."""
    seeds: str = ""
    """Which seeds; empty where all are in it."""


@dataclass(frozen=True, kw_only=True)
class Companion:
    """What a threshold that was frozen on val reached besides: where on its curve a row stands."""

    metric: str
    """Column, e.g. ``sensitivity-reached-at-95``."""
    a: float
    """Mean over seeds."""
    b: float

    @property
    def differs(self) -> bool:
        """Whether A and B stand at unlike operating points."""
        return abs(self.b - self.a) > ROUNDING


@dataclass(frozen=True, kw_only=True)
class Line:
    """One column of one pair of rows."""

    metric: str
    unit: str
    better: str
    n: int | None
    """Images."""
    lesions: int | None = None
    """None where the numbers were not taken on pairs of images."""
    a: Number | None = None
    b: Number | None = None
    low: float | None = None
    high: float | None = None
    """Interval of B - A from paired draws of whole lesions."""
    form: str = ""
    """bca, percentile or counts"""
    rough: bool = False
    """Draws of lesions shift the number: the interval is a rough one, and no test exists."""
    error: float | None = None
    """Standard error of B - A over test sets; None where too few lesions differ to tell it."""
    detectable: float | None = None
    """Smallest true difference that such a test set shows with 80 % power; None as `error`."""
    tests: tuple[Verified, ...] = ()
    same_as: str = ""
    """The column that this one is in every digit on these rows: its test is that one's, and Holm counts it once."""
    companions: tuple[Companion, ...] = ()
    """Where the threshold was frozen on val: what it reached besides."""
    note: str = ""
    """Why there is no number, no interval or no test."""

    @property
    def difference(self) -> float | None:
        """B - A."""
        return self.b.value - self.a.value if self.a is not None and self.b is not None else None

    def words(self, alpha: float) -> str:
        """``told apart``, ``not told apart``, or that there is no test; never that two rows are equal."""
        if not self.tests:
            return "no test" if self.a is not None else "no number"
        told = sum(test.adjusted <= alpha for test in self.tests)
        if len(self.tests) > 1:
            return f"told apart in {told} of {len(self.tests)} seeds"
        if not told:
            return "not told apart"
        best = self.best
        return f"told apart: {best}" if best else "told apart"

    @property
    def best(self) -> str:
        """``A`` or ``B``; empty where neither is better."""
        if not self.difference or self.better not in ("higher", "lower"):
            return ""
        return "B" if (self.difference > 0) == (self.better == "higher") else "A"


@dataclass(frozen=True, kw_only=True, eq=False)
class PairResult:
    """Everything about one pair of rows."""

    pair: RowPair
    lines: tuple[Line, ...]
    answers: tuple[Answered, Answered] | None
    """Of a classifier pair, image by image."""
    note: str = ""
    """Why there is no number at all, or not the one that was to be tested."""


@dataclass(frozen=True, kw_only=True)
class Absent:
    """A number that was asked for and that neither side has, though the row may have it."""

    pair: RowPair
    metric: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """A is the reference, B the candidate; every difference is B - A."""

    folders: tuple[str, str]
    pairing: Pairing
    pairs: tuple[PairResult, ...]
    test: Test
    level: float
    """Of the intervals; a test tells apart at 1 - level."""
    resamples: int
    seed: int
    left_out: tuple[str, ...] = ()
    """Columns that were not compared, and why."""
    absent: tuple[Absent, ...] = ()
    """Of what a policy judges."""

    @property
    def alpha(self) -> float:
        return round(1 - self.level, 12)

    @property
    def tests(self) -> int:
        """How many tests Holm corrects for."""
        return sum(len(line.tests) for pair in self.pairs for line in pair.lines if not line.same_as)


def as_json(number: Number | None) -> dict[str, Any] | None:
    """A number with its seeds."""
    if number is None:
        return None
    return {
        "value": number.value,
        "sd": number.sd,
        "low": number.low,
        "high": number.high,
        "error": number.error,
        "seeds": [{"seeds": dict(seeds), "value": value} for seeds, value in number.by_seed],
    }
