"""Published numbers stand beside the measured row of their name, with the difference, and are never ranked."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from example_boards import AVERAGE_NOT_STATED, boards, classifier, example, reported

from dermae_bench.errors import DataError
from dermae_bench.report.escape import width_of
from dermae_bench.report.export import files, terminal_table
from dermae_bench.report.html import render
from dermae_bench.report.leaderboard import Boards, Line, table
from dermae_bench.report.reference import reference_rows

TABLE_1 = Path(__file__).parents[3] / "results" / "reference" / "dermae_table1.csv"
HEAD = "board,name,detail,task,metric,value,n,source"


def line(made: Boards, row: str) -> Line:
    return next(line for line in table(made, "classifiers").lines if line.info.row == row)


def test_the_difference_is_measured_minus_reported_and_the_source_comes_along() -> None:
    accuracy, f1 = line(example(), "cnn | train | diagnosis").reported
    assert accuracy.metric == accuracy.beside == "accuracy" and accuracy.difference == pytest.approx(0.714 - 0.7563)
    assert (f1.metric, f1.beside) == (AVERAGE_NOT_STATED, "f1-macro") and f1.difference == pytest.approx(0.614 - 0.6)
    assert accuracy.source == "table 1" and accuracy.n == 1512 and f1.note == "the average looks macro"


def test_a_number_without_a_like_column_is_shown_and_not_compared() -> None:
    _, f1 = line(example(), "vit | train | malignancy").reported
    assert f1.beside == "" and f1.difference is None and f1.value == 0.4043
    unknown, numbers = reported("a", "train", "t", None, 0.5, "f1-of-nobody")
    (pair,) = line(boards(unknown, classifier("a", "t", 0.4), reported=tuple(numbers)), "a | train | t").reported
    assert pair.beside == "" and pair.difference is None


def test_only_the_row_of_equal_names_is_a_partner() -> None:
    for row in ("cnn | balanced | diagnosis", "cnn | train | malignancy", "majority class | train | diagnosis"):
        assert line(example(), row).reported == ()
    assert table(example(), "classifiers").partners == {
        "reported | cnn | train | diagnosis", "reported | vit | train | malignancy",
    }  # fmt: skip


def test_a_failed_or_pending_row_shows_what_was_reported_without_a_difference() -> None:
    for status, reason in (("failed", "diverged"), ("pending", None)):
        published, numbers = reported("a", "train", "t", 0.5, None, "")
        made = boards(
            published, classifier("a", "t", None, status=status, reason=reason), classifier("b", "t", 0.4),
            reported=tuple(numbers),
        )  # fmt: skip
        (pair,) = line(made, "a | train | t").reported
        assert pair.value == 0.5 and pair.beside == "accuracy" and pair.difference is None
        assert "reported 0.500" in terminal_table(made, "classifiers", 100)


def test_published_numbers_change_no_rank_and_no_order() -> None:
    great, numbers = reported("b", "train", "t", 0.999, 0.999, "f1-macro")
    parts = [classifier("a", "t", 0.6), classifier("b", "t", 0.4)]
    alone, beside = (
        table(boards(*parts), "classifiers"),
        table(boards(great, *parts, reported=tuple(numbers)), "classifiers"),
    )
    # the first column orders the rows: a published one never comes first, whatever the order of the records
    assert [column.key for column in beside.metrics] == ["f1-macro", "accuracy", AVERAGE_NOT_STATED]
    ranks = [[cell.rank for cell in line.cells.values()] for line in alone.lines]
    assert [[line.cells[m].rank for m in ("f1-macro", "accuracy")] for line in beside.lines[:2]] == ranks
    assert [line.info.row for line in beside.lines[:2]] == [line.info.row for line in alone.lines]
    assert all(cell.rank is None for cell in beside.lines[2].cells.values())


def test_csv_keeps_every_published_number_and_adds_columns_beside_measured_ones() -> None:
    rows = list(csv.DictReader(io.StringIO(files(example())["classifiers.csv"])))
    cnn = next(r for r in rows if (r["classifier"], r["train"], r["kind"]) == ("cnn", "train", "measured"))
    assert (cnn["reported:accuracy"], cnn["difference:accuracy"]) == ("0.7563", "-0.0423")
    assert cnn[f"beside:{AVERAGE_NOT_STATED}"] == "f1-macro" and cnn[f"difference:{AVERAGE_NOT_STATED}"] == "0.014"
    apart = [r for r in rows if r["kind"] == "reported"]
    assert [r[AVERAGE_NOT_STATED] for r in apart] == ["", "0.6", "0.4043"]
    assert all(r["reported:accuracy"] == "" and r["accuracy rank"] == "" for r in apart)


def test_readers_see_a_published_number_once() -> None:
    made = example()
    text = terminal_table(made, "classifiers", 140)
    assert "0.714 - 0.756 = -0.042" in text and "f1-macro 0.614 - 0.600 = +0.014" in text
    assert text.count("0.756") == 1 and "no ranking" in text and "DermAE" in text
    page = files(made)["classifiers.md"]
    assert "| 0.756 (-0.042) | 0.600 (+0.014 to f1-macro) |" in page and page.count("0.756") == 1
    assert "0.404 (no such column here)" in page and "the average looks macro (cnn / train / diagnosis)" in page
    assert "never ranked" in page and f"| {AVERAGE_NOT_STATED} " not in page
    page = render(made)
    assert "reported 0.756 (-0.042)" in page and f"reported {AVERAGE_NOT_STATED} 0.404 (no such column here)" in page
    assert "Published numbers: 4" in page and "fits no average: not compared" in page


def test_json_has_the_pairs_and_every_note() -> None:
    read = json.loads(files(example())["classifiers.json"])
    assert [item["note"] for item in read["reported"]] == [
        "the average looks macro", "the average looks macro",
        "fits no average: not compared", "fits no average: not compared",
    ]  # fmt: skip
    cnn = next(row for row in read["rows"] if row["row"] == "cnn | train | diagnosis")
    assert [pair["metric"] for pair in cnn["reported"]] == ["accuracy", AVERAGE_NOT_STATED]


@pytest.mark.parametrize("width", [100, 130, 160])
def test_marks_are_letters_explained_under_the_table(width: int) -> None:
    mark = "samples of ddpm labelled by teacher vit-h-mae (balanced)"
    made = boards(classifier("vit-b-distilled", "t", 0.5, marks=("derived from diagnosis", mark)))
    text = terminal_table(made, "classifiers", width)
    assert "vit-b-distilled [a,b]" in text and f"[b] {mark}" in text and "[a] derived from diagnosis" in text
    assert max(map(width_of, text.splitlines())) <= width


# -- the reference file ----------------------------------------------------------------------------------------------


def test_table_1_of_dermae_is_whole() -> None:
    rows, records, numbers = reference_rows(TABLE_1)
    assert len(numbers) == len(records) == 12 * 4 + 2 and len({row.row for row in rows}) == 12 * 2 + 2
    known = {(n.names["classifier"], n.names["train"], n.names["task"], n.metric): n for n in numbers}
    assert known["efficientnet-b0-distilled", "balanced", "malignancy", "accuracy"].value == 0.9051
    assert known["vit-l", "train", "diagnosis", AVERAGE_NOT_STATED].value == 0.6383
    for train in ("unconditional", "balanced"):
        cell = known["vit-b-distilled", train, "malignancy", AVERAGE_NOT_STATED]
        assert cell.value == 0.7887 and "copied" in cell.note
    assert {n.beside for n in numbers if n.metric == "accuracy"} == {"accuracy"}
    assert {n.beside for n in numbers if n.metric != "accuracy"} == {"f1-macro", "f1-weighted", "f1-positive", ""}
    assert all(n.source.startswith("DerMAE, Table 1, row ") for n in numbers)
    assert all(n.note for n in numbers if n.metric == AVERAGE_NOT_STATED)
    assert {n.n for n in numbers if "Derm-T2IM" not in n.names["classifier"]} == {1512}


def test_notes_on_accuracies_are_true() -> None:
    """An accuracy over 1512 images is k / 1512, so most of the published ones are not."""
    reachable = {format(k / 1512, ".4f") for k in range(1513)}
    _, _, numbers = reference_rows(TABLE_1)
    own = [n for n in numbers if n.metric == "accuracy" and n.n == 1512]
    assert [("no count of 1512" in n.note) for n in own] == [format(n.value, ".4f") not in reachable for n in own]
    assert sum(format(n.value, ".4f") in reachable for n in own) == 4


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("classifiers,a,train,t,accuracy,nan,10,x", "finite"),
        ("classifiers,a,train,t,accuracy,0.5,10", "cells"),
        ("other,a,train,t,accuracy,0.5,10,x", "board"),
        ("classifiers,a,train,t,accuracy,0.5,ten,x", "ten"),
        ("classifiers,a,train,t,accuracy,0.5,10,x\nclassifiers,a,train,t,accuracy,0.6,10,x", "line 3.*twice"),
    ],
)
def test_a_bad_line_is_told_by_its_number(tmp_path: Path, row: str, word: str) -> None:
    path = tmp_path / "reference.csv"
    path.write_text(f"{HEAD}\n{row}\n")
    with pytest.raises(DataError) as caught:
        reference_rows(path)
    assert re.search(word, str(caught.value), re.S), str(caught.value)


def test_a_file_of_eight_columns_is_read_as_before(tmp_path: Path) -> None:
    path = tmp_path / "reference.csv"
    path.write_text(f"{HEAD}\ngenerators,ddpm,ddim,,fd,12.5,,table 2\n")
    (row,), (record,), (number,) = reference_rows(path)
    assert row.marks == ("reported: table 2",) and record.value == 12.5 and record.n is None
    assert (number.beside, number.note, number.n) == ("", "", None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"{HEAD}\nclassifiers,a,t,d,accuracy,.5,1,{'x' * 200_000}\n".encode(), "csv:2: a cell is longer"),
        (HEAD.encode() + b"\nclassifiers,\xff,t,d,accuracy,.5,1,x\n", "csv:2:13: byte 0xff is not UTF-8"),
        (f"{HEAD}\nclassifiers,a,t,d,accuracy,.5,-3,x\n".encode(), "line 2: n must be"),
        (f"{HEAD}\nclassifiers,a,t,d,accuracy,.5,{10**26},x\n".encode(), "line 2: n must be"),
    ],
)
def test_a_file_that_is_no_table_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "reference.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as refused:
        reference_rows(path)
    assert words in str(refused.value)
