"""What the suite's own data and the other sets cannot give is told at once, each at its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from asking import ask
from PIL import Image

PLUGINS = Path(__file__).parents[2] / "e2e" / "plugins"


def images(root: Path, labels: tuple[str, ...], count: int = 6) -> dict[str, Any]:
    for label in labels:
        (root / label).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(np.full((8, 8, 3), number, dtype=np.uint8)).save(root / label / f"{number}.png")
    return {"plugin": "image-folder", "params": {"root": str(root)}}


def suite_of(folder: Path, clinic: dict[str, Any]) -> Path:
    data = images(folder / "own", ("mel", "nv"))
    data["params"]["image_size"] = 16
    about = {
        "version": 1,
        "suite": "told",
        "dataset": data,
        "evaluate_on": {"clinic": clinic},
        "tasks": ["diagnosis"],
        "image_sets": {"few": {"from": "train", "count": 1}, "many": {"from": "train", "count": 1000}},
        "budgets": {"short": {"steps": 2, "batch_size": 4}},
        "classifiers": {"thumbs": {"plugin": "thumbnails", "budget": "short"}},
        "rows": [{"classifiers": "thumbs", "train": name} for name in ("few", "many")],
        "prediction_metrics": ["accuracy"],
    }
    (folder / "suite.yaml").write_text(yaml.safe_dump(about, sort_keys=False))
    return folder / "suite.yaml"


def test_another_set_is_no_secret_behind_too_few_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMAE_BENCH_PLUGINS_DIR", str(PLUGINS))
    answer = ask(capsys, "validate", suite_of(tmp_path, images(tmp_path / "clinic", ("benign", "malignant"))))
    assert answer.code == 2
    assert "1,000 images are asked for, but 'train' has " in answer.err
    assert "'clinic' answers no task of this suite with the same classes" in answer.err
    assert (
        "params: {task: diagnosis-label, maps: {diagnosis: {benign: ANSWER, malignant: ANSWER}}, positive: null}"
        in answer.err
    )
    assert answer.err.splitlines()[-1] == "2 errors in the suite"


def test_tasks_of_another_set_that_do_not_fit_have_a_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMAE_BENCH_PLUGINS_DIR", str(PLUGINS))
    clinic = images(tmp_path / "clinic", ("mel", "nv"))
    clinic["params"]["positive"] = "cancer"
    suite = suite_of(tmp_path, clinic)
    answer = ask(capsys, "validate", suite)
    assert (answer.code, answer.err.splitlines()[-1]) == (2, "2 errors in the suite")
    assert "1,000 images are asked for" in answer.err
    line = suite.read_text()[: suite.read_text().index("clinic:")].count("\n") + 2
    assert f"{suite}:{line}:" in answer.err and "no task has an answer 'cancer'" in answer.err
