"""`verify` holds what was scored on other data sets to these sets: their answers, labels, attributes and digests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from harmed_folder import FIXTURES, cases, check, evidence, named, records, render, table, text, write_records
from other_set_folder import COUNT, ELSEWHERE

from dermae_bench.plugin.catalog import Catalog
from dermae_bench.report.evidence import Evidence
from dermae_bench.report.verify.digests import write_digests
from dermae_bench.scoring.deriving import derive

unplanned, folder = FIXTURES


@pytest.fixture
def good(scored_elsewhere: Path) -> Path:
    return scored_elsewhere


@pytest.mark.parametrize("store", [False, True])
def test_an_honest_folder_agrees_with_its_evidence(good: Path, catalog: Catalog, store: bool) -> None:
    report = check(good, catalog, store=store)
    assert report.findings == []
    assert report.exit_code == 0 and report.checked["scores from predictions"] == 6
    assert report.checked["images"] == 18 + 48 + 2 * COUNT


def test_images_of_one_name_keep_their_own_facts(good: Path) -> None:
    found = Evidence(good)
    assert [its.name for its in found.sets] == ["", "elsewhere", "third"]
    own, other = found.attributes["test"], found.attributes["elsewhere:test"]
    assert own.keys() == {"age", "sex"} and other.keys() == {"age", "tone"}
    assert own["age"]["test-1"] == 21.0 and other["age"]["test-1"] == "old"
    assert found.attributes["third:test"]["age"].keys() == other["age"].keys()


def test_thresholds_are_frozen_on_the_suites_own_val_as_the_stage_does(good: Path) -> None:
    found = Evidence(good)
    score = next(one for one in found.scores if one.name == "score/net/seed=0/elsewhere")
    scored = found.scored(score)
    assert scored.task.name == "malignancy" and scored.validation is not None
    trained = found.predictions(score.inputs["validation"]["key"])
    assert trained.task.name == "diagnosis"
    assert np.array_equal(scored.validation.logits, derive(trained, scored.task, found.tasks).logits)
    assert list(scored.attributes) == ["age", "tone"]
    assert found.facts(score)["split_rule"] == "another rule"


def _answer(folder: Path) -> None:
    """The last row of the file is one of another set."""
    table(folder, "predictions.parquet", "logits", lambda v: v[-1].__setitem__(0, v[-1][0] + 8.0))


def _last_image(folder: Path, column: str, change: Callable[[list[Any], int], Any], where: str = "third:test") -> None:
    splits = pq.read_table(folder / "images.parquet").column("split").to_pylist()
    table(folder, "images.parquet", column, lambda values: change(values, splits.index(where)))


def _malignant_or_not(values: list[Any], row: int) -> None:
    values[row] = 0 if values[row] == 1 else 1


def _label(folder: Path) -> None:
    _last_image(folder, "label", _malignant_or_not)


def _attribute(folder: Path) -> None:
    _last_image(folder, "attribute:elsewhere/age", lambda v, k: v.__setitem__(k, "old"), "elsewhere:test")


def _of_another_set(folder: Path) -> None:
    _last_image(folder, "attribute:elsewhere/age", lambda v, k: v.__setitem__(k, "young"), "third:test")


def _own_with_other(folder: Path) -> None:
    _last_image(folder, "attribute.sex", lambda v, k: v.__setitem__(k, "female"), "third:test")


def _split(folder: Path) -> None:
    """The images of one set are said to be those of another."""
    _last_image(folder, "split", lambda v, k: v.__setitem__(k, "elsewhere:test"))


def _answers_of_another(folder: Path) -> None:
    def change(about: dict[str, Any]) -> None:
        for one in about["predictions"].values():
            one["split"] = one["split"].replace("elsewhere", "third")

    evidence(folder, change)


def _others(name: str, value: Any) -> Callable[[Path], None]:
    return lambda folder: evidence(folder, lambda a: a["others"]["elsewhere"].update({name: value}))


def _exchange(folder: Path) -> None:
    """Two sets change their summaries, keys and all."""

    def change(about: dict[str, Any]) -> None:
        held = about["others"]
        held["elsewhere"], held["third"] = held["third"], held["elsewhere"]

    evidence(folder, change)


def _label_of_an_answer(folder: Path) -> None:
    table(folder, "predictions.parquet", "label", lambda v: v.__setitem__(-1, 1 - v[-1]))


def _charts(folder: Path) -> list[Path]:
    return sorted((folder / "figures").glob("sweep-malignancy-brier*"))


def _chart(folder: Path) -> None:
    """A number in the text beside a chart, which the list of digests then has."""
    path = next(path for path in _charts(folder) if path.suffix == ".txt")
    path.write_text(path.read_text().replace("0.", "0.9", 1))


def _chart_of_nothing(folder: Path) -> None:
    (folder / "figures" / "sweep-ours.svg").write_text("<svg/>")


HARMS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "an answer": (_answer, ("records", "third", "brier")),
    "a label": (_label, ("predictions", "third:test", "labels of 1 images")),
    "a label of an answer": (_label_of_an_answer, ("predictions", "third:test", "labels of 1 images")),
    "an attribute": (_attribute, ("records", ELSEWHERE, "subgroup")),
    "an attribute of another set": (_of_another_set, ("images", "attribute:elsewhere/age", "another data set")),
    "an attribute of the own set": (_own_with_other, ("images", "attribute.sex", "another data set")),
    "a split": (_split, ("images", "third:test", "digest")),
    "answers said to be of another set": (_answers_of_another, ("predictions", "elsewhere", "its split")),
    "digest of pixels": (_others("data", "0" * 16), ("records", ELSEWHERE, "identity.data")),
    "digest of the split": (_others("split_digest", "0" * 64), ("facts", "others.elsewhere.split_digest")),
    "rule of the split": (_others("split_rule", "ours"), ("facts", "others.elsewhere.split_rule")),
    "resize": (_others("resize", "nearest"), ("records", ELSEWHERE, "identity.resize")),
    "leaky": (_others("leaky", "on purpose"), ("records", ELSEWHERE, "identity.leaky")),
    "key": (_others("key", "0" * 32), ("scores", "elsewhere", "no data set here has the key")),
    "taken out": (lambda f: evidence(f, lambda a: a.pop("others")), ("scores", "elsewhere", "no data set")),
    "exchanged": (_exchange, ("predictions", "elsewhere:test", "its split")),
    "a chart": (_chart, ("boards", "figures/sweep-malignancy-brier", "not what records")),
    "a chart taken out": (lambda f: _charts(f)[0].unlink(), ("boards", "figures/sweep-malignancy-brier", "missing")),
    "a chart of nothing": (_chart_of_nothing, ("boards", "figures/sweep-ours.svg", "no such file")),
    "a column": (lambda f: _rename(f, "attribute:third/age", "attribute:fourth/age"), ("images", "its columns")),
}  # fmt: skip


def _rename(folder: Path, old: str, new: str) -> None:
    held = pq.read_table(folder / "images.parquet")
    pq.write_table(
        held.rename_columns([new if name == old else name for name in held.column_names]), folder / "images.parquet"
    )


@pytest.mark.parametrize("name", cases(HARMS, 5))
def test_what_was_changed_is_named_without_a_store(folder: Path, catalog: Catalog, name: str) -> None:
    harm, words = HARMS[name]
    harm(folder)
    # whoever changed it gave it new digests, too
    write_digests(folder)
    report = check(folder, catalog)
    assert named(report, *words), report.findings
    assert report.exit_code == 1


def _attribute_of_nothing(folder: Path) -> None:
    """Of a set that is divided by none of its attributes, so that no number depends on it."""
    _last_image(folder, "attribute:third/tone", lambda v, k: v.__setitem__(k, "VI"))


def _all_of_it(folder: Path) -> None:
    """The digest of the pixels of another set, wherever it stands."""
    about = json.loads((folder / "evidence.json").read_text())
    old = about["others"]["elsewhere"]["data"]
    evidence(folder, lambda a: a["others"]["elsewhere"].update(data="0" * 16))
    write_records(folder, json.loads(json.dumps(records(folder)).replace(old, "0" * 16)))


ONLY_STORED: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "attribute": (_attribute_of_nothing, ("images", "third:test", "attribute.tone", "the store has")),
    "digest of pixels": (_all_of_it, ("images", "others.elsewhere.data")),
    "answers": (_answer, ("predictions", "third:test", "logits")),
    "warnings": (_others("warnings", ["nothing"]), ("images", "others.elsewhere", "what the store says")),
}


@pytest.mark.parametrize("name", cases(ONLY_STORED, 2))
def test_the_store_tells_the_rest(folder: Path, catalog: Catalog, name: str) -> None:
    harm, words = ONLY_STORED[name]
    harm(folder)
    render(folder, catalog)
    report = check(folder, catalog, store=True)
    assert named(report, *words), report.findings


def test_a_folder_without_other_sets_says_nothing_of_them(folder: Path) -> None:
    """As older versions wrote it."""
    text(folder, "evidence.json", '"others"', '"unknown"')
    found = Evidence(folder)
    assert found.others == {} and [its.name for its in found.sets] == [""]
