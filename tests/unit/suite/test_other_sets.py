"""Other data sets that classifiers are scored on: what is planned for them, and what they leave as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from planning import TASKS, PlanCatalog
from words import brief, keys, planned, tree

from dermae_bench.plugin.checking import Finding
from dermae_bench.suite.known import data_findings, other_findings, same_question
from dermae_bench.suite.resolved import suite_to_yaml

OTHER = {"plugin": "ham10000", "params": {"split": "official"}}


def test_another_set_changes_no_key_of_what_was_planned_before(tmp_path: Path) -> None:
    alone = planned(tmp_path, brief())
    beside = planned(tmp_path, brief(evaluate_on={"other": OTHER}))
    both = planned(
        tmp_path, brief(evaluate_on={"other": OTHER, "third": {"plugin": "ham10000"}}),
        others={"other": TASKS, "third": {"malignancy": TASKS["malignancy"]}},
    )  # fmt: skip
    assert alone.table().items() < beside.table().items() < both.table().items()
    added = [stage for stage in beside.stages if stage.key not in keys(alone)]
    assert {stage.kind for stage in added} == {"prepare", "predict", "score"}
    # nothing is fitted, drawn or measured against it; it is held against the suite's own images by a lint alone
    beyond = [stage.name for stage in added if stage.inputs and stage.inputs["prepare"].name != "prepare/other"]
    assert all(name.startswith("score/leakage/other/") for name in beyond)
    # the third has one task of the two
    third = [row.names["task"] for row in both.rows if row.names.get("test") == "third"]
    assert set(third) == {"malignancy"}


def test_its_test_images_alone_are_prepared_at_the_suites_size(tmp_path: Path) -> None:
    found = planned(tmp_path, brief(evaluate_on={"other": OTHER}))
    work = found["prepare/other"].work
    assert (work["only"], work["params"]["image_size"], work["params"]["split"]) == ("test", 32, "official")
    assert "only" not in found["prepare/phantom"].work
    larger = planned(tmp_path, brief(evaluate_on={"other": OTHER}), sets=["dataset.params.image_size=64"])
    assert larger["prepare/other"].work["params"] == {**work["params"], "image_size": 64}
    # said twice is no mistake
    again = planned(
        tmp_path, brief(evaluate_on={"other": {**OTHER, "params": {"image_size": 32, "split": "official"}}})
    )
    assert keys(again) == keys(found)


def test_thresholds_stay_those_of_the_suites_own_val(tmp_path: Path) -> None:
    found = planned(tmp_path, tree())
    for name in ("cnn | train-40", "augmented | train-40", "majority class | train", "random | nothing"):
        own, other = (
            next(
                r for r in found.rows if r.row.startswith(f"{name} | malignancy{end}") and ("test" in r.names) == there
            )
            for end, there in (("", False), (" | other", True))
        )
        assert len(own.cells) == len(other.cells)
        for mine, its in zip(own.cells, other.cells, strict=True):
            ((score,), (its_score,)) = (mine.scores, its.scores)
            assert its_score.inputs["validation"] is score.inputs["validation"] is mine.predictions["val"]
            assert its_score.inputs["predictions"] is its.predictions["test"] is not mine.predictions["test"]
            assert its_score.inputs["prepare"].name == "prepare/other"
            assert its.models == mine.models
            assert its.predictions["test"].inputs.get("train") is mine.predictions["test"].inputs.get("train")
    floor = found.row("majority class | train | malignancy | other").cells[0].predictions["test"]
    # the most frequent class is that of the images that everyone learns from
    assert floor.inputs["training"].name == "prepare/phantom"


def test_a_row_that_learnt_from_val_has_no_threshold_on_another_set_either(tmp_path: Path) -> None:
    found = planned(tmp_path, tree(rows=[{"classifiers": "cnn", "train": ["train", "val"]}]))
    for row in found.rows:
        for cell in row.cells if row.names.get("classifier") == "cnn" else ():
            assert all("validation" not in score.inputs for score in cell.scores)
            assert all(score.work["unvalidated"] for score in cell.scores)


def test_answers_to_a_coarser_task_are_derived_by_the_suites_own_maps(tmp_path: Path) -> None:
    cnn = {"plugin": "timm", "budget": "short", "params": {"arch": "resnet18"}, "derive": "diagnosis"}
    suite = tree(classifiers={"cnn": cnn}, rows=[{"classifiers": "cnn"}], extractors=None, sample_metrics=None)
    found = planned(tmp_path, suite, others={"other": {"malignancy": TASKS["malignancy"]}})
    (row,) = [r for r in found.rows if "test" in r.names and r.kind == "measured"]
    stage = row.cells[0].predictions["test"]
    assert stage.inputs["train"].name == "train/classifier/cnn/train/diagnosis/seed=0"
    assert (stage.work["model"]["task"]["name"], stage.work["answers"]["name"]) == ("diagnosis", "malignancy")
    assert [task["name"] for task in stage.work["between"]] == ["diagnosis", "malignancy"]
    assert row.marks == ("derived from diagnosis",)


@pytest.mark.parametrize(
    ("classes", "positive", "same"),
    [
        (["benign", "malignant"], "malignant", True),
        (["malignant", "benign"], "malignant", True),
        (["malignant", "benign"], "benign", False),
        (["benign", "malignant"], None, False),
        (["benign", "malignant", "other"], "malignant", False),
        (["benign", "cancer"], "cancer", False),
    ],
)
def test_a_question_is_its_name_its_classes_and_what_is_positive(
    tmp_path: Path, classes: list[str], positive: str | None, same: bool
) -> None:
    its = {"malignancy": {**TASKS["malignancy"], "classes": classes, "positive": positive}}
    assert same_question(TASKS["malignancy"], its, "malignancy") is same
    assert not same_question(TASKS["malignancy"], {"risk": its["malignancy"]}, "malignancy")
    found = planned(tmp_path, brief(evaluate_on={"other": OTHER}), others={"other": its})
    assert ("other" in {row.names.get("test") for row in found.rows}) is same
    suite = found.loaded.resolved
    told = list(other_findings(suite, TASKS, {"other": (its, None)}))
    assert bool(told) is not same
    for finding in told:
        assert finding.message.startswith("'other' answers no task of this suite with the same classes")
        assert finding.path == ("evaluate_on", "other")
        its_own = f"malignancy: {', '.join(classes)} (positive: {positive or 'none'})"
        assert finding.hint is not None
        assert finding.hint.startswith(f"its tasks are {its_own}; those of the suite are ")


FOLDER = {"plugin": "image-folder", "params": {"task": "labels", "classes": [], "maps": {}, "positive": None}}

EVERY = ", with one of benign, malignant for the ANSWER of every label; or leave 'clinic' out"


def labelled(*classes: str, name: str = "labels") -> dict[str, Any]:
    """The task of labels of a folder of images."""
    return {name: {"name": name, "classes": list(classes), "positive": None, "parent": None, "mapping": {}}}


@pytest.mark.parametrize(
    ("entry", "its", "asked", "way"),
    [
        (FOLDER, labelled("mel", "no", "b c"), ["diagnosis", "malignancy"],
         "for example params: {maps: {malignancy: {mel: ANSWER, 'no': ANSWER, b c: ANSWER}}, positive: malignant}"
         + EVERY),
        (FOLDER, labelled(*"abcdefgh", name="malignancy"), ["malignancy"],
         "for example params: {task: malignancy-label, maps: {malignancy: {a: ANSWER, b: ANSWER, c: ANSWER, d: ANSWER, "
          "e: ANSWER, f: ANSWER}}, positive: malignant}" + EVERY),
        (FOLDER, labelled("malignant", "benign"), ["diagnosis", "malignancy"],
         "for example params: {task: malignancy, positive: malignant}, or leave 'clinic' out"),
        (FOLDER, TASKS, [], "add 'diagnosis' to the suite's `tasks`, or leave 'clinic' out"),
        (OTHER, {**labelled("a", "b"), "malignancy": TASKS["malignancy"]}, ["diagnosis"],
         "add 'malignancy' to the suite's `tasks`, or leave 'clinic' out"),
        (OTHER, labelled("a", "b"), ["diagnosis"],
         "no other task of the suite's own data is the same there: leave 'clinic' out"),
    ],
)  # fmt: skip
def test_it_is_told_how_a_set_answers(entry: Any, its: Any, asked: list[str], way: str) -> None:
    own = {**TASKS, **labelled("x", "y", "z", "w", name="site")}
    suite = {"tasks": asked or ["site"], "evaluate_on": {"clinic": {**entry, "subgroups": []}}}
    (found,) = other_findings(suite, own, {"clinic": (its, None)})
    assert found.hint is not None and found.hint.endswith(f"; {way}")


def test_its_subgroups_are_its_own(tmp_path: Path) -> None:
    age = {"attribute": "age", "bands": [40, 60]}
    suite = brief(subgroups=["sex"], evaluate_on={"other": {**OTHER, "subgroups": ["skin_tone", age]}})
    found = planned(tmp_path, suite)
    asked = {
        row.names.get("test"): [part["attribute"] for part in row.cells[0].scores[0].work["subgroups"]]
        for row in found.rows if row.board == "classifiers"
    }  # fmt: skip
    assert asked == {None: ["sex"], "other": ["skin_tone", "age"]}
    resolved = found.loaded.resolved
    assert list(data_findings(resolved, PlanCatalog(), TASKS, {"sex": "text"})) == []
    assert list(other_findings(resolved, TASKS, {"other": (TASKS, {"skin_tone": "text", "age": "number"})})) == []
    (tone, bands) = other_findings(resolved, TASKS, {"other": (TASKS, {"age": "text", "skin_type": "text"})})
    assert tone.path == ("evaluate_on", "other", "subgroups", 0)
    assert tone.message == "the images have no attribute 'skin_tone'" and "did you mean 'skin_type'" in str(tone.hint)
    assert bands.path == ("evaluate_on", "other", "subgroups", 1, "bands")
    assert list(other_findings(resolved, None, {"other": (None, None)})) == []


def test_too_many_real_images_are_told_before_anything_is_spent(tmp_path: Path) -> None:
    suite = tree(rows=[{"classifiers": "cnn", "sweep": {"samples": "flow", "real_n": [40, 400], "ratio": [0, 1]}}])
    loaded = planned(tmp_path, suite, counts=None).loaded
    counts = {"train": {"MEL": 60, "NV": 60}, "val": {"NV": 5}}
    (found,) = data_findings(loaded.resolved, PlanCatalog(), TASKS, None, counts)
    assert found == Finding(
        ("image_sets", "train-400", "count"), "400 images are asked for, but 'train' has 120",
        "ask for fewer, or for all of them",
    )  # fmt: skip
    place = loaded.problem(found.path, found.message).place
    lines = (tmp_path / "suite.yaml").read_text().splitlines()
    assert place is not None and lines[place.line - 1].strip() == "samples: flow"
    assert not list(data_findings(loaded.resolved, PlanCatalog(), TASKS, None, None))


def test_the_resolved_suite_is_the_same_suite(tmp_path: Path) -> None:
    first = planned(tmp_path, brief(evaluate_on={"other": {**OTHER, "subgroups": ["skin_tone"]}}))
    again = planned(tmp_path, yaml.safe_load(suite_to_yaml(first.loaded)))
    assert (again.loaded.suite, again.table()) == (first.loaded.suite, first.table())


def test_paths_of_another_set_are_published_without_the_machine(tmp_path: Path) -> None:
    root = tmp_path / "private" / "isic"
    root.mkdir(parents=True)
    (root / "table.csv").write_text("image,label\n")
    (tmp_path / "private" / "said.csv").write_text("id,caption\n")
    captions: dict[str, Any] = {"said": {"file": str(tmp_path / "private" / "said.csv")}}
    found = planned(tmp_path, brief(evaluate_on={"other": {**OTHER, "params": {"root": str(root)}}}, captions=captions))
    text = suite_to_yaml(found.loaded)
    assert "private" not in text
    assert "root: data/isic" in text and "file: data/said.csv" in text
    # another place with the same bytes is the same work
    moved = planned(tmp_path, brief(captions=captions, evaluate_on={"other": {**OTHER, "params": {"root": str(root)}}}),
                    sets=[f"captions.said.file={tmp_path / 'private' / 'said.csv'}"])  # fmt: skip
    assert moved.loaded.digest is None and moved.table() == found.table()
