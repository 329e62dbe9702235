"""What `--preset` and `--set` do to a suite."""

from __future__ import annotations

from pathlib import Path

import pytest
from suite_files import EXAMPLE, SMALL, load, problems

from dermae_bench.errors import SuiteError
from dermae_bench.suite.load import results_name, settings_digest
from dermae_bench.suite.spec import PredictionMetricSpec

PRESETS = """presets:
  smoke:
    seeds: [7]
    budgets: {short: {steps: 2}}
    prediction_metrics: [accuracy]
    generators: {ddpm: {params: {weight: 2}}}
"""


@pytest.fixture
def with_presets(tmp_path: Path) -> Path:
    path = tmp_path / "x.yaml"
    path.write_text(SMALL.read_text().replace("seeds: [0, 1]", "seeds: {generator: [3, 4]}") + PRESETS)
    return path


def test_preset_merges_deeply(with_presets: Path) -> None:
    loaded = load(with_presets, preset="smoke")
    assert loaded.suite.seeds.generator == (3, 4)
    assert loaded.suite.seeds.classifier == (7,)
    assert (loaded.suite.budgets["short"].steps, loaded.suite.budgets["short"].batch_size) == (2, 4)
    assert loaded.suite.prediction_metrics == (PredictionMetricSpec(metric="accuracy"),)
    assert loaded.suite.generators["ddpm"].params["weight"] == 2.0
    assert results_name(loaded) == "small-smoke"


def test_unknown_preset_lists_presets(with_presets: Path) -> None:
    with pytest.raises(SuiteError, match=r"did you mean 'smoke'\? presets of this suite: smoke"):
        load(with_presets, preset="smoek")
    with pytest.raises(SuiteError, match="presets of this suite: none"):
        load(SMALL, preset="smoke")


def test_errors_in_a_preset_are_placed_in_it(with_presets: Path) -> None:
    with_presets.write_text(with_presets.read_text().replace("steps: 2}", "steps: two}"))
    line = with_presets.read_text()[: with_presets.read_text().index("steps: two")].count("\n") + 1
    assert problems(with_presets, preset="smoke") == [
        f"{with_presets}:{line}:30: expected a whole number, got text 'two'"
    ]


def test_settings_are_yaml_1_2_scalars_and_flow_values() -> None:
    sets = [
        "budgets.short.ema=9e-1",
        "rows.1.train=[train]",
        'description="a: b"',
        "tasks.1=malignancy",
        "classifiers.vit={plugin: timm, budget: short, params: {arch: vit}}",
        "dataset.params.root=my # folder: 1",
        "generators.guided.params.prediction=x0",
        "classifiers.vit.params.arch=no",
        "rows.0.classifiers=vit",
    ]
    suite = load(SMALL, sets=sets).suite
    assert suite.budgets["short"].ema == 0.9
    assert suite.rows[1].train == ("train",)
    assert suite.description == "a: b"
    assert suite.classifiers["vit"].params["arch"] == "no"
    assert suite.dataset.params["root"] == "my # folder: 1"
    assert suite.generators["guided"].params["prediction"] == "x0"


def test_a_home_folder_of_nobody_is_a_name() -> None:
    loaded = load(SMALL, sets=["dataset.params.root=~nobody-of-that-name/x"])
    assert [given.absolute for given in loaded.paths] == [Path.cwd() / "~nobody-of-that-name" / "x"]


def test_names_with_dots_are_found_by_settings(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(SMALL.read_text().replace("cnn", "cnn.v2.1"))
    assert load(path, sets=["classifiers.cnn.v2.1.params.lr=1"]).suite.classifiers["cnn.v2.1"].params["lr"] == 1.0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("a", "1:1: expected KEY.KEY=VALUE"),
        ("a..b=1", "1:1: expected KEY.KEY=VALUE"),
        ("dataset.parms.root=x", "1:9: unknown key 'parms'"),
        ("budgets.short.steps=ten", "1:21: expected a whole number, got text 'ten'"),
        ("rows.9.train=x", "1:6: no item '9' in the list rows"),
        ("rows.x=1", "1:6: no item 'x' in the list rows"),
        ("suite.x=1", "1:7: suite is text 'small': nothing can be set inside it"),
        ("rows=[1", "1:6: not valid YAML: while parsing a flow sequence: did not find expected ',' or ']'"),
        ("rows.0={classifiers: cnn, train: trian}", "1:34: unknown image set 'trian'"),
        ("rows.0=[*a]", "1:9: alias *a is not allowed"),
        ("presets.a=1", "1:1: presets cannot be set"),
        ("threads=.nan", "1:9: expected a whole number, got nan"),
        ("threads=1025", "1:9: 1025 is out of range: at least 1 and at most 1024"),
        ("resources.wall=.nan", "1:16: nan is not a finite number"),
        ("resources.silence=.inf", "1:19: inf is not a finite number"),
        ("resources.train.mem=-.inf", "1:21: -inf is not a finite number"),
        ("budgets.short.ema=.nan", "1:19: nan is not a finite number"),
    ],
)
def test_wrong_settings_have_places(setting: str, message: str) -> None:
    assert f"--set {setting}:{message}" in problems(SMALL, sets=[setting])


