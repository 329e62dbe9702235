"""What `validate --data` prints of prepared data: classes of the tasks that the suite uses, and which of them lack."""

from __future__ import annotations

from typing import Any

import pytest

from dermae_bench.commands import data_told
from dermae_bench.commands.data_told import tell_data, tell_other
from dermae_bench.execute.stages import prepare

BINARY = ["benign", "malignant"]
TO_BINARY = {"nv": "benign", "df": "benign", "mel": "malignant"}
ROOT_WARNING = "fewer than 10 test images of: nv (8), df (5), mel (2); their scores mean little"


def task(name: str, classes: list[str], parent: str | None = None, mapping: Any = None) -> dict[str, Any]:
    positive = "malignant" if "malignant" in classes else None
    return {"name": name, "classes": classes, "parent": parent, "mapping": mapping or {}, "positive": positive}


def summary(train: Any, val: Any, test: Any, *warnings: str) -> dict[str, Any]:
    """Of a `prepare` stage: images of nv, df and mel in each split."""
    counts = {split: dict(zip(TO_BINARY, images, strict=True))
              for split, images in {"train": train, "val": val, "test": test}.items()}  # fmt: skip
    return {
        "tasks": [task("diagnosis", list(TO_BINARY)), task("malignancy", BINARY, "diagnosis", TO_BINARY)],
        "counts": counts, "split_rule": "by hand", "split_digest": "d", "attributes": {},
        "warnings": [ROOT_WARNING, *warnings],
    }  # fmt: skip


def suite(*tasks: str, **more: Any) -> dict[str, Any]:
    return {"tasks": list(tasks), "generators": {}, "classifiers": {}, "sample_metrics": [], **more}


def test_the_number_is_that_of_the_prepare_stage() -> None:
    assert data_told.FEW == prepare.FEW
    few = {"test": {"nv": 8}}

    class Split:
        classes, divided, leaky, leak = few, 0, None, None

    (told,) = prepare._warnings(Split())  # type: ignore[arg-type]
    assert list(data_told._further({"warnings": [told, "another"]})) == ["another"]


def test_a_task_that_follows_is_counted_and_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    data = summary((9, 9, 6), (3, 2, 0), (8, 5, 2), "the split is leaky: why")
    assert tell_data(data, suite("malignancy")) == 3
    assert capsys.readouterr().out.splitlines()[2:] == [
        "  train: 24 images: nv 9, df 9, mel 6",
        "    malignancy: benign 18, malignant 6",
        "  val: 5 images: nv 3, df 2, mel 0",
        "    malignancy: benign 5, malignant 0",
        "  test: 15 images: nv 8, df 5, mel 2",
        "    malignancy: benign 13, malignant 2",
        "WARNING no val images of malignancy: malignant; a metric that needs them will not exist",
        "WARNING fewer than 10 test images of malignancy: malignant (2); their scores mean little",
        "WARNING the split is leaky: why",
    ]


def test_labels_are_warned_of_where_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    data = summary((9, 9, 6), (3, 0, 1), (20, 0, 12))
    assert tell_data(data, suite("diagnosis")) == 2
    out = capsys.readouterr().out
    assert "malignancy" not in out
    assert "WARNING no val images of diagnosis: df;" in out and "WARNING no test images of diagnosis: df;" in out
    # a classifier that learns another task than it is scored in needs no test image of each of its classes
    assert tell_data(data, suite("malignancy", classifiers={"cnn": {"derive": "diagnosis"}})) == 0
    by_class = {"generators": {"ddpm": {"task": "diagnosis"}}, "sample_metrics": [{"metric": "kid", "by": "class"}]}
    assert tell_data(data, suite("malignancy", **by_class)) == 2
    assert tell_data(data, suite("malignancy", **{**by_class, "sample_metrics": [{"metric": "kid", "by": None}]})) == 0


def test_another_set_is_asked_what_the_suite_asks(capsys: pytest.CaptureFixture[str]) -> None:
    own, other = summary((9, 9, 6), (3, 2, 1), (20, 20, 20)), summary((0, 0, 0), (0, 0, 0), (11, 30, 0))
    assert tell_other("clinic", other, suite("malignancy"), own) == 1
    assert capsys.readouterr().out.splitlines() == [
        "other set clinic: 41 images: nv 11, df 30, mel 0",
        "    malignancy: benign 41, malignant 0",
        "WARNING clinic: no test images of malignancy: malignant; a metric that needs them will not exist",
    ]
    # a set with other classes answers malignancy alone
    other["tasks"][0]["classes"] = ["nv", "df"]
    other["counts"] = {split: {"nv": 11, "df": 30} for split in other["counts"]}
    other["tasks"][1]["mapping"] = {"nv": "benign", "df": "malignant"}
    assert tell_other("clinic", other, suite("diagnosis", "malignancy"), own) == 0
