"""Whether the data and the generators can give what the rows, teachers and metrics of a suite ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from fake_catalog import TASKS, FakeCatalog
from suite_files import EXAMPLE, SMALL, load, problems

from dermae_bench.errors import SuiteError
from dermae_bench.suite.known import data_findings
from dermae_bench.suite.lineage import row_tasks
from dermae_bench.suite.load import refuse


def test_example_row_is_scored_on_the_tasks_it_has_labels_for() -> None:
    loaded = load(EXAMPLE)
    assert row_tasks(loaded.resolved, TASKS, "vit-b", "train") == ["diagnosis", "malignancy"]
    assert row_tasks(loaded.resolved, TASKS, "vit-b", "balanced") == ["malignancy"]


def test_joint_generators(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    text = SMALL.read_text().replace("ddpm-conditional", "joint-diffusion")
    text = text.replace("  cnn:", "  both: {from: {generator: guided}}\n  cnn:")
    path.write_text(text + "rows2: 1\n")
    path.write_text(text.replace("{classifiers: cnn, train: train}", "{classifiers: [cnn, both], train: train}"))
    assert load(path).suite.classifiers["both"].from_ is not None
    path.write_text(text.replace("{classifiers: cnn, train: more}", "{classifiers: [both], train: more}"))
    assert "which is fitted on other images than this row says" in problems(path)[0]
    path.write_text(text.replace("task: diagnosis", "task: malignancy"))
    assert "no map leads to task 'diagnosis'" in problems(path)[0]


def test_teacher_needs_labels_too(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    teacher = (
        "resnet18}, teacher: {classifier: vit, train: more}}\n  vit: {plugin: timm, budget: short, params: {arch: v}}"
    )
    path.write_text(SMALL.read_text().replace("task: diagnosis", "task: malignancy").replace("resnet18}}", teacher))
    assert any("(for the teacher of 'cnn')" in problem for problem in problems(path))


def data_problems(tmp_path: Path, attributes: Any = None, **changes: Any) -> list[str]:
    """What is told of a suite once the data are known."""
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(SMALL.read_text()), **changes}))
    loaded = load(path)
    try:
        refuse(loaded, data_findings(loaded.resolved, FakeCatalog(), TASKS, attributes))
    except SuiteError as error:
        assert all(problem.place is not None for problem in error.problems)
        return [problem.message for problem in error.problems]
    return []


def test_what_the_images_cannot_give_is_told_with_places(tmp_path: Path) -> None:
    attributes = {"sex": "text", "age": "number"}
    by = [{"metric": "kid", "extractor": "lite0", "by": name} for name in ("class", "site", "age")]
    asked = ["sex", {"attribute": "age", "bands": [40, 60]}]
    assert data_problems(tmp_path, attributes, subgroups=asked) == []
    wrong = ["age", "hair", {"attribute": "sex", "bands": [1]}]
    assert data_problems(tmp_path, attributes, subgroups=wrong, sample_metrics=by) == [
        "the images have no attribute 'site'",
        "attribute 'age' is a number, and needs bands to be divided",
        "attribute 'age' is a number, and needs bands to be divided",
        "the images have no attribute 'hair'",
        "attribute 'sex' is no number, and has no bands",
    ]
    # nobody knows yet
    assert data_problems(tmp_path, None, subgroups=wrong, sample_metrics=by) == []


def test_what_needs_a_class_needs_a_generator_that_is_asked_for_one(tmp_path: Path) -> None:
    metrics = [
        {"metric": "fd", "extractor": "lite0"},
        {"metric": "kid", "extractor": "lite0", "by": "class"},
        {"metric": "cas", "classifier": "cnn"},
    ]
    both, one = ([{"samples": names, "count": 10}] for names in (["ddpm", "guided"], ["ddpm"]))
    assert data_problems(tmp_path, sample_metrics=metrics, generator_rows=both) == []
    assert data_problems(tmp_path, sample_metrics=metrics, generator_rows=one) == [
        f"{what} needs a generator that is asked for a class, and no generator row has one"
        for what in ("by: class", "cas")
    ]


def test_a_positive_class_is_needed_somewhere(tmp_path: Path) -> None:
    metrics = ["accuracy", "auc-binary"]
    assert data_problems(tmp_path, prediction_metrics=metrics) == []
    expected = ["'auc-binary' is about a positive class, and no task of this suite has one"]
    assert data_problems(tmp_path, prediction_metrics=metrics, tasks=["diagnosis"]) == expected
