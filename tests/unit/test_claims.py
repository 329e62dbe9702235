"""The table of differences in the README comes from metrics that agree with scikit-learn's."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

CLAIMS = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "make_claims.py"))
CLASSES = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]


@pytest.fixture
def table() -> dict[str, Any]:
    generator = np.random.default_rng(3)
    label = generator.integers(0, 7, 300)
    p = generator.dirichlet(np.ones(7), 300) + 0.4 * np.eye(7)[label]
    return {"label": label, "p": p / p.sum(axis=1, keepdims=True), "classes": CLASSES}


def test_metrics_agree_with_scikit_learn_also_on_resamples(table: dict[str, Any]) -> None:
    weights = np.random.default_rng(4).integers(0, 4, 300).astype(float)
    malignant = np.isin(table["label"], [0, 1, 4])
    score = table["p"][:, [0, 1, 4]].sum(axis=1)
    for times in (np.ones(300), weights):
        assert CLAIMS["balanced_accuracy"](table, times) == pytest.approx(
            balanced_accuracy_score(table["label"], table["p"].argmax(axis=1), sample_weight=times)
        )
        assert CLAIMS["malignancy_auc"](table, times) == pytest.approx(
            roc_auc_score(malignant, score, sample_weight=times)
        )


def test_every_claim_names_rows_of_the_committed_results() -> None:
    rows = CLAIMS["predictions"](Path(__file__).parents[2] / "results" / "ham10000-cpu")
    for _, with_it, without in CLAIMS["CLAIMS"]:
        ours, theirs = rows[with_it], rows[without]
        assert len(ours) == len(theirs) == 3
        # paired: the same images in the same order
        assert all(list(a["id"]) == list(b["id"]) for a, b in zip(ours, theirs, strict=True))
