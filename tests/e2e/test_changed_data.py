"""What is read is what was hashed: data that change between the plan and the commit are never stored under a key."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from dermae_bench.commands import session
from dermae_bench.execute import attempt
from tests.e2e.conftest import PLUGINS, Bench

SPLITS = ("train", "train", "val", "test")


def picture(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Sixteen images in a folder, a table beside it, and a suite over both."""
    folder = tmp_path / "images"
    folder.mkdir()
    lines = ["path,label,split"]
    for number in range(16):
        picture(folder / f"{number:02d}.png", number)
        lines.append(f"{number:02d}.png,{'ab'[number // 4 % 2]},{SPLITS[number % 4]}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    suite: dict[str, Any] = {
        "version": 1,
        "suite": "mine",
        "dataset": {
            "plugin": "image-folder",
            "params": {"root": "images", "csv": "table.csv", "image_size": 16},
        },
        "tasks": ["diagnosis"],
        "budgets": {"short": {"steps": 2, "batch_size": 4}},
        "classifiers": {"thumbs": {"plugin": "thumbnails", "budget": "short"}},
        "rows": [{"classifiers": "thumbs", "train": "train"}],
        "prediction_metrics": ["accuracy"],
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(suite, sort_keys=False))
    return folder


@pytest.mark.slow
def test_an_image_that_changes_before_it_is_read_fails_the_stage(
    bench: Bench, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        # asked between the digests and the first stage
        patch.setattr(session, "_need_data", lambda opened: picture(images / "03.png", 99))
        ran = bench("run", "mine.yaml", "--skip", "cost")
    assert ran.code == 1, ran.err
    assert "data changed while the stage read them" in ran.err
    assert "Traceback" not in ran.err + ran.out
    store = tmp_path / "results" / "store"
    (failure,) = [json.loads(path.read_bytes()) for path in (store / "failures").iterdir()]
    assert (failure["name"], failure["category"]) == ("prepare/image-folder", "data")
    assert "images changed after its digest was taken" in failure["reason"]
    # what a model costs needs no data
    assert {path.parts[-3] for path in store.glob("*/*/manifest.json")} <= {"cost"}
    # what is there now has a key of its own
    again = bench("run", "mine.yaml", "--only", "prepare")
    assert again.code == 0, again.err
    assert len(list(store.glob("prepare/*/manifest.json"))) == 1


def test_each_path_of_a_plan_has_its_digest_beside_it(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (images / "15.png").rename(elsewhere / "15.png")
    (images / "15.png").symlink_to(elsewhere / "15.png")
    monkeypatch.setenv("DERMAE_BENCH_DATA_ROOTS", os.fspath(elsewhere))
    opened = session.open_session(
        tmp_path / "mine.yaml", preset=None, sets=(), results=tmp_path / "results", plugins_dir=PLUGINS
    )
    (stage,) = [stage for stage in opened.stages if stage.kind == "prepare"]
    spec = {"work": stage.work, "parts": stage.parts}
    attempt._check_unchanged(spec)
    for changed, name in ((elsewhere / "15.png", "images"), (tmp_path / "table.csv", "table.csv")):
        kept = changed.read_bytes()
        changed.write_bytes(kept[:-1])
        with pytest.raises(attempt.DataError, match=f"{name} changed after its digest was taken"):
            attempt._check_unchanged(spec)
        changed.write_bytes(kept)
        attempt._check_unchanged(spec)
