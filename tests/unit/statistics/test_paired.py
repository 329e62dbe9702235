"""McNemar against the binomial test, DeLong against all pairs, the paired bootstrap against its own interval."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from dermae_bench.errors import InvalidOutput
from dermae_bench.statistics.bootstrap import cluster_weights, leave_one_out
from dermae_bench.statistics.paired import PairedTest, delong, mcnemar, midranks, paired_bootstrap


def names(n: int) -> list[str]:
    return [f"g{number}" for number in range(n)]


def discordant(only_a: int, only_b: int, both: int = 3) -> tuple[np.ndarray, np.ndarray, list[str]]:
    a = np.r_[np.ones(only_a), np.zeros(only_b), np.ones(both)].astype(bool)
    b = np.r_[np.zeros(only_a), np.ones(only_b), np.ones(both)].astype(bool)
    return a, b, names(len(a))


# -- McNemar -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_exact_mcnemar_is_the_binomial_test(only_a: int, only_b: int) -> None:
    test = mcnemar(*discordant(only_a, only_b), form="exact")
    tosses = only_a + only_b
    expected = scipy.stats.binomtest(only_a, tosses).pvalue if tosses else 1.0
    assert test.p == pytest.approx(expected, rel=1e-9)
    assert test.p == mcnemar(*discordant(only_b, only_a), form="exact").p
    mid = mcnemar(*discordant(only_a, only_b)).p
    taken = scipy.stats.binom.pmf(only_a, tosses, 0.5) * (0.5 if only_a == only_b else 1) if tosses else 0
    assert mid == pytest.approx(expected - taken, rel=1e-9)


def test_mcnemar_of_thousands_of_images() -> None:
    test = mcnemar(*discordant(2600, 2400, 5000), form="exact")
    assert test.p == pytest.approx(scipy.stats.binomtest(2600, 5000).pvalue, rel=1e-9)
    assert (test.difference, test.statistic, test.n) == (200 / 10_000, 2600, 10_000)


def test_mcnemar_says_that_it_ignores_lesions() -> None:
    a, b, _ = discordant(6, 2, 4)
    test = mcnemar(a, b, ["l1", "l2"] * 6)
    assert (test.method, test.clusters, test.n, test.clustered) == ("mcnemar, mid-p", 2, 12, False)
    # 2 of 8 heads: 1 + 8 + 28 of 256 on one side, of which 28 by half
    assert test.p == pytest.approx(2 * (1 + 8 + 14) / 256)


def test_a_hand_counted_draw() -> None:
    assert mcnemar(*discordant(2, 2), form="exact").p == 1
    assert mcnemar(*discordant(2, 2)).p == pytest.approx(1 - 0.5 * 6 / 16)


# -- DeLong ------------------------------------------------------------------------------------------------------


def brute_force(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Placements from all pairs, as the paper defines them."""
    above, below = scores[truth][:, None], scores[~truth][None, :]
    wins = (above > below) + 0.5 * (above == below)
    return wins.mean(axis=1), wins.mean(axis=0)


