"""Extractors that are classifiers of the suite: which fit they are, and what they may not have seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from suite_files import problems
from words import brief, keys, measured, planned, tree, written

from dermae_bench.suite.resolved import suite_to_yaml


def test_it_is_the_fit_that_a_row_asks_for_anyway(tmp_path: Path) -> None:
    suite = tree(rows=[{"classifiers": "cnn", "train": "train"}], evaluate_on=None)
    found = planned(tmp_path, suite)
    fit = found["train/classifier/cnn/train/diagnosis/seed=0"]
    features = [stage for stage in found.of("extract") if stage.name.startswith("extract/tuned/")]
    assert len(features) == 5 and all(stage.inputs["train"] is fit for stage in features)
    assert all(stage.work["extractor"]["model"]["params"]["arch"] == "resnet18" for stage in features)
    # the first seed, and no other
    assert found["train/classifier/cnn/train/diagnosis/seed=1"].key != fit.key
    without = planned(tmp_path, {**suite, "extractors": {"lite0": suite["extractors"]["lite0"]},
                                 "sample_metrics": [{"metric": "fd", "extractor": "lite0"}]})  # fmt: skip
    assert keys(without) < keys(found)
    added = {stage.kind for stage in found.stages if stage.key not in keys(without)}
    assert added == {"extract", "score"}


def test_the_first_task_of_the_suite_is_its_own_if_nothing_is_said(tmp_path: Path) -> None:
    def tuned(**more: Any) -> Any:
        suite = brief()
        suite["extractors"]["tuned"]["from"] = {"classifier": "cnn", "train": "train", **more}
        return planned(tmp_path, suite)

    assert keys(tuned()) == keys(tuned(task="diagnosis")) != keys(tuned(task="malignancy"))


def test_what_decides_the_fit_decides_the_features(tmp_path: Path) -> None:
    def features(suite: dict[str, Any]) -> set[str]:
        return {s.key for s in planned(tmp_path, suite).of("extract") if s.name.startswith("extract/tuned/")}

    base = features(brief())
    for place, value in (
        (("classifiers", "cnn", "params", "lr"), 0.5),
        (("budgets", "short", "steps"), 11),
        (("extractors", "tuned", "from", "train"), "tenth"),
        (("seeds",), [5]),
    ):
        suite: Any = brief()
        holder = suite
        for step in place[:-1]:
            holder = holder[step]
        holder[place[-1]] = value
        assert not features(suite) & base, place
    suite = brief(seeds=[0, 1, 2])
    assert features(suite) == base


def test_no_floor_is_made_of_images_that_an_extractor_has_seen(tmp_path: Path) -> None:
    def floors(suite: dict[str, Any]) -> list[str]:
        found = planned(tmp_path, suite)
        return [row.row for row in found.rows if row.board == "generators" and row.kind == "floor"]

    given = {"release": {"plugin": "external-images", "params": {"path": str(tmp_path)}}}
    suite = tree(generators=given, generator_rows=[{"samples": "release", "count": 10, "against": "test"}],
                 image_sets=None, captions=None, rows=[{"classifiers": "cnn"}])  # fmt: skip
    (tmp_path / "a.png").write_bytes(b"x")
    # nothing in this suite but the extractor has seen `train`
    assert floors(suite) == ["real images | held out: val | test | 10", "uniform noise | test | 10"]
    plain = {**suite, "sample_metrics": [{"metric": "fd", "extractor": "lite0"}]}
    assert floors(plain)[0] == "real images | held out: train+val | test | 10"
    suite["budgets"]["short"]["select"] = "best:accuracy"
    assert floors(suite) == ["uniform noise | test | 10"]


def test_what_its_teacher_was_chosen_on_it_has_seen(tmp_path: Path) -> None:
    suite = tree(generator_rows=[{"samples": "flow", "count": 10, "against": "val"}], rows=[{"classifiers": "cnn"}])
    suite["budgets"]["chosen"] = {**suite["budgets"]["short"], "select": "best:accuracy"}
    suite["classifiers"]["best"] = {**suite["classifiers"]["cnn"], "budget": "chosen"}
    teacher = {"classifier": "best", "train": "train"}
    suite["classifiers"]["student"] = {**suite["classifiers"]["cnn"], "plugin": "distilled", "teacher": teacher}
    suite["extractors"]["tuned"]["from"] = {"classifier": "student", "train": "train"}
    assert any("extractor 'tuned' was fitted on 'val'" in said for said in problems(written(tmp_path, suite)))


@pytest.mark.parametrize(
    ("source", "against", "told"),
    [
        ({"train": "train"}, "test", None),
        ({"train": "train"}, "val", None),
        ({"train": "train"}, "train", "fitted on 'train'"),
        ({"train": "tenth"}, "train", "fitted on 'train'"),
        ({"train": "val"}, "val", "fitted on 'val'"),
        ({"train": "val"}, "train", None),
        ({"classifier": "primed", "train": "val"}, "train", "fitted on 'train'"),
        ({"classifier": "best", "train": "train"}, "val", "fitted on 'val'"),
        ({"train": "few"}, "test", "samples of flow"),
        ({"train": "test"}, "train", "the training set is 'test'"),
        (
            {"classifier": "joint", "train": "train"},
            "test",
            "'joint' is no extractor: it is trained together with both",
        ),
        (
            {"classifier": "pupil", "train": "train"},
            "test",
            "'pupil' is no extractor: it is trained together with both",
        ),
    ],
)
def test_an_extractor_never_saw_what_is_measured(
    tmp_path: Path, source: dict[str, str], against: str, told: str | None
) -> None:
    suite = brief(generator_rows=[{"samples": "flow", "count": 10, "against": against}])
    suite["budgets"]["chosen"] = {"steps": 10, "batch_size": 4, "select": "best:accuracy"}
    suite["pretrained"] = {"encoder": {"plugin": "mae", "budget": "short", "params": {"arch": "vit"}}}
    suite["generators"]["both"] = {"plugin": "joint-diffusion", "budget": "short", "task": "diagnosis"}
    suite["classifiers"] |= {
        "best": {"plugin": "timm", "budget": "chosen", "params": {"arch": "resnet18"}},
        "primed": {"plugin": "timm", "budget": "short", "params": {"arch": "vit"}, "init": "encoder"},
        "joint": {"from": {"generator": "both"}},
        "pupil": {
            "plugin": "distilled",
            "budget": "short",
            "params": {"arch": "resnet18"},
            "teacher": {"classifier": "joint", "train": "train"},
        },
    }
    suite["extractors"]["tuned"]["from"] = {"classifier": "cnn", **source}
    if told is None:
        assert measured(planned(tmp_path, suite), "generators")
    else:
        assert [told in found for found in problems(written(tmp_path, suite))].count(True) == 1
    # an extractor that no metric asks for may have seen anything real
    suite["sample_metrics"] = [{"metric": "fd", "extractor": "lite0"}]
    if told is None or told.startswith("fitted on"):
        assert measured(planned(tmp_path, suite), "generators")


@pytest.mark.parametrize("judge", ["joint", "pupil"])
def test_no_half_of_a_joint_model_judges_and_its_pupil_neither(tmp_path: Path, judge: str) -> None:
    suite = brief(generator_rows=[{"samples": "flow", "count": 10, "against": "test"}])
    suite["generators"]["both"] = {"plugin": "joint-diffusion", "budget": "short", "task": "diagnosis"}
    teacher = {"classifier": "joint", "train": "train"}
    suite["classifiers"] |= {
        "joint": {"from": {"generator": "both"}},
        "pupil": {"plugin": "distilled", "budget": "short", "params": {"arch": "resnet18"}, "teacher": teacher},
    }
    suite["sample_metrics"] = [{"metric": "class-agreement", "judge": {"classifier": judge, "train": "train"}}]
    assert [
        f"{judge!r} is no judge: it is trained together with both" in said
        for said in problems(written(tmp_path, suite))
    ] == [True]


def test_the_resolved_suite_is_the_same_suite(tmp_path: Path) -> None:
    first = planned(tmp_path, tree())
    again = planned(tmp_path, yaml.safe_load(suite_to_yaml(first.loaded)))
    assert (again.loaded.suite, again.table()) == (first.loaded.suite, first.table())
