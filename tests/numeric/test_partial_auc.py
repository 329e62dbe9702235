"""Area above 80 % sensitivity (ISIC 2024) against the competition's formula, a direct integral, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from said import binary, random_case
from sklearn.metrics import roc_auc_score, roc_curve

from dermae_bench.builtin.metrics.auc import PartialAUC
from dermae_bench.builtin.metrics.roc import log_odds

METRIC = PartialAUC(PartialAUC.Config())
NAME = "pauc-above-80-sensitivity"


def mirrored(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> float:
    """As ISIC 2024 scored it: labels and scores reversed, McClish's rescaling undone."""
    rescaled = roc_auc_score(~positive, -scores, max_fpr=0.2, sample_weight=weights)
    least, most = 0.5 * 0.2**2, 0.2
    return float(least + (most - least) * (rescaled - 0.5) / 0.5)


def integrated(positive: np.ndarray, scores: np.ndarray) -> float:
    """Specificity as a function of sensitivity, summed from 0.8 to 1 on a fine grid."""
    fall_out, recall, _ = roc_curve(positive, scores, drop_intermediate=False)
    grid = 0.8 + 0.2 * (np.arange(200_000) + 0.5) / 200_000
    upper = np.searchsorted(recall, grid)
    share = (grid - recall[upper - 1]) / (recall[upper] - recall[upper - 1])
    return float(0.2 * (1 - (fall_out[upper - 1] + share * (fall_out[upper] - fall_out[upper - 1]))).mean())


def test_by_hand() -> None:
    # five positives, four others; the last positive, and with it the whole of 0.8..1, lies below one other image
    labels, scores = np.array([1, 1, 1, 1, 0, 1, 0, 0, 0]), np.arange(9, 0, -1.0)
    assert METRIC.values(binary(labels, scores))[NAME] == pytest.approx(0.2 * 3 / 4, abs=1e-12)
    # ten positives: sensitivity 0.8 to 0.9 passes one of four, 0.9 to 1 two of four
    labels = np.array([1] * 8 + [0, 1, 0, 1, 0, 0])
    said = binary(labels, np.arange(14, 0, -1.0))
    assert METRIC.values(said)[NAME] == pytest.approx(0.1 * 3 / 4 + 0.1 * 2 / 4, abs=1e-12)


def test_range_is_0_to_one_fifth_and_chance_is_one_fiftieth() -> None:
    labels = np.r_[np.ones(30), np.zeros(50)].astype(int)
    for scores, value in ((labels, 0.2), (1 - labels, 0.0), (0 * labels, 0.02)):
        assert METRIC.values(binary(labels, scores.astype(float)))[NAME] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("levels", [None, 2, 0.4])
def test_agrees_with_the_competition_and_with_a_direct_integral(levels: float | None) -> None:
    for seed in range(8):
        said = random_case(seed, n=60 + 37 * seed, classes=2 + seed % 3, levels=levels)
        positive, scores = said.labels == 1, log_odds(said.logits, 1)
        value = METRIC.values(said)[NAME]
        assert value == pytest.approx(mirrored(positive, scores), abs=1e-9)
        assert value == pytest.approx(integrated(positive, scores), abs=1e-6)
        weights = np.random.default_rng(seed).integers(0, 3, (4, len(scores))).astype(np.float32)
        for row, ours in zip(weights, METRIC.resampled(said, weights)[NAME], strict=True):
            kept = row > 0
            assert ours == pytest.approx(mirrored(positive[kept], scores[kept], row[kept]), abs=1e-9)


def test_only_the_lowest_scoring_positives_count() -> None:
    rng = np.random.default_rng(0)
    labels, scores = np.r_[np.ones(20), np.zeros(80)].astype(int), rng.standard_normal(100)
    scores[:20] += 1
    value = METRIC.values(binary(labels, scores))[NAME]
    best = np.argsort(-scores[:20])[:16]
    scores[best] += 10
    assert METRIC.values(binary(labels, scores))[NAME] == value


def test_the_identity_pins_the_sensitivity_and_the_range() -> None:
    (column,) = METRIC.columns(METRIC.config)
    assert column.positive and column.protocol is not None
    assert "above sensitivity 0.8," in column.protocol and "0..0.20" in column.protocol
