"""Plugins named by their file: they run, and their folder is in no key."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import PLUGINS, Bench, Ran, Suite


def small(suite: Suite, file: Path, name: str) -> Path:
    """A suite of one classifier that lies in a file."""
    return suite(
        name,
        tasks=["malignancy"],
        extractors={},
        budgets={"fine": {"steps": 4, "batch_size": 8, "select": "best:accuracy"}},
        classifiers={"thumbs": {"plugin": f"{file}:thumbnails", "budget": "fine"}},
        rows=[{"classifiers": "thumbs", "train": "train"}],
        generators={},
        image_sets={},
        generator_rows=[],
        sample_metrics=[],
        prediction_metrics=["accuracy"],
    )


def keys(ran: Ran) -> dict[str, str]:
    assert ran.code == 0, ran.err
    return {row["name"]: row["key"] for row in json.loads(ran.out)["stages"]}


@pytest.mark.usefixtures("prepared")
def test_a_plugin_named_by_its_file_runs_wherever_it_lies(
    bench: Bench, suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DERMAE_BENCH_PLUGINS_DIR")
    files = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        files.append(Path(shutil.copy(PLUGINS / "thumbnails.py", tmp_path / place)))
    here, there = (small(suite, file, f"{file.parent.name}.yaml") for file in files)
    assert keys(bench("plan", here, "--no-costs", "--format", "json")) == keys(
        bench("plan", there, "--no-costs", "--format", "json")
    )
    ran = bench("run", here)
    assert ran.code == 0, ran.err
    assert "0 done" in bench("run", there).err
    for path in (tmp_path / "results" / "store").glob("*/*/manifest.json"):
        parts: Any = json.loads(path.read_text())["parts"]
        assert str(tmp_path) not in json.dumps(parts)
        if parts["kind"] == "train":
            assert set(parts["plugins"]) == {"thumbnails.py:thumbnails", "accuracy"}
