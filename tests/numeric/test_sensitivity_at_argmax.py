"""Sensitivity and specificity of the plain decision, against counts of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from dermae_bench import api
from dermae_bench.builtin.metrics.sensitivity import SensitivityAtArgmax
from dermae_bench.builtin.metrics.weighted import NoOptions

TASK = api.Task(name="malignancy", classes=("benign", "malignant"), positive="malignant")


def answers(labels: np.ndarray, logits: np.ndarray, task: api.Task = TASK) -> api.Predictions:
    names = [f"i{i}" for i in range(len(labels))]
    return api.Predictions(task=task, ids=names, groups=names, labels=labels, logits=logits.astype(np.float32))


@pytest.mark.parametrize("classes", [2, 4])
def test_they_are_those_of_the_confusion_matrix(classes: int) -> None:
    rng = np.random.default_rng(classes)
    names = tuple("abcd"[:classes])
    task = api.Task(name="t", classes=names, positive=names[1])
    labels, logits = rng.integers(0, classes, 300), rng.normal(size=(300, classes))
    found = SensitivityAtArgmax(NoOptions()).values(answers(labels, logits, task))
    counts = confusion_matrix(labels == 1, logits.argmax(axis=1) == 1)
    assert found["sensitivity-at-argmax"] == pytest.approx(counts[1, 1] / counts[1].sum(), abs=1e-12)
    assert found["specificity-at-argmax"] == pytest.approx(counts[0, 0] / counts[0].sum(), abs=1e-12)


def test_a_resample_is_a_test_set_of_its_own() -> None:
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 2, 40), rng.normal(size=(40, 2))
    drawn = rng.integers(0, 40, 40)
    weights = np.bincount(drawn, minlength=40)[None].astype(np.float32)
    metric = SensitivityAtArgmax(NoOptions())
    resampled = metric.resampled(answers(labels, logits), weights)
    again = metric.values(answers(labels[drawn], logits[drawn]))
    assert {name: float(value[0]) for name, value in resampled.items()} == pytest.approx(again)


def test_without_a_positive_image_there_is_none() -> None:
    with pytest.raises(api.InvalidOutput):
        SensitivityAtArgmax(NoOptions()).values(answers(np.zeros(5, dtype=np.int64), np.ones((5, 2))))