def delong_of_all_pairs(a: np.ndarray, b: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    above_a, below_a = brute_force(a, truth)
    above_b, below_b = brute_force(b, truth)
    covariance = np.cov(above_a, above_b) / len(above_a) + np.cov(below_a, below_b) / len(below_a)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return above_a.mean() - above_b.mean(), variance


@pytest.mark.parametrize("levels", [None, 3])
@pytest.mark.parametrize("seed", range(4))
def test_delong_is_that_of_all_pairs(seed: int, levels: int | None) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random(90) < 0.3
    a, b = truth + rng.standard_normal(90), 0.4 * truth + rng.standard_normal(90)
    if levels:
        a, b = np.round(a * levels) / levels, np.round(b)
    difference, variance = delong_of_all_pairs(a, b, truth)
    test = delong(a, b, truth, names(90))
    assert test.difference == pytest.approx(difference, abs=1e-12)
    assert test.statistic == pytest.approx(difference / variance**0.5, rel=1e-9)
    assert test.p == pytest.approx(2 * scipy.stats.norm.sf(abs(test.statistic)), rel=1e-9)
    assert test.interval is not None and not test.clustered
    assert (test.interval.low, test.interval.high) == pytest.approx(
        (difference - 1.959964 * variance**0.5, difference + 1.959964 * variance**0.5), rel=1e-5
    )


def test_delong_by_hand() -> None:
    # A orders (3, 4) above (1, 2) but for one pair; B has that pair and one more the wrong way round
    truth = np.array([True, True, False, False])
    a, b = np.array([4.0, 2.0, 3.0, 1.0]), np.array([4.0, 1.0, 3.0, 2.0])
    # placements of A: 1, 1/2 and 1/2, 1; of B: 1, 0 and 1/2, 1/2; differences 0, 1/2 and 0, 1/2; variances 1/8, over 2
    test = delong(a, b, truth, names(4))
    assert test.difference == pytest.approx(0.75 - 0.5)
    assert test.statistic == pytest.approx(0.25 / (2 * 0.125 / 2) ** 0.5)


def test_delong_sees_only_the_order() -> None:
    rng = np.random.default_rng(9)
    truth = rng.random(60) < 0.5
    a, b = truth + rng.standard_normal(60), truth + rng.standard_normal(60)
    plain, bent = delong(a, b, truth, names(60)), delong(np.exp(a), b**3, truth, names(60))
    assert bent.p == pytest.approx(plain.p, rel=1e-12)
    order = rng.permutation(60)
    assert delong(a[order], b[order], truth[order], names(60)).p == pytest.approx(plain.p, rel=1e-9)
    turned = delong(b, a, truth, names(60))
    assert (turned.difference, turned.p) == pytest.approx((-plain.difference, plain.p))


def test_delong_of_identical_scores_and_where_it_does_not_exist() -> None:
    truth = np.array([True, True, False, False])
    scores = np.array([1.0, 2.0, 3.0, 0.0])
    assert delong(scores, scores, truth, names(4)).p == 1
    with pytest.raises(InvalidOutput, match="no variance"):
        delong(truth.astype(float), 1.0 - truth, truth, names(4))
    with pytest.raises(InvalidOutput, match="1 positive"):
        delong(scores, scores, np.array([True, False, False, False]), names(4))
    with pytest.raises(ValueError, match="not finite"):
        delong(np.array([np.nan, 1, 2, 3]), scores, truth, names(4))


@given(st.lists(st.integers(0, 8), min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_midranks_are_those_of_scipy(scores: list[int]) -> None:
    assert midranks(np.array(scores)).tolist() == scipy.stats.rankdata(scores).tolist()


# -- paired bootstrap --------------------------------------------------------------------------------------------


def bootstrap_of(a: np.ndarray, b: np.ndarray, groups: list[str], **options: object) -> PairedTest:
    weights, left = cluster_weights(groups, 1999), leave_one_out(groups)
    d = a.astype(float) - b
    replicates, jackknife = weights @ d / weights.sum(axis=1), left @ d / left.sum(axis=1)
    return paired_bootstrap(float(d.mean()), replicates, jackknife, len(d), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["bca", "percentile"])
@pytest.mark.parametrize("seed", range(6))
def test_zero_becomes_an_end_of_the_interval_at_level_1_minus_p(seed: int, method: str) -> None:
    rng = np.random.default_rng(seed)
    groups = [f"g{number}" for number in rng.integers(0, 80, 200)]
    a, b = rng.exponential(size=200), rng.exponential(size=200)
    p = bootstrap_of(a, b, groups, method=method).p
    interval = bootstrap_of(a, b, groups, method=method, level=1 - p).interval
    assert interval is not None and interval.method == method
    # up to the gap between neighbouring replicates, which is wide in the tails
    assert min(abs(interval.low), abs(interval.high)) < 0.02 * (interval.high - interval.low)


def test_p_and_interval_agree() -> None:
    rejected = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        a, b = rng.random(60) + 0.1, rng.random(60)
        test = bootstrap_of(a, b, [f"g{number // 2}" for number in range(60)])
        assert test.interval is not None
        if abs(test.p - 0.05) > 0.002:
            assert (test.p < 0.05) == (test.interval.low > 0 or test.interval.high < 0)
            rejected += test.p < 0.05
    assert 5 < rejected < 35


def test_the_paired_bootstrap_keeps_lesions_together() -> None:
    rng = np.random.default_rng(2)
    groups = [f"g{number // 4}" for number in range(200)]
    a, b = rng.random(50).repeat(4) + 0.04, rng.random(50).repeat(4)
    together, apart = bootstrap_of(a, b, groups), bootstrap_of(a, b, names(200))
    assert (together.clusters, apart.clusters, together.clustered) == (50, 200, True)
    assert together.interval is not None and apart.interval is not None
    ratio = (together.interval.high - together.interval.low) / (apart.interval.high - apart.interval.low)
    assert ratio == pytest.approx(2, rel=0.15)


def test_both_models_may_change_places() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.random(100), rng.random(100)
    there, back = bootstrap_of(a, b, names(100)), bootstrap_of(b, a, names(100))
    assert there.interval is not None and back.interval is not None
    assert back.p == pytest.approx(there.p) and back.difference == pytest.approx(-there.difference)
    assert (back.interval.low, back.interval.high) == pytest.approx((-there.interval.high, -there.interval.low))


def test_where_nothing_varies() -> None:
    a = np.random.default_rng(0).random(30)
    assert bootstrap_of(a, a, names(30)).p == 1
    always = bootstrap_of(a + 1, a, names(30))
    assert always.p == 2 / 2000 and always.difference == pytest.approx(1)
    far = bootstrap_of(a + np.linspace(5, 6, 30), a, names(30))
    assert far.p == 2 / 2000


def test_a_paired_bootstrap_that_does_not_exist() -> None:
    with pytest.raises(InvalidOutput, match="60 of 100 replicates"):
        paired_bootstrap(0.1, np.r_[np.full(60, np.nan), np.ones(40)], np.arange(5.0), 9)
    with pytest.raises(InvalidOutput, match="1 lesions"):
        paired_bootstrap(0.1, np.ones(40), np.ones(1), 9, method="percentile")


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("abcdef")), min_size=2, max_size=40))
@settings(max_examples=40, deadline=None)
def test_every_p_is_a_probability_and_symmetric(rows: list[tuple[bool, bool, str]]) -> None:
    a, b = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    groups = [row[2] for row in rows]
    tests = [mcnemar(a, b, groups), mcnemar(a, b, groups, "exact")]
    if len(set(groups)) > 1:
        tests.append(bootstrap_of(a, b, groups))
    for test in tests:
        assert 0 < test.p <= 1
        assert test.difference == pytest.approx(a.mean() - b.mean())
        if (a == b).all():
            assert test.p == 1


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="same images"):
        mcnemar(np.ones(3, bool), np.ones(2, bool), names(3))
    with pytest.raises(ValueError, match="same images"):
        mcnemar(np.ones(0, bool), np.ones(0, bool), [])
