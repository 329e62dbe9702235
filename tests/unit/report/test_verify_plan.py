"""What belongs to whom: rows, kinds, seeds, models, marks, held to the plan of the folder's own suite."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planned_folder import Folder, with_new_keys

from dermae_bench.plugin.catalog import Catalog
from dermae_bench.report.verify.findings import Report
from dermae_bench.suite.leakage import is_leakage

ONE, OTHER = "thumbs | train | diagnosis", "larger | train | diagnosis"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("planned"))


def named(report: Report, *words: str) -> bool:
    texts = [json.dumps([f.place, f.message, f.stored, f.expected]) for f in report.findings]
    return any(all(word in text for word in words) for text in texts)


def row(about: Any, name: str = ONE) -> Any:
    return next(row for row in about["boards"]["rows"] if row["row"] == name)


def stage(about: Any, kind: str, name: str) -> Any:
    return next(s for s in about["provenance"]["stages"].values() if s["kind"] == kind and name in s["name"])


def swap(about: Any, *, names: bool = False) -> None:
    """Two rows show each other's numbers; with `names`, the stages are called accordingly."""
    for score in about["scores"]:
        for shown in score["rows"]:
            shown["row"] = {ONE: OTHER, OTHER: ONE}.get(shown["row"], shown["row"])
    if names:
        for item in [*about["scores"], *about["provenance"]["stages"].values()]:
            item["name"] = item["name"].replace("larger", "@").replace("thumbs", "larger").replace("@", "thumbs")


def drop_seed(about: Any) -> None:
    gone = row(about)["seeds"].pop(1)
    for score in about["scores"]:
        score["rows"] = [shown for shown in score["rows"] if (shown["row"], shown["seeds"]) != (ONE, gone)]
    dead = {score["key"] for score in about["scores"] if not score["rows"]}
    about["scores"] = [score for score in about["scores"] if score["rows"]]
    for key in dead:
        del about["provenance"]["stages"][key]


def swap_seeds(about: Any) -> None:
    """The second seed is shown twice."""
    good, bad = (
        next(s for s in about["scores"] for shown in s["rows"] if shown["row"] == ONE and shown["seeds"] == seeds)
        for seeds in row(about)["seeds"]
    )
    good["rows"] += bad["rows"]
    bad["rows"] = []


def contaminated(about: Any) -> None:
    """Nothing was found, says the matrix, and no row says otherwise."""
    for line in about["boards"]["contamination"]:
        for column in (-2, -1):
            kept = [text for text in line[column].split("; ") if not text.startswith("near-duplicates")]
            line[column] = "; ".join(kept) or "clean"
    for shown in about["boards"]["rows"]:
        shown["marks"] = [mark for mark in shown["marks"] if "near-duplicates" not in mark]


def board(name: str, value: Any) -> Callable[[Any], Any]:
    return lambda about: about["boards"].update({name: value})


