"""What holds for every prediction metric: order of images, images twice, equal weights, bounds, absence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from said import predictions, random_case

from dermae_bench import api
from dermae_bench.builtin.metrics import auc, calibration, classification, operating_points, precision_recall

MODULES = (classification, auc, precision_recall, operating_points, calibration)
KINDS = {name: kind for module in MODULES for name, kind in module.dermae_metrics().items()}
METRICS = {name: kind(kind.Config()) for name, kind in KINDS.items()}
METRICS |= {f"{name} mass": KINDS[name](KINDS[name].Config(scheme="equal-mass")) for name in ("ece", "ece-calibrated")}
ARGMAX = ("accuracy", "balanced-accuracy", "f1-", "ece")
EVERY = pytest.mark.parametrize("name", list(METRICS))
HIGHEST = {"pauc-above-80-sensitivity": 0.2, "temperature": 100.0, "nll": np.inf, "brier": 2.0, "brier-calibrated": 2.0}


@EVERY
@pytest.mark.parametrize("levels", [None, 1])
def test_a_replicate_is_the_metric_of_the_images_it_drew(name: str, levels: int | None) -> None:
    metric, said = METRICS[name], random_case(7, n=80, classes=4, levels=levels)
    rng = np.random.default_rng(1)
    # the first images hold every class, so that every draw has a value
    weights = np.stack([np.bincount(np.r_[np.arange(4), rng.integers(0, 80, 76)], minlength=80) for _ in range(4)])
    resampled = metric.resampled(said, weights.astype(np.float32))
    for replicate, row in enumerate(weights):
        drawn = rng.permutation(np.repeat(np.arange(80), row))
        for column, value in metric.values(said.at(drawn)).items():
            assert resampled[column][replicate] == pytest.approx(value, abs=1e-12)


@EVERY
def test_equal_weights_give_the_value_and_columns_match(name: str) -> None:
    metric, said = METRICS[name], random_case(8)
    values = metric.values(said)
    assert set(values) == {column.name for column in metric.columns(metric.config)}
    for factor in (1, 3):
        resampled = metric.resampled(said, np.full((300, 200), factor, dtype=np.float32))
        for column, value in values.items():
            assert resampled[column].shape == (300,)
            assert np.abs(resampled[column] - value).max() <= 1e-12
            assert 0 <= value <= HIGHEST.get(column, 1.0)


# decisions on ties go to the first class, by rule: there the order of classes is not free
@pytest.mark.parametrize(
    ("name", "levels"), [(name, n) for name in METRICS for n in (None, 1) if n is None or not name.startswith(ARGMAX)]
)
def test_the_order_of_the_other_classes_does_not_matter(name: str, levels: int | None) -> None:
    said, order = random_case(9, classes=4, levels=levels), np.array([3, 1, 2, 0])
    assert said.validation is not None
    validation, turned = (predictions(order[case.labels], case.logits[:, order]) for case in (said.validation, said))
    values = METRICS[name].values(said)
    for column, value in METRICS[name].values(replace(turned, validation=validation)).items():
        assert value == pytest.approx(values[column], abs=1e-9)


@EVERY
def test_a_replicate_of_nothing_has_no_number_and_says_so_quietly(name: str) -> None:
    said = random_case(10)
    weights = np.ones((3, 200), dtype=np.float32)
    weights[1] = 0
    with np.errstate(all="raise", under="ignore"):
        resampled = METRICS[name].resampled(said, weights)
    for column, values in resampled.items():
        if column != "temperature":
            assert np.isnan(values).tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["auc-binary", "ap-binary", "pauc-above-80-sensitivity"])
def test_a_replicate_without_one_side_has_no_area(name: str) -> None:
    said = random_case(14, classes=2)
    weights = np.stack([said.labels == 0, said.labels == 1, said.labels >= 0]).astype(np.float32)
    with np.errstate(all="raise", under="ignore"):
        assert np.isnan(METRICS[name].resampled(said, weights)[name]).tolist() == [True, True, False]


@EVERY
def test_no_image_and_broken_logits_raise(name: str) -> None:
    said = random_case(11)
    with pytest.raises(api.InvalidOutput, match="of no image"):
        METRICS[name].values(said.at(np.arange(0)))
    said.logits[3, 1] = np.nan
    with pytest.raises(api.InvalidOutput, match="finite"):
        METRICS[name].values(said)


@EVERY
def test_the_positive_class_is_asked_for_exactly_where_the_column_says_so(name: str) -> None:
    metric, said = METRICS[name], random_case(12)
    needs = {column.positive for column in metric.columns(metric.config)}
    without = replace(said, task=replace(said.task, positive=None))
    if needs == {True}:
        with pytest.raises(api.InvalidOutput, match=r"no positive class\n"):
            metric.values(without)
    else:
        assert needs == {False} and metric.values(without) == metric.values(said)


def test_names_of_columns_and_of_per_class_numbers_are_given_once() -> None:
    said, columns, per_class = random_case(13), [], []
    for name in KINDS:
        metric = METRICS[name]
        columns += [column.name for column in metric.columns(metric.config)]
        numbers = metric.per_class(said)
        per_class += list(numbers)
        assert all(values.shape == (5,) and values.dtype == np.float64 for values in numbers.values())
    assert len(columns) == len(set(columns)) and set(KINDS) < set(columns)
    assert sorted(per_class) == ["auc", "average-precision", "f1", "precision", "recall"]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.sampled_from([None, 0.5, 2]), st.integers(12, 60))
def test_random_cases_agree_with_scikit_learn(seed: int, classes: int, levels: float | None, n: int) -> None:
    from sklearn import metrics as sk

    from dermae_bench.builtin.metrics.roc import log_odds

    said = random_case(seed, n=n, classes=classes, levels=levels)
    decided, truth = said.logits.argmax(axis=1), said.labels
    odds = np.stack([log_odds(said.logits, number) for number in range(classes)], axis=1)
    each = range(classes)
    fixed = {"labels": list(each), "zero_division": 0}
    expected = {
        "accuracy": sk.accuracy_score(truth, decided),
        "balanced-accuracy": sk.balanced_accuracy_score(truth, decided),
        "f1-macro": sk.f1_score(truth, decided, average="macro", **fixed),
        "f1-weighted": sk.f1_score(truth, decided, average="weighted", **fixed),
        "f1-positive": sk.f1_score(truth == 1, decided == 1, zero_division=0),
        "auc-ovr-macro": np.mean([sk.roc_auc_score(truth == c, odds[:, c]) for c in each]),
        "auc-binary": sk.roc_auc_score(truth == 1, odds[:, 1]),
        "ap-ovr-macro": np.mean([sk.average_precision_score(truth == c, odds[:, c]) for c in each]),
        "ap-binary": sk.average_precision_score(truth == 1, odds[:, 1]),
        "brier": sk.brier_score_loss(truth, said.probabilities, labels=list(each)),
        "nll": sk.log_loss(truth, said.probabilities, labels=list(each)),
    }
    ones = np.ones((1, n), dtype=np.float32)
    for name, value in expected.items():
        assert METRICS[name].resampled(said, ones)[name][0] == pytest.approx(value, abs=1e-9), name
