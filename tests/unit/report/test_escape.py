"""Hostile text in every kind of output; paths of the machine in none."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from pathlib import Path

import pytest
from example_boards import CURVE, boards, classifier, generator, inside

from dermae_bench.report.escape import csv_text, fitted, markdown, public, visible, width_of, without_paths
from dermae_bench.report.export import files, terminal_table
from dermae_bench.report.leaderboard import Boards, Curve, Timing

HOSTILE = (
    "<script>window.hacked=1</script>",
    "\"><img src=x onerror=window.hacked=1>",
    "' onmouseover=window.hacked=1 '",
    "=cmd|' /C calc'!A0",
    "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1",
    "a|b|c", "`code` [x](http://example.org) ![y](http://example.org/y.png)", "| --- |",
    "\x1b[31mred\x1b]8;;http://example.org\x07", "\x9b31m", "\u202egnp.exe", "\u2066x\u2069", "\u200b",
    "a\u2028b\u0085c",
    "{{ 7*7 }} {% raw %} {# x #}", "</style><script>window.hacked=1</script>", "--><script>window.hacked=1</script>",
    "%0a", "x" * 10_000, "\ud800", "javascript:window.hacked=1", "data:text/html,<script>window.hacked=1</script>",
)  # fmt: skip
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


def hostile_boards() -> Boards:
    parts = []
    for index, text in enumerate(HOSTILE):
        parts.append(classifier(text, "t", 0.3 + index / 100, marks=(text,), warnings=(text,)))
        parts.append(classifier(text, "t", None, train="other", status="failed", reason=text))
        parts.append(generator(text, 10.0 + index))
    made = boards(*parts, description=HOSTILE[0], environment={text: text for text in HOSTILE}, warnings=HOSTILE)
    timings = tuple(Timing(key=t, kind=t, name=t, seconds=1.0, max_rss_mb=1.0, hardware=t, status=t) for t in HOSTILE)
    curves = tuple(Curve(title=text, series={text: [(0, 1.0), (1, 2.0)]}) for text in HOSTILE)
    counts = {text: {text: {text: 3}} for text in HOSTILE}
    rows = []
    for info in made.rows:
        text = info.names.get("classifier", "x")
        matrix = {
            "seeds": {text: 0},
            "metrics": [text],
            "classes": [text],
            "confusion": [[3]],
            "per_class": {text: [1.0]},
        }
        rows.append(dataclasses.replace(info, confusions=(matrix,)))
    # what stands in a parquet file is never a lone surrogate
    whole = [text for text in HOSTILE if text != "\ud800"]
    values = {text: (0.5 + i / 100, 50, 40) for i, text in enumerate(whole)}
    part = classifier(HOSTILE[0], "t", 0.5, half=None)
    subgroups = [record for text in whole for record in inside(part, text, values)]
    subgroups += inside(part, "site", {text: (None, 50, 40) for text in whole}, reason=HOSTILE[1])
    pairs = [{"generated": text, "training": text, "distance": 1.0, "held_out_distance": 2.0} for text in HOSTILE]
    behind = {
        text: {"reach": 1.5, "expected_near_copies": 0.1, "pairs": pairs, **CURVE["fd-infinity[lite0]"]}
        for text in HOSTILE
    }
    details = {info.row: behind for info in made.rows if info.board == "generators" and info.row.startswith(HOSTILE[0])}
    more = {"subgroups": tuple(subgroups), "details": details, "contamination": (HOSTILE, HOSTILE), "rows": tuple(rows)}
    about = {"suite": HOSTILE[1], "timings": timings, "curves": curves, "class_counts": counts}
    return Boards(**{**vars(made), **about, **more})


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return files(hostile_boards())


def test_no_output_holds_a_control_character(written: dict[str, str]) -> None:
    for name, text in written.items():
        assert not CONTROL.search(text), name
        text.encode()
    for board in ("classifiers", "generators"):
        assert not CONTROL.search(terminal_table(hostile_boards(), board, 200))


def test_no_csv_cell_is_a_formula_and_numbers_stay_numbers(written: dict[str, str]) -> None:
    names = {name for name in written if name.endswith(".csv")}
    assert names > {"subgroups.csv", "contamination.csv", "nearest-pairs.csv", "distance-over-n.csv"}
    for name in names:
        for row in csv.reader(io.StringIO(written[name])):
            for cell in row:
                if not re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", cell):
                    assert not cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d")), (name, cell)
    rows = list(csv.DictReader(io.StringIO(written["classifiers.csv"])))
    assert "'=cmd|' /C calc'!A0" in {row["classifier"] for row in rows}
    assert sum(row["f1-macro"] != "" for row in rows) == len(HOSTILE)


def test_negative_numbers_carry_no_apostrophe() -> None:
    text = files(boards(generator("a", -0.25)))["generators.csv"]
    assert ",-0.25," in text and "'-" not in text


def test_html_holds_no_markup_of_a_name(written: dict[str, str]) -> None:
    page = written["report.html"]
    assert page.count("<script") == 1 and page.count("<style") == 1 and "<img" not in page
    assert not re.search(r"<[^>]*\son\w+\s*=", re.sub(r'"[^"]*"', '""', page))
    assert "&lt;script&gt;window.hacked=1" in page and "{{ 7*7 }}" in page


def test_markdown_tables_keep_their_shape(written: dict[str, str]) -> None:
    for name in ("classifiers.md", "generators.md"):
        lines = [line for line in written[name].splitlines() if line.startswith("|")]
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        assert len(widths) == 1 and len(lines) > len(HOSTILE)
        assert "<" not in written[name] and "://" not in written[name]
        assert not re.search(r"(?<!\\)\]\(", written[name])


def test_tables_of_subgroups_and_contamination_keep_their_shape(written: dict[str, str]) -> None:
    for name in ("subgroups.md", "contamination.md"):
        tables = re.split(r"\n\n", written[name])
        shapes = [
            {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
            for table in tables
            if table.startswith("|")
        ]
        assert shapes and all(len(widths) == 1 for widths in shapes), name
        assert "<" not in written[name] and "://" not in written[name]
        assert not re.search(r"(?<!\\)\]\(", written[name])


def test_json_lines_are_lines_and_hold_the_text_as_it_was(written: dict[str, str]) -> None:
    read = [json.loads(line) for line in written["records.jsonl"].splitlines()]
    assert {record["names"]["classifier"] for record in read if record["board"] == "classifiers"} == set(HOSTILE)
    json.loads(written["classifiers.json"])
    read = json.loads(written["subgroups.json"])
    assert {row["attribute"] for row in read["rows"]} == {*HOSTILE, "site"} - {"\ud800"}


def test_no_output_names_a_folder_of_the_machine(tmp_path: Path) -> None:
    reason = f"FileNotFoundError: no such file: '{tmp_path}/my data/x.csv', see {tmp_path}/log.txt or ../shared/a/b.png"
    made = boards(
        classifier("a", "t", None, status="failed", reason=reason), classifier("b", "t", 0.5, warnings=(reason,)),
        subgroups=tuple(
            inside(classifier("b", "t", 0.5), "site", {reason: (0.5, 20, 20), "x": (None, 20, 20)}, reason=reason)
        ),
        details={"b | train | t": {"m": {"reach": 1, "expected_near_copies": 1, "pairs": [
            {"generated": reason, "training": reason, "distance": 1.0, "held_out_distance": 2.0}]}}},
        contamination=(("name",), (reason,)),
        warnings=(reason,), environment={"prefix": str(tmp_path / "venv"), "deep": [{"x": f"file://{tmp_path}/y"}]},
        timings=(Timing(key="k", kind="train", name="n", seconds=1, max_rss_mb=1, hardware="h", status=reason),),
    )  # fmt: skip
    outputs = {**files(made), "terminal": terminal_table(made, "classifiers", 400)}
    for name, text in outputs.items():
        assert str(tmp_path.parent) not in text and "../" not in text, name
    assert "x.csv" in outputs["classifiers.csv"]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("tf-efficientnet-lite0/blocks3@64", "tf-efficientnet-lite0/blocks3@64"),
        ("1/2 and/or 3", "1/2 and/or 3"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("/home/me/data/x.png is gone", "…/x.png is gone"),
        ("error:/home/me/x.png", "error:…/x.png"),
        ("~/data/me/x", "…/x"),
        ("'/home/my self/a b/x y.png'", "'…/x y.png'"),
        ("../shared/weights/w.pt", "…/w.pt"),
    ],
)
def test_paths_are_cut_to_their_last_part(text: str, cleaned: str) -> None:
    assert without_paths(text) == cleaned
    assert public({"a": [text, 1, None]}) == {"a": [cleaned, 1, None]}
    assert without_paths(cleaned) == cleaned


def test_helpers() -> None:
    assert visible("\x1b[0m\u202e") == "\\x1b[0m\\u202e"
    assert len(visible("x" * 1000)) == 400
    assert csv_text("=1") == "'=1" and csv_text("plain") == "plain"
    assert markdown("a|b<i>") == "a\\|b&lt;i&gt;"
    assert fitted("病変の画像", 6) == "病変… " and width_of("病変") == 4
    assert fitted("ab", 4, right=True) == "  ab"