FORGERIES: dict[str, tuple[Callable[[Any], Any], tuple[str, ...]]] = {
    "rows exchanged": (swap, (ONE, "work.model.params.arch", "large", "small")),
    "rows exchanged, stages renamed": (lambda a: swap(a, names=True), (ONE, "work.model.params.arch", "large")),
    "kind": (lambda a: row(a).update(kind="floor"), (ONE, "kind", "measured")),
    "name": (lambda a: row(a)["names"].update(classifier="ours"), (ONE, "names", "ours")),
    "seed dropped": (drop_seed, (ONE, "seeds")),
    "one seed twice": (swap_seeds, (ONE, "seed=1", "work.seed")),
    "status": (lambda a: row(a).update(status="pending"), (ONE, "status", "pending")),
    "row removed": (lambda a: a["boards"]["rows"].remove(row(a)), (ONE, "it is missing")),
    "row added": (lambda a: a["boards"]["rows"].append({**row(a), "row": "ours"}), ("ours", "no such row")),
    "order": (lambda a: a["boards"]["rows"].reverse(), ("not in the order",)),
    "suite": (board("suite", "other"), ("boards.suite", "other", "tiny")),
    "description": (board("description", "no leak"), ("boards.description", "no leak")),
    "data set": (board("dataset", "HAM10000"), ("boards.dataset", "phantom")),
    "interval": (board("interval", "exact"), ("boards.interval", "exact")),
    "image size": (board("image_size", 224), ("boards.image_size", "224", "16")),
    "another fact": (lambda a: a["boards"]["facts"].update(foo="bar"), ("boards.facts", "foo")),
    "published numbers": (lambda a: a["provenance"].update(reference={}), ("reference",)),
    "stage name": (lambda a: stage(a, "train", "larger").update(name="train/ours"), ("name of another", "ours")),
    "another stage": (lambda a: a["provenance"]["stages"].update({"0" * 32: stage(a, "cost", "thumbs")}),
                      ("stage cost/", "no such stage")),
    "mark": (lambda a: row(a, "thumbs | train | malignancy").update(marks=["checked"]), ("marks", "checked")),
    "matrix: training set": (lambda a: a["boards"]["contamination"][1].__setitem__(2, "nothing"), ("contamination",)),
    "matrix: declared": (lambda a: a["boards"]["contamination"][1].__setitem__(-1, "clean"),
                         ("contamination", "not declared")),
    "matrix: line removed": (lambda a: a["boards"]["contamination"].pop(), ("contamination", "lines")),
    "costs of another": (lambda a: a["provenance"]["costs"][0].update(key=a["provenance"]["costs"][-1]["key"]),
                         ("costs of", "work.model")),
    "another data set": (lambda a: a["prepared"].update(key=a["scores"][0]["key"]), ("prepared data set", "kind")),
    "folder in the parts": (lambda a: stage(a, "train", "larger")["parts"]["work"].update(seed="/a/b/c"),
                            ("name a folder of a machine",)),
}  # fmt: skip


@pytest.mark.parametrize("store", [False, True])
def test_an_honest_folder_is_as_planned(folder: Folder, store: bool) -> None:
    report = folder.check(folder.about(), store=store)
    assert report.findings == [] and report.exit_code == 0
    assert report.checked["plan"] > 60 and report.checked["contamination and marks"] > 10
    assert bool(report.unchecked) != store


