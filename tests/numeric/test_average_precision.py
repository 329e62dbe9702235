"""Average precision against scikit-learn, with and without weights and ties."""

from __future__ import annotations

import numpy as np
import pytest
from said import binary, predictions, random_case, softmax
from sklearn.metrics import average_precision_score

from dermae_bench import api
from dermae_bench.builtin.metrics.precision_recall import AveragePrecisionBinary, AveragePrecisionOneVsRestMacro

MACRO = AveragePrecisionOneVsRestMacro(AveragePrecisionOneVsRestMacro.Config())
BINARY = AveragePrecisionBinary(AveragePrecisionBinary.Config())


def test_by_hand() -> None:
    # found at ranks 1, 3 and 4 of 5: precision 1, 2/3, 3/4
    said = binary(np.array([1, 0, 1, 1, 0]), np.arange(5, 0, -1.0))
    assert BINARY.values(said)["ap-binary"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3, abs=1e-12)
    # one step for both of the middle: their precision is that after the tie, 2/3, in either order of the images
    for labels in ([1, 0, 1, 0], [1, 1, 0, 0]):
        tied = binary(np.array(labels), np.array([3.0, 2.0, 2.0, 1.0]))
        assert BINARY.values(tied)["ap-binary"] == pytest.approx(1 / 2 + 1 / 2 * 2 / 3, abs=1e-12)


@pytest.mark.parametrize("levels", [None, 1])
def test_agrees_with_scikit_learn(levels: int | None) -> None:
    for seed in range(6):
        said = random_case(seed, classes=2 + seed, levels=levels)
        weights = np.random.default_rng(seed).integers(0, 4, (3, 200)).astype(np.float32)
        weights[0] = 1
        ours, ours_binary = MACRO.resampled(said, weights)["ap-ovr-macro"], BINARY.resampled(said, weights)["ap-binary"]
        for replicate, row in enumerate(weights):
            expected = [
                average_precision_score(said.labels == number, scores, sample_weight=row)
                for number, scores in enumerate(softmax(said.logits).T)
            ]
            assert ours[replicate] == pytest.approx(np.mean(expected), abs=1e-9)
            assert ours_binary[replicate] == pytest.approx(expected[1], abs=1e-9)
            if replicate == 0:
                assert MACRO.per_class(said)["average-precision"] == pytest.approx(expected, abs=1e-9)
                assert MACRO.values(said)["ap-ovr-macro"] == pytest.approx(np.mean(expected), abs=1e-9)


def test_a_score_that_says_nothing_has_the_share_of_the_class() -> None:
    said = binary(np.array([1, 0, 0, 0, 1]), np.zeros(5))
    assert BINARY.values(said)["ap-binary"] == pytest.approx(2 / 5, abs=1e-12)


def test_an_absent_class_raises_and_is_nan_among_the_classes() -> None:
    said = random_case(3, classes=3)
    without = predictions(np.where(said.labels == 2, 0, said.labels), said.logits)
    with pytest.raises(api.InvalidOutput, match="no image of c2"):
        MACRO.values(without)
    assert np.isnan(MACRO.per_class(without)["average-precision"]).tolist() == [False, False, True]
    # scikit-learn would say 1: every decision for the only class there is is right
    with pytest.raises(api.InvalidOutput, match="every image is c1"):
        BINARY.values(binary(np.ones(4), np.arange(4.0)))
