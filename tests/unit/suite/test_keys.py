"""What changes a key, and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from planning import DESIGN, Planned, changed, plan_of

from dermae_bench.plugin.params import File, schema_of
from dermae_bench.store.contents import Contents
from dermae_bench.suite import keys
from dermae_bench.suite.keys import HARNESS, PACKAGE, Identities


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    (root / "1.png").write_bytes(b"one pixel is red")
    return root


def planned(folder: Path, root: Path, text: str | None = None, **more: Any) -> Planned:
    path = folder / "suite.yaml"
    path.write_text(text if text is not None else DESIGN.read_text())
    return plan_of(path, folder, **{**more, "sets": [f"dataset.params.root={root}", *more.get("sets", ())]})


def touched(one: Planned, two: Planned) -> set[str]:
    """Kinds of the stages whose keys differ between two plans of the same stages."""
    before, after = one.table(), two.table()
    assert set(before) == set(after)
    kinds = {stage.name: stage.kind for stage in one.stages}
    return {kinds[name] for name in before if before[name] != after[name]}


def test_moving_the_data_changes_no_key_and_changing_a_pixel_does(tmp_path: Path, data: Path) -> None:
    before = planned(tmp_path, data)
    moved = data.rename(tmp_path / "elsewhere")
    assert planned(tmp_path, moved).table() == before.table()
    (moved / "1.png").write_bytes(b"one pixel is pink")
    after = planned(tmp_path, moved)
    # everything but what is counted on random weights
    assert touched(before, after) == {"prepare", "train", "sample", "extract", "predict", "score"}
    costs = before.table("cost").items()
    assert set(before.table().items()) & set(after.table().items()) == set(costs)


def test_the_order_of_yaml_keys_changes_no_key(tmp_path: Path, data: Path) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(inner) for key, inner in reversed(value.items())}
        return [turned(inner) for inner in value] if isinstance(value, list) else value

    suite = yaml.safe_load(DESIGN.read_text())
    text = yaml.safe_dump(turned(suite), sort_keys=False)
    assert planned(tmp_path, data, text).table() == planned(tmp_path, data).table()


def test_explicit_defaults_and_whole_floats_change_no_key(tmp_path: Path, data: Path) -> None:
    before = planned(tmp_path, data)
    suite = yaml.safe_load(DESIGN.read_text())
    suite["generators"]["ddpm"]["params"] = {"weight": 0, "prediction": "eps", "channels": [64, 128]}
    suite["budgets"]["ddpm"] |= {"clip": 1, "select": "last", "phases": {}}
    suite["seeds"] = [0, 1, 2]
    assert planned(tmp_path, data, yaml.safe_dump(suite)).table() == before.table()


def test_seeds_reach_their_own_role_alone(tmp_path: Path, data: Path) -> None:
    before = planned(tmp_path, data)
    after = planned(tmp_path, data, sets=["seeds.classifier=[7]"])
    for kind in ("prepare", "sample", "extract", "cost"):
        assert before.table(kind) == after.table(kind)
    trained, again = before.table("train"), after.table("train")
    own = {name for name in trained if "/classifier/" in name}
    assert {name: key for name, key in trained.items() if name not in own}.items() <= again.items()
    assert {trained[name] for name in own}.isdisjoint(again.values())


@pytest.mark.parametrize(("setting", "kinds"), [("threads=2", {"train", "sample", "predict", "extract"}),
                                                ("precision=bf16", {"train", "sample", "predict"})])  # fmt: skip
def test_threads_and_precision_are_in_the_kinds_that_they_affect(
    tmp_path: Path, data: Path, setting: str, kinds: set[str]
) -> None:
    before, after = planned(tmp_path, data), planned(tmp_path, data, sets=[setting])
    word, _, _ = setting.partition("=")
    assert {stage.kind for stage in before.stages if word in stage.parts["work"]} == kinds
    assert before.table("prepare") == after.table("prepare")
    assert before.table("cost") == after.table("cost")
    assert kinds <= touched(before, after)


def test_how_often_checkpoints_are_written_changes_no_key(tmp_path: Path, data: Path) -> None:
    after = planned(tmp_path, data, sets=["budgets.ddpm.checkpoint=100"])
    assert after.table() == planned(tmp_path, data).table()
    assert after["train/generator/ddpm/seed=0"].work["budget"]["checkpoint"] == 100


def test_names_and_descriptions_are_in_no_key(tmp_path: Path, data: Path) -> None:
    text = DESIGN.read_text().replace("suite: ham10000", "suite: renamed\ndescription: words").replace("vit-b", "vit-z")
    after = planned(tmp_path, data, text)
    assert sorted(after.table().values()) == sorted(planned(tmp_path, data).table().values())


def test_editing_a_plugin_reaches_its_stages_and_what_reads_them(tmp_path: Path, data: Path) -> None:
    before, after = planned(tmp_path, data), planned(tmp_path, data, edited=["ddpm-conditional"])
    stale = {name for name, key in before.table().items() if after.table()[name] != key}
    assert stale == {name for name in before.table() if "ddpm-conditional" in name or "/balanced/" in name}
    metric = planned(tmp_path, data, edited=["fd"])
    assert touched(before, metric) == {"score"}


def test_no_path_of_this_machine_is_in_any_key(tmp_path: Path, data: Path) -> None:
    for stage in planned(tmp_path, data).stages:
        assert str(tmp_path) not in str(stage.parts)
    (tmp_path / "weights.pt").write_bytes(b"1")
    suite = yaml.safe_load(DESIGN.read_text())
    suite["generators"]["ddpm"]["params"] = {"weights": str(tmp_path / "weights.pt")}
    stage = planned(tmp_path, data, changed(yaml.safe_dump(suite)))["train/generator/ddpm/seed=0"]
    assert str(tmp_path) not in str(stage.parts)
    assert stage.work["model"]["params"]["weights"] == str(tmp_path / "weights.pt")


def test_the_harness_files_of_every_kind_exist_and_decide_about_it() -> None:
    assert set(HARNESS) == {"prepare", "train", "sample", "extract", "predict", "score", "cost"}
    for kind, files in HARNESS.items():
        assert f"execute/stages/{kind}.py" in files
        for name in files:
            assert (PACKAGE / name).is_file(), name
        assert set(keys.harness_digests(kind)) == set(files)
    assert "execute/run.py" in HARNESS["train"]


def test_libraries_are_told_by_major_and_minor(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = planned(tmp_path, data)
    for version, same in (("2.99.1+cu132", False), ("2.99.7", True)):
        monkeypatch.setattr("dermae_bench.store.environment.metadata.version", lambda name, v=version: v)
        keys._version.cache_clear()
        now = planned(tmp_path, data)
        assert (now.table() == before.table()) == same
        before = now
    keys._version.cache_clear()
    assert before["prepare/ham10000"].parts["libraries"]["numpy"] == "2.99"


def test_paths_of_parameters_become_digests_for_keys_and_absolute_for_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Config:
        weights: File | None = None
        others: Mapping[str, File] | None = None

    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pt").write_bytes(b"a")
    (tmp_path / "b.pt").write_bytes(b"a")
    schema = schema_of(Config)
    identities = Identities(None, Contents(tmp_path / "memo"))  # type: ignore[arg-type]
    value = {"weights": "a.pt", "others": {"x": "b.pt"}}
    hashed = identities.params(value, schema)
    assert hashed["weights"] == hashed["others"]["x"]
    assert set(hashed["weights"]) == {"sha256"}
    assert identities.absolute(value, schema)["others"]["x"] == str(tmp_path / "b.pt")
    assert value == {"weights": "a.pt", "others": {"x": "b.pt"}}
    monkeypatch.setenv("HOME", str(tmp_path))
    assert identities.absolute({"weights": "~/a.pt"}, schema)["weights"] == str(tmp_path / "a.pt")
    assert identities.params({"weights": None}, schema) == {"weights": None}
