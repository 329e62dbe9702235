"""What makes numbers trustworthy, through the commands: leaks, copies, comparisons, subgroups, frozen thresholds."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Bench, Ran, Suite, copied, made_once

FEW: dict[str, Any] = {
    "dataset": {"plugin": "planted"},
    "tasks": ["malignancy"],
    "extractors": {},
    "generators": {},
    "image_sets": {},
    "generator_rows": [],
    "sample_metrics": [],
    "prediction_metrics": ["accuracy", "balanced-accuracy"],
    "rows": [{"classifiers": "thumbs", "train": "train"}],
}
TRUSTED: dict[str, Any] = {
    **FEW,
    "dataset": {"plugin": "planted", "params": {"copies": 1}},
    "tasks": ["diagnosis", "malignancy"],
    "budgets": {"short": {"steps": 12, "batch_size": 16, "ema": 0.9}, "fine": {"steps": 60, "batch_size": 32}},
    "extractors": {"colours": {"plugin": "colours"}},
    "generators": {
        "by-class": {"plugin": "pixels-by-class", "budget": "short", "task": "diagnosis"},
        "copying": {"plugin": "copying", "budget": "short"},
    },
    "generator_rows": [{"samples": ["by-class", "copying"], "count": 30}],
    "image_sets": {"both": ["train", "val"]},
    "classifiers": {
        "thumbs": {"plugin": "thumbnails", "budget": "fine"},
        "untaught": {"plugin": "thumbnails", "budget": "fine", "params": {"lr": 1e-6}},
    },
    "rows": [{"classifiers": ["thumbs", "untaught"], "train": "train"}, {"classifiers": "thumbs", "train": "both"}],
    "sample_metrics": [
        {"metric": "kid", "extractor": "colours", "by": "class"},
        {"metric": "cas", "classifier": "thumbs"},
        {"metric": "memorisation", "extractor": "colours"},
    ],
    "prediction_metrics": ["accuracy", "sensitivity-at-90-specificity"],
    "subgroups": ["sex", {"attribute": "age", "bands": [50]}],
}


@pytest.fixture(scope="module")
def trusted(shared: Path, warm_backend: Any) -> Path:
    """A folder with the finished suite; only for reading."""
    return made_once(shared / "trusted", warm_backend, TRUSTED)


@pytest.fixture
def again(trusted: Path, tmp_path: Path) -> Ran:
    """The same in `tmp_path`, as if it had been run there."""
    return copied(trusted, tmp_path)


def lines(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "results" / "tiny" / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def records(folder: Path, results: str = "results") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / results / "tiny" / "records.jsonl").read_text().splitlines()]


def manifests(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (folder / "results" / "store" / kind).glob("*/manifest.json")]


def test_divided_lesions_are_refused_by_name_unless_the_split_says_why(
    bench: Bench, suite: Suite, tmp_path: Path
) -> None:
    def data(**params: Any) -> dict[str, Any]:
        return {**FEW, "dataset": {"plugin": "planted", "params": params}}

    path = suite("divided.yaml", **data(divided=2))
    refused = bench("validate", path, "--data")
    assert refused.code == 2
    for lesion in ("lesion-000", "lesion-006"):
        assert f"group {lesion}: divided between" in refused.out, refused.out
    ran = bench("run", path)
    assert ran.code == 1
    assert "2 problems in the dataset's table" in ran.err
    assert not manifests(tmp_path, "train")
    reason = "as the paper did it"
    assert bench("run", suite("leaky.yaml", **data(divided=2, leaky=reason)), "--results", "leaky").code == 0
    assert bench("run", suite("honest.yaml", **data()), "--results", "honest").code == 0
    leaky, honest = (
        [record for record in records(tmp_path, name) if record["metric"] == "accuracy"] for name in ("leaky", "honest")
    )
    assert {record["identity"]["leaky"] for record in leaky} == {reason}
    assert {record["identity"]["leaky"] for record in honest} == {None}
    (row, *_) = csv.DictReader((tmp_path / "leaky" / "tiny" / "classifiers.csv").open())
    assert f"leaky: {reason}" in row["marks"]
    compared = bench("compare", "honest/tiny", "leaky/tiny")
    assert compared.code == 2
    assert "leaky" in compared.err


@pytest.mark.usefixtures("again")
def test_a_planted_copy_is_listed_and_marked_and_moves_no_rank(bench: Bench, tmp_path: Path) -> None:
    told = bench("validate", "tiny.yaml", "--data")
    assert told.code == 0
    (found,) = [line for line in told.out.splitlines() if "copy-0" in line and "lesion-000-0" in line]
    assert "train" in found
    assert "test" in found
    for line in lines(tmp_path, "contamination.csv"):
        assert ("near-duplicate" in line["test"]) == (line["kind"] != "extractor"), line
    board = [line for line in lines(tmp_path, "classifiers.csv") if line["kind"] == "measured"]
    assert all("near-duplicate" in line["marks"] for line in board)
    for task in ("diagnosis", "malignancy"):
        of_task = sorted((line for line in board if line["task"] == task), key=lambda line: -float(line["accuracy"]))
        ranks = [int(line["accuracy rank"].rstrip("=")) for line in of_task]
        assert ranks == sorted(ranks)
        assert ranks[0] == 1


def test_two_rows_are_compared_and_a_policy_decides(bench: Bench, trusted: Path, tmp_path: Path) -> None:
    folder = trusted / "results" / "tiny"
    words = ("compare", folder, "untaught | train | malignancy", "thumbs | train | malignancy", "--metric", "accuracy")
    plain = bench(*words)
    assert plain.code == 0, plain.err
    assert "untaught" in plain.out
    policy = tmp_path / "policy.yaml"
    for rule, code in (("{margin: 1.0}", 0), ("{gain: 0.9}", 1), ("{margin: 0.0}", 4)):
        policy.write_text(f"version: 1\nmetrics: {{accuracy: {rule}}}\n")
        same = ("compare", folder, "thumbs | train | malignancy", "thumbs | both | malignancy")
        judged = bench(*(same if code == 4 else words[:4]), "--policy", policy)
        assert judged.code == code, (rule, judged.out)


def test_subgroups_add_up(trusted: Path) -> None:
    boards = Counter[tuple[str, ...]]()
    for line in lines(trusted, "subgroups.csv"):
        if line["board"] == "classifiers" and line["metric"] == "accuracy":
            boards[line["classifier"], line["train"], line["task"], line["attribute"]] += int(line["images"])
    whole = {int(line["accuracy n"]) for line in lines(trusted, "classifiers.csv") if line["kind"] == "measured"}
    assert {attribute for *_, attribute in boards} == {"sex", "age"}
    assert set(boards.values()) == whole


def test_no_threshold_is_frozen_on_images_that_were_learnt_from(trusted: Path) -> None:
    name = "sensitivity-at-90-specificity"
    board = {
        (line["classifier"], line["train"]): line
        for line in lines(trusted, "classifiers.csv")
        if line["kind"] == "measured" and line["task"] == "malignancy"
    }
    assert board["thumbs", "train"][name]
    assert board["thumbs", "both"]["accuracy"]
    assert not board["thumbs", "both"][name]
    assert "the model has learnt from val" in board["thumbs", "both"][f"{name} rank"]


def test_generators_are_scored_on_images_that_they_never_saw(trusted: Path) -> None:
    board = {line["generator"]: line for line in lines(trusted, "generators.csv")}
    assert float(board["by-class"]["cas[thumbs]"]) <= 1
    assert not board["copying"]["cas[thumbs]"]
    asked = [record["identity"]["subgroup"] for record in records(trusted) if record["metric"] == "kid[colours]"]
    assert {(found["attribute"], found["value"]) for found in asked} == {
        ("class", name) for name in ("nevus", "melanoma", "keratosis")
    }
    assert float(board["copying"]["near-copies[colours]"]) == 1
    assert float(board["copying"]["nearest-ratio[colours]"]) < 0.1
    assert float(board["copying"]["authenticity[colours]"]) < 0.1
    # no nearer to what it learnt from than to what it never saw
    assert 0.8 < float(board["by-class"]["nearest-ratio[colours]"]) < 1.2
    assert float(board["by-class"]["authenticity[colours]"]) > 0.9
    assert board["real images"]["sampling"] == "held out: val+test"
    fits = [fit for fit in manifests(trusted, "train") if fit["name"].startswith("train/generator/")]
    assert [fit["parts"]["work"]["images"] for fit in fits] == [[{"split": "train"}]] * 2


@pytest.mark.usefixtures("again")
def test_one_more_metric_makes_only_scores_again(bench: Bench, suite: Suite, tmp_path: Path) -> None:
    more = suite(**{**TRUSTED, "prediction_metrics": [*TRUSTED["prediction_metrics"], "f1-macro"]})
    kinds = ("prepare", "train", "sample", "extract", "predict", "cost")
    before = {kind: len(manifests(tmp_path, kind)) for kind in kinds}
    ran = bench("run", more)
    assert ran.code == 0, ran.err
    assert {kind: len(manifests(tmp_path, kind)) for kind in kinds} == before
    # three rows and two floors, for two tasks
    assert " 10 done" in ran.err
    assert all(line["f1-macro"] for line in lines(tmp_path, "classifiers.csv") if line["kind"] == "measured")
