"""What the plan measures by: what each metric reads, who may not be asked, and what a model has seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from planning import Planned, plan_of

from dermae_bench.suite.behind import behind_classifier, behind_generator, behind_images
from dermae_bench.suite.stage import Stage

SUITE: dict[str, Any] = {
    "version": 1,
    "suite": "measured",
    "dataset": {"plugin": "phantom", "params": {"image_size": 32}},
    "tasks": ["diagnosis", "malignancy"],
    "budgets": {"short": {"steps": 10, "batch_size": 4}},
    "extractors": {"lite0": {"plugin": "tf-efficientnet-lite0"}},
    "generators": {
        "ddpm": {"plugin": "ddpm", "budget": "short"},
        "guided": {"plugin": "ddpm-conditional", "budget": "short", "task": "diagnosis"},
        "second": {"plugin": "ddpm", "budget": "short", "images": "drawn"},
        "greedy": {"plugin": "ddpm", "budget": "short", "images": ["train", "val"]},
    },
    "image_sets": {
        "drawn": {"samples": "greedy", "count": 9},
        "mixed": ["train", {"samples": "second", "count": 9}],
        "both": ["train", "val"],
    },
    "generator_rows": [{"samples": ["ddpm", "guided", "greedy"], "count": 10}],
    "pretrained": {"mae": {"plugin": "mae", "images": "drawn", "budget": "short", "params": {"arch": "v"}}},
    "classifiers": {
        "cnn": {"plugin": "timm", "budget": "short", "params": {"arch": "v"}},
        "primed": {"plugin": "timm", "budget": "short", "params": {"arch": "v"}, "init": "mae"},
    },
    "rows": [{"classifiers": ["cnn", "primed"], "train": "train"}, {"classifiers": "cnn", "train": "both"}],
    "sample_metrics": [
        {"metric": "fd", "extractor": "lite0"},
        {"metric": "kid", "extractor": "lite0", "by": "class"},
        {"metric": "kid", "extractor": "lite0", "by": {"attribute": "age", "bands": [40]}},
        {"metric": "memorisation", "extractor": "lite0"},
        {"metric": "ms-ssim"},
        {"metric": "cas", "classifier": "cnn"},
    ],
    "prediction_metrics": ["accuracy", {"metric": "ece", "params": {"bins": 5}}, "auc-binary"],
    "subgroups": ["sex", {"attribute": "tone", "join": {"A": ["I", "II"]}}],
}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    folder = tmp_path_factory.mktemp("measured")
    (folder / "suite.yaml").write_text(yaml.safe_dump(SUITE))
    return plan_of(folder / "suite.yaml", folder)


def score(plan: Planned, row: str, suffix: str) -> Stage:
    """The score stage of a row that measures through one extractor, or through pixels ("")."""
    found = [s for s in plan.row(row).cells[0].scores if s.work["of"] == "samples" and s.work["suffix"] == suffix]
    (stage,) = found
    return stage


def asked(stage: Stage) -> list[tuple[str, Any]]:
    return [(m["metric"], m["by"]["attribute"] if m["by"] else None) for m in stage.work["metrics"]]


def test_a_row_has_the_metrics_that_it_can_give_what_they_read(plan: Planned) -> None:
    whole = [("fd", None), ("kid", "class"), ("kid", "age"), ("memorisation", None)]
    assert asked(score(plan, "guided", "[lite0]")) == whole
    # without classes there is nothing inside a class
    assert asked(score(plan, "ddpm", "[lite0]")) == [m for m in whole if m[1] != "class"]
    # `greedy` has seen train and val: test alone is held out
    assert score(plan, "greedy", "[lite0]").work["sides"]["held_out"]["images"] == [{"held_out": "test"}]
    assert score(plan, "greedy", "[lite0]").work["sides"]["training"]["images"] == [
        {"split": "train"},
        {"split": "val"},
    ]
    assert score(plan, "ddpm", "[lite0]").work["sides"]["held_out"]["images"] == [{"held_out": "val+test"}]
    # noise has neither names nor pixels nor a class
    assert asked(score(plan, "uniform noise", "[lite0]")) == [("fd", None)]
    assert asked(score(plan, "real images", "[lite0]")) == whole


def test_pixels_are_asked_for_without_an_extractor(plan: Planned) -> None:
    stage = score(plan, "guided", "")
    assert asked(stage) == [("ms-ssim", None)]
    assert set(stage.inputs) == {"prepare", "samples0"} and stage.work["sides"]["generated"]["labelled"]
    scores = [s for s in plan.row("ddpm").cells[0].scores if s.work["of"] == "samples"]
    assert [s.work["suffix"] for s in scores] == ["[lite0]"], "ms-ssim reads labels, which ddpm has none of"


def test_every_split_is_extracted_once_with_its_moments(plan: Planned) -> None:
    extracts = plan.of("extract")
    assert len({stage.key for stage in extracts}) == len(extracts)
    train = [stage for stage in extracts if stage.work["images"] == [{"split": "train"}]]
    assert len(train) == 1 and train[0].work["moments"]
    assert not any(stage.work["moments"] for stage in extracts if "samples0" in stage.inputs)


def test_cas_learns_from_samples_alone_and_its_floor_from_real_images(plan: Planned) -> None:
    (cas,) = [s for s in plan.row("guided").cells[0].scores if s.work.get("rename")]
    assert cas.work["rename"] == {"balanced-accuracy": "cas[cnn]"}
    fit = cas.inputs["predictions"].inputs["train"]
    assert [set(item) for item in fit.work["images"]] == [{"samples"}]
    assert cas.inputs["predictions"].work["images"] == [{"split": "test"}]
    assert not [s for s in plan.row("ddpm").cells[0].scores if s.work.get("rename")], "ddpm's samples have no labels"
    (floor,) = [s for s in plan.row("real images").cells[0].scores if s.work.get("rename")]
    assert floor.inputs["predictions"].inputs["train"].work["images"] == [{"split": "train"}]
    # rows of unlike counts do not share an identity
    count = int(cas.work["facts"]["learnt_from"])
    assert plan.row("guided").names["n"] == str(count) and floor.work["facts"]["learnt_from"] == "all of train"


def test_nobody_is_fitted_on_test_for_a_floor(tmp_path: Path) -> None:
    judged = {"metric": "class-agreement", "judge": {"classifier": "cnn", "train": "train"}}
    changes: dict[str, Any] = {
        "generator_rows": [{"samples": "guided", "count": 10, "against": "test"}],
        "sample_metrics": [{"metric": "cas", "classifier": "cnn"}, judged, {"metric": "fd", "extractor": "lite0"}],
    }
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump({**SUITE, **changes}))
    plan = plan_of(tmp_path / "suite.yaml", tmp_path)
    assert [stage.name for stage in plan.of("train") if {"split": "test"} in stage.work["images"]] == []
    floor = [s.work["rename"] for s in plan.row("real images").cells[0].scores if s.work.get("rename")]
    assert floor == [{"balanced-accuracy": "class-agreement"}], "what the judge says of real images stays"


def test_thresholds_are_frozen_on_val_unless_somebody_has_seen_it(plan: Planned) -> None:
    clean, primed = plan.row("cnn | train | malignancy"), plan.row("primed | train | malignancy")
    (scored,) = clean.cells[0].scores
    assert scored.inputs["validation"].work["images"] == [{"split": "val"}]
    assert scored.inputs["validation"].inputs["train"] is scored.inputs["predictions"].inputs["train"]
    # through the encoder, whose samples come from a generator that was fitted on val
    assert "validation" not in primed.cells[0].scores[0].inputs
    assert "validation" not in plan.row("cnn | both | malignancy").cells[0].scores[0].inputs


def test_a_task_has_the_metrics_that_exist_for_it(plan: Planned) -> None:
    def names(row: str) -> list[Mapping[str, Any]]:
        return [m["metric"] for m in plan.row(row).cells[0].scores[0].work["metrics"]]

    assert names("cnn | train | diagnosis") == ["accuracy", "ece"]
    assert names("cnn | train | malignancy") == ["accuracy", "ece", "auc-binary"]
    work = plan.row("cnn | train | malignancy").cells[0].scores[0].work
    assert work["metrics"][1]["params"] == {"bins": 5}
    assert [item["attribute"] for item in work["subgroups"]] == ["sex", "tone"]
    assert work["facts"]["precision"] == "fp32"


def test_floors_add_themselves(plan: Planned) -> None:
    floors = [row.row for row in plan.rows if row.kind == "floor" and row.board == "classifiers"]
    assert floors == [
        "majority class | train | diagnosis", "random | nothing | diagnosis",
        "majority class | train | malignancy", "random | nothing | malignancy",
    ]  # fmt: skip


def test_what_stands_behind_a_model_is_followed_to_the_end(plan: Planned) -> None:
    suite = plan.loaded.resolved
    assert behind_generator(suite, "ddpm") == ({"train"}, {"ddpm"})
    assert behind_generator(suite, "second") == ({"train", "val"}, {"second", "greedy"})
    assert behind_images(suite, ["mixed"]) == ({"train", "val"}, {"second", "greedy"})
    assert behind_classifier(suite, "cnn", "train") == ({"train"}, frozenset())
    assert behind_classifier(suite, "primed", "train") == ({"train", "val"}, {"greedy"})


def test_another_metric_or_subgroup_reaches_scores_alone(plan: Planned, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump({**SUITE, "prediction_metrics": ["accuracy", "f1-macro"], "subgroups": []}))
    other = plan_of(path, tmp_path)
    for kind in ("prepare", "train", "sample", "extract", "predict", "cost"):
        assert other.table(kind) == plan.table(kind)
    assert set(other.table("score").values()) != set(plan.table("score").values())
