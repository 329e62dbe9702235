"""`plan` counts what is not counted yet, with and without the data, and keeps it."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.conftest import Bench, Suite


@pytest.mark.parametrize("there", [True, False])
def test_costs_are_counted_once_also_without_the_data(bench: Bench, suite: Suite, there: bool) -> None:
    missing = {"plugin": "ham10000", "params": {"root": "nowhere", "image_size": 16}}
    path = suite() if there else suite(dataset=missing)
    quick = bench("plan", path, "--no-costs")
    assert quick.code == 0, quick.err
    assert "--costs counts them" in quick.out
    counted = bench("plan", path, "--format", "json")
    assert counted.code == 0, counted.err
    assert counted.err.startswith("counting the costs of ")
    about = json.loads(counted.out)
    states = {(row["state"], row["why"]) for row in about["stages"] if row["kind"] == "cost"}
    assert states == {("cached", "")}
    fits = [row for row in about["stages"] if row["kind"] == "train"]
    drawn = [row for row in about["stages"] if row["kind"] == "sample"]
    assert fits
    assert drawn
    for row in fits + drawn:
        assert row["pflops"] == pytest.approx(row["gmacs"] * row["images"] * 2e-6)
        assert row["pflops"] > 0
        assert row["disk_bytes"] > 0
        assert bool(row["key"]) == there
    again = bench("plan", path, "--format", "json")
    assert again.err == ""
    assert json.loads(again.out)["stages"] == about["stages"]


def test_hours_are_told_for_the_device_that_is_named(bench: Bench, suite: Suite) -> None:
    whole = json.loads(bench("plan", suite(), "--format", "json", "--peak-tflops", "100", "--utilisation", "1").out)
    tenth = json.loads(bench("plan", suite(), "--format", "json", "--peak-tflops", "10", "--utilisation", "1").out)
    assert whole["totals"]["training"]["gpu_hours"] > 0
    assert tenth["totals"]["all"]["gpu_hours"] == pytest.approx(10 * whole["totals"]["all"]["gpu_hours"])
    refused = bench("plan", suite(), "--utilisation", "1.5")
    assert refused.code == 2
    assert "--utilisation" in refused.err


def test_costs_that_cannot_be_counted_are_told_apart(bench: Bench, suite: Suite) -> None:
    about = {"plugin": "timm", "budget": "short", "params": {"arch": "test_vit", "arch_args": {"patch_size": 5}}}
    path = suite(classifiers={"vit": about}, rows=[{"classifiers": "vit"}], generators={}, image_sets={},
                 generator_rows=[], sample_metrics=[], extractors={})  # fmt: skip
    planned = bench("plan", path)
    assert planned.code == 1
    told = [line for line in planned.err.splitlines() if line.startswith("costs of ")]
    assert len(told) == 2 and {line.partition(" could not be counted: ")[0] for line in told} == {
        "costs of cost/vit/diagnosis", "costs of cost/vit/malignancy",
    }  # fmt: skip
    assert all("Input height (16) should be divisible by patch size (5)" in line for line in told)
    assert "are not counted, and not in the sums" in planned.out
    assert "--costs counts them" not in planned.out
    # a plan that counts nothing fails at nothing
    assert bench("plan", path, "--no-costs").code == 0


def test_what_needs_no_missing_file_runs_and_names_the_images(bench: Bench, suite: Suite, prepared: Path) -> None:
    params = {"file": "mine.csv", "scale": "logits", "protocol": "zero-shot", "source": "made up"}
    path = suite(classifiers={"said": {"plugin": "external-predictions", "params": params}},
                 rows=[{"classifiers": "said"}], generators={}, image_sets={}, generator_rows=[],
                 sample_metrics=[], extractors={})  # fmt: skip
    refused = bench("run", path)
    assert refused.code == 2
    assert "classifiers.said: file mine.csv is not there (for external-predictions)" in refused.err
    ran = bench("run", path, "--only", "prepare")
    assert ran.code == 0, ran.err
    assert ran.err.startswith("data missing: ") and "classifiers.said: file mine.csv" in ran.err
    assert "pending" in ran.out
    board = json.loads((path.parent / "results" / "tiny" / "classifiers.json").read_text())
    assert {row["status"] for row in board["rows"]} == {"pending"}
    assert bench("run", path, "--skip", "majority").code == 2
    # the ids that the answers need
    (entry,) = prepared.iterdir()
    shown = bench("show", entry.name[:12], "--images")
    assert shown.code == 0
    lines = list(csv.DictReader(io.StringIO(shown.out)))
    manifest = json.loads((entry / "manifest.json").read_text())["summary"]
    for split, classes in manifest["counts"].items():
        found = Counter(line["label"] for line in lines if line["split"] == split)
        assert dict(found) == {name: count for name, count in classes.items() if count}
    assert len({line["id"] for line in lines}) == manifest["n"]
    other = bench("show", "0" * 12, "--images")
    assert other.code == 2 and "no prepared data set in" in other.err
