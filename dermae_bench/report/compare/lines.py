"""One column of two rows: values, paired interval, test, and Holm's correction over all of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dermae_bench.errors import InvalidOutput
from dermae_bench.report.compare.answers import Answered, Asked, Measured, Reader
from dermae_bench.report.compare.outcome import Companion, Line, Number, Verified
from dermae_bench.report.compare.procedures import BIASED, ONLY, Both, Test, Tested, frozen, make
from dermae_bench.report.compare.scarce import interval_of
from dermae_bench.report.compare.sides import RowPair
from dermae_bench.report.records import Record
from dermae_bench.statistics.bootstrap import ROUNDING, bca, standard_error, told
from dermae_bench.statistics.decisions import holm, minimal_detectable_effect

UNPAIRED = "no test: the two rows have no pairs of images, only a value a seed"
BENT = "draws of lesions shift it by {:.1f} of its standard errors: its interval is rough"
FROZEN = "no interval and no test: it does not depend on the test images"
UNRESAMPLED = "no interval and no test: the metric has no form for resampling"


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """One column of one pair, before anything is drawn."""

    pair: RowPair
    records: tuple[Sequence[Record], Sequence[Record]]
    asked: Asked | None = None
    """None where the numbers do not come from answers to the same images."""
    answers: tuple[Answered, Answered] | None = None
    values: tuple[float, float] | None = None
    companions: tuple[Companion, ...] = ()
    """What a frozen threshold reached besides."""
    reason: str = ""
    """Why there is no number."""

    @property
    def metric(self) -> str:
        return self.records[0][0].metric


def lines_of(
    columns: Sequence[Column], reader: Reader, *, only: str | None, test: Test, level: float, seed: int
) -> list[Line]:
    """Every column with its test.

    Args:
        only: the one metric that `test` can test; None for all.
        level: of the intervals.
        seed: of sign flips.
    """
    drawn = [_drawn(column, reader, only in (None, column.metric), test, level, seed) for column in columns]
    twins = _twins(columns, drawn)
    # one number under two names is one test
    once = [replace(line, tests=()) if place in twins else line for place, (line, _) in enumerate(drawn)]
    lines = _corrected(once)
    for place, first in twins.items():
        lines[place] = replace(lines[place], same_as=lines[first].metric, tests=lines[first].tests)
    return lines


def _drawn(
    column: Column, reader: Reader, tested: bool, test: Test, level: float, seed: int
) -> tuple[Line, Both | None]:
    """A line, and what its test was made of; None without a test."""
    record = column.records[0][0]
    line = Line(metric=column.metric, unit=record.unit, better=record.better, n=record.n, note=column.reason)
    if column.reason:
        return line, None
    a, b = (_number(records) for records in column.records)
    if column.asked is None or column.answers is None or column.values is None:
        return replace(line, a=_alone(a, column.records[0]), b=_alone(b, column.records[1]), note=UNPAIRED), None
    groups = column.answers[0].predictions[0].groups
    line = replace(line, a=a, b=b, n=len(groups), lesions=len(set(groups)), companions=column.companions)
    found = [reader.measured(column.asked, side) for side in column.answers]
    if found[0] is None or found[1] is None:
        return replace(line, note=UNRESAMPLED), None
    both = Both(answers=column.answers, measured=(found[0], found[1]), values=column.values)
    if frozen(column.asked, both):
        return replace(line, note=FROZEN), None
    interval, note = interval_of(column.asked, both, level)
    # where draws hold few lesions that differ, or none, their spread is none of other test sets
    drawn = interval is not None and interval.method != "counts" and interval.high > interval.low
    error = standard_error(both.replicates) if drawn else None
    line = replace(
        line,
        a=_with_interval(a, found[0], level),
        b=_with_interval(b, found[1], level),
        low=interval.low if interval is not None else None,
        high=interval.high if interval is not None else None,
        form=interval.method if interval is not None else "",
        error=error,
        detectable=None if error is None else minimal_detectable_effect(error, 1 - level),
        note=note,
    )
    if both.bias > BIASED and not both.identical:
        line = replace(line, note=line.note or BENT.format(both.bias), rough=True)
    if not tested:
        return replace(line, note=_also(note, f"no test: {test} is a test of {ONLY[test]} alone")), None
    try:
        return replace(line, tests=tuple(map(_verified, make(test, column.asked, both, seed)))), both
    except InvalidOutput as error_found:
        return replace(line, note=_also(note, f"no test: {error_found}")), None


def _also(note: str, text: str) -> str:
    return f"{note}; {text}" if note else text


def _verified(made: Tested) -> Verified:
    found = made.test
    return Verified(method=found.method, p=found.p, adjusted=found.p, clustered=found.clustered, seeds=made.seeds)


def _number(records: Sequence[Record]) -> Number:
    by_seed = tuple((record.seeds, record.value) for record in records if record.value is not None)
    values = [value for _, value in by_seed]
    return Number(
        value=statistics.fmean(values),
        by_seed=by_seed,
        sd=statistics.stdev(values) if len(values) > 1 else None,
    )


def _alone(number: Number, records: Sequence[Record]) -> Number:
    """With the interval of its record, where one seed has one."""
    only = records[0]
    return number if len(records) > 1 else replace(number, low=only.low, high=only.high, error=only.error)


def _with_interval(number: Number, measured: Measured, level: float) -> Number:
    interval = told(bca(number.value, measured.replicates, measured.jackknife, level))
    return replace(
        number,
        low=interval.low if interval is not None else None,
        high=interval.high if interval is not None else None,
        error=standard_error(measured.replicates),
    )


def _twins(columns: Sequence[Column], drawn: Sequence[tuple[Line, Both | None]]) -> dict[int, int]:
    """Places of lines that are an earlier line of their pair under another name -> the place of that line."""
    found: dict[int, int] = {}
    for place, (line, both) in enumerate(drawn):
        for before, (other, theirs) in enumerate(drawn[:place]):
            alike = columns[before].pair is columns[place].pair and other.better == line.better and before not in found
            if alike and both is not None and theirs is not None and one_number(both, theirs):
                found[place] = before
                break
    return found


def one_number(one: Both, other: Both) -> bool:
    """Whether two columns agree on both sides: as they are, on every draw and without every lesion."""
    pairs: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = [(np.array(one.values), np.array(other.values))]
    for mine, theirs in zip(one.measured, other.measured, strict=True):
        pairs += [(mine.replicates, theirs.replicates), (mine.jackknife, theirs.jackknife)]
    return all(np.allclose(a, b, rtol=ROUNDING, atol=ROUNDING, equal_nan=True) for a, b in pairs)


def _corrected(lines: Sequence[Line]) -> list[Line]:
    """Holm's correction over every test of the call."""
    adjusted = iter(holm([test.p for line in lines for test in line.tests]).tolist())
    return [replace(line, tests=tuple(replace(test, adjusted=next(adjusted)) for test in line.tests)) for line in lines]
