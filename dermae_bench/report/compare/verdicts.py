"""A comparison against a policy: GO, NO-GO or INCONCLUSIVE, and about how many more lesions would settle it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from dermae_bench.report.compare.outcome import Comparison, Line
from dermae_bench.report.compare.policy import Policy
from dermae_bench.report.compare.recorded import BETWEEN
from dermae_bench.report.compare.scarce import UNTOLD
from dermae_bench.report.compare.sides import RowPair
from dermae_bench.statistics.decisions import Verdict, decide

MOST_LESIONS = 10_000_000
"""More than that is told as such: nobody photographs them."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One criterion on one pair of rows."""

    pair: RowPair
    metric: str
    word: str
    """margin, gain, at_least or at_most"""
    number: float
    """As the policy says it."""
    of: Literal["difference", "value"]
    """Of B - A, or of B itself."""
    side: Literal["higher", "lower"]
    """Where it must lie from `threshold`."""
    threshold: float
    estimate: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    more_lesions: int | None = None
    """About how many more would settle it if the estimate stayed; None where it is settled or nothing would."""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """All criteria together."""

    verdict: Verdict
    judgements: tuple[Judgement, ...]
    missing: tuple[str, ...] = ()
    """What the policy asks of and could not be judged; each is inconclusive."""


def judge(comparison: Comparison, policy: Policy) -> Judged:
    """GO where every criterion is met by its whole interval, NO-GO where one interval lies wholly on the wrong side."""
    judgements = tuple(_judgements(comparison, policy))
    missing = tuple(_missing(comparison, policy, {one.metric for one in judgements}))
    verdicts: list[Verdict] = [one.verdict for one in judgements]
    if missing:
        verdicts.append("INCONCLUSIVE")
    return Judged(verdict=overall(verdicts), judgements=judgements, missing=missing)


def _missing(comparison: Comparison, policy: Policy, judged: set[str]) -> Iterator[str]:
    """Rows and numbers that one side does not have: a candidate that left them out has not met the policy."""
    for row in comparison.pairing.only_a:
        if not policy.tasks or any(task in row.split(BETWEEN) for task in policy.tasks):
            yield f"{row}: B has no such row"
    for text in comparison.left_out:
        metric, _, rest = text.partition(" of ")
        row = rest.partition(": ")[0].replace(" and ", BETWEEN)
        if metric in policy.metrics and (not policy.tasks or any(task in row.split(BETWEEN) for task in policy.tasks)):
            yield text
    for absent in comparison.absent:
        if absent.metric in policy.metrics and (not policy.tasks or absent.pair.a.section in policy.tasks):
            yield f"{absent.metric} of {absent.pair.b.row}: neither A nor B has a number"
    yield from (f"{metric}: no row has it" for metric in policy.metrics if metric not in judged)


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """The worst word; nothing judged is nothing concluded."""
    if "NO-GO" in verdicts:
        return "NO-GO"
    return "GO" if verdicts and all(verdict == "GO" for verdict in verdicts) else "INCONCLUSIVE"


def _judgements(comparison: Comparison, policy: Policy) -> Iterator[Judgement]:
    for found in comparison.pairs:
        if policy.tasks and found.pair.a.section not in policy.tasks:
            continue
        for line in found.lines:
            if line.metric in policy.metrics:
                for word, number in policy.metrics[line.metric].given.items():
                    yield _judgement(found.pair, line, word, number, comparison.alpha)


def _judgement(pair: RowPair, line: Line, word: str, number: float, alpha: float) -> Judgement:
    side: Literal["higher", "lower"] = "lower" if line.better == "lower" else "higher"
    if word in ("margin", "gain"):
        of: Literal["difference", "value"] = "difference"
        # of a metric that is better when lower, a loss is a positive difference
        threshold = number if (word == "gain") == (side == "higher") else -number
        estimate, low, high = line.difference, line.low, line.high
    else:
        of, side, threshold = "value", "higher" if word == "at_least" else "lower", number
        estimate, low, high = (line.b.value, line.b.low, line.b.high) if line.b is not None else (None, None, None)
    verdict = decide(low, high, threshold, side)
    note = "" if low is not None else (line.note if of == "difference" or line.b is None else "") or UNTOLD
    if verdict == "GO" and of == "difference" and (threshold >= 0 if side == "higher" else threshold <= 0):
        note = _untested(line, alpha)
        verdict = "INCONCLUSIVE" if note else verdict
    more = None
    if verdict == "INCONCLUSIVE" and not note and estimate is not None and low is not None and high is not None:
        more = more_lesions(estimate, low, high, threshold, line.lesions)
    return Judgement(
        pair=pair,
        metric=line.metric,
        word=word,
        number=number,
        of=of,
        side=side,
        threshold=threshold,
        estimate=estimate,
        low=low,
        high=high,
        verdict=verdict,
        more_lesions=more,
        note=note,
    )


def _untested(line: Line, alpha: float) -> str:
    """Why an interval on the better side of 0 does not show that B is better; empty where it does.

    Two words for one thing may not part: what no test tells apart is no evidence beyond a margin of 0. The same answers
    differ nowhere and need no test.
    """
    if line.low == line.high == 0:
        return ""
    if line.rough:
        return "the interval is a rough one, and no test tells A and B apart"
    worst = max((test.p for test in line.tests), default=0.0)
    return f"the interval meets it, but the test does not tell A and B apart (p = {worst:.3g})" if worst > alpha else ""


def more_lesions(estimate: float, low: float, high: float, threshold: float, lesions: int | None) -> int | None:
    """About how many more lesions would bring the interval off the threshold, if the estimate stayed where it is.

    Half an interval shrinks as 1 / sqrt(lesions). None where the estimate lies on the threshold, or no lesions are
    counted.
    """
    room = abs(estimate - threshold)
    reach = estimate - low if estimate > threshold else high - estimate
    if lesions is None or room == 0 or reach <= 0:
        return None
    return max(1, math.ceil(min(lesions * ((reach / room) ** 2 - 1), MOST_LESIONS)))
