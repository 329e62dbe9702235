"""Two rows column by column: values, paired interval, test, and what such a test set could show at all."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dermae_bench.errors import InvalidOutput, UserError
from dermae_bench.plugin.checking import suggestion
from dermae_bench.report.compare.answers import (
    RESAMPLES,
    Answered,
    Asked,
    Measured,
    Reader,
    aligned,
    disagree,
    recomputed,
    unlike_images,
)
from dermae_bench.report.compare.outcome import Comparison, Line, Number, PairResult, Verified
from dermae_bench.report.compare.procedures import BIASED, ONLY, Both, Test, Tested, frozen, make
from dermae_bench.report.compare.recorded import Results
from dermae_bench.report.compare.refusals import Refusals
from dermae_bench.report.compare.sides import Pairing, RowPair
from dermae_bench.report.records import Record
from dermae_bench.scoring.records import MetricOf
from dermae_bench.statistics.bootstrap import bca, standard_error
from dermae_bench.statistics.decisions import holm, minimal_detectable_effect

UNPAIRED = "no test: the two rows have no pairs of images, only a value a seed"
BENT = "draws of lesions shift it by {:.1f} of its standard errors: its interval is rough"
FROZEN = "no interval and no test: it does not depend on the test images"
UNRESAMPLED = "no interval and no test: the metric has no form for resampling"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Column:
    """One column of one pair, before anything is drawn."""

    pair: RowPair
    records: tuple[Sequence[Record], Sequence[Record]]
    asked: Asked | None = None
    """None where the numbers do not come from answers to the same images."""
    answers: tuple[Answered, Answered] | None = None
    values: tuple[float, float] | None = None
    reason: str = ""
    """Why there is no number."""

    @property
    def metric(self) -> str:
        return self.records[0][0].metric


def compare(
    a: Results,
    b: Results,
    pairing: Pairing,
    *,
    metric_of: MetricOf,
    metrics: Sequence[str] = (),
    judged: Sequence[str] = (),
    test: Test = "sign-flip",
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare the candidate B with the reference A.

    Args:
        a, b: the folders.
        pairing: which rows; see `sides.paired`.
        metric_of: builds a metric plugin.
        metrics: columns; by default those of the suite that have a better side and that `test` can test.
        judged: columns that a policy names: they are measured, too, even where `test` cannot test them.
        test: of the difference.
        level: of intervals; tests tell apart at 1 - level.
        seed: of bootstrap draws and sign flips.

    Raises:
        UserError: a column does not exist, or `test` is no test of it.
        DataError: what differs between A and B, all at once.
    """
    chosen = _metrics(a, b, pairing, metrics, judged, test)
    refusals, reader = Refusals(), Reader(metric_of, seed)
    left_out: list[str] = []
    columns = [
        _column(a, b, pair, records, reader, refusals)
        for pair in pairing.pairs
        for records in _shared(a, b, pair, chosen, left_out)
    ]
    refusals.enforce()
    tested = {ONLY[test]} if test in ONLY else set(chosen)
    lines = _corrected([_line(column, reader, column.metric in tested, test, level, seed) for column in columns])
    return Comparison(
        folders=(str(a.folder), str(b.folder)),
        pairing=pairing,
        pairs=tuple(_of_pair(pair, columns, lines) for pair in pairing.pairs),
        test=test,
        level=level,
        resamples=RESAMPLES,
        seed=seed,
        left_out=tuple(dict.fromkeys(left_out)),
    )


def _of_pair(pair: RowPair, columns: Sequence[_Column], lines: Sequence[Line]) -> PairResult:
    mine = [(column, line) for column, line in zip(columns, lines, strict=True) if column.pair is pair]
    classifiers = pair.a.board == "classifiers"
    return PairResult(
        pair=pair,
        lines=tuple(line for _, line in mine),
        answers=next((column.answers for column, _ in mine if classifiers and column.answers is not None), None),
    )


def _metrics(
    a: Results, b: Results, pairing: Pairing, metrics: Sequence[str], judged: Sequence[str], test: Test
) -> list[str]:
    """Columns to compare, in the order of the board."""
    known: dict[str, str] = {}
    for pair in pairing.pairs:
        theirs = b.of(pair.b)
        for name, records in a.of(pair.a).items():
            if name in theirs:
                known.setdefault(name, records[0].better)
    unknown = [name for name in metrics if name not in known]
    if unknown:
        hint = suggestion(unknown[0], known, "columns that both have")
        raise UserError(f"--metric: A and B have no column {', '.join(map(repr, unknown))} in common", hint=hint)
    if test in ONLY:
        untestable = [name for name in metrics if name != ONLY[test]]
        if untestable:
            raise UserError(
                f"{test} is a test of {ONLY[test]} alone, not of {', '.join(untestable)}",
                hint="--test sign-flip tests every metric",
            )
        if ONLY[test] not in known:
            raise UserError(
                f"{test} is a test of {ONLY[test]}, which A and B do not both have",
                hint="add it to prediction_metrics and run again, or take --test sign-flip",
            )
        wanted = {ONLY[test]}
    else:
        wanted = {*metrics} or {name for name, better in known.items() if better != "neither"}
    return [name for name in known if name in wanted | {*judged}]


