"""The files of a results folder: complete, stable, rewritten only where they change."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import time
from pathlib import Path

import pytest
from example_boards import boards, classifier, example, generator

from dermae_bench.report.escape import width_of
from dermae_bench.report.export import files, terminal_table, write
from dermae_bench.report.leaderboard import frame, table
from dermae_bench.report.numbers import exact, places_of, shown

NAMES = {
    "classifiers.csv", "classifiers.md", "classifiers.json", "generators.csv", "generators.md", "generators.json",
    "timings.csv", "records.jsonl", "report.html", "environment.json",
}  # fmt: skip
PICTURES = {"figures/figure-2.png", "figures/figure-2.txt", "figures/samples.png", "figures/samples.txt"}


def test_equal_boards_give_equal_bytes_and_nothing_is_written_twice(tmp_path: Path) -> None:
    everything = NAMES | PICTURES
    assert {path.relative_to(tmp_path).as_posix() for path in write(example(), tmp_path)} == everything
    before = {name: (tmp_path / name).read_bytes() for name in everything}
    old = time.time() - 1000
    for name in everything:
        os.utime(tmp_path / name, (old, old))
    assert write(example(), tmp_path) == ()
    assert {name: (tmp_path / name).read_bytes() for name in everything} == before
    assert all((tmp_path / name).stat().st_mtime == pytest.approx(old) for name in everything)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == everything


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    write(example(), tmp_path)
    changed = dataclasses.replace(example(), environment={"python": "3.12"})
    assert {path.name for path in write(changed, tmp_path)} == {"environment.json", "report.html"}


def test_timings_and_environment_leave_the_leaderboards_alone() -> None:
    here = files(example())
    there = files(dataclasses.replace(example(), timings=(), environment={}))
    same = {name for name in NAMES if here[name] == there[name]}
    assert NAMES - same == {"timings.csv", "environment.json", "report.html"}


def test_failed_rows_are_visible_with_the_reason_and_without_numbers() -> None:
    out = files(example())
    row = next(r for r in csv.DictReader(io.StringIO(out["classifiers.csv"])) if r["classifier"] == "broken")
    assert row["status"] == "failed" and row["reason"] == "diverged at step 12: loss is not finite"
    assert row["f1-macro"] == row["f1-macro low"] == row["accuracy"] == ""
    for name in ("classifiers.md", "report.html", "classifiers.json"):
        assert "diverged at step 12" in out[name], name
    assert "broken / train: failed: diverged at step 12" in terminal_table(example(), "classifiers", 120)


def test_csv_reads_back_as_the_frame() -> None:
    import pandas as pd

    made = frame(table(example(), "classifiers"))
    read = pd.read_csv(io.StringIO(files(example())["classifiers.csv"]))
    assert list(read.columns) == list(made.columns)
    for column in ("f1-macro", "accuracy low", "GMACs", "parameters"):
        assert read[column].to_numpy() == pytest.approx(made[column].astype(float).to_numpy(), rel=1e-5, nan_ok=True)


def test_timings_tell_seconds_and_network_calls_an_image_and_images_a_second() -> None:
    rows = list(csv.DictReader(io.StringIO(files(example())["timings.csv"])))
    assert [(row["images"], row["images/s"], row["seconds/image"], row["network-calls/image"]) for row in rows] == [
        ("12800", "310.303", "", ""), ("512", "", "0.015625", "50"), ("", "", "", ""),
    ]  # fmt: skip


def test_records_are_long_with_identity_and_key() -> None:
    lines = [json.loads(line) for line in files(example())["records.jsonl"].splitlines()]
    assert len(lines) == len(example().records)
    assert {"identity", "key", "metric", "value", "n", "unit", "better", "seeds", "status"} <= set(lines[0])


def test_every_digest_in_the_table_has_its_identity() -> None:
    for board in ("classifiers", "generators"):
        read = json.loads(files(example())[f"{board}.json"])
        known = {metric["metric"]: set(metric["identities"]) for metric in read["metrics"]}
        for row in read["rows"]:
            for metric, cell in row["metrics"].items():
                assert not cell["identity"] or cell["identity"] in known[metric]


def test_markdown_begins_with_three_to_seven_lines_about_the_run() -> None:
    for board in ("classifiers", "generators"):
        head = files(example())[f"{board}.md"].split("\n## ")[0].splitlines()
        told = [line for line in head if line.startswith("- ")]
        assert 3 <= len(told) <= 7
        text = " ".join(told)
        assert "5d1f00" in text and "is better" in text and "Floors" in text and "n = " in text


def test_two_hundred_rows_stay_small_and_quick() -> None:
    parts = [classifier(f"model-{i:03}", "diagnosis", 0.3 + i / 1000, seeds=(0, 1, 2)) for i in range(160)]
    parts += [generator(f"generator-{i:03}", 10.0 + i) for i in range(40)]
    made = boards(*parts)
    start = time.perf_counter()
    out = files(made)
    assert time.perf_counter() - start < 5
    assert len(out["report.html"].encode()) < 1_000_000


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 140, 200])
def test_terminal_table_never_exceeds_its_width(width: int) -> None:
    for board in ("classifiers", "generators"):
        text = terminal_table(example(), board, width)
        assert max(width_of(line) for line in text.splitlines()) <= width
    if width >= 80:
        assert "0.644 [0.624, 0.664]" in terminal_table(example(), "classifiers", width)


def test_terminal_table_of_an_empty_board_says_so() -> None:
    assert terminal_table(boards(), "generators", 80) == "no generators in this suite"


def test_numbers_have_one_spelling() -> None:
    assert [exact(v) for v in (1, 1.0, -0.0, 0.1, 1 / 3, 12345678.0, 1e-7, 123456.78)] == [
        "1", "1", "0", "0.1", "0.333333", "12345678", "1e-07", "123457",
    ]  # fmt: skip
    assert shown(-0.0001, 3) == "0.000" and shown(1234567.0, 0) == "1,234,567" and shown(0.00123) == "0.00123"
    assert places_of([0.5, 0.61]) == 3 and places_of([12.0, 40.0]) == 2 and places_of([None]) is None
    assert places_of([0.31, 0.0012]) == 4
