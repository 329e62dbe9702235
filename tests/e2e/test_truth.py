"""On the phantom, whose truth is known, numbers must obey it."""

from __future__ import annotations

import csv
from pathlib import Path

from tests.e2e.conftest import TINY, Bench, Suite

LEARN = {
    "tasks": ["diagnosis"],
    "extractors": {},
    "budgets": {"fine": {"steps": 400, "batch_size": 64}},
    "classifiers": {"thumbs": {"plugin": "thumbnails", "budget": "fine", "params": {"lr": 0.05, "side": 8}}},
    "generators": {},
    "image_sets": {},
    "generator_rows": [],
    "rows": [{"classifiers": "thumbs", "train": "train"}],
    "sample_metrics": [],
    "prediction_metrics": ["accuracy", "balanced-accuracy"],
}


def _rows(folder: Path, board: str) -> dict[str, dict[str, str]]:
    with (folder / f"{board}.csv").open(newline="") as stream:
        return {line["classifier" if board == "classifiers" else "generator"]: line for line in csv.DictReader(stream)}


def _learn(bench: Bench, suite: Suite, tmp_path: Path, **params: object) -> dict[str, dict[str, str]]:
    data = {"plugin": "phantom", "params": {"image_size": 16, "images": 1200, "difficulty": 0.1, **params}}
    ran = bench("run", suite(dataset=data, **LEARN), "--results", tmp_path / f"results-{len(params)}")
    assert ran.code == 0, ran.err
    return _rows(tmp_path / f"results-{len(params)}" / "tiny", "classifiers")


def test_a_classifier_beats_the_majority_and_one_on_shuffled_labels_does_not(
    bench: Bench, suite: Suite, tmp_path: Path
) -> None:
    taught = _learn(bench, suite, tmp_path)
    assert float(taught["thumbs"]["accuracy low"]) > float(taught["majority class"]["accuracy"])
    assert float(taught["thumbs"]["balanced-accuracy"]) > 2 / 7
    shuffled = _learn(bench, suite, tmp_path, label_noise=1.0)
    assert float(shuffled["thumbs"]["accuracy"]) <= float(shuffled["majority class"]["accuracy"]) + 0.02
    assert abs(float(shuffled["thumbs"]["balanced-accuracy"]) - 1 / 7) < 0.08


def test_real_against_real_lies_far_below_real_against_noise(tiny: Path) -> None:
    rows = _rows(tiny / "results" / "tiny", "generators")
    real, noise = (float(rows[name]["fd[colours]"]) for name in ("real images", "uniform noise"))
    assert 0 <= real < 0.1 * noise
    assert real < float(rows["pixels"]["fd[colours]"])


def test_conditional_samples_are_recognised_as_the_class_asked_for(bench: Bench, suite: Suite, tmp_path: Path) -> None:
    path = suite(
        budgets={"short": {"steps": 150, "batch_size": 32}, "fine": {"steps": 300, "batch_size": 64}},
        dataset={"plugin": "phantom", "params": {"image_size": 16, "images": 600, "difficulty": 0.2}},
        classifiers={"thumbs": {"plugin": "thumbnails", "budget": "fine", "params": {"lr": 0.05, "side": 8}}},
        generators={"by-class": TINY["generators"]["by-class"]},
        generator_rows=[{"samples": "by-class", "count": 140}],
    )
    ran = bench("run", path, "--only", "sample/by-class")
    assert ran.code == 0, ran.err
    agreement = _rows(tmp_path / "results" / "tiny", "generators")["by-class"]["class-agreement"]
    assert float(agreement) > 0.5
