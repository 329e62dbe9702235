"""Which lints a plan has, what they read, and what makes them stale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_catalog import TASKS as FAKE_TASKS
from planning import TASKS, PlanCatalog

from dermae_bench.plugin.catalog import Card
from dermae_bench.store.contents import Contents
from dermae_bench.suite import leakage
from dermae_bench.suite.generator_rows import GeneratorRows
from dermae_bench.suite.leakage import is_leakage, leakage_stages
from dermae_bench.suite.load import load_suite
from dermae_bench.suite.plan import Planner
from dermae_bench.suite.rows import RowPlanner
from dermae_bench.suite.stage import Stage

SMALL = Path(__file__).parent / "good_small.yaml"


class Cards(PlanCatalog):
    """The same cards, with images that were made elsewhere; generators read captions if `captioned`."""

    def card(self, kind: str, name: str) -> Card:  # type: ignore[override]
        if name == "given-images":
            flags = {"fits": False, "conditional": False, "joint": False}
            return replace(super().card(kind, "ddpm"), name=name, flags=flags)
        card = super().card(kind, name)
        captioned = {"captioned": self.captioned and name in ("ddpm", "ddpm-conditional")}
        return replace(card, flags={**card.flags, **captioned})

    def __init__(self, captioned: bool) -> None:
        super().__init__()
        self.captioned = captioned


def lints(folder: Path, text: str | None = None, known: bool = True, captioned: bool = False) -> dict[str, Stage]:
    path = folder / "suite.yaml"
    path.write_text(text if text is not None else SMALL.read_text())
    catalog = Cards(captioned)
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


def with_others(**others: Any) -> str:
    return yaml.safe_dump(yaml.safe_load(SMALL.read_text()) | {"evaluate_on": others}, sort_keys=False)


def test_one_for_each_other_set_over_train_val_and_its_test(tmp_path: Path) -> None:
    clinic: dict[str, Any] = {"plugin": "ham10000", "params": {"split": "official"}}
    before = lints(tmp_path)
    found = lints(tmp_path, with_others(clinic=clinic, twin={**clinic, "params": {**clinic["params"]}}))
    assert set(found) - set(before) == {"score/leakage/other/clinic", "score/leakage/other/twin"}
    stage = found["score/leakage/other/clinic"]
    assert is_leakage(stage)
    assert set(stage.inputs) == {"prepare", "other"}
    assert stage.inputs["prepare"].work.get("only") is None
    assert stage.inputs["other"].work["only"] == "test"
    assert stage.work["extractor"] is None
    assert (stage.work["set"], found["score/leakage/other/twin"].work["set"]) == ("clinic", "twin")
    assert len({stage.key for stage in found.values()}) == len(found)
    # another set makes no lint of the suite's own data stale
    assert {name: found[name].key for name in before} == {name: stage.key for name, stage in before.items()}


def test_images_that_were_made_elsewhere_are_compared_with_every_set(tmp_path: Path) -> None:
    suite = yaml.safe_load(with_others(clinic={"plugin": "ham10000", "params": {}}))
    suite["generators"]["closed"] = {"plugin": "given-images"}
    suite["generator_rows"] += [{"samples": "closed", "count": 4}]
    found = lints(tmp_path, yaml.safe_dump(suite, sort_keys=False))
    of_samples = [stage for stage in found.values() if stage.work["what"] == "samples"]
    samples = {stage.inputs["samples0"].name.split("/")[1]: stage for stage in of_samples}
    assert samples["closed"].work["others"] == ["clinic"]
    assert samples["closed"].inputs["other-clinic"].name == "prepare/clinic"
    for name in ("ddpm", "guided"):
        assert "others" not in samples[name].work
        assert "other-clinic" not in samples[name].inputs


def with_captions(folder: Path) -> str:
    (folder / "said.csv").write_text("id,caption\n1,a mole\n")
    suite = yaml.safe_load(SMALL.read_text())
    suite["captions"] = {
        "named": {"template": "a photograph of {label}", "words": {"malignant": "cancer"}, "task": "malignancy"},
        "told": {"file": str(folder / "said.csv")},
        "unread": {"template": "a lesion"},
    }
    guided = suite["generators"]["guided"] | {"captions": "told"}
    suite["generators"] |= {
        "ddpm": suite["generators"]["ddpm"] | {"captions": "told"},
        "guided": guided,
        "again": dict(guided),
        "third": guided | {"captions": "named"},
    }
    return yaml.safe_dump(suite, sort_keys=False)


def test_one_for_each_entry_of_captions_that_a_generator_reads(tmp_path: Path) -> None:
    found = lints(tmp_path, with_captions(tmp_path), captioned=True)
    captions = {name: stage for name, stage in found.items() if stage.work["what"] == "captions"}
    beginning = "score/leakage/captions/"
    assert set(captions) == {f"{beginning}{name}" for name in ("told/no task", "told/diagnosis", "named")}
    named = captions[f"{beginning}named"]
    assert set(named.inputs) == {"prepare"}
    assert named.work["captions"]["task"] == "malignancy"
    assert named.work["tasks"] == ["malignancy", "diagnosis"]
    assert captions[f"{beginning}told/no task"].work["tasks"] == ["diagnosis", "malignancy"]
    assert "leakage/wording.py" in named.parts["work"]["sources"]
    assert "execute/stages/captions.py" in named.parts["work"]["sources"]
    # a lint of captions looks at no picture, and none of pictures at words
    assert not {"leakage/pairs.py", "leakage/others.py"} & named.parts["work"]["sources"].keys()
    assert "leakage/wording.py" not in found["score/leakage/real"].parts["work"]["sources"]


def test_other_captions_in_the_file_are_another_lint(tmp_path: Path) -> None:
    text = with_captions(tmp_path)
    before = {name: stage.key for name, stage in lints(tmp_path, text, captioned=True).items()}
    (tmp_path / "said.csv").write_text("id,caption\n1,a spot\n")
    after = {name: stage.key for name, stage in lints(tmp_path, text, captioned=True).items()}
    changed = {name for name in before if "captions" in name and before[name] != after[name]}
    assert changed == {"score/leakage/captions/told/no task", "score/leakage/captions/told/diagnosis"}


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
