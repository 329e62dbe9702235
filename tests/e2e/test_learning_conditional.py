"""Samples of a conditional generator show the class that was asked for, and only if its labels were the right ones.

Measured in about three core-minutes: class-agreement (a judge's balanced accuracy over seven classes; chance is .143)
is .585 with the labels and .107 with permuted ones; the judge reaches .676 on real test images.
"""

from __future__ import annotations

import copy
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Ran

CHANCE = 1 / 7
SHUFFLED = Path(__file__).parent / "learning" / "shuffled.py"
NETWORK: dict[str, Any] = {
    "channels": [16, 32, 32], "layers_per_block": 1, "attention_levels": [], "head_dim": 16, "norm_groups": 8,
    "modulation": "scale-shift", "prediction": "x0", "schedule": "cosine", "optimizer": "adamw", "lr": 2e-3,
    "warmup": 0.05, "decay": "cosine", "p_uncond": 0.2,
}  # fmt: skip
"""The settings of suites/quickstart.yaml."""


@pytest.mark.slow
def test_samples_show_the_class_that_was_asked_for(
    bench: Callable[..., Ran], suite: Callable[..., Path], tmp_path: Path
) -> None:
    def generator(plugin: str) -> dict[str, Any]:
        sampling = {"sampler": "dpm-solver++", "steps": 8, "guidance": 2.0}
        return {
            "plugin": plugin,
            "budget": "ddpm",
            "task": "diagnosis",
            "params": copy.deepcopy(NETWORK),
            "sampling": sampling,
        }

    path = suite(
        "learning.yaml",
        suite="learning",
        dataset={"plugin": "phantom", "params": {"image_size": 32, "images": 2600, "difficulty": 0.3}},
        tasks=["diagnosis"],
        budgets={
            "ddpm": {"steps": 180, "batch_size": 32, "ema": 0.98},
            "cnn": {"steps": 150, "batch_size": 64},
        },
        generators={"right": generator("ddpm-conditional"), "wrong": generator(f"{SHUFFLED}:shuffled")},
        image_sets={},
        generator_rows=[{"samples": ["right", "wrong"], "count": 350}],
        classifiers={"cnn": {"plugin": "timm", "budget": "cnn", "params": {"arch": "test_efficientnet", "lr": 2e-3}}},
        rows=[{"classifiers": "cnn", "train": "train"}],
        extractors={},
        sample_metrics=[{"metric": "class-agreement", "judge": {"classifier": "cnn", "train": "train"}}],
        prediction_metrics=["balanced-accuracy"],
    )
    ran = bench("run", path)
    assert ran.code == 0, ran.err
    folder = tmp_path / "results" / "learning"
    found = {row["generator"]: float(row["class-agreement"] or "nan") for row in _rows(folder / "generators.csv")}
    judge = {row["classifier"]: float(row["balanced-accuracy"]) for row in _rows(folder / "classifiers.csv")}
    assert judge["cnn"] > 0.5
    assert found["right"] > 0.35
    assert found["wrong"] < 1.5 * CHANCE


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))
