"""Area under the ROC curve against scikit-learn, with and without weights and ties."""

from __future__ import annotations

import numpy as np
import pytest

from dermae_bench import api
from dermae_bench.builtin.metrics.auc import AUCOneVsRestMacro, weighted_auc

METRIC = AUCOneVsRestMacro(AUCOneVsRestMacro.Config())
NAME = "auc-ovr-macro"


def predictions(labels: np.ndarray, logits: np.ndarray) -> api.Predictions:
    task = api.Task(name="t", classes=tuple(f"c{number}" for number in range(logits.shape[1])))
    ids = [str(number) for number in range(len(labels))]
    return api.Predictions(task=task, ids=ids, groups=ids, labels=labels, logits=logits.astype(np.float32))


def random_case(seed: int, n: int = 200, classes: int = 5, levels: int | None = None) -> api.Predictions:
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(classes), rng.integers(0, classes, n - classes)]
    logits = rng.standard_normal((n, classes))
    logits[np.arange(n), labels] += 1
    return predictions(labels, logits if levels is None else np.round(logits * levels) / levels)


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits.astype(np.float64))
    # rounded, because rows that tie by right differ in the last bit of their sums
    return np.round(raised / raised.sum(axis=1, keepdims=True), 12)


def test_four_images_by_hand() -> None:
    scores, positive = np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, True, False, True])
    # pairs: (.4 > .1) 1, (.4 = .4) 1/2, (.8 > .1) 1, (.8 > .4) 1
    assert weighted_auc(scores, positive, np.ones((1, 4)))[0] == 3.5 / 4


@pytest.mark.parametrize("levels", [None, 1])
def test_agrees_with_scikit_learn(levels: int | None) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    said = random_case(0, levels=levels)
    expected = np.mean(
        [sklearn.roc_auc_score(said.labels == number, p) for number, p in enumerate(softmax(said.logits).T)]
    )
    assert METRIC.values(said)[NAME] == pytest.approx(expected, abs=1e-9)


def test_agrees_with_torchmetrics() -> None:
    import torch
    from torchmetrics.functional.classification import multiclass_auroc

    said = random_case(1)
    expected = multiclass_auroc(
        torch.from_numpy(softmax(said.logits)), torch.from_numpy(said.labels), num_classes=5, average="macro"
    )
    assert METRIC.values(said)[NAME] == pytest.approx(float(expected), abs=1e-6)


def test_weighted_replicates_agree_with_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    said = random_case(2, levels=2)
    weights = np.random.default_rng(0).integers(0, 4, (300, 200)).astype(np.float32)
    ours = METRIC.resampled(said, weights)[NAME]
    for replicate in (0, 150, 299):
        expected = np.mean(
            [
                sklearn.roc_auc_score(said.labels == number, scores, sample_weight=weights[replicate])
                for number, scores in enumerate(softmax(said.logits).T)
            ]
        )
        assert ours[replicate] == pytest.approx(expected, abs=1e-9)
    assert METRIC.resampled(said, np.ones((1, 200), np.float32))[NAME][0] == pytest.approx(METRIC.values(said)[NAME])


def test_confident_logits_do_not_tie() -> None:
    logits = np.array([[0.0, 40.0], [0.0, 41.0], [0.0, 42.0], [0.0, 43.0]])
    assert METRIC.values(predictions(np.array([0, 0, 1, 1]), logits))[NAME] == 1.0


def test_an_absent_class_raises_and_a_replicate_without_it_does_not() -> None:
    said = random_case(3, classes=3)
    with pytest.raises(api.InvalidOutput, match="c2 has no image"):
        METRIC.values(predictions(np.where(said.labels == 2, 0, said.labels), said.logits))
    weights = (said.labels < 2).astype(np.float32)[None]
    assert 0.5 < METRIC.resampled(said, weights)[NAME][0] < 1
