"""`verify` where entries of the store are missing or damaged: no number is accused, and the way out is told."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harmed_folder import FIXTURES, check, first, write_records
from test_verify_store import entry, manifest

from dermae_bench.plugin.catalog import Catalog
from dermae_bench.report.evidence import Evidence
from dermae_bench.report.verify.findings import Report
from dermae_bench.report.verify.mending import tell_mending
from dermae_bench.report.verify.provenance import Provenance
from dermae_bench.report.verify.render import terminal_report, verdict
from dermae_bench.report.verify.stored import Entries
from dermae_bench.store.artifacts import Store

unplanned, folder = FIXTURES
AGAIN = "`dermae-bench run SUITE` makes it again"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def advice(folder: Path, *stages: tuple[str, str], plan: Any = None) -> list[str]:
    """Notes on entries of the store, in the order in which those are looked at."""
    report = Report(folder="")
    entries = Entries(Store(folder.parent / "store"), report)
    provenance = Provenance(Evidence(folder).about["provenance"])
    for key, stage in provenance.stages.items():
        entries.whole(stage["kind"], key)
    tell_mending(entries, plan, provenance, report)
    return [note.partition(" is damaged")[2] for kind, name in stages for note in report.notes if name in note]


def test_damage_of_many_kinds_accuses_no_number(folder: Path, catalog: Catalog) -> None:
    flip(entry(folder, "predict", "predict/thumbs/seed=0/test") / "predictions.parquet")
    (entry(folder, "extract", "extract/pixels") / "manifest.json").write_text("{")
    (entry(folder, "prepare", "prepare") / "table.parquet").unlink()
    shutil.rmtree(entry(folder, "cost", "cost/thumbs"))
    report = check(folder, catalog, store=True)
    told = terminal_report(report)
    assert report.exit_code == 1 and report.counts == {"store": 3}, told
    outcome = "3 differences, all in the store behind it: no number that was checked differs, but"
    assert outcome in verdict(report) and verdict(report).endswith("numbers are not checked")
    assert "--results" not in told and "entries of the store that are missing or damaged" in told


@pytest.mark.parametrize("lost", [("cost", "cost/thumbs"), ("extract", "extract/pixels")])
def test_an_entry_that_is_missing_leaves_its_numbers_unchecked(
    lost: tuple[str, str], folder: Path, catalog: Catalog
) -> None:
    shutil.rmtree(entry(folder, *lost))
    report = check(folder, catalog, store=True)
    assert report.exit_code == 4 and report.findings == [], terminal_report(report)
    assert {item.needs for item in report.unchecked} == {"entry"}


def test_a_forged_number_behind_a_damaged_entry_is_still_a_difference(folder: Path, catalog: Catalog) -> None:
    """What is known of the records without the samples is held against them."""
    (entry(folder, "extract", "extract/pixels") / "manifest.json").write_text("{")
    found, forged = first(folder, "kid[hand]", "pixels | train | 12")
    forged["unit"] = "%"
    write_records(folder, found)
    report = check(folder, catalog, store=True)
    assert report.counts["records"] and verdict(report).endswith("its numbers are not what its evidence gives")


def test_a_clone_still_needs_the_whole_store(folder: Path, catalog: Catalog) -> None:
    told = terminal_report(check(folder, catalog, silent=False))
    assert "need the store, which is not here: give its place by --results" in told


def test_a_plain_run_meets_what_shows_at_a_glance_or_what_it_has_to_read(folder: Path) -> None:
    predict = entry(folder, "predict", "predict/thumbs/seed=0/test")
    score = entry(folder, "score", "score/thumbs/seed=0/diagnosis")
    flip(predict / "predictions.parquet")
    at = ("predict", predict.name)
    command = "`dermae-bench run SUITE --force predict/thumbs/seed=0/test`"
    assert advice(folder, at) == [f", and no stage that is left to do reads it; {command} makes it again"]
    files = sorted(path for path in score.iterdir() if path.name != "manifest.json")
    flip(files[0])
    assert "--force" in advice(folder, at)[0]
    files[0].write_bytes(files[0].read_bytes()[:-1])
    assert advice(folder, at, ("score", score.name)) == [f"; {AGAIN}"] * 2
    shutil.rmtree(score)
    assert advice(folder, at) == [f"; {AGAIN}"]


def test_a_plain_run_goes_down_to_the_first_damaged_entry(folder: Path) -> None:
    sample, extract = entry(folder, "sample", "sample/pixels"), entry(folder, "extract", "extract/pixels")
    flip(sample / "images-00000.npy")
    flip(extract / "features.npy")
    both = (("sample", sample.name), ("extract", extract.name))
    assert all("--force" in note for note in advice(folder, *both))
    shutil.rmtree(entry(folder, "score", "score/hand/pixels"))
    assert advice(folder, *both) == [f"; {AGAIN}"] * 2


def test_a_stage_that_never_finished_reads_by_the_plan_alone(folder: Path) -> None:
    predict = entry(folder, "predict", "predict/thumbs/seed=0/test")
    flip(predict / "predictions.parquet")
    source = SimpleNamespace(name="predict/thumbs/seed=0/test", key="0" * 32)
    waits = SimpleNamespace(kind="score", name="score/new", key="1" * 32, inputs={"predictions": source})
    plan = SimpleNamespace(stages=[waits])
    assert advice(folder, ("predict", predict.name), plan=plan) == [f"; {AGAIN}"]
    waits.name = "score/thumbs/seed=0/diagnosis"
    assert "--force" in advice(folder, ("predict", predict.name), plan=plan)[0]


def test_a_name_is_told_so_that_a_shell_and_a_pattern_take_it_as_it_is(folder: Path) -> None:
    predict = entry(folder, "predict", "predict/thumbs/seed=0/test")
    manifest(predict, lambda about: about.update(name="x[1]; rm 'all'"))
    flip(predict / "predictions.parquet")
    assert """--force 'x[[]1]; rm '"'"'all'"'"''`""" in advice(folder, ("predict", predict.name))[0]


def test_the_verdict_on_damage_alone() -> None:
    report = Report(folder="results/x")
    report.differs("store", "train/ab/weights.safetensors", "its bytes are not those of its manifest")
    told = "results/x: 1 difference, all in the store behind it: "
    assert verdict(report) == f"{told}its numbers are what its evidence gives"
    report.skip("costs of a row", "entry")
    assert verdict(report) == f"{told}no number that was checked differs, but 1 number is not checked"
    report.differs("records", "records.jsonl", "value", 1.0, 2.0)
    assert verdict(report) == "results/x: 2 differences: its numbers are not what its evidence gives"
