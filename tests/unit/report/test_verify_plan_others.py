"""Rows on other data sets, how rows were made, and the sets themselves, held to the plan of the folder's own suite."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from planned_folder import Folder

from dermae_bench.report.verify.findings import Report

OWN, ELSEWHERE = "thumbs | train | malignancy", "thumbs | train | malignancy | elsewhere"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("planned"))


def named(report: Report, *words: str) -> bool:
    texts = [json.dumps([f.place, f.message, f.stored, f.expected]) for f in report.findings]
    return any(all(word in text for word in words) for text in texts)


def row(about: Any, name: str) -> Any:
    return next(row for row in about["boards"]["rows"] if row["row"] == name)


def exchange(about: Any) -> None:
    """A row shows on another set what it reached on the suite's own."""
    for score in about["scores"]:
        for shown in score["rows"]:
            shown["row"] = {OWN: ELSEWHERE, ELSEWHERE: OWN}.get(shown["row"], shown["row"])


def another_set(about: Any) -> None:
    """The suite's own data are said to be the other set."""
    about["others"]["elsewhere"]["key"] = about["prepared"]["key"]


def fewer_answers(about: Any) -> None:
    """The set is said to answer one task of two, so that half of the rows may go."""
    about["others"]["elsewhere"]["tasks"] = about["others"]["elsewhere"]["tasks"][:1]


FORGERIES: dict[str, tuple[Callable[[Any], Any], tuple[str, ...]]] = {
    "scores exchanged": (exchange, (ELSEWHERE, "stage prepare/elsewhere", "work.only")),
    "set": (another_set, ("the prepared data set elsewhere", "work.only")),
    "tasks": (fewer_answers, (ELSEWHERE, "no such row")),
    "unknown set": (lambda a: a["others"].update(ours=a["others"]["elsewhere"]), ("others.ours", "nothing on such")),
    "name": (lambda a: row(a, ELSEWHERE)["names"].pop("test"), (ELSEWHERE, "names")),
    "protocol": (lambda a: row(a, OWN).update(protocol="zero-shot"), (OWN, "protocol", "zero-shot", "trained")),
    "start": (lambda a: row(a, OWN).update(started_from="our pretraining"), (OWN, "started_from", "scratch")),
    "protocol taken out": (lambda a: row(a, OWN).pop("protocol"), (OWN, "protocol", "absent")),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_other_sets_and_protocols_cannot_be_forged(folder: Folder, name: str) -> None:
    change, words = FORGERIES[name]
    about = folder.about()
    change(about)
    report = folder.check(about)
    assert named(report, *words), report.findings


def test_an_older_folder_says_neither_protocol_nor_start(folder: Folder) -> None:
    about = folder.about()
    for shown in about["boards"]["rows"]:
        del shown["protocol"], shown["started_from"]
    assert folder.check(about).findings == []


def without_elsewhere(about: Any, folder: Folder) -> list[str]:
    """The set was never prepared, and nothing is known of it but the rows that wait; returns what is not there."""
    gone = [key for key, stage in folder.stages.items() if "elsewhere" in stage.name]
    del about["others"]["elsewhere"]
    for key in gone:
        del about["provenance"]["stages"][key]
    about["scores"] = [score for score in about["scores"] if score["key"] not in gone]
    for shown in about["boards"]["rows"]:
        if shown["names"].get("test") == "elsewhere":
            shown["status"] = "pending"
    for line in about["boards"]["contamination"][1:]:
        if line[3]:
            line[-1] = "not checked" if line[-1] == "clean" else f"{line[-1]}; not checked"
    return gone


@pytest.mark.parametrize("store", [False, True])
def test_rows_wait_for_a_set_that_nobody_has_prepared(folder: Folder, store: bool) -> None:
    about = folder.about()
    gone = without_elsewhere(about, folder)
    assert gone
    assert folder.check(about, store=store, gone=gone).findings == []
    about["boards"]["rows"] = [shown for shown in about["boards"]["rows"] if "test" not in shown["names"]]
    assert named(folder.check(about, store=store, gone=gone), ELSEWHERE, "it is missing")
