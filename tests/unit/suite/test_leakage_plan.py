"""Which lints a plan has, what they read, and what makes them stale."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from fake_catalog import TASKS as FAKE_TASKS
from planning import TASKS, PlanCatalog

from dermae_bench.store.contents import Contents
from dermae_bench.suite import leakage
from dermae_bench.suite.generator_rows import GeneratorRows
from dermae_bench.suite.leakage import is_leakage, leakage_stages
from dermae_bench.suite.load import load_suite
from dermae_bench.suite.plan import Planner
from dermae_bench.suite.rows import RowPlanner
from dermae_bench.suite.stage import Stage

SMALL = Path(__file__).parent / "good_small.yaml"


def lints(folder: Path, text: str | None = None, known: bool = True) -> dict[str, Stage]:
    path = folder / "suite.yaml"
    path.write_text(text if text is not None else SMALL.read_text())
    catalog = PlanCatalog()
    tasks = TASKS if known else None
    loaded = load_suite(path, catalog=catalog, tasks_of=lambda plugin, params: tasks)
    planner = Planner(loaded.suite, catalog, Contents(folder / "memo.json"), tasks)
    rows = RowPlanner(planner, loaded.resolved)
    rows.rows()
    return {stage.name: stage for stage in leakage_stages(GeneratorRows(rows))}


def test_one_over_the_data_and_one_for_each_sample_set(tmp_path: Path) -> None:
    assert TASKS.keys() == FAKE_TASKS.keys()
    found = lints(tmp_path)
    assert all(is_leakage(stage) for stage in found.values())
    real = found.pop("score/leakage/real")
    assert set(real.inputs) == {"prepare", "train", "val", "test"}
    assert [real.inputs[split].work["images"] for split in ("train", "test")] == [
        [{"split": "train"}],
        [{"split": "test"}],
    ]
    kinds = {stage.inputs["samples0"].name for stage in found.values()}
    assert len(kinds) == len(found) == 3, "two rows and one training set"
    for stage in found.values():
        assert stage.key
        assert stage.kind == "score"


def test_features_of_samples_are_used_where_a_row_extracts_them_and_never_asked_for(tmp_path: Path) -> None:
    found = lints(tmp_path)
    with_features = {name for name, stage in found.items() if "generated" in stage.inputs}
    assert with_features == {name for name in found if "count=10" in name}
    for name, stage in found.items():
        if name in with_features:
            assert stage.inputs["generated"].inputs["samples0"] is stage.inputs["samples0"]
            assert {"val", "test"} <= set(stage.inputs)
            assert stage.work["extractor"] == "lite0"
        elif "samples0" in stage.inputs:
            assert set(stage.inputs) == {"prepare", "samples0"}
            assert stage.work["extractor"] is None


def test_without_an_extractor_pixels_alone_are_compared(tmp_path: Path) -> None:
    suite = yaml.safe_load(SMALL.read_text())
    del suite["extractors"], suite["sample_metrics"], suite["generator_rows"]
    found = lints(tmp_path, yaml.safe_dump(suite, sort_keys=False))
    assert set(found["score/leakage/real"].inputs) == {"prepare"}
    assert len(found) == 2


def test_grids_of_figures_are_not_compared(tmp_path: Path) -> None:
    suite = yaml.safe_load(SMALL.read_text()) | {"figures": {"grid": {"samples": "guided", "columns": 3}}}
    found = lints(tmp_path, yaml.safe_dump(suite, sort_keys=False))
    assert not any("columns" in name for name in found)


def test_nothing_reads_a_lint(tmp_path: Path) -> None:
    found = lints(tmp_path)
    for stage in found.values():
        assert not any(is_leakage(source) for source in stage.inputs.values())


def test_an_edit_of_the_lints_makes_them_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = lints(tmp_path)
    assert {stage.key for stage in lints(tmp_path).values()} == {stage.key for stage in before.values()}
    assert "leakage/pairs.py" in next(iter(before.values())).parts["work"]["sources"]
    monkeypatch.setattr(leakage, "_sources", lambda: {"leakage/pairs.py": "edited"})
    after = lints(tmp_path)
    assert not {stage.key for stage in after.values()} & {stage.key for stage in before.values()}


def test_without_the_data_there_are_lints_without_keys(tmp_path: Path) -> None:
    suite = yaml.safe_load(SMALL.read_text())
    suite["dataset"]["params"]["root"] = str(tmp_path / "nowhere")
    found = lints(tmp_path, yaml.safe_dump(suite, sort_keys=False), known=False)
    assert {stage.key for stage in found.values()} == {""}
