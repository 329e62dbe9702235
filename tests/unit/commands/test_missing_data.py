"""Without the data: `validate` and `plan` work and say so, `run` says in one line where to get them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from asking import Answer, ask

PLUGINS = Path(__file__).parents[2] / "e2e" / "plugins"
SUITE: dict[str, Any] = {
    "version": 1,
    "suite": "tiny",
    "dataset": {"plugin": "ham10000", "params": {"root": "nowhere", "image_size": 16}},
    "tasks": ["diagnosis", "malignancy"],
    "budgets": {"short": {"steps": 2, "batch_size": 4}},
    "classifiers": {"thumbs": {"plugin": "thumbnails", "budget": "short"}},
    "rows": [{"classifiers": "thumbs", "train": "train"}],
    "prediction_metrics": ["accuracy"],
}


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERMAE_BENCH_PLUGINS_DIR", str(PLUGINS))
    # counting starts processes; tests/e2e/test_plan.py does
    monkeypatch.setenv("DERMAE_BENCH_COSTS", "0")
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(SUITE))
    return tmp_path / "suite.yaml"


def use_folder(suite: Path) -> None:
    """A dataset whose classes can only be read from the data."""
    dataset = {"plugin": "image-folder", "params": {"root": "nowhere", "image_size": 16}}
    suite.write_text(yaml.safe_dump({**SUITE, "dataset": dataset}))


@pytest.mark.parametrize("tasks_known", [True, False])
def test_validate_and_plan_work_without_the_data(
    suite: Path, capsys: pytest.CaptureFixture[str], tasks_known: bool
) -> None:
    if not tasks_known:
        use_folder(suite)
    answer = ask(capsys, "validate", suite)
    assert answer.code == 0, answer.err
    assert "no mistake found" in answer.out
    assert "keys unknown: data missing:" in answer.out
    answer = ask(capsys, "plan", suite)
    assert answer.code == 0, answer.err
    assert "keys unknown: data missing:" in answer.out
    assert "nowhere" in answer.out
    rows = json.loads(ask(capsys, "plan", suite, "--format", "json").out)["stages"]
    assert {row["state"] for row in rows if row["kind"] == "prepare"} == {"unknown"}
    assert {row["key"] for row in rows if row["kind"] == "train"} == {""}


@pytest.mark.parametrize("command", ["run", "report"])
@pytest.mark.parametrize("tasks_known", [True, False])
def test_run_says_in_one_line_what_is_missing_and_where_to_get_it(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, tasks_known: bool
) -> None:
    if not tasks_known:
        use_folder(suite)
    answer: Answer = ask(capsys, command, suite)
    assert answer.code == 2
    assert answer.out == ""
    assert len(answer.err.splitlines()) == 1
    assert "nowhere is not there" in answer.err
    home = "HAM10000" if tasks_known else "your own images"
    assert home in answer.err
    assert not (tmp_path / "results").exists()
