"""A student copies its teacher if it hears nothing else, and is plain `timm` if it hears nothing of it.

Measured in about one core-minute: the teacher is right on .97 of 583 test images and the student agrees with it on .99.
On the phantom's default difficulty 1,200 steps gave .96.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from dermae_bench.store.artifacts import Store
from tests.e2e.conftest import Ran


def net(**more: Any) -> dict[str, Any]:
    """Teacher and students are one architecture; a new dict each time, since a suite knows no anchors."""
    return {"arch": "test_resnet", "lr": 2e-3, **more}


def student(budget: str, **params: Any) -> dict[str, Any]:
    """A student of the one teacher."""
    return {
        "plugin": "distilled",
        "budget": budget,
        "params": net(**params),
        "teacher": {"classifier": "teacher", "train": "train"},
    }


@pytest.mark.slow
def test_a_student_agrees_with_its_teacher(
    bench: Callable[..., Ran], suite: Callable[..., Path], tmp_path: Path
) -> None:
    path = suite(
        "copy.yaml",
        suite="copy",
        dataset={"plugin": "phantom", "params": {"image_size": 32, "images": 3000, "difficulty": 0.1}},
        tasks=["diagnosis"],
        budgets={
            "teacher": {"steps": 400, "batch_size": 32},
            "student": {"steps": 800, "batch_size": 32},
            "short": {"steps": 20, "batch_size": 32},
        },
        generators={},
        image_sets={},
        generator_rows=[],
        extractors={},
        sample_metrics=[],
        classifiers={
            "teacher": {"plugin": "timm", "budget": "teacher", "params": net()},
            "copy": student("student", alpha=1.0),
            "plain": {"plugin": "timm", "budget": "short", "params": net()},
            "deaf": student("short", alpha=0.0),
            "listening": student("short", alpha=0.5),
        },
        rows=[{"classifiers": ["teacher", "copy", "plain", "deaf", "listening"], "train": "train"}],
        prediction_metrics=["accuracy"],
    )
    ran = bench("run", path)
    assert ran.code == 0, ran.err
    store = Store(tmp_path / "results" / "store")
    teacher = decided(store, "teacher")
    assert np.mean(decided(store, "copy") == teacher) >= 0.95
    # a teacher that always says the same would be copied by anyone
    assert len(np.unique(teacher)) == 7
    assert np.bincount(teacher).max() < 0.7 * len(teacher)
    fits = {name: summary["weights"] for name, summary in trained(store).items()}
    assert fits["deaf"] == fits["plain"] != fits["listening"]


def decided(store: Store, classifier: str) -> np.ndarray[Any, Any]:
    """Class number of each test image by a classifier of the suite."""
    (answers,) = [
        manifest
        for manifest in store.manifests("predict")
        if manifest.name.startswith(f"predict/classifier/{classifier}/") and manifest.name.endswith("/test")
    ]
    table = pq.read_table(store.folder("predict", answers.key) / "predictions.parquet").sort_by("id")
    logits = [table.column(name).to_numpy() for name in table.column_names if name.startswith("logit.")]
    return np.stack(logits, axis=1).argmax(1)


def trained(store: Store) -> dict[str, Any]:
    """Classifier -> what its fit left behind."""
    return {manifest.name.split("/")[2]: manifest.summary for manifest in store.manifests("train")}
