"""Each cell of the matrix says what speaks against it, and only that."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

SUITE_TESTS = Path(__file__).parents[1] / "suite"
sys.path.insert(0, str(SUITE_TESTS))
from planning import TASKS, PlanCatalog  # noqa: E402

from dermae_bench.plugin.catalog import Card  # noqa: E402
from dermae_bench.plugin.params import schema_of  # noqa: E402
from dermae_bench.report.contamination import HEADER, LINTED, Contamination, contamination  # noqa: E402
from dermae_bench.store.contents import Contents  # noqa: E402
from dermae_bench.suite.generator_rows import GeneratorRows  # noqa: E402
from dermae_bench.suite.leakage import is_leakage, leakage_stages  # noqa: E402
from dermae_bench.suite.load import load_suite  # noqa: E402
from dermae_bench.suite.parts import RowPlan  # noqa: E402
from dermae_bench.suite.plan import Planner  # noqa: E402
from dermae_bench.suite.rows import RowPlanner  # noqa: E402

FLAGS: Mapping[str, Mapping[str, Any]] = {
    "phantom": {"contained_in": ["HAM10000", "ISIC 2019"]},
    "tf-efficientnet-lite0": {"corpora": ["ImageNet-1k"]},
    "ham10000": {"contained_in": ["ISIC Archive", "ISIC 2019"], "test_contained_in": {"root": ["BCN20000"]}},
}


@dataclass(frozen=True, kw_only=True)
class Given:
    """Params of what was made elsewhere."""

    corpora: tuple[str, ...] | None = None


GIVEN = {"given-images": "generator", "given-answers": "classifier"}


class Cards(PlanCatalog):
    """The fake cards, with what weights were trained on and what contains the data; and models that are not fitted."""

    def names(self, kind: str | None = None) -> list[str]:
        return [*super().names(kind), *(name for name, its in GIVEN.items() if kind in (None, its))]

    def card(self, kind: str, name: str) -> Card:
        if name in GIVEN:
            flags = {"fits": False, "teaching": "none", "conditional": False, "joint": False}
            return Card(name, GIVEN[name], digest=name, params=schema_of(Given), sampling=None, flags=flags, columns=())
        card = super().card(kind, name)
        return replace(card, flags={**card.flags, **FLAGS.get(name, {})})


def suite(**changes: Any) -> dict[str, Any]:
    about = yaml.safe_load((SUITE_TESTS / "good_small.yaml").read_text())
    about["pretrained"] = {"mae": {"plugin": "mae", "budget": "short", "params": {"arch": "vit"}}}
    about["classifiers"]["vit"] = {**copy.deepcopy(about["classifiers"]["cnn"]), "init": "mae"}
    about["rows"].append({"classifiers": "vit", "train": "train"})
    return {**about, **changes}


def matrix(
    folder: Path,
    about: dict[str, Any],
    found: Mapping[str, Mapping[str, int]] | None,
    prepared: Mapping[str, Any] = {},
    names: Mapping[str, int] = {},
) -> tuple[Contamination, list[RowPlan]]:
    """`found`: name of a lint (or its beginning) -> copies by place; None where no lint is finished. `names`: images of
    one name by place.
    """
    path = folder / "suite.yaml"
    # without anchors, where a part stands twice
    path.write_text(yaml.safe_dump(json.loads(json.dumps(about)), sort_keys=False))
    cards = Cards()
    loaded = load_suite(path, catalog=cards, tasks_of=lambda plugin, params: TASKS)
    others = dict.fromkeys(about.get("evaluate_on", {}), TASKS)
    planner = Planner(loaded.suite, cards, Contents(folder / "memo.json"), TASKS, None, others)
    planned = RowPlanner(planner, loaded.resolved)
    rows = planned.rows()
    leakage_stages(GeneratorRows(planned))

    def summary(stage: Any) -> Mapping[str, Any] | None:
        assert is_leakage(stage)
        if found is None:
            return None
        name = stage.name.removeprefix("score/leakage/")
        images = next((its for beginning, its in found.items() if name.startswith(beginning)), {})
        more = {"names": names} if names and name.startswith("other/") else {}
        return {"images": {**({"copies": images} if images else {}), **more}}

    return contamination(loaded.resolved, cards, planner.stages, summary, prepared), rows


def cells(found: Contamination) -> dict[tuple[str, str, str], tuple[tuple[str, ...], tuple[str, ...]]]:
    return {(line.kind, line.name, line.train): (line.cells["val"], line.cells["test"]) for line in found.table}


def test_everything_that_learns_is_a_line_and_clean_is_said(tmp_path: Path) -> None:
    found, rows = matrix(tmp_path, suite(), {})
    assert list(cells(found)) == [
        ("generator", "ddpm", "train"),
        ("generator", "guided", "train"),
        ("pretrained", "mae", "train"),
        ("classifier", "cnn", "train"),
        ("classifier", "cnn", "more"),
        ("classifier", "vit", "train"),
        ("extractor", "lite0", ""),
    ]
    assert set(cells(found).values()) == {(("clean",), ("clean",))}
    assert not any(found.marks_of(row) for row in rows)
    table = found.rows()
    assert table[0] == list(HEADER)
    assert {len(line) for line in table} == {len(HEADER)}
    assert table[5][:6] == ["classifier", "cnn", "more", "train", "guided", ""]
    assert table[-1][5] == "tf-efficientnet-lite0 (ImageNet-1k)"


def test_what_is_not_linted_is_not_called_clean(tmp_path: Path) -> None:
    found, rows = matrix(tmp_path, suite(), None)
    told = cells(found)
    assert told["classifier", "cnn", "more"] == (("not checked",), ("not checked",))
    assert told["extractor", "lite0", ""] == (("clean",), ("clean",))
    assert not any(found.marks_of(row) for row in rows)


def test_copies_in_the_training_data_mark_whoever_learnt_from_them(tmp_path: Path) -> None:
    found, rows = matrix(tmp_path, suite(), {"real": {"train>test": 3, "val>test": 9}})
    told = cells(found)
    text = "near-duplicates: 3 images in the real training data"
    for key in told:
        assert told[key] == ((("clean",), ("clean",)) if key[0] == "extractor" else (("clean",), (text,)))
    for row in rows:
        assert found.marks_of(row) == ((f"test: {text}",) if row.kind == "measured" else ())


def test_copies_among_samples_mark_the_generator_and_whoever_learnt_from_them(tmp_path: Path) -> None:
    places = {"guided": {"samples>val": 2, "samples>test": 5, "test>samples": 70}}
    told = cells(matrix(tmp_path, suite(), places)[0])
    text = "near-duplicates: {} images in samples of guided"
    stained = ((text.format(2),), (text.format(5),))
    assert told["generator", "guided", "train"] == told["classifier", "cnn", "more"] == stained
    assert told["generator", "ddpm", "train"] == told["classifier", "cnn", "train"] == (("clean",), ("clean",))


def test_a_leaky_split_and_val_as_training_data_are_overlaps(tmp_path: Path) -> None:
    prepared = {"leaky": "by image", "split": {"seen_images": {"val": 0, "test": 12}}}
    about = suite(rows=[{"classifiers": "cnn", "train": ["train", "val"]}])
    found, rows = matrix(tmp_path, about, {"real": {"val>test": 1}}, prepared)
    val, test = cells(found)["classifier", "cnn", "train + val"]
    assert val == ("overlap: fitted on val",)
    assert test[0] == "overlap: the split is leaky, 12 images belong to groups in train (by image)"
    assert test[1] == "near-duplicates: 1 images in the real training data"
    marks = next(found.marks_of(row) for row in rows if row.names.get("classifier") == "cnn")
    assert marks == ("val: overlap: fitted on val", "test: near-duplicates: 1 images in the real training data")


@pytest.mark.parametrize(
    ("corpora", "text"),
    [
        (["isic-2019", "ImageNet-1k"], "declared: ISIC 2019 contains phantom (net)"),
        (["ImageNet-1k"], "clean"),
        ([], "clean"),
        (None, "not declared: net"),
    ],
)
def test_external_weights_bring_their_collections_along(tmp_path: Path, corpora: Any, text: str) -> None:
    (tmp_path / "net.safetensors").write_bytes(b"weights")
    about = suite(weights={"net": {"path": str(tmp_path / "net.safetensors"), "corpora": corpora}})
    about["generators"]["guided"]["params"] = {"weights": "net"}
    told = cells(matrix(tmp_path, about, {})[0])
    # the classifier that learns from its samples has them behind it, too
    for key in (("generator", "guided", "train"), ("classifier", "cnn", "more")):
        assert told[key] == ((text,), (text,))
    assert told["generator", "ddpm", "train"] == (("clean",), ("clean",))


# -- other data sets ---------------------------------------------------------------------------------------------------


def others(**changes: Any) -> dict[str, Any]:
    """The suite, scored on a set that shares a collection with its own and on one that does not."""
    archive: dict[str, Any] = {"plugin": "ham10000", "params": {}}
    (official := Path(changes.pop("official"))).mkdir(exist_ok=True)
    apart = {"plugin": "ham10000", "params": {"root": str(official)}}
    return suite(**changes, evaluate_on={"archive": archive, "apart": apart})


def of_others(found: Contamination) -> dict[tuple[str, str, str], tuple[tuple[str, ...], tuple[str, ...]]]:
    return {(line.kind, line.name, line.train): (line.cells["archive"], line.cells["apart"]) for line in found.table}


SHARED = "declared: ISIC 2019 contains both phantom (train) and ham10000"


def test_a_set_of_the_same_collection_is_marked_in_its_own_rows_alone(tmp_path: Path) -> None:
    found, rows = matrix(tmp_path, others(official=tmp_path / "x"), {})
    told = of_others(found)
    for key, (archive, apart) in told.items():
        assert archive == (("clean",) if key[0] == "extractor" else (SHARED,)), key
        assert apart == ("clean",)
    assert set(cells(found).values()) == {(("clean",), ("clean",))}
    tests = {row.names.get("test") for row in rows if row.board == "classifiers"}
    assert tests == {None, "archive", "apart"}
    for row in rows:
        on_it = row.names.get("test") == "archive" and row.kind == "measured"
        assert found.marks_of(row) == ((f"archive: {SHARED}",) if on_it else ())
    head, *lines = found.rows()
    assert head == [*HEADER, "archive", "apart"]
    assert {len(line) for line in lines} == {len(head)}
    assert lines[0][-2:] == [SHARED, "clean"]


def test_copies_and_names_that_both_sets_have(tmp_path: Path) -> None:
    places = {"other/apart": {"train>apart": 4, "val>apart": 2}, "real": {"train>test": 7}}
    about = others(official=tmp_path / "x", rows=[{"classifiers": "cnn", "train": ["train", "val"]}])
    found, rows = matrix(tmp_path, about, places, names={"train>apart": 9})
    copies = "near-duplicates: {} images in the real training data"
    shared = "overlap: id or lesion of 9 images in the real training data"
    told = of_others(found)
    assert told["generator", "ddpm", "train"][1] == (copies.format(4), shared)
    both = told["classifier", "cnn", "train + val"]
    assert both[1] == (copies.format(6), shared)
    assert both[0][0] == "declared: ISIC 2019 contains both phantom (train + val) and ham10000"
    marks = {row.names.get("test"): found.marks_of(row) for row in rows if row.names.get("classifier") == "cnn"}
    assert marks["apart"] == tuple(f"apart: {text}" for text in both[1])
    assert not any("apart" in mark for mark in marks[None])
    assert all(text.startswith(LINTED) for text in both[1])


def test_what_was_not_compared_with_another_set_is_not_called_clean(tmp_path: Path) -> None:
    about = others(official=tmp_path / "x")
    about["generators"]["closed"] = {"plugin": "given-images", "params": {"corpora": []}}
    about["generator_rows"] += [{"samples": "closed", "count": 4}]
    told = of_others(matrix(tmp_path, about, None)[0])
    assert told["generator", "closed", "elsewhere"] == (("not checked",), ("not checked",))
    assert told["classifier", "cnn", "train"] == ((SHARED, "not checked"), ("not checked",))
    assert told["extractor", "lite0", ""] == (("clean",), ("clean",))


def test_outside_weights_are_held_against_every_set(tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").write_bytes(b"weights")
    weights = {"net": {"path": str(tmp_path / "net.safetensors"), "corpora": ["BCN20000", "HAM10000"]}}
    about = others(official=tmp_path / "x", weights=weights)
    about["generators"]["guided"]["params"] = {"weights": "net"}
    found, _ = matrix(tmp_path, about, {})
    for key in (("generator", "guided", "train"), ("classifier", "cnn", "more")):
        assert of_others(found)[key] == ((SHARED,), ("declared: BCN20000 contains ham10000 (net)",))
        assert cells(found)[key][1] == ("declared: HAM10000 contains phantom (net)",)


# -- what is not fitted, and what is fitted to look --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("corpora", "test", "archive"),
    [
        (
            ["ISIC 2019"],
            "declared: ISIC 2019 contains phantom (given-{})",
            "declared: ISIC 2019 contains ham10000 (given-{})",
        ),
        (None, "not declared: given-{}", "not declared: given-{}"),
        ([], "clean", "clean"),
    ],
)
def test_what_was_made_elsewhere_learnt_elsewhere(tmp_path: Path, corpora: Any, test: str, archive: str) -> None:
    about = others(official=tmp_path / "x")
    about["generators"]["closed"] = {"plugin": "given-images", "params": {"corpora": corpora}}
    about["classifiers"]["asked"] = {"plugin": "given-answers", "params": {"corpora": corpora}}
    about["image_sets"]["bought"] = ["train", {"samples": "closed", "count": 4}]
    about["pretrained"]["fed"] = {**about["pretrained"]["mae"], "images": "bought"}
    about["rows"] += [{"classifiers": "asked", "train": "train"}]
    about["generator_rows"] += [{"samples": "closed", "count": 4}]
    found, rows = matrix(tmp_path, about, {})
    told = of_others(found)
    for key, what in (
        (("generator", "closed", "elsewhere"), "images"),
        (("classifier", "asked", "elsewhere"), "answers"),
    ):
        line = next(line for line in found.table if (line.kind, line.name, line.train) == key)
        assert (line.real, line.samples) == ((), ())
        assert line.cells["test"] == (test.format(what),)
        assert told[key][0] == (archive.format(what),)
    # copies among such images are looked for in every set
    places = {"closed/": {"samples>test": 1, "samples>archive": 6}}
    copied = {line.name: line.cells for line in matrix(tmp_path, about, places)[0].table}
    for name in ("closed", "fed"):
        assert "near-duplicates: 6 images in samples of closed" in copied[name]["archive"]
        assert not any("near-duplicates" in text for text in copied[name]["apart"])
    # and whoever learns from such images has it behind itself
    fed = told["pretrained", "fed", "bought"]
    assert fed[0] == (SHARED, *(text.format("images") for text in (archive,) if text != "clean"))
    (row,) = [row for row in rows if row.names.get("classifier") == "asked" and row.names["task"] == "diagnosis"]
    marked = [f"{where}: {test.format('answers')}" for where in ("val", "test")]
    assert found.marks_of(row) == (tuple(marked) if corpora != [] else ())


def test_an_extractor_that_was_tuned_says_what_it_learnt_from(tmp_path: Path) -> None:
    about = others(official=tmp_path / "x")
    about["extractors"]["tuned"] = {"from": {"classifier": "vit", "train": "train"}}
    found, _ = matrix(tmp_path, about, {"real": {"train>test": 3}, "other/apart": {"train>apart": 2}})
    (line,) = [line for line in found.table if line.name == "tuned"]
    assert (line.kind, line.train, line.real, line.samples) == ("extractor", "train", ("train",), ())
    assert line.cells["test"] == ("near-duplicates: 3 images in the real training data",)
    assert line.cells["apart"] == ("near-duplicates: 2 images in the real training data",)
    assert line.cells["archive"] == (SHARED,)
