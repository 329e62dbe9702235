"""How often each paired test finds a difference at 5 % where there is none, before any correction for several tests.

Each simulation draws a new test set on which two models are equally good in the population, by construction. McNemar
and DeLong get what they assume, one image a lesion; the clustered tests get lesions of 1 to 4 images whose decisions
mostly agree within the lesion. What McNemar does there is shown too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dermae_bench import api
from dermae_bench.builtin.metrics.classification import BalancedAccuracy, F1Macro
from dermae_bench.statistics.bootstrap import cluster_weights, leave_one_out
from dermae_bench.statistics.paired import PairedTest, delong, mcnemar, paired_bootstrap
from dermae_bench.statistics.randomisation import cluster_sign_flip, pseudo_value_sign_flip, swap_test

SIMULATIONS, ALPHA = 2000, 0.05
SIZES = np.tile([1, 2, 3, 4], 80)
LESION = np.repeat(np.arange(len(SIZES)), SIZES)
GROUPS = [f"lesion {number:03}" for number in LESION]
SINGLES = [f"image {number:03}" for number in range(600)]
RARE, SHARED = 0.25, 0.8
DRAWS: dict[tuple[int, int], np.ndarray] = {}


def rejected(test: Callable[[np.random.Generator, int], PairedTest], simulations: int = SIMULATIONS) -> float:
    """Share of the simulations with p <= 0.05."""
    p_values = [test(np.random.default_rng([11, seed]), seed).p for seed in range(simulations)]
    share = float(np.mean(np.array(p_values) <= ALPHA))
    print(f"{share:.4f}")
    return share


def decisions(rng: np.random.Generator, right: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Whether A and B are right on each image (N,): chance `right` each, alike within a lesion and to each other."""
    answers = []
    common = rng.random(len(SIZES))
    for _ in "AB":
        own = np.where(rng.random(len(SIZES)) < 0.5, common, rng.random(len(SIZES)))
        together = (rng.random(len(SIZES)) < SHARED)[LESION]
        answers.append(np.where(together, own[LESION], rng.random(len(LESION))) < right)
    return answers[0], answers[1]


def classes(rng: np.random.Generator) -> np.ndarray:
    return (rng.random(len(SIZES)) < RARE).astype(np.int64)[LESION]


