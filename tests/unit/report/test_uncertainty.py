"""Seed and test set told apart, and ties by paired differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from example_boards import boards, classifier

from dermae_bench.report.leaderboard import Boards, Cell, table
from dermae_bench.report.records import Uncertainty
from dermae_bench.report.uncertainty import Resamples, uncertainty


def seed(value: float, noise: np.ndarray) -> Resamples:
    return Resamples(value=value, replicates=value + noise, jackknife=value + noise[:40] / 40)


def test_the_mean_over_seeds_has_the_error_of_its_own_replicates() -> None:
    draw = np.random.default_rng(0)
    shared = draw.normal(0, 0.02, 2000)
    # seeds far apart, and the same test lesions for all of them: the test set's share does not shrink with seeds
    found = uncertainty([seed(value, shared) for value in (0.5, 0.7, 0.9)])
    assert found is not None
    assert found.error == pytest.approx(shared.std(ddof=1))
    assert found.low == pytest.approx(0.7 - 1.96 * 0.02, abs=0.004)
    assert found.high == pytest.approx(0.7 + 1.96 * 0.02, abs=0.004)
    # with unlike answers a lesion that one seed misses is found by another
    apart = uncertainty([seed(0.7, draw.normal(0, 0.02, 2000)) for _ in range(4)])
    assert apart is not None and apart.error == pytest.approx(0.01, rel=0.1)


def test_seeds_on_unlike_sets_have_none_and_what_does_not_vary_has_no_interval() -> None:
    noise = np.zeros(100)
    assert uncertainty([seed(0.5, noise), seed(0.5, noise[:50])]) is None
    still = uncertainty([seed(1.0, noise)])
    assert still is not None and still.low is None and still.high is None


def cells_of(made: Boards) -> dict[str, Cell]:
    return {line.info.row: line.cells["f1-macro"] for line in table(made, "classifiers").lines}


def sure(value: float, replicates: np.ndarray) -> Uncertainty:
    spread = replicates.std()
    return Uncertainty(low=value - 2 * spread, high=value + 2 * spread, error=spread, replicates=replicates)


def test_a_tie_is_a_paired_difference_that_holds_0() -> None:
    draw = np.random.default_rng(1)
    shared = draw.normal(0, 0.05, 2000)
    made = boards(*(classifier(name, "t", value) for name, value in (("a", 0.80), ("b", 0.79), ("c", 0.78))))
    rows = {info.row.partition(" ")[0]: info.row for info in made.rows}
    replicates = {
        "a": 0.80 + shared,
        # always a point behind on the same lesions: told apart though the intervals overlap
        "b": 0.79 + shared + draw.normal(0, 0.001, 2000),
        # as far behind on average, but here better and there worse
        "c": 0.78 + draw.normal(0, 0.05, 2000),
    }
    known = {(rows[name], "f1-macro"): sure(float(v.mean()), v) for name, v in replicates.items()}
    cells = {
        line.info.row: line.cells["f1-macro"] for line in table(replace(made, uncertainty=known), "classifiers").lines
    }
    assert [cells[rows[name]].rank_text for name in "abc"] == ["1=", "2", "1="]
    assert cells[rows["a"]].error == pytest.approx(0.05, rel=0.1)
    # draws that lost a class are no draws of the difference, and where most did nothing is known of it
    for count, ranked in ((400, ["1=", "2", "1="]), (1100, ["1=", "1=", "1="])):
        rare = replicates["b"].copy()
        rare[:count] = np.nan
        of_b = replace(known[rows["b"], "f1-macro"], low=None, high=None, replicates=rare)
        found = cells_of(replace(made, uncertainty={**known, (rows["b"], "f1-macro"): of_b}))
        assert [found[rows[name]].rank_text for name in "abc"] == ranked
    # without replicates the overlap of intervals is all there is to see
    blind = cells_of(made)
    assert [blind[rows[name]].rank_text for name in "abc"] == ["1=", "1=", "1="]


def test_what_sets_a_number_apart_is_said() -> None:
    made = boards(
        *(classifier(name, "t", value) for name, value in (("a", 0.5), ("b", 0.6))),
        classifier("c", "t", 0.9, train="leaky", identity={"leaky": "photographs of one lesion on both sides"}),
    )
    cells = cells_of(made)
    (alone,) = [cell for row, cell in cells.items() if row.startswith("c")]
    assert alone.rank is None and alone.value == pytest.approx(0.9)
    assert alone.apart == alone.reason and "leaky photographs of one lesion" in alone.reason
    assert all(not cell.apart for row, cell in cells.items() if not row.startswith("c"))
