"""Teachers, encoders, samples without labels, figures and samplers: what the planner makes of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from planning import Planned, plan_of

from dermae_bench.errors import UserError

SUITE: dict[str, Any] = {
    "version": 1,
    "suite": "taught",
    "dataset": {"plugin": "phantom", "params": {"image_size": 32}},
    "tasks": ["diagnosis", "malignancy"],
    "seeds": {"generator": [0], "pretrain": [0], "classifier": [0, 1]},
    "budgets": {"short": {"steps": 10, "batch_size": 4}},
    "extractors": {"lite0": {"plugin": "tf-efficientnet-lite0"}},
    "generators": {
        "ddpm": {"plugin": "ddpm", "budget": "short"},
        "guided": {"plugin": "ddpm-conditional", "budget": "short", "task": "diagnosis"},
        "binary": {"plugin": "ddpm-conditional", "budget": "short", "task": "malignancy"},
    },
    "image_sets": {
        "pool": {"samples": "ddpm", "count": 30, "labels": "teacher"},
        "unconditional": ["train", "pool"],
        "balanced": ["train", {"samples": "guided", "per_class": "balance"}],
        "binary": ["train", {"samples": "binary", "per_class": 5, "labels": "teacher"}],
    },
    "pretrained": {"mae": {"plugin": "mae", "images": ["train", "pool"], "budget": "short", "params": {"arch": "v"}}},
    "classifiers": {
        "vit": {"plugin": "timm", "budget": "short", "params": {"arch": "v"}, "init": "mae"},
        "student": {
            "plugin": "distilled",
            "budget": "short",
            "params": {"arch": "v"},
            "teacher": {"classifier": "vit", "train": "balanced"},
        },
    },
    "rows": [
        {"classifiers": ["vit", "student"], "train": "balanced"},
        {"classifiers": ["student"], "train": "train"},
        {"classifiers": ["student"], "train": "unconditional"},
    ],
    "prediction_metrics": ["accuracy"],
}
COUNTS = {"train": {"MEL": 10, "NV": 60, "BCC": 5}, "val": {"MEL": 2, "NV": 9, "BCC": 1}, "test": {"MEL": 4, "NV": 18}}


def planned(tmp_path: Path, **changes: Any) -> Planned:
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump({**SUITE, **changes}))
    return plan_of(path, tmp_path, counts=COUNTS)


@pytest.fixture
def plan(tmp_path: Path) -> Planned:
    return planned(tmp_path)


def student(plan: Planned, train: str, task: str = "diagnosis", seed: int = 0) -> Any:
    (found,) = [
        stage
        for stage in plan.of("train")
        if stage.name.startswith(f"train/classifier/student/{train}/{task}/seed={seed}")
    ]
    return found


def test_the_teacher_is_the_row_of_its_name(plan: Planned) -> None:
    (row,) = [row for row in plan.rows if row.row == "vit | balanced | diagnosis"]
    for cell in row.cells:
        fitted = student(plan, "balanced", seed=cell.seeds["classifier"])
        assert fitted.inputs["teacher"].key == cell.models[0].key
    trained = Counter(stage.name for stage in plan.of("train"))
    assert trained["train/generator/guided/seed=0"] == trained["train/generator/ddpm/seed=0"] == 1
    assert set(trained.values()) == {1}


def test_a_teacher_answers_each_image_set_once_whoever_asks(plan: Planned) -> None:
    on_train = {student(plan, train).inputs["teacher-logits0"].key for train in ("balanced", "train", "unconditional")}
    assert len(on_train) == 1
    asked = student(plan, "unconditional").inputs["teacher-logits1"]
    assert asked.kind == "predict"
    assert asked.work["images"] == [{"samples": "samples0"}]
    assert asked.work["labelled"] is False
    assert asked.inputs["samples0"].name.startswith("sample/ddpm/")
    assert asked.steps == 30
    # another seed has another teacher
    assert student(plan, "train", seed=1).inputs["teacher-logits0"].key not in on_train


def test_samples_without_labels_are_marked_and_the_row_says_so(plan: Planned) -> None:
    marked = [part for part in student(plan, "unconditional").work["images"] if part.get("labels")]
    assert marked == [{"samples": "samples0", "labels": "teacher"}]
    assert not any(part.get("labels") for part in student(plan, "balanced").work["images"])
    (row,) = [row for row in plan.rows if row.row == "student | unconditional | malignancy"]
    assert row.marks == ("samples of ddpm labelled by teacher vit (balanced)",)
    assert all(not row.marks for row in plan.rows if row.names.get("train") == "train")


def test_a_teacher_labels_only_what_the_condition_does_not(tmp_path: Path) -> None:
    rows = [*SUITE["rows"], {"classifiers": ["student"], "train": "binary"}]
    plan = planned(tmp_path, rows=rows)
    marks = {task: student(plan, "binary", task).work["images"][1].get("labels") for task in SUITE["tasks"]}
    assert marks == {"diagnosis": "teacher", "malignancy": None}


def test_pretraining_ignores_who_labels_its_images(tmp_path: Path) -> None:
    free = {**SUITE["image_sets"], "free": ["train", {"samples": "ddpm", "count": 30}]}
    mae = {"mae": {**SUITE["pretrained"]["mae"], "images": "free"}}
    with_mark, without = planned(tmp_path), planned(tmp_path, image_sets=free, pretrained=mae)
    name = "train/pretrainer/mae/seed=0,generator-seed=0"
    assert with_mark[name].key == without[name].key


def test_balance_is_counted_before_anything_runs(plan: Planned) -> None:
    (stage,) = [stage for stage in plan.of("sample") if "per-class=balance" in stage.name]
    # 60 nv against 10 mel and 5 bcc
    assert stage.steps == 50 + 55
    assert stage.disk_bytes == 105 * 3 * 32 * 32
    assert plan.of("prepare")[0].disk_bytes == (75 + 12 + 22) * 3 * 32 * 32


def test_balance_counts_the_classes_of_the_generators_own_task(tmp_path: Path) -> None:
    sets = {**SUITE["image_sets"], "balanced": ["train", {"samples": "binary", "per_class": "balance"}]}
    teacher = {**SUITE["classifiers"]["student"], "teacher": {"classifier": "vit", "train": "train"}}
    plan = planned(
        tmp_path, image_sets=sets, tasks=["malignancy"], classifiers={**SUITE["classifiers"], "student": teacher}
    )
    (stage,) = [stage for stage in plan.of("sample") if "per-class=balance" in stage.name]
    assert stage.steps == 60 - 15


def test_one_fit_serves_every_sampler(tmp_path: Path) -> None:
    samplings = [{"sampler": "ddpm", "steps": 1000}, {"sampler": "ddim", "steps": 50}, {"sampler": "ddim", "steps": 5}]
    line = {"samples": ["ddpm", "guided"], "count": 8, "sampling": samplings}
    plan = planned(tmp_path, generator_rows=[line], sample_metrics=[{"metric": "fd", "extractor": "lite0"}])
    rows = [row for row in plan.rows if row.board == "generators" and row.kind == "measured"]
    assert len(rows) == 6
    assert len({row.row for row in rows}) == 6
    assert len({row.cost.key for row in rows if row.cost}) == 6
    for name in ("ddpm", "guided"):
        of_it = [row for row in rows if row.names["generator"] == name]
        assert len({row.cells[0].models[0].key for row in of_it}) == 1
        assert len({row.cells[0].samples.key for row in of_it if row.cells[0].samples}) == 3


def test_a_figure_draws_every_class_from_the_same_noise(tmp_path: Path) -> None:
    figure = {"samples": ["ddpm", "binary"], "columns": 6}
    plan = planned(tmp_path, figures={"grid": figure})
    (grid,) = plan.figures
    assert (grid.name, grid.columns) == ("grid", 6)
    assert [(name, stage.steps) for name, _, stage in grid.rows] == [("ddpm", 6), ("binary", 12)]
    assert all(stage.work["columns"] == 6 and stage.work["count"] is None for _, _, stage in grid.rows)
    assert all(stage in plan.stages for _, _, stage in grid.rows)


def test_encoders_cost_what_their_training_costs(plan: Planned) -> None:
    (cost,) = [stage for stage in plan.of("cost") if stage.work["of"] == "train"]
    assert cost.name == "cost/mae"
    assert cost.work["model"]["role"] == "pretrainer"


def test_init_and_teacher_work_across_training_sets(plan: Planned) -> None:
    fitted = student(plan, "train")
    assert fitted.inputs["teacher"].name.startswith("train/classifier/vit/balanced/")
    encoder = fitted.inputs["teacher"].inputs["init"]
    assert encoder.name.startswith("train/pretrainer/mae/")
    assert [part.get("split") for part in encoder.work["images"]] == ["train", None]


def test_every_stage_has_a_name_of_its_own_and_a_plan_without_data_as_many_stages(tmp_path: Path) -> None:
    line = {"samples": ["ddpm", "guided"], "count": 8}
    changes: dict[str, Any] = {
        "seeds": {"generator": [0, 1], "pretrain": [0, 1], "classifier": [0, 1]},
        "generator_rows": [line],
        "sample_metrics": [
            {"metric": "fd", "extractor": "lite0"},
            {"metric": "class-agreement", "judge": {"classifier": "plain", "train": "train"}},
        ],
        "classifiers": {
            **SUITE["classifiers"],
            "plain": {"plugin": "timm", "budget": "short", "params": {"arch": "v"}},
        },
        "rows": [*SUITE["rows"], {"classifiers": ["plain"], "train": "train"}],
    }
    there = planned(tmp_path, **changes)
    names = [stage.name for stage in there.stages]
    assert not [name for name, count in Counter(names).items() if count > 1]
    data = {"plugin": "ham10000", "params": {"image_size": 32, "root": str(tmp_path / "nowhere")}}
    absent = planned(tmp_path, **changes, dataset=data)
    assert absent.missing is not None
    assert len(absent.stages) == len(there.stages)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"train": {"MEL": 9, "NV": 9, "BCC": 9}}, "already as frequent"),
        ({"train": {"MEL": 9, "NV": 4, "BCC": 0}}, "cannot have learnt BCC"),
    ],
)
def test_what_cannot_be_filled_up_is_told_before_anything_runs(
    tmp_path: Path, counts: dict[str, dict[str, int]], words: str
) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(SUITE))
    with pytest.raises(UserError, match=words):
        plan_of(path, tmp_path, counts=counts)
