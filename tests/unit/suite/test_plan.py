"""Suite -> stages: what is done once, in which order, and with which names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from planning import DESIGN, Planned, plan_of

from dermae_bench.suite.parts import sample_batch


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    (root / "table.csv").write_text("image,label\n")
    return root


@pytest.fixture
def design(tmp_path: Path, data: Path) -> Planned:
    return plan_of(DESIGN, tmp_path, sets=[f"dataset.params.root={data}"])


def test_the_example_of_the_design_plans(design: Planned) -> None:
    assert design.missing is None
    assert all(len(stage.key) == 32 for stage in design.stages)
    assert Counter(stage.kind for stage in design.stages)["prepare"] == 1
    boards = Counter((row.board, row.kind) for row in design.rows)
    assert boards["generators", "measured"] == 3
    # samples that only know malignant from benign give no diagnosis: such rows are malignancy alone
    assert boards["classifiers", "measured"] == 2 + 3


def test_inputs_stand_before_those_who_read_them_and_each_stage_stands_once(design: Planned) -> None:
    seen: set[str] = set()
    for stage in design.stages:
        assert {source.key for source in stage.inputs.values()} <= seen, stage.name
        seen.add(stage.key)
    assert len(seen) == len(design.stages)
    assert len({stage.name for stage in design.stages}) == len(design.stages)


def test_costs_come_first_and_read_nothing(design: Planned) -> None:
    costs = design.of("cost")
    begins = next(number for number, stage in enumerate(design.stages) if stage.kind == "train")
    assert costs == [stage for stage in design.stages[:begins] if stage.kind == "cost"]
    assert all(not stage.inputs for stage in costs)
    # three generators, of which one is sampled in two ways, four cells of classifiers, one encoder
    assert len(costs) == 3 + 1 + 4 + 1
    assert all(row.cost is not None for row in design.rows if row.kind == "measured")


def test_a_generator_is_trained_once_a_seed_whatever_reads_it(tmp_path: Path, data: Path) -> None:
    sets = [f"dataset.params.root={data}", "seeds.generator=[0, 1]", "seeds.classifier=[0, 1, 2]"]
    planned = plan_of(DESIGN, tmp_path, sets=sets)
    trained = [stage.name for stage in planned.of("train") if stage.name.startswith("train/generator/")]
    names = ("ddpm", "ddpm-perceptual", "ddpm-conditional")
    assert sorted(trained) == sorted(f"train/generator/{name}/seed={seed}" for name in names for seed in (0, 1))
    # the same generator draws for the board, for the pool and for classifiers
    readers = [
        s.name for s in planned.of("sample") if planned["train/generator/ddpm-perceptual/seed=0"] in s.inputs.values()
    ]
    assert len(readers) == 2


def test_the_teacher_is_the_row_of_that_name(design: Planned) -> None:
    student = next(s for s in design.of("train") if s.name.startswith("train/classifier/student-b0/"))
    teacher = student.inputs["teacher"]
    row = design.row("vit-l-mae | balanced | malignancy")
    assert teacher in [stage for cell in row.cells for stage in cell.models]
    assert teacher.name.startswith("train/classifier/vit-l-mae/balanced/malignancy/")
    assert student.work["teacher"]["params"]["arch"] == "vit_large_patch16_224"
    assert teacher.inputs["init"].name.startswith("train/pretrainer/mae-vit-l/")
    # each seed has its own teacher
    students = [s for s in design.of("train") if s.name.startswith("train/classifier/student-b0/")]
    assert len({s.inputs["teacher"].key for s in students}) == len(students) == 3


def test_an_image_set_is_joined_from_splits_and_samples(design: Planned) -> None:
    encoder = next(s for s in design.of("train") if s.name.startswith("train/pretrainer/"))
    assert encoder.work["images"] == [{"split": "train"}, {"samples": "samples0"}]
    assert encoder.inputs["samples0"].work["count"] == 600000
    assert encoder.inputs["samples0"].disk_bytes == 600000 * 3 * 256 * 256
    balanced = design.row("vit-b | balanced").cells[0].models[0]
    assert balanced.inputs["samples0"].work["per_class"] == "balance"
    assert set(balanced.inputs) == {"prepare", "samples0"}


def test_sampling_is_filled_in_and_is_no_part_of_training(design: Planned, tmp_path: Path, data: Path) -> None:
    drawn = next(s for s in design.of("sample") if s.name.startswith("sample/ddpm-conditional/") and s.work["count"])
    assert drawn.work["sampling"] == {"sampler": "ddim", "steps": 50, "guidance": 1.0}
    text = DESIGN.read_text().replace("count: 10000, sampling: {sampler: ddim, steps: 50}", "count: 10000")
    (tmp_path / "other.yaml").write_text(text)
    other = plan_of(tmp_path / "other.yaml", tmp_path, sets=[f"dataset.params.root={data}"])
    assert other.table("train") == design.table("train")
    assert other.row("ddpm |").cells[0].samples != design.row("ddpm |").cells[0].samples


def test_every_row_is_predicted_on_val_and_test_and_scored_on_test(design: Planned) -> None:
    for row in design.rows:
        if row.board == "classifiers" and row.kind == "measured":
            for cell in row.cells:
                assert set(cell.predictions) == {"val", "test"}
                (score,) = cell.scores
                assert score.inputs["predictions"] is cell.predictions["test"]
                assert cell.predictions["test"].inputs["train"] is cell.models[0]


def test_real_images_of_a_distance_are_extracted_once(design: Planned) -> None:
    real = [stage for stage in design.of("extract") if stage.work["images"] == [{"split": "train"}]]
    assert len(real) == 1
    scores = [score for row in design.rows if row.board == "generators" for cell in row.cells for score in cell.scores]
    assert {score.inputs["real"].key for score in scores} == {real[0].key}


def test_seeds_cross_only_where_a_row_depends_on_them(tmp_path: Path, data: Path) -> None:
    sets = [f"dataset.params.root={data}", "seeds.generator=[0, 1]", "seeds.pretrain=[5, 6]"]
    planned = plan_of(DESIGN, tmp_path, sets=sets)
    count = {row.row: len(row.cells) for row in planned.rows if row.board == "classifiers" and row.kind == "measured"}
    assert count == {
        "vit-b | train | diagnosis": 3,
        "vit-b | train | malignancy": 3,
        "vit-b | balanced | malignancy": 6,
        "vit-l-mae | balanced | malignancy": 12,
        "student-b0 | balanced | malignancy": 12,
    }
    used = planned.row("vit-b | balanced").cells[0].seeds
    assert set(used) == {"generator", "classifier"}
    assert {cell.seeds["pretrain"] for cell in planned.row("vit-l-mae").cells} == {5, 6}


def test_stages_name_their_plugins_by_where_they_lie(design: Planned) -> None:
    for stage in design.stages:
        wanted = {stage.work["model"]["plugin"]} if "plugin" in stage.work.get("model", {}) else set()
        assert wanted <= set(stage.plugins)
        assert set(stage.plugins) == set(stage.parts["plugins"])
    student = next(s for s in design.of("train") if "student-b0" in s.name)
    assert set(student.plugins) == {"distilled", "timm"}


def test_a_selection_takes_its_metric_along(tmp_path: Path, data: Path) -> None:
    text = DESIGN.read_text().replace("select: last", "select: 'best:f1-macro'")
    (tmp_path / "best.yaml").write_text(text)
    planned = plan_of(tmp_path / "best.yaml", tmp_path, sets=[f"dataset.params.root={data}"])
    trained = planned.row("vit-b | train | diagnosis").cells[0].models[0]
    assert set(trained.plugins) == {"timm", "f1-macro"}
    assert trained.work["budget"]["select"] == "best:f1-macro"


@pytest.mark.parametrize("known", [True, False])
def test_without_the_data_there_is_a_plan_without_keys(tmp_path: Path, known: bool) -> None:
    planned = plan_of(DESIGN, tmp_path, known=known)
    assert planned.missing is not None
    assert "data/HAM10000 is not there (for ham10000); ask the archive" in planned.missing
    assert "\n" not in planned.missing
    whole = plan_of(DESIGN, tmp_path, known=known)
    assert {stage.key for stage in planned.stages if stage.kind != "cost"} == {""}
    assert [stage.name for stage in planned.stages] == [stage.name for stage in whole.stages]
    assert len(planned.rows) == len(whole.rows) > 5
    # what needs neither data nor their tasks keeps its key
    assert {bool(stage.key) for stage in planned.of("cost")} == ({True} if known else {False, True})


def test_batches_of_sampling_depend_on_the_size_alone() -> None:
    assert [sample_batch(size) for size in (8, 32, 128, 256, 512, 1024)] == [64, 64, 64, 16, 4, 4]
