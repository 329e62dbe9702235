"""How often a 95 % interval covers a truth that is known by construction, with lesions kept together and torn apart.

A simulated test set has 320 lesions with 1 to 4 images. A lesion belongs to class 1 with chance q (0.2, or 0.1,
which leaves about 30 lesions). A decision is right with chance 0.85 in class 0 and 0.7 in class 1; with chance 0.8 the
images of a lesion share one draw, else each has its own. So accuracy is (1 - q) 0.85 + q 0.7 and balanced accuracy
(0.85 + 0.7) / 2 in the population, by construction, and an image tells little that its neighbour did not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from dermae_bench import api
from dermae_bench.builtin.metrics.classification import Accuracy, BalancedAccuracy
from dermae_bench.statistics.bootstrap import bca, cluster_weights, leave_one_out

SIZES = np.tile([1, 2, 3, 4], 80)
RIGHT, SHARED = np.array([0.85, 0.7]), 0.8
METRICS: list[api.PredictionMetric] = [Accuracy(Accuracy.Config()), BalancedAccuracy(BalancedAccuracy.Config())]
LESIONS = [f"lesion {number:03}" for number in np.repeat(np.arange(len(SIZES)), SIZES)]
IMAGES = [f"image {number:04}" for number in range(len(LESIONS))]
REDRAWN = 40
"""Simulations that share their bootstrap draws; the harness itself always draws with seed 0."""


@dataclass(frozen=True)
class Coverage:
    """Share of the simulations whose interval held the truth, by metric."""

    clustered: dict[str, float]
    unclustered: dict[str, float]
    fewest: int
    """Images of the rarest class in any simulation."""


def simulated(rng: np.random.Generator, rare: float) -> api.Predictions:
    lesion = np.repeat(np.arange(len(SIZES)), SIZES)
    labels = (rng.random(len(SIZES)) < rare).astype(np.int64)[lesion]
    alone, together = rng.random(len(lesion)), rng.random(len(SIZES))[lesion]
    shares = (rng.random(len(SIZES)) < SHARED)[lesion]
    right = np.where(shares, together, alone) < RIGHT[labels]
    logits = np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)]
    return api.Predictions(
        task=api.Task(name="t", classes=("common", "rare")), ids=IMAGES, groups=LESIONS, labels=labels, logits=logits
    )


def coverage(simulations: int, resamples: int, rare: float) -> Coverage:
    truth = {"accuracy": (1 - rare) * RIGHT[0] + rare * RIGHT[1], "balanced-accuracy": RIGHT.mean()}
    left = {"clustered": leave_one_out(LESIONS), "unclustered": leave_one_out(IMAGES)}
    held = {kind: dict.fromkeys(truth, 0) for kind in left}
    fewest = len(IMAGES)
    for seed in range(simulations):
        if seed % REDRAWN == 0:
            weights = {
                "clustered": cluster_weights(LESIONS, resamples, seed),
                "unclustered": cluster_weights(IMAGES, resamples, seed),
            }
        predictions = simulated(np.random.default_rng([7, seed]), rare)
        fewest = min(fewest, int(np.bincount(predictions.labels).min()))
        whole = np.ones((1, len(IMAGES)), dtype=np.float32)
        for metric in METRICS:
            name = metric.columns(metric.config)[0].name
            estimate = float(metric.resampled(predictions, whole)[name][0])
            for kind in left:
                interval = bca(
                    estimate,
                    metric.resampled(predictions, weights[kind])[name],
                    metric.resampled(predictions, left[kind])[name],
                )
                assert interval is not None and interval.method == "bca"
                held[kind][name] += int(interval.low <= truth[name] <= interval.high)
    shares = {kind: {name: count / simulations for name, count in counts.items()} for kind, counts in held.items()}
    return Coverage(clustered=shares["clustered"], unclustered=shares["unclustered"], fewest=fewest)


def test_a_glance_at_coverage() -> None:
    found = coverage(60, 299, rare=0.2)
    assert min(found.clustered.values()) >= 0.85
    assert all(found.unclustered[name] < found.clustered[name] for name in found.clustered)


@pytest.mark.slow
@pytest.mark.parametrize("rare", [0.2, 0.1])
def test_clustered_intervals_cover_the_truth_and_unclustered_ones_do_not(rare: float) -> None:
    found = coverage(2000, 2000, rare)
    print(found)
    assert len(SIZES) >= 300 and found.fewest >= 30
    for name in found.clustered:
        assert 0.93 <= found.clustered[name] <= 0.97
        assert found.unclustered[name] < 0.85