@pytest.mark.parametrize(
    ("setting", "place", "said", "hint"),
    [
        ("budgets.flwo.steps=5", 9, "there is no 'flwo' in budgets", "budgets: short"),
        ("budgets.shrot.steps=5", 9, "there is no 'shrot' in budgets", "did you mean 'short'? budgets: short"),
        ("budgets.a.b.c=5", 9, "there is no 'a' in budgets", "budgets: short"),
        ("extractors.x.plugin=y", 12, "there is no 'x' in extractors", "extractors: lite0"),
        ("generators.dpmd.params.weight=5", 12, "there is no 'dpmd' in generators",
         "did you mean 'ddpm'? generators: ddpm, guided"),
        ("image_sets.less.0=train", 12, "there is no 'less' in image_sets", "image_sets: more"),
        ("classifiers.vit.params.arch=x", 13, "there is no 'vit' in classifiers", "classifiers: cnn"),
        ("pretrained.start.params.epochs=5", 12, "there is no 'start' in pretrained", "pretrained: none"),
        ("generators.dpmd=null", 12, "there is no 'dpmd' in generators",
         "did you mean 'ddpm'? generators: ddpm, guided"),
        ("evaluate_on.clinic=~", 13, "there is no 'clinic' in evaluate_on", "evaluate_on: none"),
    ],
)  # fmt: skip
def test_a_part_of_what_is_not_there_is_told_with_the_names_that_are(
    setting: str, place: int, said: str, hint: str
) -> None:
    with pytest.raises(SuiteError) as caught:
        load(SMALL, sets=[setting])
    assert str(caught.value).splitlines() == [
        f"--set {setting}:1:{place}: {said}",
        f"    1 | {setting}",
        " " * (7 + place) + "^",
        f"      {hint}",
        "1 error in the suite",
    ]


def test_the_whole_of_what_is_not_there_may_be_set() -> None:
    suite = load(SMALL, sets=["budgets.flow={steps: 5, batch_size: 2}", "classifiers.cnn.budget=flow"]).suite
    assert suite.budgets["flow"].steps == 5
    # and then parts of it
    sets = ["budgets.flow={steps: 5, batch_size: 2}", "budgets.flow.steps=6", "classifiers.cnn.budget=flow"]
    assert load(SMALL, sets=sets).suite.budgets["flow"].steps == 6


def test_null_takes_an_entry_out_of_a_section_of_names(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    sets = "{clinic: {plugin: ham10000, params: {root: x}}, a.b: {plugin: ham10000}}"
    path.write_text(SMALL.read_text() + f"evaluate_on: {sets}\n")
    whole, changed = load(path), load(path, sets=["evaluate_on.clinic=null"])
    assert (set(whole.suite.evaluate_on), set(changed.suite.evaluate_on)) == ({"clinic", "a.b"}, {"a.b"})
    assert settings_digest(changed) is not None
    none = load(path, sets=["evaluate_on.a.b=null", "evaluate_on.clinic="])
    assert none.resolved["evaluate_on"] == {}
    # set again, it is a new one
    again = load(path, sets=["evaluate_on.clinic=null", "evaluate_on.clinic={plugin: phantom}"])
    assert again.suite.evaluate_on["clinic"].plugin == "phantom"
    # what others name is missed
    assert any("unknown budget 'short'" in told for told in problems(path, sets=["budgets.short=null"]))


def test_null_is_a_value_anywhere_else(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(SMALL.read_text() + "evaluate_on: {clinic: {plugin: ham10000, params: {root: x}}}\n")
    changed = load(path, sets=["evaluate_on.clinic.params.root=null", "reference=null"])
    assert changed.suite.evaluate_on["clinic"].params["root"] is None
    assert (
        "evaluate_on.clinic.params=null:1:27: expected a mapping, got null"
        in problems(path, sets=["evaluate_on.clinic.params=null"])[0]
    )
    assert load(path, sets=["description='null'"]).suite.description == "null"


def test_settings_that_change_only_paths_add_no_digest(with_presets: Path) -> None:
    def digest(*sets: str, path: Path = EXAMPLE) -> str | None:
        return settings_digest(load(path, sets=sets))

    assert digest() is None
    assert digest("dataset.params.root=/elsewhere") is None
    assert digest("dataset.params.image_size=256", "reference=x.csv") is None
    assert digest("dataset.params.root=null") is not None
    changed = digest("dataset.params.image_size=64")
    assert changed is not None
    assert len(changed) == 8
    assert digest("dataset.params.root=/elsewhere", "dataset.params.image_size=64") == changed
    assert digest("threads=2", "dataset.params.image_size=64") == digest("dataset.params.image_size=64", "threads=2")
    assert digest("threads=2") != changed
    loaded = load(with_presets, preset="smoke", sets=["threads=2"])
    assert results_name(loaded) == f"small-smoke-{settings_digest(loaded)}"


def test_a_missing_key_may_come_from_a_setting(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(SMALL.read_text().replace("suite: small\n", ""))
    assert results_name(load(path, sets=["suite=mine"])).startswith("mine-")


def test_a_preset_takes_entries_out_and_another_plugin_takes_its_words_along(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    own = "captions: {own: {template: 'a {label}'}}\n"
    other = "presets: {other: {captions: {own: null}, dataset: {plugin: ham10000, params: {image_size: 16}}}}\n"
    text = SMALL.read_text().replace("image_size: 32", "image_size: 32, split: official")
    path.write_text(text + own + other)
    whole, changed = load(path), load(path, preset="other")
    assert set(whole.resolved["captions"]) == {"own"}
    assert changed.resolved["captions"] == {}
    assert whole.resolved["dataset"]["params"]["split"] == "official"
    assert changed.resolved["dataset"]["params"] == {"image_size": 16, "root": None, "split": "lesion-grouped"}