def _shared(
    a: Results, b: Results, pair: RowPair, chosen: Sequence[str], left_out: list[str]
) -> Iterator[tuple[Sequence[Record], Sequence[Record]]]:
    mine, theirs = a.of(pair.a), b.of(pair.b)
    for name in chosen:
        if name in mine and name in theirs:
            yield mine[name], theirs[name]
        elif name in mine or name in theirs:
            left_out.append(f"{name} of {pair.a.row}: only in {'A' if name in mine else 'B'}")


def _column(
    a: Results,
    b: Results,
    pair: RowPair,
    records: tuple[Sequence[Record], Sequence[Record]],
    reader: Reader,
    refusals: Refusals,
) -> _Column:
    """Check one column and read its answers; what cannot be compared is left to `refusals`."""
    metric = records[0][0].metric
    where = f"{metric} of {pair.a.row}" + (f" and {pair.b.row}" if pair.a.row != pair.b.row else "")
    column = _Column(pair=pair, records=records)
    refusals.identities(where, *records)
    reasons = [
        f"{which}: {text}"
        for which, row, found in zip("AB", (pair.a, pair.b), records, strict=True)
        if (text := _unfinished(found, row.seeds))
    ]
    if reasons:
        return replace(column, reason="; ".join(reasons))
    scores = [reader.scores(side, found) for side, found in zip((a, b), records, strict=True)]
    if scores[0] is None or scores[1] is None:
        return column
    first = reader.answered(a, scores[0], records[0])
    second = reader.answered(b, scores[1], records[1])
    ids = first.predictions[0].ids
    unlike = [text for other in (*first.predictions[1:], *second.predictions)
              for text in unlike_images(first.predictions[0], other)]  # fmt: skip
    for text in unlike:
        refusals.add(f"{pair.a.row}: {text}")
    if unlike:
        return column
    second = replace(second, predictions=tuple(aligned(one, ids) for one in second.predictions))
    try:
        asked = [reader.asked(found[0], metric) for found in (scores[0], scores[1])]
        again = [[recomputed(one, item) for item in side.predictions]
                 for one, side in zip(asked, (first, second), strict=True)]  # fmt: skip
    except InvalidOutput as error:
        refusals.add(f"{where}: cannot be computed again: {error}")
        return column
    for which, found, values in zip("AB", records, again, strict=True):
        for record, value in zip(found, values, strict=True):
            if record.value is not None and disagree(record.value, value):
                refusals.add(
                    f"{where}: the record of {which} says {record.value:.9g}, its answers give {value:.9g}; "
                    "`dermae-bench verify` names what differs"
                )
    means = statistics.fmean(again[0]), statistics.fmean(again[1])
    return replace(column, asked=asked[0], answers=(first, second), values=means)


def _unfinished(records: Sequence[Record], expected: int) -> str:
    """Why a row has no number: a mean over the seeds that are there would flatter."""
    broken = next((record.status for record in records if record.status.startswith("failed")), "")
    done = sum(record.value is not None for record in records)
    return broken or (f"{done} of {max(expected, len(records))} seeds are finished" if done < expected else "")


def _line(column: _Column, reader: Reader, tested: bool, test: Test, level: float, seed: int) -> Line:
    record = column.records[0][0]
    line = Line(metric=column.metric, unit=record.unit, better=record.better, n=record.n, note=column.reason)
    if column.reason:
        return line
    a, b = (_number(records) for records in column.records)
    if column.asked is None or column.answers is None or column.values is None:
        return replace(line, a=_alone(a, column.records[0]), b=_alone(b, column.records[1]), note=UNPAIRED)
    groups = column.answers[0].predictions[0].groups
    line = replace(line, a=a, b=b, n=len(groups), lesions=len(set(groups)))
    found = [reader.measured(column.asked, side) for side in column.answers]
    if found[0] is None or found[1] is None:
        return replace(line, note=UNRESAMPLED)
    both = Both(answers=column.answers, measured=(found[0], found[1]), values=column.values)
    if frozen(column.asked, both):
        return replace(line, note=FROZEN)
    interval = bca(both.difference, both.replicates, both.jackknife, level)
    error = standard_error(both.replicates)
    line = replace(
        line,
        a=_with_interval(a, found[0], level),
        b=_with_interval(b, found[1], level),
        low=interval.low if interval is not None else None,
        high=interval.high if interval is not None else None,
        form=interval.method if interval is not None else "",
        error=error,
        detectable=None if error is None else minimal_detectable_effect(error, 1 - level),
        note="" if interval is not None else "no interval: too many draws of lesions have no such number",
    )
    if both.bias > BIASED and not both.identical:
        line = replace(line, note=line.note or BENT.format(both.bias))
    if not tested:
        return replace(line, note=f"no test: {test} is a test of {ONLY[test]} alone")
    try:
        return replace(line, tests=tuple(map(_verified, make(test, column.asked, both, seed))))
    except InvalidOutput as error_found:
        return replace(line, note=f"no test: {error_found}")


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
    interval = bca(number.value, measured.replicates, measured.jackknife, level)
    return replace(
        number,
        low=interval.low if interval is not None else None,
        high=interval.high if interval is not None else None,
        error=standard_error(measured.replicates),
    )


def _corrected(lines: Sequence[Line]) -> list[Line]:
    """Holm's correction over every test of the call."""
    adjusted = iter(holm([test.p for line in lines for test in line.tests]).tolist())
    return [replace(line, tests=tuple(replace(test, adjusted=next(adjusted)) for test in line.tests)) for line in lines]
