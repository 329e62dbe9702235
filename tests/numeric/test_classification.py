"""Classification metrics against a hand-made confusion matrix, scikit-learn, and themselves under weights."""

from __future__ import annotations

import time

import numpy as np
import pytest
from said import predictions

from dermae_bench import api
from dermae_bench.builtin.metrics.classification import dermae_metrics

METRICS = {name: kind(kind.Config()) for name, kind in dermae_metrics().items()}


def decided(labels: np.ndarray, decisions: np.ndarray, classes: int) -> api.Predictions:
    return predictions(labels, np.eye(classes)[decisions] * 3)


def of_confusion(confusion: list[list[int]]) -> api.Predictions:
    cells = [(i, j) for i, row in enumerate(confusion) for j, count in enumerate(row) for _ in range(count)]
    labels, decisions = np.array(cells, dtype=np.int64).T
    return decided(labels, decisions, len(confusion))


def test_hand_made_confusion_matrix() -> None:
    #  true \ decided   a  b  c     recall  precision  F1
    confusion = [[6, 2, 0],  # a    6/8     6/9        12/17
                 [3, 1, 0],  # b    1/4     1/4        2/8
                 [0, 1, 7]]  # c    7/8     7/7        14/15  # fmt: skip
    said = of_confusion(confusion)
    assert said.confusion.tolist() == confusion
    f1 = np.array([12 / 17, 2 / 8, 14 / 15])
    expected = {
        "accuracy": 14 / 20,
        "balanced-accuracy": (6 / 8 + 1 / 4 + 7 / 8) / 3,
        "f1-macro": f1.mean(),
        "f1-weighted": (f1 * [8, 4, 8]).sum() / 20,
        "f1-positive": 2 / 8,  # of b, the second class
    }
    for name, value in expected.items():
        assert METRICS[name].values(said)[name] == pytest.approx(value, abs=1e-12)
    assert METRICS["balanced-accuracy"].per_class(said)["recall"] == pytest.approx([6 / 8, 1 / 4, 7 / 8])
    per_class = METRICS["f1-macro"].per_class(said)
    assert per_class["f1"] == pytest.approx(f1) and per_class["precision"] == pytest.approx([6 / 9, 1 / 4, 1])


@pytest.mark.parametrize("never_decided", [None, 1, 2])
@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_scikit_learn(seed: int, never_decided: int | None) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(7), rng.choice(7, 300, p=[0.03, 0.05, 0.11, 0.02, 0.11, 0.66, 0.02])]
    decisions = np.where(rng.random(len(labels)) < 0.6, labels, rng.integers(0, 7, len(labels)))
    if never_decided is not None:
        decisions[decisions == never_decided] = 0
    said = decided(labels, decisions, 7)
    expected = {
        "accuracy": sklearn.accuracy_score(labels, decisions),
        "balanced-accuracy": sklearn.balanced_accuracy_score(labels, decisions),
        "f1-macro": sklearn.f1_score(labels, decisions, average="macro", zero_division=0),
        "f1-weighted": sklearn.f1_score(labels, decisions, average="weighted", zero_division=0),
        "f1-positive": sklearn.f1_score(labels == 1, decisions == 1, zero_division=0),
    }
    for name, value in expected.items():
        assert METRICS[name].values(said)[name] == pytest.approx(value, abs=1e-9)
        ones = np.ones((3, len(labels)), dtype=np.float32)
        assert METRICS[name].resampled(said, ones)[name] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("name", list(METRICS))
def test_a_replicate_is_the_metric_of_the_images_it_drew(name: str) -> None:
    rng = np.random.default_rng(3)
    labels = np.r_[np.arange(4), rng.integers(0, 4, 60)]
    decisions = np.where(rng.random(64) < 0.5, labels, rng.integers(0, 4, 64))
    weights = np.stack([np.bincount(np.r_[np.arange(4), rng.integers(0, 64, 60)], minlength=64) for _ in range(5)])
    resampled = METRICS[name].resampled(decided(labels, decisions, 4), weights.astype(np.float32))[name]
    for row, value in zip(weights, resampled, strict=True):
        drawn = np.repeat(np.arange(64), row)
        said = decided(labels[drawn], decisions[drawn], 4)
        assert value == pytest.approx(METRICS[name].values(said)[name], abs=1e-12)


