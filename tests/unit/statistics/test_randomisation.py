"""Sign flips and swaps against all exchanges written out, and what must not change a p-value."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermae_bench import api
from dermae_bench.builtin.metrics.classification import Accuracy, F1Macro
from dermae_bench.statistics import randomisation
from dermae_bench.statistics.bootstrap import leave_one_out
from dermae_bench.statistics.paired import mcnemar
from dermae_bench.statistics.randomisation import (
    cluster_sign_flip,
    pseudo_value_sign_flip,
    sign_flip,
    swap_test,
    swap_weights,
)


def enumerated(differences: np.ndarray, groups: list[str]) -> float:
    """Every sign for every lesion, by loops."""
    lesions = sorted(set(groups))
    observed = abs(differences.sum())
    reached = [
        abs(
            sum(
                sign * differences[[g == lesion for g in groups]].sum()
                for sign, lesion in zip(signs, lesions, strict=True)
            )
        )
        >= observed - 1e-9
        for signs in product((1, -1), repeat=len(lesions))
    ]
    return float(np.mean(reached))


def case(seed: int, n: int = 24, lesions: int = 8) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    return rng.random(n), rng.random(n) + 0.2, [f"g{number}" for number in rng.integers(0, lesions, n)]


@pytest.mark.parametrize("seed", range(5))
def test_real_numbers_on_few_lesions_are_exact(seed: int) -> None:
    a, b, groups = case(seed)
    test = cluster_sign_flip(a, b, groups)
    assert test.p == pytest.approx(enumerated(a - b, groups))
    assert test.difference == pytest.approx((a - b).mean())
    assert (test.method, test.n, test.clusters, test.clustered) == (
        "cluster sign-flip, exact", 24, len(set(groups)), True,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_decisions_are_exact_by_convolution(seed: int) -> None:
    a, b, groups = case(seed, n=40, lesions=11)
    a, b = a > 0.5, b > 0.6
    test = cluster_sign_flip(a, b, groups)
    assert test.p == pytest.approx(enumerated(a.astype(int) - b.astype(int), groups))


def test_one_image_a_lesion_is_exact_mcnemar() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(3000) < 0.8, rng.random(3000) < 0.77
    groups = [f"{number}" for number in range(3000)]
    assert cluster_sign_flip(a, b, groups).p == pytest.approx(mcnemar(a, b, groups, "exact").p, rel=1e-9)


def test_drawn_signs_come_near_the_exact_p(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, groups = case(3, n=60, lesions=12)
    exact = cluster_sign_flip(a, b, groups).p
    monkeypatch.setattr(randomisation, "ENUMERATED", 0)
    drawn = cluster_sign_flip(a, b, groups)
    assert drawn.method == "cluster sign-flip, 9999 drawn"
    assert drawn.p == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 9999) ** 0.5)
    assert cluster_sign_flip(a, b, groups).p == drawn.p != cluster_sign_flip(a, b, groups, seed=1).p


def test_weights_make_balanced_accuracy() -> None:
    labels = np.r_[np.zeros(9, int), np.ones(3, int)]
    a, b = np.arange(12) % 3 == 0, np.arange(12) % 4 == 0
    test = cluster_sign_flip(a, b, [f"{n}" for n in range(12)], weights=1 / np.bincount(labels)[labels])
    assert test.difference == pytest.approx((a[:9].mean() + a[9:].mean()) / 2 - (b[:9].mean() + b[9:].mean()) / 2)


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("abcdefgh")), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None)
def test_names_order_and_sides_do_not_matter(rows: list[tuple[bool, bool, str]], random: object) -> None:
    a, b = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    groups = [row[2] for row in rows]
    test = cluster_sign_flip(a, b, groups)
    assert 0 < test.p <= 1
    order = np.arange(len(rows))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert cluster_sign_flip(a[order], b[order], [groups[i] for i in order]).p == pytest.approx(test.p)
    assert cluster_sign_flip(a, b, [f"lesion {200 - ord(name)}" for name in groups]).p == pytest.approx(test.p)
    assert cluster_sign_flip(b, a, groups).p == pytest.approx(test.p)
    assert cluster_sign_flip(a, a, groups).p == 1


# -- swaps -------------------------------------------------------------------------------------------------------


def test_a_lesion_changes_places_as_a_whole() -> None:
    groups = ["b", "a", "b", "c"]
    swaps = swap_weights(groups, 400)
    assert swaps.shape == (400, 4) and swaps.dtype == np.float32 and set(swaps.ravel()) == {0, 1}
    assert (swaps[:, 0] == swaps[:, 2]).all()
    assert swaps.mean(axis=0) == pytest.approx(np.full(4, 0.5), abs=0.1)
    assert len(np.unique(swaps[:, [1, 0, 3]], axis=0)) == 8
    assert (swap_weights(["c", "b", "a", "b"], 400) == swaps[:, [3, 0, 1, 2]]).all()


def stacked(seed: int, n: int) -> tuple[api.Predictions, np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    logits = rng.standard_normal((2, n, 3)).astype(np.float32)
    logits[0, np.arange(n), labels] += 1.5
    logits[1, np.arange(n), labels] += 1.0
    groups = [f"g{number}" for number in rng.integers(0, n // 2, n)]
    task = api.Task(name="t", classes=("x", "y", "z"))
    both = api.Predictions(
        task=task,
        ids=[f"{number}" for number in range(2 * n)],
        groups=groups * 2,
        labels=np.tile(labels, 2),
        logits=logits.reshape(-1, 3),
    )
    return both, logits[0].argmax(1) == labels, logits[1].argmax(1) == labels, groups


def test_swapping_models_is_flipping_signs_for_a_mean() -> None:
    both, a, b, groups = stacked(0, 80)
    metric = Accuracy(Accuracy.Config())
    test = swap_test(lambda weights: metric.resampled(both, weights)["accuracy"], groups, flips=3999)
    exact = cluster_sign_flip(a, b, groups)
    assert test.difference == pytest.approx(exact.difference)
    assert test.p == pytest.approx(exact.p, abs=4 * (exact.p * (1 - exact.p) / 3999) ** 0.5)


def test_swapped_f1_is_that_of_the_swapped_models() -> None:
    both, _, _, groups = stacked(1, 30)
    metric = F1Macro(F1Macro.Config())

    def f1(rows: np.ndarray) -> float:
        one = np.ones((1, len(rows)), dtype=np.float32)
        return float(metric.resampled(both.at(rows), one)["f1-macro"][0])

    kept = swap_weights(groups, 99, seed=5).astype(bool)
    by_hand = []
    for row in kept:
        first = np.where(row, np.arange(30), np.arange(30) + 30)
        by_hand.append(f1(first) - f1((first + 30) % 60))
    observed = f1(np.arange(30)) - f1(np.arange(30, 60))
    test = swap_test(lambda weights: metric.resampled(both, weights)["f1-macro"], groups, flips=99, seed=5)
    assert test.statistic == pytest.approx(observed)
    assert test.p == sign_flip(observed, np.array(by_hand))


def test_counting_the_extremes() -> None:
    assert sign_flip(0.2, np.array([0.1, -0.2, 0.3, 0.0])) == 3 / 5
    assert sign_flip(-0.2, np.array([0.1, 0.2 - 1e-16, np.nan])) == 3 / 4
    assert sign_flip(0.0, np.zeros(9)) == 1
    with pytest.raises(ValueError, match="nan"):
        sign_flip(np.nan, np.zeros(9))


# -- pseudo-values -----------------------------------------------------------------------------------------------


def test_pseudo_values_of_a_mean_are_the_lesions() -> None:
    a, b, _ = case(4, n=12)
    groups = [f"{number:02}" for number in range(12)]
    left = leave_one_out(groups)
    test = pseudo_value_sign_flip(float((a - b).mean()), left @ (a - b) / 11, 12)
    plain = cluster_sign_flip(a, b, groups)
    assert test.p == pytest.approx(plain.p) and test.statistic == pytest.approx(plain.statistic)
    assert test.clusters == 12 and test.clustered


def test_pseudo_values_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="without some lesion"):
        pseudo_value_sign_flip(0.1, np.array([0.1, np.nan]), 4)


def test_wrong_lengths_and_numbers() -> None:
    with pytest.raises(ValueError, match="3, 3 values"):
        cluster_sign_flip(np.ones(3), np.ones(3), ["a", "b"])
    with pytest.raises(ValueError, match="not finite"):
        cluster_sign_flip(np.array([np.inf, 1]), np.ones(2), ["a", "b"])
