"""`plan`: state, reason and cost of every stage."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dermae_bench.commands.planning import describe, print_plan
from dermae_bench.store.artifacts import Failure, Manifest, Store
from dermae_bench.suite.stage import Stage, key_of

MODEL = {"plugin": "timm", "params": {"arch": "vit"}}


def stage(kind: str, name: str, seed: int = 0, **more: Any) -> Stage:
    work = {"model": MODEL, "seed": seed, "budget": {"batch_size": 10}}
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
    return [(row["state"], row["why"]) for row in describe(stages, store, None)]


def test_every_state_has_its_name_and_reason(store: Store) -> None:
    done, failed, begun, fresh = (stage("train", f"train/{i}", i) for i in range(4))
    commit(store, done)
    store.record_failure(Failure(key=failed.key, name="x", reason="diverged\nand more", category="diverged"))
    (store.attempt_folder(begun.key) / "checkpoints").mkdir(parents=True)
    unknown = replace(fresh, key="", parts={})
    assert states(store, done, failed, begun, fresh, unknown) == [
        ("cached", ""), ("failed", "diverged"), ("partial", "a checkpoint is there"), ("new", ""),
        ("unknown", "data missing"),
    ]  # fmt: skip


def test_a_stale_stage_says_what_changed_since_the_newest_of_its_name(store: Store) -> None:
    commit(store, stage("train", "train/x", 0))
    commit(store, stage("train", "train/y", 5))
    now = stage("train", "train/x", 1)
    assert states(store, now) == [("stale", "seed: 0 -> 1")]
    parts = {**now.parts, "plugins": {"timm": "2"}, "libraries": {"torch": "3", "numpy": "4"}, "a": 1}
    assert states(store, replace(now, parts=parts, key=key_of(parts)))[0][1].endswith("and 2 more")


def test_costs_are_counted_from_passes(store: Store) -> None:
    cost = stage("cost", "cost/x")
    train, sample = stage("train", "train/x", steps=100), stage("sample", "sample/x", steps=7)
    assert [row["gmacs"] for row in describe([cost, train, sample], store, None)] == [None] * 3
    commit(store, cost, values={"gmacs": 6.0, "network-calls": 3})
    rows = describe([cost, train, sample], store, None)
    # a step is three passes over ten images; a sample is all its network calls
    assert [row["gmacs"] for row in rows] == [None, 2.0 * 3 * 10 * 100, 42.0]
    assert rows[1]["gpu_hours"] == pytest.approx(6000 * 2e9 / (989e12 * 0.3) / 3600)


def printed(store: Store, form: str, *stages: Stage, missing: str | None = None) -> str:
    stream = io.StringIO()
    print_plan(stages, store, missing, form, stream)
    return stream.getvalue()


def test_the_table_ends_with_totals(store: Store) -> None:
    done = stage("train", "train/x")
    commit(store, done)
    text = printed(store, "table", done, stage("sample", "sample/x", disk_bytes=3 * 2**20))
    assert text.splitlines()[0].split() == ["cached", done.key[:8], "train/x"]
    assert "2 stages: 1 cached, 1 to do; about 3 MiB of samples" in text
    assert "add --costs" in text
    text = printed(store, "table", replace(done, key=""), missing="folder x is not there; ask the archive")
    assert text.endswith("keys unknown: data missing: folder x is not there; ask the archive\n")


def test_hostile_names_are_shown_and_not_obeyed(store: Store) -> None:
    name = "=cmd\x1b[31m\r\n/sampler=\u202eevil"
    text = printed(store, "table", stage("train", name), missing="\x1b[2J")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text.splitlines()) == 4
    assert json.loads(printed(store, "json", stage("train", name)))[0]["name"] == name
    (row,) = csv.DictReader(io.StringIO(printed(store, "csv", stage("train", name))))
    assert row["name"].startswith("'=cmd")
    assert "\x1b" not in row["name"]
