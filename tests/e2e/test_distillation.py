"""Pretraining, teachers and samples without labels, from a suite's file to its boards."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from dermae_bench.store.artifacts import Store
from tests.e2e.conftest import TINY, Ran


def vit(**more: Any) -> dict[str, Any]:
    """Params of a tiny transformer; a new dict each time, since a suite knows no anchors."""
    return {"arch": "test_vit", "arch_args": {"patch_size": 4, "depth": 1}, **more}


CHANGES: dict[str, Any] = {
    "tasks": ["diagnosis"],
    "extractors": {},
    "seeds": {"generator": [0], "classifier": [0]},
    "budgets": {"short": {"steps": 4, "batch_size": 16}, "fine": {"steps": 20, "batch_size": 32}},
    "image_sets": {
        "pool": {"samples": "pixels", "count": 50, "labels": "teacher"},
        "unconditional": ["train", "pool"],
    },
    "generator_rows": [],
    "figures": {"grid": {"samples": ["pixels", "by-class"], "columns": 3}},
    "pretrained": {
        "encoder": {
            "plugin": "mae",
            "images": ["train", "pool"],
            "budget": "short",
            "params": vit(decoder_width=16, decoder_depth=1, decoder_heads=2),
        }
    },
    "classifiers": {
        "teacher": {"plugin": "timm", "budget": "fine", "params": vit(lr=3e-3), "init": "encoder"},
        "student": {
            "plugin": "distilled",
            "budget": "fine",
            "params": {"arch": "test_efficientnet", "turns": "none"},
            "teacher": {"classifier": "teacher", "train": "train"},
        },
    },
    "rows": [
        {"classifiers": ["teacher", "student"], "train": "train"},
        {"classifiers": "student", "train": "unconditional"},
    ],
    "sample_metrics": [],
    "prediction_metrics": ["accuracy"],
}


@pytest.mark.usefixtures("prepared")
def test_teachers_pools_and_grids(bench: Callable[..., Ran], suite: Callable[..., Path], tmp_path: Path) -> None:
    """One run for all of it, since its stages cost more than what is looked at."""
    ran = bench("run", suite(**CHANGES))
    assert ran.code == 0, ran.err
    folder = tmp_path / "results"
    unlabelled_samples_get_the_teachers_labels(folder)
    every_fit_and_every_answer_of_the_teacher_is_made_once(folder)
    a_grid_stands_in_the_results_folder(folder)


def unlabelled_samples_get_the_teachers_labels(folder: Path) -> None:
    store = Store(folder / "store")
    fits = {manifest.name: manifest for manifest in store.manifests("train")}
    (fit,) = [found for name, found in fits.items() if "/student/unconditional/" in name]
    (said,) = [m for m in store.manifests("predict") if "/teacher/" in m.name and "/sample/pixels" in m.name]
    table = pq.read_table(store.folder("predict", said.key) / "predictions.parquet")
    assert "label" not in table.column_names
    logits = np.stack([table.column(name) for name in table.column_names if name.startswith("logit.")], axis=1)
    assert sum(fit.summary["labelled_by_teacher"].values()) == 50
    assert list(fit.summary["labelled_by_teacher"].values()) == np.bincount(logits.argmax(1), minlength=7).tolist()
    assert not any(found.summary["labelled_by_teacher"] for name, found in fits.items() if name != fit.name)
    with (folder / "tiny" / "classifiers.csv").open(newline="") as stream:
        marks = {(row["classifier"], row["train"]): row["marks"] for row in csv.DictReader(stream)}
    told = ", ".join(f"{name} {count}" for name, count in fit.summary["labelled_by_teacher"].items() if count)
    expected = f"samples of pixels labelled by teacher teacher (train); teacher's labels: {told}"
    assert marks["student", "unconditional"] == expected
    assert marks["student", "train"] == marks["teacher", "train"] == ""


def every_fit_and_every_answer_of_the_teacher_is_made_once(folder: Path) -> None:
    store = Store(folder / "store")
    names = [manifest.name for kind in ("train", "sample", "predict") for manifest in store.manifests(kind)]
    assert len(names) == len(set(names))
    # on train once for both students, on the pool, on val and on test
    assert sum(name.startswith("predict/classifier/teacher/") for name in names) == 4
    assert sum(name.startswith("train/generator/") for name in names) == len(TINY["generators"])


def a_grid_stands_in_the_results_folder(folder: Path) -> None:
    assert (folder / "tiny" / "figures" / "grid.png").read_bytes().startswith(b"\x89PNG")
    (stage,) = [m for m in Store(folder / "store").manifests("sample") if "by-class/columns=3" in m.name]
    assert stage.summary["counts"] == dict.fromkeys(stage.summary["counts"], 3)
    text = (folder / "tiny" / "figures" / "grid.txt").read_text()
    assert "same starting noise" in text
    known = json.loads((folder / "store" / "sample" / stage.key / "manifest.json").read_text())
    assert known["summary"]["starting_shape"]
