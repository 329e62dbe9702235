"""What `verify` says of a good folder, and what it leaves unchecked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harmed_folder import FIXTURES, check, named, records, text

from dermae_bench.durable import digest_file
from dermae_bench.errors import UserError
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.report.verify.digests import SUMS, write_digests
from dermae_bench.report.verify.metrics import Metrics
from dermae_bench.report.verify.render import json_report, terminal_report, verdict

unplanned, folder = FIXTURES


def test_a_good_folder_is_good_in_every_part(good: Path, catalog: Catalog) -> None:
    report = check(good, catalog, store=True)
    assert report.findings == [] and report.unchecked == [] and report.exit_code == 0
    compared = report.checked
    assert compared["scores from predictions"] == 9 and compared["scores from samples"] == 1
    assert compared["records"] == len(records(good)) and compared["answers beside the store"] == 276
    assert compared["boards"] == 10 and compared["costs"] == 12 and compared["published numbers"] == 1


def test_without_a_store_the_rest_is_checked_and_what_is_left_is_told(good: Path, catalog: Catalog) -> None:
    report = check(good, catalog, silent=False)
    assert report.findings == [] and report.exit_code == 4
    assert {item.needs for item in report.unchecked} == {"store"}
    assert any("kid[hand]" in item.what for item in report.unchecked)
    assert "inconclusive" in terminal_report(report) and "--no-store" in terminal_report(report)
    clone = check(good, catalog)
    assert clone.exit_code == 0 and clone.checked["scores from predictions"] == 9


def test_it_changes_nothing(good: Path, catalog: Catalog) -> None:
    before = {path: path.stat().st_mtime_ns for path in good.parent.rglob("*")}
    check(good, catalog, store=True)
    assert {path: path.stat().st_mtime_ns for path in good.parent.rglob("*")} == before


def test_the_list_of_digests_is_read_by_sha256sum(good: Path) -> None:
    lines = [line for line in (good / SUMS).read_text().splitlines() if not line.startswith("#")]
    listed = dict(reversed(line.split("  ", 1)) for line in lines)
    assert listed["figures/grid.png"] == digest_file(good / "figures" / "grid.png")
    assert "report.html" not in listed and SUMS not in listed
    assert f"# {digest_file(good / 'report.html')}  report.html" in (good / SUMS).read_text()
    assert write_digests(good) is False


def test_a_folder_without_its_suite_is_not_good(good: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert named(check(good, catalog), "plan", "suite.resolved.yaml", "cannot be read")


def test_a_metric_that_is_not_here_leaves_its_numbers_unchecked(
    good: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    less = Catalog()
    monkeypatch.setattr(less, "references", {k: v for k, v in catalog.references.items() if k != "ece"}, raising=False)
    report = check(good, less)
    assert report.findings == [] and report.exit_code == 4
    assert any("'ece' is not installed here" in item.what for item in report.unchecked)


def test_another_source_of_a_metric_is_told(good: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Metrics, "digest", lambda self, name: "0" * 16)
    report = check(good, catalog)
    assert report.exit_code == 0 and "metric brier has another source here than in the run" in report.notes
    assert "what its evidence gives" in verdict(report)
    report.differs("records", "records.jsonl", "value", 1.0, 2.0)
    assert "1 difference from what this version makes of its evidence; another version scored it" in verdict(report)


def test_a_folder_without_evidence_is_the_users_mistake(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(UserError, match="no results folder"):
        check(tmp_path, catalog)
    with pytest.raises(UserError, match="no results folder"):
        check(tmp_path / "nowhere", catalog)


def test_the_json_has_every_finding(folder: Path, catalog: Catalog) -> None:
    text(folder, "classifiers.csv", "thumbs", "\x1b[31mours")
    report = check(folder, catalog)
    read = json.loads(json_report(report))
    assert read["differences"]["boards"] == len([f for f in read["findings"] if f["topic"] == "boards"]) > 0
    assert "\x1b" not in terminal_report(report)
