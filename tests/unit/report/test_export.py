"""The files of a results folder: complete, stable, rewritten only where they change."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from example_boards import boards, classifier, example, generator

from dermae_bench.errors import UserError
from dermae_bench.report.escape import width_of
from dermae_bench.report.export import files, terminal_table, write
from dermae_bench.report.leaderboard import frame, table
from dermae_bench.report.listed import write_listed
from dermae_bench.report.numbers import exact, places_of, shown

NAMES = {
    "classifiers.csv", "classifiers.md", "classifiers.json", "generators.csv", "generators.md", "generators.json",
    "timings.csv", "records.jsonl", "report.html", "environment.json",
}  # fmt: skip
SOMETIMES = {
    "subgroups.csv", "subgroups.md", "subgroups.json", "contamination.csv", "contamination.md", "nearest-pairs.csv",
    "distance-over-n.csv",
}  # fmt: skip
PICTURES = {"figures/figure-2.png", "figures/figure-2.txt", "figures/samples.png", "figures/samples.txt"}


def test_equal_boards_give_equal_bytes_and_nothing_is_written_twice(tmp_path: Path) -> None:
    everything = NAMES | SOMETIMES | PICTURES
    assert {path.relative_to(tmp_path).as_posix() for path in write(example(), tmp_path)} == everything
    before = {name: (tmp_path / name).read_bytes() for name in everything}
    old = time.time() - 1000
    for name in everything:
        os.utime(tmp_path / name, (old, old))
    assert write(example(), tmp_path) == ()
    assert {name: (tmp_path / name).read_bytes() for name in everything} == before
    assert all((tmp_path / name).stat().st_mtime == pytest.approx(old) for name in everything)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == everything | {"figures/.written"}


def test_what_a_former_report_wrote_and_this_one_does_not_is_removed_and_nothing_else(tmp_path: Path) -> None:
    figure, samples = (
        dataclasses.replace(figure, rows=(("a", np.zeros((1, 3, 8, 8), np.uint8)),), bands=())
        for figure in example().figures
    )
    write(dataclasses.replace(example(), figures=(figure, samples)), tmp_path)
    assert (tmp_path / "figures" / "figure-2.png").is_file() and (tmp_path / "subgroups.csv").is_file()
    for name in ("mine.csv", "figures/mine.png", "figures/samples-2.png"):
        (tmp_path / name).write_text("mine")
    renamed = dataclasses.replace(figure, name="figure-3")
    bare = dataclasses.replace(example(), subgroups=(), details={}, contamination=(), figures=(renamed, samples))
    write(bare, tmp_path)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    pictures = {"figures/figure-3.png", "figures/figure-3.txt", "figures/samples.png", "figures/samples.txt"}
    mine = {"mine.csv", "figures/mine.png", "figures/samples-2.png"}
    assert found == NAMES | pictures | mine | {"figures/.written"}
    write(dataclasses.replace(bare, figures=()), tmp_path)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"mine.png", "samples-2.png"}


@pytest.mark.parametrize("name", ["figures", "real-images"])
def test_a_link_in_place_of_a_folder_of_pictures_is_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    folder, outside = tmp_path / "results", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / name).symlink_to(outside)
    with pytest.raises(UserError, match=f"{name} is a link"):
        write(boards(generator("g", 1.0)), folder)
    assert [path.name for path in folder.iterdir()] == [name] and not list(outside.iterdir())
    # the whole folder may be one
    (folder / name).unlink()
    (tmp_path / "link").symlink_to(folder)
    assert write(boards(generator("g", 1.0)), tmp_path / "link")
    assert (folder / "generators.csv").is_file()


def test_a_forged_list_of_written_files_removes_nothing_outside_the_folder(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside.png", tmp_path / "figures"
    outside.write_text("x")
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.png").write_text("x")
    (folder / "link.png").symlink_to(outside)
    names = ["../outside.png", str(outside), "deep/a.png", "deep", "link.png", "..", ".", ".written", ""]
    (folder / ".written").write_text("\n".join(names))
    write_listed(folder, {"b.png": b"b"})
    assert outside.exists() and (folder / "deep" / "a.png").exists() and (folder / "link.png").is_symlink()
    assert (folder / ".written").read_text() == "b.png\n"


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    write(example(), tmp_path)
    changed = dataclasses.replace(example(), environment={"python": "3.12"})
    assert {path.name for path in write(changed, tmp_path)} == {"environment.json", "report.html"}


def test_timings_and_environment_leave_the_leaderboards_alone() -> None:
    here = files(example())
    there = files(dataclasses.replace(example(), timings=(), environment={}))
    same = {name for name in NAMES if here[name] == there[name]}
    assert NAMES - same == {"timings.csv", "environment.json", "report.html"}


def test_a_number_of_another_identity_keeps_its_reason_in_a_column_of_its_own() -> None:
    apart = [classifier(name, "t", 0.9, train="leaky", identity={"leaky": "by image"}) for name in ("a", "b")]
    made = boards(*(classifier(name, "t", 0.5) for name in ("a", "b", "c")), *apart)
    rows = list(csv.DictReader(io.StringIO(files(made)["classifiers.csv"])))
    told = [row["f1-macro apart"] for row in rows]
    assert told[:3] == ["", "", ""] and all("leaky by image, not None" in text for text in told[3:])
    # they have ranks of their own, and stand below
    assert [row["f1-macro rank"] for row in rows] == ["1=", "1=", "1=", "1=", "1="]
    page = files(made)["classifiers.md"]
    assert "| A 1= | a | leaky |" in page and "*apart A 1=*" in page and "**0.900**" not in page
    assert "- A, apart from the ranking: unlike the ranked rows: leaky by image, not None" in page
    text = terminal_table(made, "classifiers", 120)
    assert "A 1=" in text and "A: apart, unlike the ranked rows: leaky by image, not None" in text


def test_seeds_and_test_sets_are_told_apart_by_name() -> None:
    out = files(example())
    row = next(r for r in csv.DictReader(io.StringIO(out["classifiers.csv"])) if r["f1-macro error"])
    assert (row["classifier"], row["f1-macro error"], row["f1-macro sd"]) == ("cnn", "0.0104", "")
    assert "**0.644** [0.624, 0.664] ± 0.004 seeds" in out["classifiers.md"]
    assert "s.e. 0.010" in out["report.html"] and "test sets</small>" not in out["report.html"]
    assert "± 0.004 seeds" in out["report.html"]
    for name in ("classifiers.md", "report.html"):
        assert (
            "on other test sets of as many lesions" in out[name] and "standard deviation over other train" in out[name]
        )


def test_a_metric_that_no_row_of_a_section_has_is_no_column_there() -> None:
    info, (f1, accuracy) = classifier("a", "two", 0.5)
    made = boards((info, [f1, accuracy, dataclasses.replace(f1, metric="auc-binary")]), classifier("a", "seven", 0.5))
    heads = [line for line in files(made)["classifiers.md"].splitlines() if line.startswith("| rank")]
    assert ["auc-binary" in head for head in heads] == [False, True]
    assert "auc-binary" in files(made)["classifiers.csv"].splitlines()[0]


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
    assert len(lines) == len(example().records) + len(example().subgroups)
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
