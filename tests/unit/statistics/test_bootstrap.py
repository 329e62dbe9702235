"""Weights over whole lesions, BCa and percentile intervals, and what they do where nothing varies."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.stats

from dermae_bench.statistics.bootstrap import (
    MISSING,
    acceleration,
    bca,
    cluster_weights,
    leave_one_out,
    percentile,
    standard_error,
)

GROUPS = ["b", "a", "b", "c", "a", "b"]


def singles(n: int) -> list[str]:
    return [f"{number:04}" for number in range(n)]


def test_a_lesion_is_drawn_as_a_whole_and_as_many_as_there_are() -> None:
    weights = cluster_weights(GROUPS, 500)
    assert weights.shape == (500, 6) and weights.dtype == np.float32
    for name in "abc":
        mine = weights[:, [group == name for group in GROUPS]]
        assert (mine == mine[:, :1]).all()
    assert (weights[:, [1, 0, 3]].sum(axis=1) == 3).all()
    assert weights[:, 3].mean() == pytest.approx(1, abs=0.1)


def test_the_draws_of_seed_0_stay_what_they_are() -> None:
    drawn = cluster_weights(["a", "b", "c", "d"], 3)
    expected = np.random.default_rng(0).multinomial(4, [0.25] * 4, size=3)
    assert (drawn == expected).all()
    assert (cluster_weights(["a", "b", "c", "d"], 3, seed=1) != drawn).any()


def test_replicates_of_two_orders_of_the_images_are_aligned() -> None:
    order = np.random.default_rng(3).permutation(len(GROUPS))
    shuffled = [GROUPS[i] for i in order]
    assert (cluster_weights(GROUPS, 50)[:, order] == cluster_weights(shuffled, 50)).all()
    assert (leave_one_out(GROUPS)[:, order] == leave_one_out(shuffled)).all()


def test_each_lesion_is_left_out_once() -> None:
    assert leave_one_out(GROUPS).tolist() == [[1, 0, 1, 1, 0, 1], [0, 1, 0, 1, 1, 0], [1, 1, 1, 0, 1, 1]]
    assert (leave_one_out(GROUPS, 1, 2) == leave_one_out(GROUPS)[1:2]).all()


def test_no_image_has_no_lesion() -> None:
    with pytest.raises(ValueError, match="no image"):
        cluster_weights([], 10)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_bca_of_a_mean_is_that_of_scipy(seed: int, level: float) -> None:
    sample = np.random.default_rng(seed).exponential(size=40) ** 2
    theirs = scipy.stats.bootstrap(
        (sample,), np.mean, n_resamples=999, method="BCa", confidence_level=level, rng=np.random.default_rng(seed)
    )
    jackknife = leave_one_out(singles(40)) @ sample / 39
    ours = bca(sample.mean(), theirs.bootstrap_distribution, jackknife, level)
    assert ours is not None and ours.method == "bca"
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), rel=1e-6)


def test_bca_of_whole_numbers_counts_ties_as_scipy_does() -> None:
    sample = np.r_[np.ones(12), np.zeros(8)]
    theirs = scipy.stats.bootstrap((sample,), np.mean, n_resamples=999, method="BCa", rng=np.random.default_rng(1))
    # the estimate is off by a rounding error, as it is when it was summed in another order
    ours = bca(0.6 + 1e-13, theirs.bootstrap_distribution, leave_one_out(singles(20)) @ sample / 19)
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), rel=1e-6)


def test_bca_without_bias_and_skew_is_the_percentile_interval() -> None:
    replicates = np.linspace(-1, 1, 2001)
    symmetric = bca(0.0, replicates, np.array([-1.0, 0.0, 1.0]))
    plain = percentile(replicates)
    assert symmetric is not None and plain is not None
    assert (symmetric.low, symmetric.high) == pytest.approx((-0.95, 0.95))
    assert (plain.low, plain.high) == pytest.approx((-0.95, 0.95))
    assert (symmetric.method, plain.method) == ("bca", "percentile")


def test_bca_moves_with_the_number_and_with_its_unit() -> None:
    rng = np.random.default_rng(5)
    replicates, jackknife = rng.gamma(2, size=500), rng.gamma(1, size=30)
    plain = bca(2.0, replicates, jackknife)
    moved = bca(2.0 * 3 + 1, replicates * 3 + 1, jackknife * 3 + 1)
    turned = bca(-2.0, -replicates, -jackknife)
    assert plain is not None and moved is not None and turned is not None
    assert (moved.low, moved.high) == pytest.approx((plain.low * 3 + 1, plain.high * 3 + 1))
    assert (turned.low, turned.high) == pytest.approx((-plain.high, -plain.low))


def test_acceleration_by_hand_and_at_any_scale() -> None:
    # influences -2, 1, 1: cubes sum to -6, squares to 6
    values = np.array([2.0, -1.0, -1.0])
    assert acceleration(values) == pytest.approx(-6 / (6 * 6**1.5))
    assert acceleration(values * 1e-150) == pytest.approx(acceleration(values))
    assert acceleration(np.full(5, 0.3)) == 0


def test_nothing_varies() -> None:
    interval = bca(1.0, np.ones(100), np.ones(20))
    assert interval is not None and (interval.low, interval.high) == (1, 1)
    assert standard_error(np.ones(100)) == 0


def test_all_replicates_on_one_side_falls_back_to_percentiles() -> None:
    replicates, jackknife = np.linspace(0.5, 0.9, 101), np.linspace(0, 1, 10)
    for estimate in (0.4, 0.95):
        assert bca(estimate, replicates, jackknife) == percentile(replicates)


def test_an_acceleration_beyond_the_pole_falls_back_to_percentiles() -> None:
    # one lesion carries everything, so a is nearly 1/6; a bias of 4.3 and a tail of 3.9 then pass 1 / a
    jackknife = np.r_[-1.0, np.zeros(1000)]
    assert 0.16 < acceleration(jackknife) < 1 / 6
    replicates = np.linspace(0, 1, 100_000)
    assert bca(1.0 - 1e-5, replicates, jackknife, level=0.9999) == percentile(replicates, 0.9999)


def test_missing_replicates() -> None:
    values = np.linspace(0, 1, 1000)
    jackknife = np.linspace(0, 1, 10)
    few, many = values.copy(), values.copy()
    few[:: int(1 / MISSING)] = np.nan
    many[:: int(1 / MISSING) - 2] = np.inf
    kept = few[np.isfinite(few)]
    assert bca(0.5, few, jackknife) == bca(0.5, kept, jackknife)
    assert percentile(few) == percentile(kept)
    assert bca(0.5, many, jackknife) is percentile(many) is standard_error(many) is None
    assert bca(0.5, values, np.r_[jackknife, np.nan]) == bca(0.5, values, jackknife)


def test_one_lesion_has_no_interval() -> None:
    assert bca(0.5, np.full(100, 0.5), np.array([0.5])) is None


def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match="nan"):
        bca(np.nan, np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="level"):
        percentile(np.ones(3), 95)
    with pytest.raises(ValueError, match="no replicates"):
        percentile(np.empty(0))


def test_no_scipy_in_a_forked_stage() -> None:
    code = "import sys, dermae_bench.statistics.bootstrap; print({'scipy', 'torch', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
