"""Two rows column by column: values, paired interval, test, and what such a test set could show at all."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from dermae_bench.errors import InvalidOutput, UserError
from dermae_bench.report.compare.absent import absent_numbers
from dermae_bench.report.compare.answers import (
    RESAMPLES,
    Reader,
    aligned,
    disagree,
    recomputed,
    unlike_images,
)
from dermae_bench.report.compare.lines import Column, lines_of
from dermae_bench.report.compare.names import about_columns
from dermae_bench.report.compare.outcome import Companion, Comparison, Line, PairResult
from dermae_bench.report.compare.procedures import ONLY, Test
from dermae_bench.report.compare.recorded import Results
from dermae_bench.report.compare.refusals import Refusals
from dermae_bench.report.compare.sides import Pairing, RowPair
from dermae_bench.report.records import Record
from dermae_bench.scoring.records import MetricOf


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
        column
        for pair in pairing.pairs
        for records in _shared(a, b, pair, chosen, left_out)
        if (column := _column(a, b, pair, records, reader, refusals, metrics)) is not None
    ]
    left_out += refusals.enforce([column.metric for column in columns])
    lines = lines_of(columns, reader, only=ONLY.get(test), test=test, level=level, seed=seed)
    return Comparison(
        folders=(str(a.folder), str(b.folder)),
        pairing=pairing,
        pairs=tuple(_of_pair(pair, columns, lines, test) for pair in pairing.pairs),
        test=test,
        level=level,
        resamples=RESAMPLES,
        seed=seed,
        left_out=tuple(dict.fromkeys(left_out)),
        absent=tuple(absent_numbers(a, b, pairing, judged)),
    )


def _of_pair(pair: RowPair, columns: Sequence[Column], lines: Sequence[Line], test: Test) -> PairResult:
    mine = [(column, line) for column, line in zip(columns, lines, strict=True) if column.pair is pair]
    classifiers = pair.a.board == "classifiers"
    note = "" if mine else "none of the columns that are compared"
    if test in ONLY and all(column.metric != ONLY[test] for column, _ in mine):
        note = f"no {ONLY[test]}; {test} needs it"
    return PairResult(
        pair=pair,
        lines=tuple(line for _, line in mine),
        answers=next((column.answers for column, _ in mine if classifiers and column.answers is not None), None),
        note=f"{pair.a.section}: {note}" if note else "",
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
        hint = about_columns(unknown, known)
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
    named: Sequence[str],
) -> Column | None:
    """Check one column and read its answers; what cannot be compared is left to `refusals`.

    None where the metric itself is another one on each side; only what is `named` may not be left out for that.
    """
    metric = records[0][0].metric
    where = f"{metric} of {pair.a.row}" + (f" and {pair.b.row}" if pair.a.row != pair.b.row else "")
    column = Column(pair=pair, records=records)
    if not refusals.identities(where, *records, named=metric in named):
        return None
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
    column = replace(column, asked=asked[0], answers=(first, second), values=means)
    return replace(column, companions=companions_of(column, scores[0][0].work["rename"]))


def companions_of(column: Column, rename: Mapping[str, str]) -> tuple[Companion, ...]:
    """The rates that a threshold frozen on val reached besides; none for other metrics."""
    assert column.asked is not None and column.answers is not None
    asked = column.asked
    own = asked.metric.columns(asked.metric.config)
    frozen = next(one for one in own if one.name == asked.column)
    if not asked.metric.validates or frozen.threshold is None or frozen.better == "neither":
        return ()
    found = []
    for one in own:
        if one.better == "neither":
            beside = replace(asked, column=one.name)
            a, b = (statistics.fmean(recomputed(beside, item) for item in side.predictions) for side in column.answers)
            found.append(Companion(metric=rename.get(one.name, one.name), a=a, b=b))
    return tuple(found)


def _unfinished(records: Sequence[Record], expected: int) -> str:
    """Why a row has no number: a mean over the seeds that are there would flatter."""
    broken = next((record.status for record in records if record.status.startswith("failed")), "")
    done = sum(record.value is not None for record in records)
    return broken or (f"{done} of {max(expected, len(records))} seeds are finished" if done < expected else "")
