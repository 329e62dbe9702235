"""Images and answers that were made elsewhere: rows without a fit, a seed, a cost or a training set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from planning import Planned
from words import planned, tree

from dermae_bench.errors import UserError
from dermae_bench.plugin.catalog import Card
from dermae_bench.suite.given import EXTERNAL, TRAINED, protocol_of
from dermae_bench.suite.resolved import suite_to_yaml


@pytest.fixture
def suite(tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"x")
    given = {"path": str(folder)}
    found = tree(
        seeds={"generator": [0, 1], "classifier": [0, 1]},
        captions=None,
        generator_rows=[{"samples": ["flow", "release"], "count": 10, "against": "test"}],
        image_sets={
            "drawn": ["train", {"samples": "release", "count": 30}],
            "labelled": ["train", {"samples": "by-class", "count": 30}],
        },
        rows=[{"classifiers": ["cnn", "scores"]}, {"classifiers": "cnn", "train": "labelled"}],
    )
    del found["generators"]["text"], found["generators"]["gan"], found["classifiers"]["augmented"]
    found["generators"]["release"] = {"plugin": "external-images", "params": given}
    labelled = {"plugin": "external-images-labelled", "task": "diagnosis", "params": given}
    found["generators"]["by-class"] = labelled
    found["classifiers"]["scores"] = {"plugin": "external-predictions", "params": given}
    return found


def row(found: Planned, name: str) -> Any:
    return found.row(name)


def test_given_images_are_one_row_without_fit_seed_and_cost(tmp_path: Path, suite: dict[str, Any]) -> None:
    found = planned(tmp_path, suite)
    given, fitted = row(found, "release |"), row(found, "flow |")
    assert (given.protocol, fitted.protocol) == (EXTERNAL, TRAINED)
    assert (len(given.cells), len(fitted.cells)) == (1, 2)
    assert (dict(given.cells[0].seeds), given.cells[0].models, given.cost) == ({}, (), None)
    assert fitted.cost is not None
    sample = given.cells[0].samples
    assert set(sample.inputs) == {"prepare"}
    assert not any("release" in stage.name or "by-class" in stage.name for stage in found.of("train"))
    assert [stage.name for stage in found.of("cost") if "release" in stage.name] == []
    # their pixels are decoded and resized where they are asked for
    assert "plugin/decode.py" in sample.work["decoding"]
    assert all("decoding" not in stage.work for stage in found.of("sample") if "sample/flow/" in stage.name)


def test_their_bytes_are_their_identity_under_every_seed(tmp_path: Path, suite: dict[str, Any]) -> None:
    before = planned(tmp_path, suite)
    other = planned(tmp_path, {**suite, "seeds": {"generator": [0, 1, 2], "classifier": [0, 1]}})
    assert row(before, "release |").cells == row(other, "release |").cells
    # a classifier that learns from them has no seed of a generator
    fits = [stage.name for stage in before.of("train") if "/labelled/" in stage.name]
    assert len(fits) == 2 * 2 and not any("generator-seed" in name for name in fits)
    (tmp_path / "release" / "b.png").write_bytes(b"y")
    assert (
        row(before, "release |").cells[0].samples.key != row(planned(tmp_path, suite), "release |").cells[0].samples.key
    )


def test_given_images_may_show_a_class_that_train_lacks(tmp_path: Path, suite: dict[str, Any]) -> None:
    counts = {"train": {"MEL": 9, "NV": 9, "BCC": 0}, "val": {"MEL": 1, "NV": 1}, "test": {"MEL": 1, "NV": 1}}
    suite["image_sets"]["labelled"] = ["train", {"samples": "by-class", "per_class": 3}]
    assert [
        s.work["per_class"] for s in planned(tmp_path, suite, counts=counts).of("sample") if "by-class" in s.name
    ] == [3]
    suite["generators"]["by-class"] = {**suite["generators"]["flow"], "plugin": "ddpm-conditional", "task": "diagnosis"}
    with pytest.raises(UserError, match="'by-class' cannot have learnt BCC"):
        planned(tmp_path, suite, counts=counts)


def test_every_number_of_given_images_stands_apart_from_those_of_fitted_generators(
    tmp_path: Path, suite: dict[str, Any]
) -> None:
    rows = [{"samples": ["conditional", "by-class"], "count": 10, "against": "test"}]
    fitted = {**suite["generators"]["flow"], "plugin": "ddpm-conditional", "task": "diagnosis"}
    judge = {"metric": "class-agreement", "judge": {"classifier": "cnn", "train": "train"}}
    metrics = [{"metric": "fd", "extractor": "lite0"}, judge, {"metric": "cas", "classifier": "cnn"}]
    generators = {**suite["generators"], "conditional": fitted}
    changed = {**suite, "generators": generators, "generator_rows": rows, "sample_metrics": metrics}
    changed["extractors"] = {**suite["extractors"], "lite0": {"plugin": "tf-efficientnet-lite0"}}
    found = planned(tmp_path, changed)
    for name, training in (("by-class |", EXTERNAL), ("conditional |", None)):
        scores = row(found, name).cells[0].scores
        assert len(scores) == len(metrics)
        assert [score.work["facts"].get("training") for score in scores] == [training] * len(metrics)


def test_given_answers_are_one_row_a_task(tmp_path: Path, suite: dict[str, Any]) -> None:
    found = planned(tmp_path, suite)
    rows = [r for r in found.rows if r.names.get("classifier") == "scores"]
    # nobody was asked about the other set
    assert [r.row for r in rows] == ["scores | elsewhere | diagnosis", "scores | elsewhere | malignancy"]
    for one in rows:
        (cell,) = one.cells
        assert (dict(cell.seeds), cell.models, one.cost, one.protocol) == ({}, (), None, "zero-shot")
        assert all(set(stage.inputs) == {"prepare"} for stage in cell.predictions.values())
        (score,) = cell.scores
        assert score.inputs["validation"] is cell.predictions["val"]
        # ranked apart from those that were trained
        assert score.work["facts"]["training"] == "zero-shot"
    trained = next(r for r in found.rows if r.row == "cnn | train | diagnosis").cells[0].scores[0]
    assert "training" not in trained.work["facts"]


def test_a_protocol_is_what_the_first_parameter_says() -> None:
    flags = {"protocols": {"train": {"head": "linear-probe"}, "prompt": {"True": "zero-shot"}}}
    card = Card("x", "classifier", digest="0", params={}, flags=flags)
    assert protocol_of(card, {"train": "head", "prompt": True}) == "linear-probe"
    assert protocol_of(card, {"train": "all", "prompt": True}) == "zero-shot"
    assert protocol_of(card, {"train": "all"}) == protocol_of(Card("x", "classifier", digest="0"), {}) == TRAINED


def test_the_resolved_suite_is_the_same_suite(tmp_path: Path, suite: dict[str, Any]) -> None:
    first = planned(tmp_path, suite)
    text = yaml.safe_load(suite_to_yaml(first.loaded))
    assert text["generators"]["release"]["images"] == [] and text["generators"]["release"]["budget"] is None
    for entry in (*text["generators"].values(), *text["classifiers"].values()):
        # published without the machine's folders
        if "path" in entry["params"]:
            assert entry["params"]["path"] == "data/release"
            entry["params"]["path"] = str(tmp_path / "release")
    again = planned(tmp_path, text)
    assert (again.loaded.suite, again.table()) == (first.loaded.suite, first.table())


def test_given_images_are_ranked_among_their_like(tmp_path: Path, suite: dict[str, Any]) -> None:
    found = planned(tmp_path, suite)
    for name, said in (("release |", EXTERNAL), ("flow |", None)):
        scores = [stage for cell in row(found, name).cells for stage in cell.scores if stage.work["of"] == "samples"]
        assert scores and all(stage.work["facts"].get("training") == said for stage in scores)