def weights(seed: int, resamples: int = 2000) -> np.ndarray:
    """Bootstrap draws, new every 40 simulations."""
    key = (seed // 40, resamples)
    if key not in DRAWS:
        DRAWS.clear()
        DRAWS[key] = cluster_weights(GROUPS, resamples, seed)
    return DRAWS[key]


# -- tests that take images for independent, one image a lesion ---------------------------------------------------


def exact_mcnemar(rng: np.random.Generator, seed: int) -> PairedTest:
    a, b = independent(rng)
    return mcnemar(a, b, SINGLES, "exact")


def midp_mcnemar(rng: np.random.Generator, seed: int) -> PairedTest:
    a, b = independent(rng)
    return mcnemar(a, b, SINGLES, "mid-p")


def independent(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """80 % right each; about 115 of 600 images on which one is."""
    common, own = rng.random(600), rng.random((2, 600))
    drawn = np.where(rng.random((2, 600)) < 0.63, common, own)
    return drawn[0] < 0.8, drawn[1] < 0.8


def delong_of_correlated_scores(rng: np.random.Generator, seed: int) -> PairedTest:
    """60 positive, 240 negative; both scores are 1 standard deviation higher for positives, correlation 0.5."""
    truth = np.arange(300) < 60
    common, own = rng.standard_normal(300), rng.standard_normal((2, 300))
    a, b = truth + (common + own) / 2**0.5
    return delong(a, np.exp(b), truth, SINGLES[:300])


# -- clustered tests ----------------------------------------------------------------------------------------------


def sign_flip_of_accuracy(rng: np.random.Generator, seed: int) -> PairedTest:
    return cluster_sign_flip(*decisions(rng), GROUPS)


def sign_flip_of_balanced_accuracy(rng: np.random.Generator, seed: int) -> PairedTest:
    labels = classes(rng)
    return cluster_sign_flip(*decisions(rng), GROUPS, 1 / np.bincount(labels)[labels], flips=999, seed=seed)


def swap_of_f1(rng: np.random.Generator, seed: int) -> PairedTest:
    labels, right = classes(rng), np.concatenate(decisions(rng))
    twice = np.tile(labels, 2)
    metric = F1Macro(F1Macro.Config())
    both = predictions(twice, right, GROUPS * 2)
    return swap_test(lambda w: metric.resampled(both, w)["f1-macro"], GROUPS, flips=199, seed=seed)


def pseudo_values_of_auc(rng: np.random.Generator, seed: int) -> PairedTest:
    """Scores on different scales, which are not exchangeable though their areas are equal."""
    labels = classes(rng)[:400] == 1
    lesion, groups = LESION[:400], GROUPS[:400]
    common, shared = rng.standard_normal(lesion[-1] + 1), rng.standard_normal((2, lesion[-1] + 1))
    own = rng.standard_normal((2, 400))
    a, b = labels + 0.6 * common[lesion] + 0.6 * shared[:, lesion] + 0.53 * own
    weighed = np.r_[np.ones((1, 400)), leave_one_out(groups)]
    difference = auc(a, labels, weighed) - auc(5 + 9 * b, labels, weighed)
    return pseudo_value_sign_flip(float(difference[0]), difference[1:], 400, flips=999, seed=seed)


def auc(scores: np.ndarray, positive: np.ndarray, weighed: np.ndarray) -> np.ndarray:
    wins = scores[positive][:, None] > scores[~positive]
    mine, others = weighed[:, positive], weighed[:, ~positive]
    return ((mine @ wins) * others).sum(axis=1) / (mine.sum(axis=1) * others.sum(axis=1))


def bootstrap_of_accuracy(rng: np.random.Generator, seed: int) -> PairedTest:
    a, b = decisions(rng)
    d = a.astype(np.float32) - b
    drawn, left = weights(seed), leave_one_out(GROUPS)
    return paired_bootstrap(float(d.mean()), drawn @ d / drawn.sum(axis=1), left @ d / left.sum(axis=1), len(d))


def bootstrap_of_balanced_accuracy(rng: np.random.Generator, seed: int) -> PairedTest:
    labels, answers = classes(rng), decisions(rng)
    metric = BalancedAccuracy(BalancedAccuracy.Config())
    both = [predictions(labels, right, GROUPS) for right in answers]

    def difference(w: np.ndarray) -> np.ndarray:
        a, b = (metric.resampled(one, w)["balanced-accuracy"] for one in both)
        return a - b

    whole = float(difference(np.ones((1, len(labels)), dtype=np.float32))[0])
    return paired_bootstrap(whole, difference(weights(seed)), difference(leave_one_out(GROUPS)), len(labels))


def predictions(labels: np.ndarray, right: np.ndarray, groups: list[str]) -> api.Predictions:
    logits = np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)]
    task = api.Task(name="t", classes=("common", "rare"))
    ids = [str(number) for number in range(len(labels))]
    return api.Predictions(task=task, ids=ids, groups=groups, labels=labels, logits=logits)


def midp_mcnemar_on_lesions(rng: np.random.Generator, seed: int) -> PairedTest:
    return mcnemar(*decisions(rng), GROUPS, "mid-p")


ABOUT_RIGHT = [
    midp_mcnemar,
    delong_of_correlated_scores,
    sign_flip_of_accuracy,
    sign_flip_of_balanced_accuracy,
    swap_of_f1,
    pseudo_values_of_auc,
    bootstrap_of_accuracy,
    bootstrap_of_balanced_accuracy,
]


@pytest.mark.slow
@pytest.mark.parametrize("test", ABOUT_RIGHT, ids=lambda test: test.__name__)
def test_it_rejects_about_as_often_as_it_should(test: Callable[[np.random.Generator, int], PairedTest]) -> None:
    assert 0.035 <= rejected(test) <= 0.065


@pytest.mark.slow
def test_exact_mcnemar_rejects_less_often() -> None:
    assert 0.01 <= rejected(exact_mcnemar) <= 0.06


@pytest.mark.slow
def test_mcnemar_on_lesions_rejects_far_too_often() -> None:
    assert rejected(midp_mcnemar_on_lesions) > 0.10


@pytest.mark.parametrize(
    "test", [midp_mcnemar, sign_flip_of_accuracy, bootstrap_of_accuracy], ids=lambda test: test.__name__
)
def test_a_glance_at_the_null(test: Callable[[np.random.Generator, int], PairedTest]) -> None:
    assert rejected(test, 50) <= 0.2
