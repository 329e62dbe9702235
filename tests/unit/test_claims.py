"""The table of differences in the README says what `compare` says, and its rows are there."""

from __future__ import annotations

import csv
import runpy
from pathlib import Path

import numpy as np

from tests.result_folders import Folder, answers, images

ROOT = Path(__file__).parents[2]
CLAIMS = runpy.run_path(str(ROOT / "docs" / "make_claims.py"))


def test_a_line_holds_difference_interval_corrected_p_and_seeds(tmp_path: Path) -> None:
    made = Folder(tmp_path / "made")
    two, three = images(), images(classes=3)
    for name, right in (("old", 0.6), ("new", 0.9)):
        made.row(name, two, [answers(two, right, seed) for seed in (1, 2)])
        made.row(name, three, [answers(three, right, seed, 3) for seed in (1, 2)], task="diagnosis")
    made.write()
    head, _, line = CLAIMS["table"](made.path, [("what", "new", "old")])
    assert head == "| difference made by | balanced accuracy | malignancy AUC |"
    balanced, auc = CLAIMS["compared"](made.path, "new", "old")
    assert balanced["metric"] == "balanced-accuracy" and auc["metric"] == "auc-binary"
    assert f"{balanced['difference']:+.3f} [{balanced['low']:+.3f}, {balanced['high']:+.3f}]" in line
    raw = sorted(item["tests"][0]["p"] for item in (balanced, auc))
    assert f"p {max(2 * raw[0], 0):.3f}" in line
    seeds = [b["value"] - a["value"] for a, b in zip(auc["a"]["seeds"], auc["b"]["seeds"], strict=True)]
    assert f"seeds {min(seeds):+.3f} to {max(seeds):+.3f} |" in line
    assert np.mean(seeds) > 0


def test_every_claim_names_rows_of_the_committed_results() -> None:
    with (ROOT / "results" / "ham10000-cpu" / "classifiers.csv").open() as stream:
        rows = {(line["classifier"], line["train"], line["task"]) for line in csv.DictReader(stream)}
    for _, *pair in CLAIMS["CLAIMS"]:
        for name in pair:
            classifier, train = name.split(" | ")
            assert {(classifier, train, "diagnosis"), (classifier, train, "malignancy")} <= rows
