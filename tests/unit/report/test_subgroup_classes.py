"""Subgroups with few images of a class, and those that are all equal: shown, but neither worst nor best."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_boards import boards, classifier, inside

from dermae_bench.plugin.data import Task
from dermae_bench.report.class_mix import counted
from dermae_bench.report.export import files
from dermae_bench.report.leaderboard import Boards
from dermae_bench.report.subgroups import LEAST_OF_A_CLASS, blocks

Values = dict[str, tuple[float | None, int, int | None]]
LARGE = (100, 50)
TWO = {"classes": ["benign", "malignant"], "average": "binary"}
FEW = LEAST_OF_A_CLASS - 1


def made(values: Values, mixes: Mapping[str, Mapping[str, int]], identity: Mapping[str, Any] = TWO) -> Boards:
    part = classifier("a", "t", 0.5)
    records = tuple(inside(part, "tone", values, identity=identity))
    return boards(part, subgroups=records, subgroup_classes={(part[0].row, "tone"): mixes})


THREE: Values = {"light": (0.9, *LARGE), "brown": (0.7, *LARGE), "dark": (0.0, *LARGE)}
MIXES = {
    "light": {"benign": 90, "malignant": 10},
    "brown": {"benign": 95, "malignant": LEAST_OF_A_CLASS},
    "dark": {"benign": 98, "malignant": 2},
}


def test_two_images_of_a_class_make_no_worst_subgroup_and_the_counts_are_shown() -> None:
    (block,) = blocks(made(THREE, MIXES), "classifiers")
    (measure,) = block.measures
    dark = measure.part("dark")
    assert (measure.worst, measure.best) == ("brown", "light") and dark is not None and dark.value == 0.0
    assert dark.aside == "fewer than 5 images of a class: 2 of malignant"
    out = files(made(THREE, MIXES))
    assert "| tone | images | lesions | benign | malignant | f1-macro ↑ |" in out["subgroups.md"]
    assert "| dark | 100 | 50 | 98 | 2 | 0.000" in out["subgroups.md"]
    for name in ("subgroups.md", "report.html"):
        assert "neither worst nor best: dark (fewer than 5 images of a class: 2 of malignant)" in out[name]
    rows = {row["subgroup"]: row for row in csv.DictReader(io.StringIO(out["subgroups.csv"]))}
    assert rows["dark"]["classes"] == "benign 98; malignant 2" and rows["brown"]["place"] == "worst"
    (told,) = json.loads(out["subgroups.json"])["rows"]
    assert told["classes"]["dark"] == {"benign": 98, "malignant": 2}


@pytest.mark.parametrize(
    ("identity", "aside"),
    [
        ({"classes": ["benign", "malignant"], "average": "micro"}, True),
        ({"classes": ["a", "b", "c"], "average": "macro"}, True),
        ({"classes": ["a", "b", "c"], "average": "micro"}, False),
        ({"classes": ["a", "b", "c"], "average": None}, False),
    ],
)
def test_a_metric_that_does_not_weigh_its_many_classes_needs_none(identity: Mapping[str, Any], aside: bool) -> None:
    names = identity["classes"]
    whole, few = dict.fromkeys(names, 40), {**dict.fromkeys(names, 40), names[-1]: FEW}
    (block,) = blocks(made(THREE, {"light": whole, "brown": whole, "dark": few}, identity), "classifiers")
    assert block.measures[0].worst == ("brown" if aside else "dark")
    page = files(made(THREE, {"light": whole, "brown": whole, "dark": few}, identity))["subgroups.md"]
    # of many classes the rarest is told, of two each has a column
    row = next(line for line in page.splitlines() if line.startswith("| dark |"))
    assert row.split(" | ")[3] == (f"c {FEW}" if len(names) > 2 else "40")
    assert ("| rarest class |" in page) == (len(names) > 2)


def test_equal_subgroups_have_a_gap_of_nothing_and_no_names() -> None:
    mixes = {name: {"benign": 50, "malignant": 50} for name in ("light", "brown", "dark")}
    for value, shown in ((0.5, "0.000"), (0.0, "0")):
        values: Values = {name: (value, *LARGE) for name in mixes}
        # the last bit of a mean is no difference
        values["dark"] = (value + 1e-16, *LARGE)
        (block,) = blocks(made(values, mixes), "classifiers")
        (measure,) = block.measures
        assert (measure.worst, measure.best) == ("", "") and measure.gap is not None and measure.gap.value == 0
        out = files(made(values, mixes))
        assert "*worst*" not in out["subgroups.md"] and "*best*" not in out["subgroups.md"]
        assert (
            f"| **gap** |  |  |  |  | {shown}" in out["subgroups.md"]
            and "<small>all equal</small>" in out["report.html"]
        )
        rows = list(csv.DictReader(io.StringIO(out["subgroups.csv"])))
        assert [row["gap"] for row in rows] == ["0", "", ""] and {row["place"] for row in rows} == {""}


def test_several_that_share_the_least_number_are_all_the_worst() -> None:
    values: Values = {"light": (0.9, *LARGE), "brown": (0.5, *LARGE), "dark": (0.5, *LARGE)}
    page = files(made(values, {}))["subgroups.md"]
    assert page.count("*worst*") == 2 and page.count("*best*") == 1


def test_classes_are_counted_in_each_subgroup() -> None:
    task = Task(name="t", classes=("benign", "malignant"))
    asked = {"attribute": "age", "bands": [40.0], "join": {}}
    found = counted(task, np.array([0, 1, 1, 0, 1]), asked, [20.0, 30.0, 50.0, None, 60.0])
    assert found == {
        "below 40": {"benign": 1, "malignant": 1},
        "40 and over": {"benign": 0, "malignant": 2},
        "unknown": {"benign": 1, "malignant": 0},
    }


def test_a_results_folder_counts_the_classes_of_its_own_images(good: Path, scored_elsewhere: Path) -> None:
    folders = (good, scored_elsewhere)
    rows = [row for its in folders for row in csv.DictReader(io.StringIO((its / "subgroups.csv").read_text()))]
    asked = [row for row in rows if row["board"] == "classifiers"]
    assert asked
    for row in asked:
        numbers = [int(text.rpartition(" ")[2]) for text in row["classes"].split("; ")]
        assert sum(numbers) == int(row["images"]) and len(numbers) in (2, 3)
    assert all(row["classes"] == "" for row in rows if row["board"] == "generators")