def test_a_class_absent_from_the_true_labels() -> None:
    said = of_confusion([[3, 1, 1], [1, 4, 0], [0, 0, 0]])
    for name in ("balanced-accuracy", "f1-macro"):
        with pytest.raises(api.InvalidOutput, match="no image of c2"):
            METRICS[name].values(said)
    assert METRICS["accuracy"].values(said)["accuracy"] == pytest.approx(0.7)
    assert METRICS["f1-positive"].values(said)["f1-positive"] == pytest.approx(8 / 10)
    # the decision for c2 is wrong, and that it has a precision of 0 is a fact; recall and F1 it has none
    per_class = METRICS["f1-macro"].per_class(said)
    assert np.isnan(per_class["f1"]).tolist() == [False, False, True] and per_class["precision"][2] == 0
    assert np.isnan(METRICS["balanced-accuracy"].per_class(said)["recall"]).tolist() == [False, False, True]
    assert METRICS["f1-weighted"].values(said)["f1-weighted"] == pytest.approx((5 * 6 / 9 + 5 * 8 / 10) / 10)


def test_f1_of_a_positive_class_without_an_image_does_not_exist() -> None:
    said = of_confusion([[3, 1], [0, 0]])
    with pytest.raises(api.InvalidOutput, match="no image of c1"):
        METRICS["f1-positive"].values(said)
    said = of_confusion([[3, 1], [2, 2]])
    weights = np.stack([said.labels == 0, said.labels == 1]).astype(np.float32)
    resampled = METRICS["f1-positive"].resampled(said, weights)["f1-positive"]
    assert np.isnan(resampled[0]) and resampled[1] == pytest.approx(2 * 2 / (4 + 2))


def test_a_precision_of_no_decision_does_not_exist() -> None:
    per_class = METRICS["f1-macro"].per_class(of_confusion([[3, 0], [2, 0]]))
    assert per_class["precision"][0] == pytest.approx(3 / 5) and np.isnan(per_class["precision"][1])
    assert per_class["f1"][1] == 0


@pytest.mark.parametrize("name", ["balanced-accuracy", "f1-macro"])
def test_a_replicate_without_a_class_has_no_mean_over_the_classes(name: str) -> None:
    said = of_confusion([[3, 1, 1], [1, 4, 0], [1, 0, 2]])
    weights = np.stack([said.labels < 2, said.labels < 3]).astype(np.float32)
    lost, whole = METRICS[name].resampled(said, weights)[name]
    assert np.isnan(lost) and whole == pytest.approx(METRICS[name].values(said)[name])
    assert "without a class left out" in (METRICS[name].columns(None)[0].protocol or "")


@pytest.mark.parametrize("name", list(METRICS))
def test_what_does_not_exist_raises(name: str) -> None:
    empty = np.zeros(0, dtype=np.int64)
    with pytest.raises(api.InvalidOutput):
        METRICS[name].values(decided(empty, empty, 3))
    broken = of_confusion([[2, 0], [0, 2]])
    broken.logits[1, 0] = np.nan
    with pytest.raises(api.InvalidOutput, match="finite"):
        METRICS[name].values(broken)


@pytest.mark.parametrize("name", list(METRICS))
def test_the_column_states_average_direction_and_decision(name: str) -> None:
    (column,) = METRICS[name].columns(None)
    assert (column.name, column.better, column.threshold) == (name, "higher", "argmax, first of equals")
    assert column.average in {"micro", "macro", "weighted", "binary"}
    assert column.positive == (column.average == "binary")


def test_two_thousand_replicates_are_quick() -> None:
    rng = np.random.default_rng(0)
    labels, decisions = np.r_[np.arange(7), rng.integers(0, 7, 1505)], rng.integers(0, 7, 1512)
    weights = rng.integers(0, 3, (2000, 1512)).astype(np.float32)
    start = time.process_time()
    METRICS["f1-macro"].resampled(decided(labels, decisions, 7), weights)
    assert time.process_time() - start < 2
