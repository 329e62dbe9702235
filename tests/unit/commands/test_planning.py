"""`plan`: state, reason and cost of every stage."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dermae_bench.commands import planning
from dermae_bench.commands.costing import Yardstick
from dermae_bench.commands.planning import FIELDS, describe, number, print_plan, size
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import MANIFEST, Failure, Manifest, describe_files
from dermae_bench.suite.stage import Stage, key_of

MODEL = {"plugin": "timm", "params": {"arch": "vit"}}
COUNTED = {
    "values": {"gmacs": 6.0, "network-calls": 3, "parameters-total": 2e6, "training-gmacs": 5.0},
    "disk": {"artifact": 1000, "state": 1000, "average": 900, "moments": 2000},
}


def stage(kind: str, name: str, seed: int = 0, **more: Any) -> Stage:
    work = {"model": MODEL, "seed": seed, "budget": {"batch_size": 10}, "of": "sample", "sampling": {"steps": 3}}
    parts = {"kind": kind, "work": work, "plugins": {"timm": "1"}}
    return Stage(kind=kind, name=name, work=work, parts=parts, key=key_of(parts), **more)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def commit(store: Store, done: Stage, **summary: Any) -> None:
    out = store.attempt_folder(done.key) / "out"
    out.mkdir(parents=True)
    about = Manifest(kind=done.kind, key=done.key, name=done.name, parts=done.parts, files={}, summary=summary)
    store.commit(out, about)
    store.settle(done.key)


def states(store: Store, *stages: Stage) -> list[tuple[str, str]]:
    return [(row["state"], row["why"]) for row in describe(stages, store, Yardstick())]


def test_every_state_has_its_name_and_reason(store: Store) -> None:
    done, failed, begun, fresh = (stage("train", f"train/{i}", i) for i in range(4))
    commit(store, done)
    store.record_failure(Failure(key=failed.key, name="x", reason="diverged\nand more", category="diverged"))
    (store.attempt_folder(begun.key) / "checkpoints").mkdir(parents=True)
    unknown = replace(fresh, key="", parts={})
    assert states(store, done, failed, begun, fresh, unknown) == [
        ("cached", ""), ("failed", "diverged; and more"), ("partial", "a checkpoint is there"), ("new", ""),
        ("unknown", "data missing"),
    ]  # fmt: skip


@pytest.mark.parametrize("harm", ["{", None])
def test_a_damaged_entry_is_to_be_done_and_stays_where_it_lies(store: Store, harm: str | None) -> None:
    done = stage("train", "train/x")
    out = store.attempt_folder(done.key) / "out"
    out.mkdir(parents=True)
    (out / "weights").write_bytes(b"whole")
    files = describe_files(out)
    store.commit(out, Manifest(kind="train", key=done.key, name=done.name, parts=done.parts, files=files))
    assert states(store, done) == [("cached", "")]
    folder = store.folder("train", done.key)
    if harm is None:
        (folder / "weights").write_bytes(b"who")
    else:
        (folder / MANIFEST).write_text(harm)
    ((state, why),) = states(store, done)
    assert state == "damaged" and why.endswith("`run` makes it again")
    assert ("weights of" if harm is None else "no readable manifest") in why
    assert folder.is_dir() and not (store.root / "quarantine").exists()
    assert json.loads(printed(store, "json", done))["left"]["stages"] == 1


def test_a_stale_stage_says_what_changed_since_the_newest_of_its_name(store: Store) -> None:
    commit(store, stage("train", "train/x", 0))
    commit(store, stage("train", "train/y", 5))
    now = stage("train", "train/x", 1)
    assert states(store, now) == [("stale", "seed: 0 -> 1")]
    parts = {**now.parts, "plugins": {"timm": "2"}, "libraries": {"torch": "3", "numpy": "4"}, "a": 1}
    assert states(store, replace(now, parts=parts, key=key_of(parts)))[0][1].endswith("and 2 more")


def printed(store: Store, form: str, *stages: Stage, missing: Sequence[str] = (), **yardstick: float) -> str:
    stream = io.StringIO()
    print_plan(stages, store, missing, form, stream, Yardstick(**yardstick))
    return stream.getvalue()


def test_the_table_has_a_heading_and_totals(store: Store) -> None:
    cost, train = stage("cost", "cost/x"), stage("train", "train/x", steps=20_000)
    sample = stage("sample", "sample/x", steps=1_000_000, disk_bytes=3 * 2**20)
    commit(store, cost, **COUNTED)
    commit(store, train)
    lines = [line.split() for line in printed(store, "table", cost, train, sample).splitlines()]
    assert lines[0] == ["state", "key", "params", "M", "GMACs/image", "PFLOPs", "GPU-hours", "disk", "stage"]
    assert lines[1] == ["cached", cost.key[:8], "2", "6", "cost/x"]
    assert lines[2] == ["cached", train.key[:8], "2", "5", "2", "0.00187", "0.977", "KiB", "train/x"]
    assert lines[3] == ["new", sample.key[:8], "2", "6", "12", "0.0112", "3", "MiB", "sample/x"]
    assert ["training", "1", "0", "2", "0.00187", "0.977", "KiB"] in lines
    assert ["sampling", "1", "1", "12", "0.0112", "3", "MiB"] in lines
    assert ["all", "3", "1", "14", "0.0131", "3", "MiB"] in lines
    ending = " ".join(printed(store, "table", cost, train, sample).split())
    assert "3 stages: 2 cached, 1 to do: 12 PFLOPs, 0.0112 GPU-hours, 3 MiB of disk" in ending
    assert "1 MAC = 2 FLOPs" in ending
    assert "GPU-hours at a peak of 989 TFLOP/s (dense bf16 of one H200) and 30 % utilisation" in ending
    assert "are not counted, and not in the sums" not in ending
    other = " ".join(printed(store, "table", cost, sample, peak_tflops=312.0, utilisation=0.45).split())
    assert "GPU-hours at a peak of 312 TFLOP/s and 45 % utilisation" in other


def test_what_is_missing_from_a_sum_is_said(store: Store) -> None:
    cost, train = stage("cost", "cost/x"), stage("train", "train/x", steps=20_000)
    sample = stage("sample", "sample/x")
    text = printed(store, "table", cost, train, sample)
    assert [line.split() for line in text.splitlines() if line.startswith("training")] == [
        ["training", "1", "1", "?", "?"]
    ]
    assert "the costs of 2 stages are not counted, and not in the sums: --costs counts them" in text
    assert "1 stages read as many images as the data hold: not in the sums while the data are missing" in text
    commit(store, cost, **COUNTED)
    text = printed(
        store, "table", train, replace(sample, key="", parts={}), cost, missing=["folder x; ask the archive", "file y"]
    )
    assert "2 to do: > 2 PFLOPs, > 0.00187 GPU-hours" in text
    assert "--costs counts them" not in text
    told = ["keys unknown, of 1 stages: what they need is not there", "data missing: folder x; ask the archive"]
    assert text.splitlines()[-3:] == [*told, "data missing: file y"]
    as_json = json.loads(printed(store, "json", train, missing=["folder x", "file y"]))
    assert as_json["missing"] == "folder x; file y"


def test_costs_that_failed_are_not_promised_again(store: Store) -> None:
    cost, train = stage("cost", "cost/x"), stage("train", "train/x", steps=20_000)
    store.record_failure(Failure(key=cost.key, name=cost.name, reason="no such thing", category="crashed"))
    text = printed(store, "table", cost, train)
    assert "the costs of 1 stages are not counted, and not in the sums\n" in text
    assert "--costs counts them" not in text


def test_json_and_csv_have_the_documented_names(store: Store) -> None:
    cost, train = stage("cost", "cost/x"), stage("train", "train/x", steps=20_000)
    commit(store, cost, **COUNTED)
    about = json.loads(printed(store, "json", cost, train, peak_tflops=100.0))
    assert (about["peak_tflops"], about["utilisation"], about["flops_per_mac"]) == (100.0, 0.3, 2)
    assert [list(row) for row in about["stages"]] == [list(FIELDS)] * 2
    assert about["stages"][1]["pflops"] == pytest.approx(5e9 * 2 * 10 * 20_000 / 1e15)
    assert about["totals"]["training"]["pflops"] == about["totals"]["all"]["pflops"] == about["left"]["pflops"]
    assert about["totals"]["all"]["scratch_bytes"] == 3 * (1000 + 2000)
    rows = list(csv.DictReader(io.StringIO(printed(store, "csv", cost, train))))
    assert list(rows[0]) == list(FIELDS)
    assert float(rows[1]["gpu_hours"]) == pytest.approx(2e15 / (989e12 * 0.3) / 3600)
    assert rows[0]["pflops"] == ""


def test_too_small_a_disk_is_told_before_anything_is_done(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "free_bytes", lambda path: 2**30)
    fits = stage("sample", "sample/x", steps=2, disk_bytes=2**29)
    assert "warning" not in printed(store, "table", fits)
    refused = " ".join(printed(store, "table", replace(fits, disk_bytes=2**30)).split())
    assert (
        f"warning: about 1 GiB are needed in {store.root} and 256 MiB to spare, but 1 GiB are free: `run` refuses"
        in refused
    )
    cost, train = stage("cost", "cost/x"), stage("train", "train/x", steps=1)
    prepare = replace(stage("prepare", "prepare/x", disk_bytes=2**29), scratch_bytes=2**29)
    assert "`run` refuses to start" in " ".join(printed(store, "table", prepare).split())
    commit(store, cost, **{**COUNTED, "disk": {"artifact": 2**30, "state": 0, "average": 0, "moments": 0}})
    assert "a run would stop when the disk is full" in " ".join(printed(store, "table", cost, train).split())


def test_numbers_are_short() -> None:
    assert [number(value, "?") for value in (None, 0.0, 0.000123456, 745.54, 298_216_508.0)] == [
        "?", "0", "0.000123", "746", "298,200,000",
    ]  # fmt: skip
    assert [size(count) for count in (0, 1023, 1536, 5 * 2**40)] == ["0 B", "0.999 KiB", "1.5 KiB", "5 TiB"]


def test_hostile_names_are_shown_and_not_obeyed(store: Store) -> None:
    name = "=cmd\x1b[31m\r\n/sampler=\u202eevil"
    text = printed(store, "table", stage("train", name), missing=["\x1b[2J"])
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "=cmd\\x1b[31m\\r\\n/sampler=\\u202eevil" in text
    assert json.loads(printed(store, "json", stage("train", name)))["stages"][0]["name"] == name
    (row,) = csv.DictReader(io.StringIO(printed(store, "csv", stage("train", name))))
    assert row["name"].startswith("'=cmd")
    assert "\x1b" not in row["name"]
