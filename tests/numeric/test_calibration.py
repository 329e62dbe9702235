"""Brier score, likelihood, calibration error and temperature: by hand, against other implementations, planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from said import binary, predictions, random_case
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import brier_score_loss, log_loss

from dermae_bench import api
from dermae_bench.builtin.metrics.calibration import Binning, dermae_metrics
from dermae_bench.builtin.metrics.temperature import COLDEST, HOTTEST, best_temperature

KINDS = dermae_metrics()
METRICS = {name: kind(kind.Config()) for name, kind in KINDS.items()}


def test_brier_and_likelihood_by_hand() -> None:
    odds = np.log([3.0, 1.0, 1 / 3])  # of c1: 3/4, 1/2, 1/4
    said = binary(np.array([1, 0, 0]), odds)
    assert METRICS["brier"].values(said)["brier"] == pytest.approx((1 / 16 + 1 / 4 + 1 / 16) / 3, abs=1e-7)
    assert METRICS["nll"].values(said)["nll"] == pytest.approx(-np.log([3 / 4, 1 / 2, 3 / 4]).mean(), abs=1e-7)
    # three classes: not halved; p = (1/2, 1/4, 1/4), true c0
    three = predictions(np.array([0]), np.log([[2.0, 1.0, 1.0]]))
    assert METRICS["brier"].values(three)["brier"] == pytest.approx(1 / 4 + 1 / 16 + 1 / 16, abs=1e-7)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_brier_and_likelihood_agree_with_scikit_learn(classes: int) -> None:
    for seed in range(3):
        said = random_case(seed, classes=classes, levels=[None, 2, 1][seed])
        p = softmax(said.logits.astype(np.float64), axis=1)
        weights = np.random.default_rng(seed).integers(0, 4, (5, 200)).astype(np.float32)
        weights[0] = 1
        known = {"labels": np.arange(classes)}
        brier, nll = METRICS["brier"].resampled(said, weights)["brier"], METRICS["nll"].resampled(said, weights)["nll"]
        for row, ours, loss in zip(weights, brier, nll, strict=True):
            assert ours == pytest.approx(brier_score_loss(said.labels, p, sample_weight=row, **known), abs=1e-9)
            assert loss == pytest.approx(log_loss(said.labels, p, sample_weight=row, **known), abs=1e-9)


def test_calibration_error_by_hand() -> None:
    # confidences 0.9, 0.9, 0.6, 0.6; right, wrong, right, right
    odds = np.log(np.array([9.0, 9.0, 1.5, 1.5]))
    said = binary(np.array([1, 0, 1, 1]), odds)
    for scheme in ("equal-width", "equal-mass"):
        kind = KINDS["ece"]
        value = kind(kind.Config(bins=2, scheme=scheme)).values(said)["ece"]
        # of equal width all four share (0.5, 1]; of equal mass the pairs are apart
        expected = abs(3 / 4 - 0.75) if scheme == "equal-width" else (abs(1 / 2 - 0.9) + abs(1 - 0.6)) / 2
        assert value == pytest.approx(expected, abs=1e-7)


def test_an_edge_belongs_to_the_bin_below_it() -> None:
    # confidence exactly 1/2 is in (0, 1/2], a hair more in (1/2, 1]: apart, the two do not cancel
    said = binary(np.array([0, 1]), np.array([0.0, 1e-6]))
    kind = KINDS["ece"]
    said_wrong = binary(np.array([1, 1]), np.array([0.0, 1e-6]))
    assert kind(kind.Config(bins=2)).values(said_wrong)["ece"] == pytest.approx(0.5, abs=1e-6)
    assert kind(kind.Config(bins=1)).values(said_wrong)["ece"] == pytest.approx(0, abs=1e-6)
    assert kind(kind.Config(bins=2)).values(said)["ece"] == pytest.approx(0.5, abs=1e-6)


def test_equal_width_agrees_with_torchmetrics() -> None:
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    for seed, bins in ((0, 15), (1, 10), (2, 100)):
        said = random_case(seed, n=400)
        p = torch.from_numpy(softmax(said.logits.astype(np.float64), axis=1))
        expected = multiclass_calibration_error(p, torch.from_numpy(said.labels), num_classes=5, n_bins=bins, norm="l1")
        kind = KINDS["ece"]
        assert kind(kind.Config(bins=bins)).values(said)["ece"] == pytest.approx(float(expected), abs=1e-6)


def test_equal_mass_is_the_split_of_the_sorted_images() -> None:
    said = random_case(3, n=300)
    p = softmax(said.logits.astype(np.float64), axis=1)
    order = np.argsort(p.max(axis=1))
    gap = ((p.argmax(axis=1) == said.labels) - p.max(axis=1))[order]
    expected = sum(abs(part.mean()) * len(part) / 300 for part in np.array_split(gap, 15))
    kind = KINDS["ece"]
    assert kind(kind.Config(scheme="equal-mass")).values(said)["ece"] == pytest.approx(expected, abs=1e-9)


def test_temperature_is_the_minimum_of_the_loss() -> None:
    for seed in range(6):
        said = random_case(seed, classes=2 + seed, levels=[None, 1][seed % 2])
        scale = 10.0 ** (seed - 3) * 3

        def loss(log_t: float, logits: np.ndarray = said.logits * scale, labels: np.ndarray = said.labels) -> float:
            return float(-log_softmax(logits / np.exp(log_t), axis=1)[np.arange(200), labels].mean())

        bounds = (np.log(COLDEST), np.log(HOTTEST))
        expected = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9})
        ours = best_temperature((said.logits * scale).astype(np.float32), said.labels)
        assert COLDEST <= ours <= HOTTEST
        assert loss(np.log(ours)) <= expected.fun + 1e-12


def test_a_planted_temperature_is_found_and_taken_away() -> None:
    rng = np.random.default_rng(0)
    true = rng.standard_normal((20_000, 4)) * 1.5
    labels = (softmax(true, axis=1).cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    halves = [predictions(labels[part], 2.5 * true[part]) for part in (slice(10_000), slice(10_000, None))]
    said = replace(halves[1], validation=halves[0])
    values = METRICS["ece-calibrated"].values(said)
    assert values["temperature"] == pytest.approx(2.5, rel=0.04)
    assert values["ece-calibrated"] < 0.02 < 0.1 < METRICS["ece"].values(said)["ece"]
    assert METRICS["brier-calibrated"].values(said)["brier-calibrated"] < METRICS["brier"].values(said)["brier"]


def test_calibrated_numbers_do_not_see_a_common_factor_of_the_logits() -> None:
    said = random_case(5)
    assert said.validation is not None
    times_4 = replace(
        said, logits=4 * said.logits, validation=replace(said.validation, logits=4 * said.validation.logits)
    )
    for name in ("ece-calibrated", "brier-calibrated"):
        assert METRICS[name].values(times_4)[name] == pytest.approx(METRICS[name].values(said)[name], abs=1e-9)
    hot, cold = (METRICS["ece-calibrated"].values(case)["temperature"] for case in (times_4, said))
    assert hot == pytest.approx(4 * cold, rel=1e-9)
    same = replace(said, validation=replace(times_4.validation, logits=said.validation.logits * np.float32(cold)))
    assert METRICS["brier-calibrated"].values(same)["brier-calibrated"] > 0


def test_temperatures_without_a_minimum_end_at_a_bound() -> None:
    labels = np.arange(30) % 3
    right = np.eye(3, dtype=np.float32)[labels]
    assert best_temperature(right, labels) == COLDEST
    assert best_temperature(right * 1e4, labels) == COLDEST
    assert best_temperature(-right, labels) == HOTTEST


@pytest.mark.parametrize("name", ["ece-calibrated", "brier-calibrated"])
def test_no_validation_means_no_temperature(name: str) -> None:
    metric, said = METRICS[name], random_case(0)
    assert metric.validates
    with pytest.raises(api.InvalidOutput, match=r"no predictions on val[^\n]*\n.*val split"):
        metric.values(replace(said, validation=None))
    silent = predictions(said.labels, np.ones((200, 5)))
    with pytest.raises(api.InvalidOutput, match="equal logits on val"):
        metric.values(replace(said, validation=silent))
    with pytest.raises(api.InvalidOutput, match="temperature on val, of no image"):
        metric.values(replace(said, validation=said.at(np.arange(0))))


def test_the_identity_states_the_binning_and_the_brier_convention() -> None:
    kind = KINDS["ece-calibrated"]
    error, temperature = kind.columns(kind.Config(bins=20, scheme="equal-mass"))
    assert error.protocol is not None and "20 bins of equal number" in error.protocol and "on val" in error.protocol
    assert temperature.better == "neither"
    (ece,) = KINDS["ece"].columns(Binning())
    assert "15 bins of equal width" in (ece.protocol or "")
    assert "halved where there are two" in (KINDS["brier"].columns(KINDS["brier"].Config())[0].protocol or "")
