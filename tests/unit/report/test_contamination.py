"""Each cell of the matrix says what speaks against it, and only that."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

SUITE_TESTS = Path(__file__).parents[1] / "suite"
sys.path.insert(0, str(SUITE_TESTS))
from planning import TASKS, PlanCatalog  # noqa: E402

from dermae_bench.plugin.catalog import Card  # noqa: E402
from dermae_bench.report.contamination import HEADER, Contamination, contamination  # noqa: E402
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
}


class Cards(PlanCatalog):
    """The fake cards, with what weights were trained on and what contains the data."""

    def card(self, kind: str, name: str) -> Card:
        card = super().card(kind, name)
        return replace(card, flags={**card.flags, **FLAGS.get(name, {})})


def suite(**changes: Any) -> dict[str, Any]:
    about = yaml.safe_load((SUITE_TESTS / "good_small.yaml").read_text())
    about["pretrained"] = {"mae": {"plugin": "mae", "budget": "short", "params": {"arch": "vit"}}}
    about["classifiers"]["vit"] = {**copy.deepcopy(about["classifiers"]["cnn"]), "init": "mae"}
    about["rows"].append({"classifiers": "vit", "train": "train"})
    return {**about, **changes}


def matrix(
    folder: Path, about: dict[str, Any], found: Mapping[str, Mapping[str, int]] | None, prepared: Mapping[str, Any] = {}
) -> tuple[Contamination, list[RowPlan]]:
    """`found`: name of a lint (or its beginning) -> images by place; None where no lint is finished."""
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(about, sort_keys=False))
    cards = Cards()
    loaded = load_suite(path, catalog=cards, tasks_of=lambda plugin, params: TASKS)
    planner = Planner(loaded.suite, cards, Contents(folder / "memo.json"), TASKS)
    planned = RowPlanner(planner, loaded.resolved)
    rows = planned.rows()
    leakage_stages(GeneratorRows(planned))

    def summary(stage: Any) -> Mapping[str, Any] | None:
        assert is_leakage(stage)
        if found is None:
            return None
        name = stage.name.removeprefix("score/leakage/")
        images = next((its for beginning, its in found.items() if name.startswith(beginning)), {})
        return {"images": {"copies": images} if images else {}}

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
