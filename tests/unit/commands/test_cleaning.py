"""`clean`: what it shows, what it removes, what it refuses."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from asking import Answer, ask

from dermae_bench.commands.cleaning import seconds
from dermae_bench.commands.stored import size
from dermae_bench.durable import digest_of
from dermae_bench.errors import UserError
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import Failure, Manifest, describe_files


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results" / "store")


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*words: object) -> Answer:
        return ask(capsys, *words, "--results", tmp_path / "results")

    return call


def put(store: Store, number: int) -> str:
    parts = {"number": number}
    key = digest_of(parts)[:32]
    work = store.attempt_folder(key) / "out"
    work.mkdir(parents=True)
    (work / "a.bin").write_bytes(b"x" * 1000 * number)
    store.commit(work, Manifest(kind="train", key=key, name=f"train/{number}", parts=parts, files=describe_files(work)))
    return key


@pytest.fixture
def full(store: Store) -> dict[str, str]:
    """A finished stage, one in quarantine, one unfinished with a checkpoint, one failed."""
    done, damaged = put(store, 1), put(store, 2)
    store.quarantine("train", damaged)
    store.settle(damaged)
    partial, failed = "ab" * 16, "cd" * 16
    (store.attempt_folder(partial) / "checkpoints").mkdir(parents=True)
    (store.attempt_folder(partial) / "checkpoints" / "state").write_bytes(b"y" * 5000)
    store.record_failure(Failure(key=failed, name="train/f", reason="it broke", category="crashed"))
    return {"done": done, "damaged": damaged, "partial": partial, "failed": failed}


def test_nothing_goes_without_yes(bench: Any, store: Store, full: dict[str, str]) -> None:
    answer = bench("clean")
    assert answer.code == 0
    assert "quarantine: 1, 2." in answer.out
    assert "nothing was removed yet: add --yes" in answer.out
    assert len(list((store.root / "quarantine").iterdir())) == 1


def test_what_a_later_run_could_use_stays(bench: Any, store: Store, full: dict[str, str]) -> None:
    answer = bench("clean", "--yes")
    assert answer.code == 0
    assert "removed 2 of 2" in answer.out
    assert not list((store.root / "quarantine").iterdir())
    assert not store.attempt_folder(full["done"]).exists()
    assert store.checked("train", full["done"])
    assert (store.attempt_folder(full["partial"]) / "checkpoints" / "state").exists()
    assert store.failure(full["failed"]) is not None
    assert "nothing to remove" in bench("clean").out


def test_checkpoints_go_when_asked_for(bench: Any, store: Store, full: dict[str, str]) -> None:
    assert bench("clean", "--partial", "--yes").code == 0
    assert not store.attempt_folder(full["partial"]).exists()
    assert store.checked("train", full["done"])


def test_what_is_young_stays(bench: Any, store: Store, full: dict[str, str]) -> None:
    assert "nothing to remove" in bench("clean", "--older-than", "1d", "--yes").out
    assert bench("clean", "--older-than", "soon").code == 2


def test_tables_for_programs(bench: Any, store: Store, full: dict[str, str]) -> None:
    about = json.loads(bench("clean", "--format", "json").out)
    (aside,) = [item for item in about["items"] if item["what"] == "quarantine"]
    assert aside["bytes"] > 2000
    assert aside["removed"] is False
    assert about["bytes"] == sum(item["bytes"] for item in about["items"])
    rows = list(csv.DictReader(io.StringIO(bench("clean", "--format", "csv", "--yes").out)))
    assert {row["removed"] for row in rows} == {"True"}


def test_a_living_run_is_listed_and_kept(bench: Any, store: Store, full: dict[str, str]) -> None:
    with store.announced("tiny", [full["partial"]]):
        assert "running: tiny, 1 stages, process " in bench("list").out
        assert bench("clean", "--partial", "--yes").code == 0
        assert store.attempt_folder(full["partial"]).exists()
    assert "running" not in bench("list").out


def test_list_tells_what_failed_and_what_lies_aside(bench: Any, full: dict[str, str]) -> None:
    answer = bench("list")
    assert "failed: 1, the last ones first; look: dermae-bench show KEY" in answer.out
    assert f"  {full['failed'][:12]}  2" in answer.out
    assert "train/f: it broke" in answer.out
    assert "begun and broken off: 1; the same `run` goes on with them" in answer.out
    assert "quarantine: 1, 2." in answer.out
    (row,) = json.loads(bench("list", "--stages", "--format", "json").out)
    assert (row["key"], row["name"], row["bytes"]) == (full["done"], "train/1", 1000)
    assert "train/1" in bench("list", "--stages").out
    assert bench("list", "--stages", "--format", "csv").out.startswith("kind,key,days,bytes,name\n")


@pytest.mark.parametrize("words", [["--unused"], ["suite.yaml"]])
def test_unused_and_suites_go_together(bench: Any, store: Store, full: dict[str, str], words: list[str]) -> None:
    answer = bench("clean", *words)
    assert answer.code == 2
    assert "unused" in answer.err


def test_without_a_store_there_is_nothing_to_clean(bench: Any) -> None:
    assert bench("clean").code == 2


def test_ages() -> None:
    assert [seconds(age) for age in ("30s", "90m", "12h", "7d", "2w")] == [30, 5400, 43200, 604800, 1209600]
    for wrong in ("", "7", "d", "-1d", "1.5d", "9" * 10 + "d"):
        with pytest.raises(UserError):
            seconds(wrong)


def test_sizes() -> None:
    assert [size(n) for n in (0, 812, 3 * 2**20 + 2**18, 2**40)] == ["0 B", "812 B", "3.25 MiB", "1 TiB"]
