"""Rows whose samples carry real images that the row itself does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from words import SWEEP, brief, planned, swept

TRAIN = "behind its samples: flow learnt from all of train"
SETS: dict[str, Any] = {
    "forty": {"from": "train", "count": 40},
    "sixty": {"from": "train", "count": 60},
    "other": {"from": "train", "count": 40, "seed": 3},
    "held": {"from": "val", "fraction": 0.5},
}


def test_points_of_a_sweep_say_what_their_generator_learnt_from(tmp_path: Path) -> None:
    found = planned(tmp_path, swept({**SWEEP, "samples": "flow"}, tasks=["diagnosis"], evaluate_on=None))
    marks = {row.row: row.marks for row in found.rows if row.names.get("real")}
    # all of train has it all, and a point without real images says so itself
    assert {row for row, told in marks.items() if told} == {"cnn | train-40 + flow-20 | diagnosis | flow | 40 | 0.5"}
    assert marks["cnn | train-40 + flow-20 | diagnosis | flow | 40 | 0.5"] == (TRAIN,)


@pytest.mark.parametrize(
    ("images", "real", "told"),
    [
        ("train", "train", ()),
        ("train", "forty", (TRAIN,)),
        ("forty", "forty", ()),
        ("forty", "sixty", ()),
        ("forty", "train", ()),
        ("sixty", "forty", ("behind its samples: flow learnt from another part of train",)),
        ("other", "sixty", ("behind its samples: flow learnt from another part of train",)),
        (["train", "held"], "train", ("behind its samples: flow learnt from another part of val",)),
        (["forty", "val"], "forty", ("behind its samples: flow learnt from all of val",)),
    ],
)
def test_what_a_generator_saw_beyond_the_row(tmp_path: Path, images: Any, real: str, told: tuple[str, ...]) -> None:
    suite = brief(image_sets={**SETS, "mixed": [real, {"samples": "flow", "count": 20}]}, tasks=["diagnosis"])
    suite["generators"]["flow"]["images"] = images
    suite["rows"] = [{"classifiers": "cnn", "train": "mixed"}, {"classifiers": "cnn", "train": real}]
    marks = {row.names["train"]: row.marks for row in planned(tmp_path, suite).rows if row.names.get("train")}
    assert (marks["mixed"], marks[real]) == (told, ())


def test_a_generator_behind_a_generator_counts(tmp_path: Path) -> None:
    sets = {**SETS, "drawn": [{"samples": "gan", "count": 20}], "mixed": ["forty", {"samples": "flow", "count": 20}]}
    suite = brief(image_sets=sets, tasks=["diagnosis"], rows=[{"classifiers": "cnn", "train": "mixed"}])
    suite["generators"]["flow"]["images"] = ["forty", "drawn"]
    (row,) = [row for row in planned(tmp_path, suite).rows if row.names.get("train") == "mixed"]
    assert row.marks == ("behind its samples: gan learnt from all of train",)


@pytest.mark.parametrize(
    ("images", "learnt"),
    [
        ("train", None),
        ("forty", (["forty"], False)),
        (["forty", "drawn"], (["forty"], True)),
        (["train", "drawn"], (["train"], True)),
        (["train", "val"], (["train", "val"], False)),
        # nobody else has real images to ask it for
        ("drawn", None),
    ],
)
def test_samples_are_asked_for_what_their_generator_learnt_from(tmp_path: Path, images: Any, learnt: Any) -> None:
    sets = {**SETS, "drawn": [{"samples": "gan", "count": 20}], "mixed": ["train", {"samples": "flow", "count": 20}]}
    suite = brief(image_sets=sets, tasks=["diagnosis"], rows=[{"classifiers": "cnn", "train": "mixed"}])
    suite["generators"]["flow"]["images"] = images
    found = planned(tmp_path, suite)
    (work,) = [stage.work for stage in found.of("sample") if "/flow/" in stage.name and stage.work["count"] == 20]
    if learnt is None:
        assert "learnt" not in work
        return
    forty = {"fraction": None, "count": 40, "per_class": None, "task": None, "seed": 0}
    parts = [{"split": "train", "choose": forty} if part == "forty" else {"split": part} for part in learnt[0]]
    assert work["learnt"] == {"real": parts, "more": learnt[1]}
