"""Sensitivity and specificity at thresholds frozen on validation: by hand, against ROC curves, and at the edges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from said import binary, predictions, random_case
from sklearn.metrics import roc_curve

from dermae_bench import api
from dermae_bench.builtin.metrics.operating_points import dermae_metrics, highest_threshold, lowest_threshold
from dermae_bench.builtin.metrics.roc import log_odds

METRICS = {name: kind(kind.Config()) for name, kind in dermae_metrics().items()}
AT_80 = METRICS["sensitivity-at-80-specificity"]
AT_95 = METRICS["specificity-at-95-sensitivity"]


def test_by_hand() -> None:
    # ten others at 0..9: eight of them lie below 7.5, the lowest score with that property
    validation = binary(np.r_[np.zeros(10), np.ones(4)], np.r_[np.arange(10.0), 6.5, 7.5, 8.5, 20])
    said = binary(np.array([1, 1, 1, 0, 0, 0, 0]), np.array([7.5, 7.4, 30, 7.5, 1, 2, 3]), validation)
    assert AT_80.values(said) == {"sensitivity-at-80-specificity": 2 / 3, "specificity-reached-at-80": 3 / 4}
    # 95 % of four positives are all four: the threshold is 6.5
    said = binary(np.array([1, 1, 0, 0, 0]), np.array([6.5, 6.4, 6.5, 1, 2]), validation)
    assert AT_95.values(said) == {"specificity-at-95-sensitivity": 2 / 3, "sensitivity-reached-at-95": 1 / 2}


@pytest.mark.parametrize("rate", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("levels", [None, 1])
def test_thresholds_are_the_best_of_the_roc_curve(rate: float, levels: int | None) -> None:
    for seed in range(10):
        said = random_case(seed, n=100, classes=2, levels=levels)
        positive, scores = said.labels == 1, log_odds(said.logits, 1)
        fall_out, recall, _ = roc_curve(positive, scores, drop_intermediate=False)
        called = scores >= lowest_threshold(scores, positive, rate)
        assert called[positive].mean() == pytest.approx(recall[1 - fall_out >= rate - 1e-12].max(), abs=1e-12)
        assert (~called)[~positive].mean() >= rate
        called = scores >= highest_threshold(scores, positive, rate)
        assert (~called)[~positive].mean() == pytest.approx(1 - fall_out[recall >= rate - 1e-12].min(), abs=1e-12)
        assert called[positive].mean() >= rate


def test_agrees_with_torchmetrics_where_the_threshold_is_chosen_on_what_is_scored() -> None:
    import torch
    from torchmetrics.functional.classification import (
        binary_sensitivity_at_specificity,
        binary_specificity_at_sensitivity,
    )

    for seed in range(3):
        said = random_case(seed, classes=2)
        said = replace(said, validation=said)
        scores, labels = torch.from_numpy(log_odds(said.logits, 1)).sigmoid(), torch.from_numpy(said.labels)
        for percent in (80, 90, 95):
            name = f"sensitivity-at-{percent}-specificity"
            expected, _ = binary_sensitivity_at_specificity(scores, labels, percent / 100)
            assert METRICS[name].values(said)[name] == pytest.approx(float(expected), abs=1e-6)
        expected, _ = binary_specificity_at_sensitivity(scores, labels, 0.95)
        assert AT_95.values(said)["specificity-at-95-sensitivity"] == pytest.approx(float(expected), abs=1e-6)


def test_the_threshold_does_not_look_at_what_is_scored() -> None:
    said = random_case(0, classes=2)
    alone = {row: AT_80.values(said.at(rows)) for row, rows in enumerate((np.arange(100), np.arange(100, 200)))}
    positives = [(said.labels[part] == 1).sum() for part in (slice(100), slice(100, 200))]
    whole = AT_80.values(said)["sensitivity-at-80-specificity"]
    parts = [alone[row]["sensitivity-at-80-specificity"] for row in (0, 1)]
    # one threshold for both halves: the found positives add up
    assert whole == pytest.approx(np.average(parts, weights=positives), abs=1e-12)


def test_where_no_score_of_validation_is_high_enough_the_threshold_lies_just_above_them() -> None:
    # the highest score is that of three of five others: calling it positive leaves a specificity of 0.4
    validation = binary(np.array([0, 0, 0, 0, 0, 1, 1]), np.array([5.0, 5, 5, 1, 2, 3, 5]))
    said = binary(np.array([1, 1, 0, 0]), np.array([5.0, 5.5, 5, 6]), validation)
    assert AT_80.values(said) == {"sensitivity-at-80-specificity": 1 / 2, "specificity-reached-at-80": 1 / 2}
    threshold = lowest_threshold(np.full(4, 5.0), np.array([True, False, False, False]), 0.8)
    assert threshold == np.nextafter(5.0, 6.0)


def test_exact_shares_count_as_reached() -> None:
    # 0.8, 0.9 and 0.95 of these numbers of images are whole, and must not be missed by a rounding
    for rate, n in ((0.8, 5), (0.8, 35), (0.9, 10), (0.9, 70), (0.95, 20), (0.95, 340)):
        scores, positive = np.r_[np.arange(n), -1.0], np.r_[np.zeros(n), 1].astype(bool)
        assert lowest_threshold(scores, positive, rate) == round(rate * n)
        assert highest_threshold(-scores, ~positive, rate) == -(round(rate * n) - 1)


@pytest.mark.parametrize("name", list(METRICS))
def test_what_does_not_exist_raises(name: str) -> None:
    metric, good = METRICS[name], random_case(0, classes=2)
    assert metric.validates
    with pytest.raises(api.InvalidOutput, match=r"no predictions on val[^\n]*\n.*val split"):
        metric.values(replace(good, validation=None))
    for labels, reason in ((0, "no image of c1"), (1, "every image is c1")):
        one_sided = binary(np.full(20, labels), np.arange(20.0), good.validation)
        with pytest.raises(api.InvalidOutput, match=reason):
            metric.values(one_sided)
        with pytest.raises(api.InvalidOutput, match=f"threshold on val, does not exist: {reason}"):
            metric.values(replace(good, validation=one_sided))
    with pytest.raises(api.InvalidOutput, match="no positive class"):
        metric.values(predictions(good.labels, good.logits, positive=None, validation=good.validation))


@pytest.mark.parametrize("name", list(METRICS))
def test_a_replicate_without_one_side_lacks_its_rate_alone(name: str) -> None:
    said = random_case(1, classes=2)
    weights = np.stack([said.labels == 0, said.labels == 1]).astype(np.float32)
    resampled = METRICS[name].resampled(said, weights)
    for column, values in resampled.items():
        missing = [True, False] if column.startswith("sensitivity") else [False, True]
        assert np.isnan(values).tolist() == missing


def test_the_identity_states_the_rule_and_the_reached_rate_never_ranks() -> None:
    for name, metric in METRICS.items():
        ranked, reached = metric.columns(metric.config)
        assert (ranked.name, ranked.better, reached.better) == (name, "higher", "neither")
        assert ranked.positive and reached.positive and ranked.threshold == reached.threshold
        assert ranked.threshold is not None and "log-odds" in ranked.threshold and "on val" in ranked.threshold
    assert ">= 0.80" in (AT_80.columns(AT_80.config)[0].threshold or "")
