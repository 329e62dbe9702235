"""`list` and `show`: what lies in the results and the store, also when names are hostile and files are damaged."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from asking import Answer, ask

from dermae_bench.durable import digest_of
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import MANIFEST, Failure, Manifest

HOSTILE = "train/\x1b[2J\x1b]0;owned\x07/\u202egnp.x\r=cmd|' /C calc'!A0"
ABOUT = {"seed": 0, "words": HOSTILE}
KEY, OTHER = digest_of(ABOUT)[:32], "cd" * 16


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results" / "store")


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*words: object) -> Answer:
        answer = ask(capsys, *words, "--results", tmp_path / "results")
        # whatever names say, no control character reaches the terminal
        for text in (answer.out, answer.err):
            assert not {c for c in text if (ord(c) < 32 and c != "\n") or 0x202A <= ord(c) <= 0x202E}
        return answer

    return call


def put(store: Store, key: str = KEY, name: str = HOSTILE, kind: str = "train") -> None:
    work = store.attempt_folder(key) / "out"
    work.mkdir(parents=True)
    store.commit(work, Manifest(kind=kind, key=key, name=name, parts=ABOUT, files={}, summary={"note": HOSTILE}))


def test_an_empty_place_is_no_error(bench: Any) -> None:
    answer = bench("list")
    assert answer.code == 0
    assert "(no results yet)" in answer.out
    assert json.loads(bench("list", "--format", "json").out)["results"] == []


def test_list_counts_rows_and_stages(bench: Any, store: Store, tmp_path: Path) -> None:
    put(store)
    put(store, OTHER, "score/x", "score")
    (store.root / "score" / "half-done").mkdir()
    folder = tmp_path / "results" / "tiny"
    folder.mkdir()
    rows = [{"status": status} for status in ("ok", "ok", "failed", "pending")]
    (folder / "classifiers.json").write_text(json.dumps({"rows": rows}))
    about = json.loads(bench("list", "--format", "json").out)
    assert about["results"] == [{"suite": "tiny", "ok": 2, "failed": 1, "pending": 1, "unreadable": None}]
    assert {line["kind"]: line["stages"] for line in about["store"] if line["stages"]} == {"train": 1, "score": 1}
    table = bench("list").out
    assert [line.split() for line in table.splitlines()[:2]] == [
        ["suite", "ok", "failed", "pending"], ["tiny", "2", "1", "1"],
    ]  # fmt: skip
    (row,) = csv.DictReader(io.StringIO(bench("list", "--format", "csv").out))
    assert row["failed"] == "1"


@pytest.mark.parametrize("text", ["{", "[]", '{"rows": [3]}', '{"rows": [{}]}', "\x00", "[" * 100_000])
def test_a_damaged_board_is_named_and_hides_no_other(bench: Any, tmp_path: Path, text: str) -> None:
    for name, inside in (("broken", text), ("tiny", json.dumps({"rows": [{"status": "ok"}]}))):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "classifiers.json").write_text(inside)
    answer = bench("list")
    assert answer.code == 0 and answer.err == ""
    heading, broken, tiny = (line.split() for line in answer.out.splitlines()[:3])
    assert heading[-1] == "unreadable" and broken[0] == "broken" and tiny == ["tiny", "1", "0", "0"]
    assert "classifiers.json" in " ".join(broken)
    found = {about["suite"]: about for about in json.loads(bench("list", "--format", "json").out)["results"]}
    assert found["broken"]["ok"] is None and "classifiers.json" in found["broken"]["unreadable"]
    assert found["tiny"] == {"suite": "tiny", "ok": 1, "failed": 0, "pending": 0, "unreadable": None}


def test_json_holds_no_control_character_at_all(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "results" / "a\x7fb").mkdir(parents=True)
    (tmp_path / "results" / "a\x7fb" / "classifiers.json").write_text('{"rows": []}')
    out = bench("list", "--format", "json").out
    assert "\x7f" not in out and json.loads(out)["results"][0]["suite"] == "a\x7fb"


def test_show_prints_a_stage_by_the_beginning_of_its_key(bench: Any, store: Store) -> None:
    put(store)
    answer = bench("show", KEY[:6])
    assert answer.code == 0
    assert "\\x1b[2J" in answer.out
    assert "\\u202e" in answer.out
    about = json.loads(bench("show", KEY, "--format", "json").out)
    assert about["name"] == HOSTILE
    assert about["summary"]["note"] == HOSTILE


def test_show_prints_why_a_stage_failed(bench: Any, store: Store) -> None:
    trace = f"Traceback:\n  File x\nValueError: {HOSTILE}"
    store.record_failure(Failure(key=KEY, name=HOSTILE, reason=HOSTILE, category="crashed", traceback=trace))
    answer = bench("show", KEY[:4])
    assert answer.code == 0
    assert "status       failed" in answer.out
    assert "\n  File x\n" in answer.out
    assert json.loads(bench("show", KEY[:4], "--format", "json").out)["traceback"] == trace


def test_show_says_what_is_wrong_with_a_key(bench: Any, store: Store) -> None:
    put(store)
    put(store, KEY[:2] + "0" * 30, "other")
    for words, reason in (
        (KEY[:2], "2 stages have keys that begin with"),
        ("0" * 20, "was begun that has a key with the beginning"),
        ("xyz", "keys are hexadecimal"),
        ("../ab", "keys are hexadecimal"),
        ("*", "keys are hexadecimal"),
        ("", "keys are hexadecimal"),
    ):
        answer = bench("show", words)
        assert answer.code == 2, words
        assert reason in answer.err


def test_show_of_a_damaged_entry_is_one_line(bench: Any, store: Store) -> None:
    put(store)
    (store.folder("train", KEY) / MANIFEST).write_text("{")
    answer = bench("show", KEY)
    assert answer.code == 1
    assert "no readable manifest" in answer.err
    (store.root / "failures").mkdir()
    (store.root / "failures" / f"{OTHER}.json").write_text("{")
    answer = bench("show", OTHER)
    assert answer.code == 2
    assert "cannot be read" in answer.err
