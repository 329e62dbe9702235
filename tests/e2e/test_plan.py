"""`plan` counts what is not counted yet, with and without the data, and keeps it."""

from __future__ import annotations

import json

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
