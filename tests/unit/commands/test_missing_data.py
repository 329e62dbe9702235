"""Without the data: `validate` and `plan` work and say so, `run` says in one line where to get them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from asking import Answer, ask

from dermae_bench.commands.publishing import Session
from dermae_bench.commands.session import _waits, open_session
from dermae_bench.execute.choices import Options

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
    first, *told = answer.out.splitlines()
    assert first.endswith("; no mistake found in the suite")
    assert len(told) == 1 and re.search(r"^data missing: .*suite.yaml:\d+:\d+: dataset: folder nowhere", told[0])
    answer = ask(capsys, "plan", suite)
    assert answer.code == 0, answer.err
    assert "keys unknown" in answer.out
    assert re.search(r"^data missing: .*suite.yaml:\d+", answer.out, re.MULTILINE) and "nowhere" in answer.out
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


SEVERAL = """\
version: 1
suite: tiny
dataset: {plugin: ham10000, params: {root: nowhere, image_size: 16}}
tasks: [malignancy]
evaluate_on:
  clinic: {plugin: image-folder, params: {root: clinic, csv: clinic.csv}}
weights:
  unused: {path: unused.safetensors}
  backbone: {path: backbone.safetensors}
budgets: {short: {steps: 2, batch_size: 4}}
classifiers:
  cnn: {plugin: timm, budget: short, params: {arch: test_efficientnet, weights: backbone}}
  plain: {plugin: timm, budget: short, params: {arch: test_efficientnet}}
  scores:
    plugin: external-predictions
    params: {file: mine/scores.csv, scale: logits, protocol: zero-shot, source: made up}
rows: [{classifiers: [cnn, plain, scores]}]
prediction_metrics: [accuracy]
"""


def test_everything_that_is_missing_is_told_at_once_with_its_place(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite.write_text(SEVERAL)
    first, *told = ask(capsys, "validate", suite).out.splitlines()
    assert first.endswith("no mistake found in the suite")
    wanted = [
        "3:44: dataset: folder nowhere is not there (for ham10000); HAM10000",
        "9:20: weights.backbone, classifiers.cnn: file backbone.safetensors is not there (for timm)",
        "16:20: classifiers.scores: file mine/scores.csv is not there (for external-predictions)",
        "6:49: evaluate_on.clinic: folder clinic is not there (for image-folder); your own",
        "6:62: evaluate_on.clinic: file clinic.csv is not there (for image-folder); your own",
    ]
    lines = [line.removeprefix("data missing: ").removeprefix(f"{suite}:") for line in told]
    assert len(lines) == len(wanted)
    for beginning in wanted:
        assert any(line.startswith(beginning) for line in lines), (beginning, lines)
    for command in (["run"], ["report"], ["validate", "--data"]):
        answer = ask(capsys, *command, suite)
        assert answer.code == 2
        assert f"{len(wanted)} files or folders that this needs are not there" in answer.err
        assert all(line.partition("data missing: ")[2] in answer.err for line in told)
    planned = ask(capsys, "plan", suite).out
    assert "keys unknown, of " in planned
    assert planned.count("\ndata missing: ") == len(wanted)
    assert not (tmp_path / "results").exists()


def test_what_can_be_done_without_a_file_is_not_refused(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = SEVERAL.replace("{plugin: ham10000, params: {root: nowhere, image_size: 16}}", "{plugin: phantom}")
    session = opened(suite, there)
    assert _waits(session, Options())
    assert not _waits(session, Options(only=("prepare/phantom", "floor", "majority")))
    assert _waits(session, Options(only=("prepare",))), "the other set is not there"
    assert not _waits(session, Options(only=("cost/plain",)))
    assert not _waits(session, Options(skip=("/cnn", "/scores", "clinic")))
    assert _waits(session, Options(only=("cost",)))
    # nothing can be published without the data of the suite
    assert _waits(opened(suite, SEVERAL), Options(only=("cost/plain",)))


def test_a_missing_reference_is_told_with_all_else(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite.write_text(SEVERAL + "reference: published.csv\n")
    answer = ask(capsys, "validate", suite)
    assert answer.code == 2
    assert "6 files or folders that this needs are not there" in answer.err
    assert f"{suite}:19:12: reference: reference file published.csv is not there" in answer.err
    assert "classifiers.scores: file mine/scores.csv" in answer.err


def opened(suite: Path, text: str) -> Session:
    suite.write_text(text)
    return open_session(suite, preset=None, sets=(), results=suite.parent / "results", plugins_dir=None)
