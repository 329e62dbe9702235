"""Captions in a plan: what is said of images is part of what a generator learns, and of what it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from planning import TASKS, PlanCatalog
from words import brief, keys, planned, tree

from dermae_bench.suite.known import data_findings
from dermae_bench.suite.resolved import suite_to_yaml


def said(**captions: Any) -> dict[str, Any]:
    return brief(captions={"said": captions})


def fit(tmp_path: Path, suite: dict[str, Any]) -> str:
    return planned(tmp_path, suite)["train/generator/text/seed=0"].key


def test_the_plan_says_what_is_said(tmp_path: Path) -> None:
    found = planned(tmp_path, tree())
    about = {"template": "a {label} lesion", "task": "diagnosis", "file": None, "words": {"NV": "mole"}}
    assert found["train/generator/text/seed=0"].work["captions"] == about
    drawn = [stage for stage in found.of("sample") if stage.name.startswith("sample/text/")]
    assert drawn and all(stage.work["captions"] == about for stage in drawn)
    silent = [stage for stage in found.of("sample") if not stage.name.startswith("sample/text/")]
    assert silent and all("captions" not in stage.work for stage in silent)
    assert "captions" not in found["train/generator/flow/seed=0"].work


def test_every_word_of_it_is_in_the_key_and_its_name_is_not(tmp_path: Path) -> None:
    several: list[dict[str, Any]] = [
        {}, {"template": "a {label} lesion"}, {"template": "the {label} lesion"}, {"template": "of a {sex}"},
        {"template": "a {label} lesion", "words": {"NV": "mole"}},
        {"template": "a {label} lesion", "task": "malignancy"},
    ]  # fmt: skip
    found = [fit(tmp_path, said(**about)) for about in several]
    assert len(set(found)) == len(several)
    # the generator's own task, said or left out
    assert fit(tmp_path, said(template="a {label} lesion", task="diagnosis")) == found[1]
    renamed = brief(captions={"other": {"template": "a {label} lesion"}})
    renamed["generators"]["text"]["captions"] = "other"
    assert fit(tmp_path, renamed) == found[1]
    # nobody who reads no captions notices
    one, two = (planned(tmp_path, said(**about)) for about in several[1:3])
    changed = {name for name, key in one.table().items() if two.table().get(name) != key}
    assert changed and all("text" in name or name == "score/leakage/captions/said" for name in changed)


def test_a_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    file, moved = tmp_path / "said.csv", tmp_path / "elsewhere.csv"
    file.write_text("id,caption\n1,a mole\n")
    moved.write_bytes(file.read_bytes())
    found = [fit(tmp_path, said(file=str(path))) for path in (file, moved)]
    assert found[0] == found[1] != fit(tmp_path, said())
    file.write_text("id,caption\n1,a mole.\n")
    assert fit(tmp_path, said(file=str(file))) != found[0]
    stage = planned(tmp_path, said(file=str(file)))["train/generator/text/seed=0"]
    assert stage.work["captions"]["file"] == str(file)
    assert "said.csv" not in str(stage.parts)


def test_without_its_file_nothing_of_a_generator_has_a_key(tmp_path: Path) -> None:
    found = planned(tmp_path, said(file=str(tmp_path / "nowhere.csv")))
    assert found.missing is not None and "nowhere.csv" in found.missing
    for kind in ("train", "sample", "extract", "predict"):
        for stage in found.of(kind):
            assert bool(stage.key) is not ("text" in stage.name), stage.name


def test_other_captions_can_be_asked_for_than_were_learnt(tmp_path: Path) -> None:
    suite = tree(image_sets={"drawn": {"samples": "text", "count": 9}, "asked": {"samples": "text", "count": 9,
                             "captions": "other"}}, rows=[{"classifiers": "cnn", "train": ["train", "drawn"]},
                             {"classifiers": "cnn", "train": ["train", "asked"]}])  # fmt: skip
    suite["captions"]["other"] = {"template": "a rare {label}", "words": {"MEL": "melanoma"}}
    found = planned(tmp_path, suite)
    drawn = [stage for stage in found.of("sample") if "count=9" in stage.name]
    assert sorted(stage.work["captions"]["template"] for stage in drawn) == ["a rare {label}", "a {label} lesion"]
    (fit,) = {stage.inputs["train"].key for stage in drawn}
    assert fit == found["train/generator/text/seed=0"].key
    again = planned(tmp_path, yaml.safe_load(suite_to_yaml(found.loaded)))
    assert (again.loaded.suite, again.table()) == (found.loaded.suite, found.table())


@pytest.mark.parametrize(
    ("template", "wrong"),
    [
        ("a {label} lesion", None),
        ("{{braces}} of a {sex} at {body site}", None),
        ("of a {sexe}", "sexe"),
        ("of a {Sex}", "Sex"),
    ],
)
def test_attributes_that_images_lack_are_told_where_the_data_tell(
    tmp_path: Path, template: str, wrong: str | None
) -> None:
    loaded = planned(tmp_path, said(template=template)).loaded
    found = list(data_findings(loaded.resolved, PlanCatalog(), TASKS, {"sex": "text", "body site": "text"}))
    assert [finding.message for finding in found] == (
        [f"the images have no attribute {wrong!r}"] if wrong is not None else []
    )
    for finding in found:
        assert finding.path == ("captions", "said", "template")
        assert "'sex'" in str(finding.hint) and "label" in str(finding.hint)
    assert not list(data_findings(loaded.resolved, PlanCatalog(), TASKS, None))


def test_the_resolved_suite_is_the_same_suite(tmp_path: Path) -> None:
    for about in ({}, {"template": "{{a}} {label}: yes", "words": {"NV": "no"}}):
        first = planned(tmp_path, said(**about))
        again = planned(tmp_path, yaml.safe_load(suite_to_yaml(first.loaded)))
        assert (again.loaded.suite, keys(again)) == (first.loaded.suite, keys(first))
