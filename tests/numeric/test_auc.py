"""Areas under the ROC curve against scikit-learn, with and without weights and ties."""

from __future__ import annotations

import numpy as np
import pytest
from said import binary, predictions, random_case, softmax
from sklearn.metrics import roc_auc_score

from dermae_bench import api
from dermae_bench.builtin.metrics.auc import AUCBinary, AUCOneVsRestMacro
from dermae_bench.builtin.metrics.roc import along, area

MACRO = AUCOneVsRestMacro(AUCOneVsRestMacro.Config())
BINARY = AUCBinary(AUCBinary.Config())
NAME = "auc-ovr-macro"


def test_four_images_by_hand() -> None:
    scores, positive = np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, True, False, True])
    # pairs: (.4 > .1) 1, (.4 = .4) 1/2, (.8 > .1) 1, (.8 > .4) 1
    assert along(area, scores, positive, np.ones((1, 4)))[0] == 3.5 / 4


@pytest.mark.parametrize("levels", [None, 1])
def test_agrees_with_scikit_learn(levels: int | None) -> None:
    for seed in range(5):
        said = random_case(seed, levels=levels)
        areas = [roc_auc_score(said.labels == number, p) for number, p in enumerate(softmax(said.logits).T)]
        assert MACRO.values(said)[NAME] == pytest.approx(np.mean(areas), abs=1e-9)
        assert MACRO.per_class(said)["auc"] == pytest.approx(areas, abs=1e-9)
        assert BINARY.values(said)["auc-binary"] == pytest.approx(areas[1], abs=1e-9)


def test_agrees_with_torchmetrics() -> None:
    import torch
    from torchmetrics.functional.classification import multiclass_auroc

    said = random_case(1)
    expected = multiclass_auroc(
        torch.from_numpy(softmax(said.logits)), torch.from_numpy(said.labels), num_classes=5, average="macro"
    )
    assert MACRO.values(said)[NAME] == pytest.approx(float(expected), abs=1e-6)


def test_weighted_replicates_agree_with_scikit_learn() -> None:
    said = random_case(2, levels=2)
    weights = np.random.default_rng(0).integers(0, 4, (300, 200)).astype(np.float32)
    ours, binary_ours = MACRO.resampled(said, weights)[NAME], BINARY.resampled(said, weights)["auc-binary"]
    for replicate in (0, 150, 299):
        areas = [
            roc_auc_score(said.labels == number, scores, sample_weight=weights[replicate])
            for number, scores in enumerate(softmax(said.logits).T)
        ]
        assert ours[replicate] == pytest.approx(np.mean(areas), abs=1e-9)
        assert binary_ours[replicate] == pytest.approx(areas[1], abs=1e-9)


def test_confident_logits_do_not_tie() -> None:
    said = binary(np.array([0, 0, 1, 1]), np.array([40.0, 41.0, 42.0, 43.0]))
    assert MACRO.values(said)[NAME] == BINARY.values(said)["auc-binary"] == 1.0


def test_only_the_order_of_the_scores_counts() -> None:
    rng = np.random.default_rng(4)
    labels, scores = rng.integers(0, 2, 100), np.round(rng.standard_normal(100), 1)
    value = BINARY.values(binary(labels, scores))["auc-binary"]
    assert BINARY.values(binary(labels, np.exp(scores)))["auc-binary"] == value
    assert BINARY.values(binary(labels, -scores))["auc-binary"] == pytest.approx(1 - value, abs=1e-12)


def test_an_absent_class_raises_and_a_replicate_without_it_has_no_number() -> None:
    said = random_case(3, classes=3)
    without = predictions(np.where(said.labels == 2, 0, said.labels), said.logits)
    with pytest.raises(api.InvalidOutput, match="no image of c2"):
        MACRO.values(without)
    areas = MACRO.per_class(without)["auc"]
    assert np.isnan(areas[2]) and (areas[:2] > 0.5).all()
    lost, whole = MACRO.resampled(said, np.stack([said.labels < 2, said.labels < 3]).astype(np.float32))[NAME]
    assert np.isnan(lost) and whole == pytest.approx(MACRO.values(said)[NAME])


def test_ties_of_whole_logits_agree_with_scikit_learn() -> None:
    noisy = 0.0
    for seed in range(10):
        random = np.random.default_rng(seed)
        labels = random.integers(0, 4, 150)
        logits = np.round(random.normal(size=(150, 4)) + 1.5 * np.eye(4)[labels])
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        exact, raw = [], []
        for number in range(4):
            p = raised[:, number] / raised.sum(axis=1)
            # e is transcendental: probabilities tie where the differences to the other logits are the same
            others = np.sort(np.delete(logits, number, axis=1) - logits[:, [number]], axis=1)
            _, tied = np.unique(others, axis=0, return_inverse=True)
            shared = (np.bincount(tied.reshape(-1), p) / np.bincount(tied.reshape(-1)))[tied.reshape(-1)]
            exact.append(roc_auc_score(labels == number, shared))
            raw.append(roc_auc_score(labels == number, p))
        assert MACRO.values(predictions(labels, logits))[NAME] == pytest.approx(np.mean(exact), abs=1e-12)
        noisy = max(noisy, abs(float(np.mean(raw) - np.mean(exact))))
    # rounding breaks such ties in probabilities, and with them the area
    assert noisy > 1e-5
