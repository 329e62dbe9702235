"""`verify` names what was changed in the evidence, and in the answers and images beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harmed_folder import FIXTURES, ROW, cases, check, evidence, named, records, render, row_of, table, write_records

from dermae_bench.plugin.catalog import Catalog
from dermae_bench.report.verify.digests import write_digests
from dermae_bench.report.verify.render import terminal_report

unplanned, folder = FIXTURES


def _drop_seed(about: dict[str, Any]) -> None:
    """A bad seed is taken out of row, scores and records."""
    row_of(about)["seeds"] = row_of(about)["seeds"][1:]
    row_of(about)["confusions"] = row_of(about)["confusions"][1:]
    about["scores"] = [score for score in about["scores"] if score["name"] != "score/thumbs/seed=0/diagnosis"]


def _score(about: dict[str, Any], name: str = "score/thumbs/seed=0/diagnosis") -> dict[str, Any]:
    return next(score for score in about["scores"] if score["name"] == name)


EVIDENCE: dict[str, tuple[Callable[[dict[str, Any]], Any], str, tuple[str, ...]]] = {
    "name of a row": (lambda a: row_of(a)["names"].update(classifier="ours"), "records", ("names", "ours")),
    "kind of a row": (lambda a: row_of(a).update(kind="floor"), "records", ("kind",)),
    "mark of a row": (lambda a: row_of(a).update(marks=["leaky: no"]), "boards", ("marks",)),
    "seed dropped": (_drop_seed, "records", ("no score gives",)),
    "seed of a row only": (lambda a: row_of(a)["seeds"].pop(), "rows", ("scores of seeds", ROW)),
    "score without a row": (lambda a: a["boards"]["rows"].remove(row_of(a)), "rows", ("row that the board does not",)),
    "a score taken out": (lambda a: a["scores"].remove(_score(a)), "keys", ("it was taken out",)),
    "answers called generated": (lambda a: next(p for p in a["predictions"].values() if p["split"] == "test").update(
        split="generated"), "predictions", ("split is not that of its stage",)),
    "bins of a metric": (lambda a: _score(a)["work"]["metrics"][1]["params"].update(bins=2), "keys", ("work",)),
    "resamples": (lambda a: _score(a)["work"].update(resamples=10**12), "scores", ("resamples",)),
    "another set of answers": (lambda a: _score(a)["inputs"]["predictions"].update(
        key=_score(a, "score/larger/seed=0/diagnosis")["inputs"]["predictions"]["key"]), "keys", ("inputs",)),
    "parts of a stage": (lambda a: next(s for s in a["provenance"]["stages"].values() if s["kind"] == "sample")[
        "parts"]["work"].update(count=999), "keys", ("its parts give another key",)),
    "folder in the parts": (lambda a: next(s for s in a["provenance"]["stages"].values() if s["kind"] == "sample")[
        "parts"]["work"].update(count="/elsewhere/work/count"), "keys", ("name a folder",)),
    "stage removed": (lambda a: a["provenance"]["stages"].pop(_score(a)["key"]), "keys", ("no stage",)),
    "interval": (lambda a: a["intervals"][0].update(low=0.0), "intervals", ("low",)),
    "interval removed": (lambda a: a["intervals"].pop(), "intervals", ("missing",)),
    "confusion": (lambda a: row_of(a)["confusions"][0]["confusion"][0].__setitem__(0, 99), "confusion matrices",
                  ("99",)),
    "costs": (lambda a: row_of(a)["costs"].update(gmacs=0.001), "boards", ("gmacs", "0.001")),
    "split digest": (lambda a: a["prepared"].update(split_digest="0" * 64), "records", ("identity.split_digest",)),
    "images": (lambda a: a["boards"]["facts"].update(images="10015"), "facts", ("10015",)),
    "class counts": (lambda a: a["prepared"]["counts"]["test"].update(nv=1000), "images", ("test: nv", "1000")),
    "published number": (lambda a: a["boards"]["reported"][0].update(value=0.1), "published numbers", ("0.1",)),
    "published table": (lambda a: a["provenance"]["reference"].update(sha256="0" * 64), "published numbers",
                        ("not the table",)),
    "path to a table": (lambda a: a["provenance"]["reference"].update(file="../../../etc/passwd"), "published numbers",
                        ("names no file",)),
    "path as a key": (lambda a: a["predictions"].update({"../../../secret": next(iter(a["predictions"].values()))}),
                      "predictions", ("the answers are missing",)),
    "file as a metric": (lambda a: _score(a)["work"]["metrics"][0].update(metric="../evil.py:Evil"), "keys", ("evil",)),
    "no scores": (lambda a: a.update(scores={}), "evidence", ("scores",)),
    "scores of another shape": (lambda a: a.update(scores=[{"key": 1}]), "evidence", ("evidence.json",)),
    "rows of another shape": (lambda a: a["boards"].update(rows=[1, 2]), "evidence", ("evidence.json",)),
    "version": (lambda a: a.update(version=99), "evidence", ("99",)),
    "provenance of another shape": (lambda a: a["provenance"].pop("stages"), "evidence", ("stages",)),
}  # fmt: skip


@pytest.mark.parametrize("harm", cases(EVIDENCE, 5))
def test_harm_to_the_evidence_is_named_in_a_clone(harm: str, folder: Path, catalog: Catalog) -> None:
    change, topic, words = EVIDENCE[harm]
    evidence(folder, change)
    write_digests(folder)
    report = check(folder, catalog)
    assert report.exit_code == 1 and named(report, topic, *words), terminal_report(report)


def test_a_seed_taken_out_of_everything_leaves_its_answers(folder: Path, catalog: Catalog) -> None:
    def change(about: dict[str, Any]) -> None:
        gone = {score["key"] for score in about["scores"] if score["name"].startswith("score/thumbs/seed=0/")}
        about["scores"] = [score for score in about["scores"] if score["key"] not in gone]
        for row in about["boards"]["rows"]:
            if row["row"].startswith("thumbs"):
                row["seeds"], row["confusions"] = row["seeds"][1:], row["confusions"][1:]

    evidence(folder, change)
    keys = {score["key"] for score in json.loads((folder / "evidence.json").read_text())["scores"]}
    write_records(folder, [item for item in records(folder) if item["key"] in {*keys, ""}])
    render(folder, catalog)
    assert named(check(folder, catalog), "predictions", "no score is of these answers", "thumbs/seed=0/test")


def _logit(values: list[Any]) -> None:
    values[-3] = [value + 0.5 for value in values[-3]]


TABLES: dict[str, tuple[str, str, Callable[[list[Any]], Any], str, tuple[str, ...]]] = {
    "a label": ("predictions.parquet", "label", lambda v: v.__setitem__(0, (v[0] + 1) % 3), "predictions", ("labels",)),
    "relabelled": ("predictions.parquet", "label", lambda v: v.__setitem__(slice(None), [(x + 1) % 3 for x in v]),
                   "predictions", ("labels of",)),
    "a lesion": ("predictions.parquet", "group", lambda v: v.__setitem__(1, "another"), "predictions", ("lesions",)),
    "an id": ("predictions.parquet", "id", lambda v: v.__setitem__(1, "another"), "predictions", ("1 missing",)),
    "whose answers": ("predictions.parquet", "predictions", lambda v: v.__setitem__(1, "0" * 32), "predictions",
                      ("does not know",)),
    "a logit": ("predictions.parquet", "logits", _logit, "records", ("brier",)),
    "not finite": ("predictions.parquet", "logits", lambda v: v.__setitem__(0, [float("nan")] * 3), "predictions",
                   ("not finite",)),
    "label of an image": ("images.parquet", "label", lambda v: v.__setitem__(0, (v[0] + 1) % 3), "images", ("val",)),
    "split of an image": ("images.parquet", "split", lambda v: v.__setitem__(-1, "val"), "images", ("test",)),
    "attribute of an image": ("images.parquet", "attribute.age", lambda v: v.__setitem__(slice(-20, None), [21.0] * 20),
                              "records", ("subgroup",)),
}  # fmt: skip


@pytest.mark.parametrize("harm", cases(TABLES, 4))
def test_harm_to_answers_and_images_is_named_in_a_clone(harm: str, folder: Path, catalog: Catalog) -> None:
    name, column, change, topic, words = TABLES[harm]
    table(folder, name, column, change)
    write_digests(folder)
    report = check(folder, catalog)
    assert report.exit_code == 1 and named(report, topic, *words), terminal_report(report)


def test_answers_of_another_run_are_found(folder: Path, catalog: Catalog) -> None:
    held = pq.read_table(folder / "predictions.parquet")
    rows = np.random.default_rng(0).permutation(held.num_rows)
    place = held.column_names.index("logits")
    swapped = held.set_column(place, "logits", held.column("logits").take(pa.array(rows)))
    pq.write_table(swapped, folder / "predictions.parquet")
    write_digests(folder)
    report = check(folder, catalog)
    assert named(report, "records", ROW, "brier", "value") and named(report, "confusion matrices", ROW)