@pytest.mark.parametrize("store", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("forgery", FORGERIES)
def test_who_owns_what_cannot_be_forged(folder: Folder, forgery: str, store: bool) -> None:
    do, words = FORGERIES[forgery]
    about = folder.about()
    do(about)
    report = folder.check(about, store=store)
    assert report.exit_code == 1 and named(report, *words), report.findings


KEYS: dict[str, tuple[Callable[[Any], Any], tuple[str, ...]]] = {
    "more steps": (lambda a: stage(a, "train", "classifier/thumbs")["parts"]["work"]["budget"].update(steps=10**6),
                   ("train/classifier/thumbs", "work.budget.steps", "1000000", "12")),
    "another plugin": (lambda a: stage(a, "train", "larger")["parts"]["plugins"].update(mine="0" * 16),
                       ("train/classifier/larger", "plugins", "mine")),
    "stated weights": (lambda a: stage(a, "train", "generator/plain")["parts"]["work"]["model"]["params"].update(
        weights={"sha256": "0" * 64}), ("generator/plain", "weights.sha256", "0000")),
    "fewer inputs": (lambda a: stage(a, "predict", "thumbs")["parts"]["inputs"].popitem(), ("inputs.",)),
    "true for 1": (lambda a: stage(a, "train", "seed=1")["parts"]["work"].update(seed=True), ("work.seed", "true")),
}  # fmt: skip


@pytest.mark.parametrize("forgery", KEYS)
def test_new_keys_do_not_hide_another_chain(folder: Folder, forgery: str) -> None:
    do, words = KEYS[forgery]
    about = folder.about()
    do(about)
    report = folder.check(with_new_keys(about))
    assert named(report, *words), report.findings


def test_what_lints_found_is_told_by_the_store_alone(folder: Folder) -> None:
    about = folder.about()
    assert any("near-duplicates" in mark for shown in about["boards"]["rows"] for mark in shown["marks"])
    contaminated(about)
    clone = folder.check(about)
    assert clone.exit_code == 0 and any("lints" in item.what and item.needs == "store" for item in clone.unchecked)
    assert named(folder.check(about, store=True), "contamination", "near-duplicates")


def test_a_lint_whose_entry_is_lost_says_nothing_against_the_folder(folder: Folder) -> None:
    lints = [key for key, stage in folder.stages.items() if is_leakage(stage)]
    report = folder.check(folder.about(), store=True, lost=lints)
    assert lints and report.findings == [] and report.exit_code == 4
    assert any("lints" in item.what and item.needs == "entry" for item in report.unchecked)


def test_a_mark_is_that_of_the_matrix_without_a_store(folder: Folder) -> None:
    about = folder.about()
    marked = next(shown for shown in about["boards"]["rows"] if any("near-dup" in mark for mark in shown["marks"]))
    marked["marks"] = []
    assert named(folder.check(about), marked["row"], "marks", "near-duplicates")


def test_files_that_the_suite_does_not_state_may_hold_anything(folder: Folder) -> None:
    about = folder.about()
    stage(about, "train", "generator/ddpm")["parts"]["work"]["model"]["params"]["weights"]["sha256"] = "1" * 64
    report = folder.check(with_new_keys(about))
    assert not any("weights" in finding.message for finding in report.findings)


def of_another_version(folder: Folder) -> Any:
    """All stages that ask models were planned with one field more, and by other sources."""
    about = folder.about()
    for item in about["provenance"]["stages"].values():
        if item["kind"] == "predict":
            item["parts"]["work"]["halves"] = 2
    about["provenance"]["harness"]["predict"] = {"execute/stages/predict.py": "0" * 16}
    about = with_new_keys(about)
    for score in about["scores"]:
        known = about["provenance"]["stages"][score["key"]]["parts"]
        score["work"] = known["work"]
    return about


def test_another_version_leaves_the_difference_unchecked(folder: Folder) -> None:
    report = folder.check(of_another_version(folder))
    assert not named(report, "halves") and report.exit_code == 4, report.findings
    assert any(item.needs == "version" and "work.halves" in item.what for item in report.unchecked)


def test_rows_of_another_version_cannot_be_exchanged(folder: Folder) -> None:
    about = of_another_version(folder)
    about["provenance"]["harness"]["train"] = {"execute/stages/train.py": "0" * 16}
    about = with_new_keys(about)
    swap(about, names=True)
    report = folder.check(about)
    assert named(report, ONE, "rather", OTHER), report.findings
    assert not named(report, "thumbs | train | malignancy", "rather")


def test_a_plugin_that_is_not_here_leaves_the_rows_unchecked(folder: Folder) -> None:
    none = Catalog()
    none.references = {}
    report = folder.check(folder.about(), catalog=none)
    assert report.findings == [] and report.exit_code == 4
    assert any(item.needs == "plugin" and "cannot be planned here" in item.what for item in report.unchecked)


@pytest.mark.parametrize("text", ["", "version: 1", "[", "suite: 3"])
def test_no_suite_is_a_difference(folder: Folder, text: str) -> None:
    path = folder.place / "suite.resolved.yaml"
    whole = path.read_text()
    try:
        path.write_text(text)
        assert folder.check(folder.about()).counts == {"plan": 1}
        path.unlink()
        assert folder.check(folder.about()).counts == {"plan": 1}
    finally:
        path.write_text(whole)


def test_a_strangers_file_is_not_imported(folder: Folder, tmp_path: Path) -> None:
    """A suite may name a plugin by its file; where a stranger wrote it, only the plugins folder counts."""
    path = folder.place / "suite.resolved.yaml"
    whole, harm = path.read_text(), tmp_path / "harm.py"
    harm.write_text(f"open({str(tmp_path / 'done')!r}, 'w')\n")
    try:
        path.write_text(whole.replace("plugin: timm", f"plugin: '{harm}:Harm'"))
        report = folder.check(folder.about())
    finally:
        path.write_text(whole)
    assert not (tmp_path / "done").exists() and report.exit_code == 4
