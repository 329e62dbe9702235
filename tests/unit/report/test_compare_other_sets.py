"""Rows that were scored on another data set are compared on its images, and with nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from other_set_folder import COUNT, ELSEWHERE

from dermae_bench.commands.comparing import compare_results, metrics_of
from dermae_bench.errors import DataError, UserError
from dermae_bench.report.compare.comparison import compare
from dermae_bench.report.compare.recorded import Results
from dermae_bench.report.compare.sheets import Pixels
from dermae_bench.report.compare.sides import paired
from dermae_bench.store.artifacts import Store

OWN, THIRD = "net | train | malignancy", "net | train | malignancy | third"


@pytest.fixture
def folder(scored_elsewhere: Path) -> Path:
    return scored_elsewhere


def test_a_row_is_compared_on_the_images_that_it_was_scored_on(folder: Path) -> None:
    results = Results(folder)
    found = compare(results, results, paired(results, results, ELSEWHERE, ELSEWHERE), metric_of=metrics_of(None))
    (pair,) = found.pairs
    assert pair.pair.a.section == "malignancy on elsewhere" and pair.answers is not None
    assert [len(one.ids) for side in pair.answers for one in side.predictions] == [COUNT] * 4
    frozen = next(line for line in pair.lines if line.metric == "sensitivity-at-90-specificity")
    assert frozen.a == frozen.b and frozen.companions


def test_a_classifier_is_compared_once_on_each_set(folder: Path) -> None:
    results = Results(folder)
    pairing = paired(results, results, "net", "net")
    assert [pair.a.row for pair in pairing.pairs] == [OWN, ELSEWHERE, THIRD]


@pytest.mark.parametrize(
    ("b", "reason"),
    [
        (OWN, "A was scored on the images of 'elsewhere', B on the test images of the suite's own data"),
        (THIRD, "A was scored on the images of 'elsewhere', B on the images of 'third'"),
    ],
)
def test_rows_of_two_sets_are_refused_with_a_sentence(folder: Path, b: str, reason: str) -> None:
    results = Results(folder)
    with pytest.raises(DataError, match=reason):
        paired(results, results, ELSEWHERE, b)


def test_another_set_of_the_same_name_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "again")
    data = json.loads((folder / "evidence.json").read_text())["others"]["elsewhere"]["data"]
    for name in ("records.jsonl", "evidence.json"):
        text = (tmp_path / "again" / name).read_text()
        (tmp_path / "again" / name).write_text(text.replace(data, "0" * 16))
    a, b = Results(folder), Results(tmp_path / "again")
    reason = f"data is {data} in A and 0000000000000000 in B: another data set, or other pixels"
    with pytest.raises(DataError, match=reason):
        compare(a, b, paired(a, b, ELSEWHERE, ELSEWHERE), metric_of=metrics_of(None))


def test_pictures_are_those_of_the_set(folder: Path) -> None:
    results = Results(folder)
    stored = Store(folder.parent / "store")
    for on in ("", "elsewhere", "third"):
        key = str((results.evidence.others[on] if on else results.evidence.prepared)["key"])
        images = np.load(stored.folder("prepare", key) / "images.npy")
        place = 1 if on else 24 + 18 + 1
        assert np.array_equal(Pixels(results, on)["test-1"], images[place].transpose(1, 2, 0))
    with pytest.raises(UserError, match="no prepared data"):
        Pixels(results, "fourth")


def test_flips_of_several_sets_are_drawn_each_from_its_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Recorded(Pixels):
        def __init__(self, results: Results, on: str = "") -> None:
            asked.append(on)
            super().__init__(results, on)

    monkeypatch.setattr("dermae_bench.report.compare.sheets.Pixels", Recorded)
    assert compare_results([f"{folder}:net", f"{folder}:net"], flips=[str(tmp_path / "pictures")]) == 0
    assert asked == ["", "elsewhere", "third"]
