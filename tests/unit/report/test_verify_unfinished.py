"""Rows that are shown without numbers, costs that are missing, the published table: held to plan and store."""

from __future__ import annotations

import json
from typing import Any

import pytest
from planned_folder import Folder

from dermae_bench.report.verify.findings import Report
from dermae_bench.report.verify.render import terminal_report

ROW = "larger | train | diagnosis"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("planned"))


def named(report: Report, *words: str) -> bool:
    texts = [json.dumps([f.place, f.message, f.stored, f.expected]) for f in report.findings]
    return any(all(word in text for word in words) for text in texts)


def hide(folder: Folder, status: str, reason: str | None = None) -> tuple[Any, list[str]]:
    """The folder without the scores of a row, and their keys."""
    about = folder.about()
    row = next(row for row in about["boards"]["rows"] if row["row"] == ROW)
    row.update(status=status, reason=reason)
    keys = [s["key"] for s in about["scores"] if any(shown["row"] == ROW for shown in s["rows"])]
    about["scores"] = [score for score in about["scores"] if score["key"] not in keys]
    for key in keys:
        del about["provenance"]["stages"][key]
    return about, keys


@pytest.mark.parametrize(("status", "reason"), [("pending", None), ("failed", "out of memory")])
def test_a_hidden_row_is_found_by_the_store_and_named_in_a_clone(
    folder: Folder, status: str, reason: str | None
) -> None:
    about, keys = hide(folder, status, reason)
    report = folder.check(about, store=True)
    assert report.exit_code == 1 and named(report, ROW, status, "it was hidden", keys[0])
    clone = folder.check(about)
    assert clone.findings == [] and clone.exit_code == 4
    assert f"row {ROW} is shown as {status}" in terminal_report(clone)


def test_a_row_that_failed_is_good_where_the_store_says_so(folder: Folder) -> None:
    about, keys = hide(folder, "failed")
    name = folder.stages[keys[0]].name
    row = next(row for row in about["boards"]["rows"] if row["row"] == ROW)
    row["reason"] = f"diverged; at step 3 ({name}, {keys[0][:8]})"
    told = {"store": True, "gone": keys, "failures": {keys[0]: "diverged\nat step 3"}}
    report = folder.check(about, **told)
    assert report.findings == [] and report.exit_code == 0 and any(ROW in text for text in report.notes)
    row["reason"] = "no time"
    assert named(folder.check(about, **told), ROW, "reason", "no time", "diverged")
    row.update(status="pending", reason=None)
    assert named(folder.check(about, **told), ROW, "status", "pending", "failed")


@pytest.mark.slow
def test_a_failure_that_no_store_recorded_is_a_difference(folder: Folder) -> None:
    about, keys = hide(folder, "failed", "made up")
    report = folder.check(about, store=True, gone=keys)
    assert report.exit_code == 1 and named(report, ROW, "status", "failed", "pending")


@pytest.mark.slow
def test_a_row_that_waits_is_told(folder: Folder) -> None:
    about, keys = hide(folder, "pending")
    report = folder.check(about, store=True, gone=keys)
    assert report.exit_code == 0 and any("shown as pending, as in the store" in text for text in report.notes)


@pytest.mark.slow
def test_a_store_of_another_version_cannot_tell_what_waits(folder: Folder) -> None:
    about, keys = hide(folder, "pending")
    about["provenance"]["harness"]["score"] = {"execute/stages/score.py": "0" * 16}
    report = folder.check(about, store=True, gone=keys)
    assert any(item.needs == "row" and ROW in item.what for item in report.unchecked)


def test_answers_that_no_hidden_row_waits_for_are_still_found(folder: Folder) -> None:
    about, _ = hide(folder, "pending")
    stages = [s for s in folder.stages.values() if s.kind == "predict" and s.name.endswith("/test")]
    about["predictions"] = {s.key: {"name": s.name, "split": "test"} for s in stages}
    about["scores"] = [s for s in about["scores"] if not any(r["row"].startswith("thumbs") for r in s["rows"])]
    report = folder.check(about)
    assert named(report, "no score is of these answers", "thumbs")
    assert not named(report, "no score is of these answers", "larger")


def without_costs(folder: Folder) -> tuple[Any, str]:
    about = folder.about()
    gone = next(item for item in about["provenance"]["costs"] if item["row"] == ROW)
    about["provenance"]["costs"] = [item for item in about["provenance"]["costs"] if item["row"] != ROW]
    return about, gone["key"]


def test_costs_that_the_suite_counts_cannot_be_taken_out(folder: Folder) -> None:
    about, key = without_costs(folder)
    assert named(folder.check(about), ROW, "costs", "they are missing")
    assert named(folder.check(about, store=True), ROW, "the store has them", key)
    failed = folder.check(about, store=True, gone=[key], failures={key: "no such layer"})
    assert failed.findings == [] and failed.exit_code == 4


def test_the_published_table_is_that_of_the_suite(folder: Folder) -> None:
    path = folder.place / "suite.resolved.yaml"
    whole = path.read_text()
    try:
        assert whole.count("\nreference: null\n") == 1
        path.write_text(whole.replace("\nreference: null\n", "\nreference: results/reference/table1.csv\n"))
        about = folder.about()
        about["provenance"]["reference"] = {"file": "table1.csv", "sha256": "0" * 64}
        assert folder.check(about).findings == []
        about["provenance"]["reference"]["file"] = "forged.csv"
        assert named(folder.check(about), "reference", "forged.csv", "table1.csv")
    finally:
        path.write_text(whole)
