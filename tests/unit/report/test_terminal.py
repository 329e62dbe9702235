"""A board on the terminal: as wide as it, the rest by name; what signs and columns mean is told under every board."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from example_boards import boards, classifier, example, generator

from dermae_bench.commands import publishing
from dermae_bench.commands.building import Built
from dermae_bench.durable import digest_file
from dermae_bench.report.escape import width_of
from dermae_bench.report.export import files, terminal_table
from dermae_bench.report.records import Boards
from dermae_bench.report.terminal import LONGEST_STATE
from dermae_bench.store.artifacts import Store

METRICS = {"near-copies[x]": "neither", "nearest-ratio[x]": "neither", "class-agreement": "higher"}


def memorising() -> Boards:
    """Two generators and noise; one alone has classes, noise has distances only."""
    parts = []
    for name, lacks in (("a", 0), ("unconditional", 1), ("uniform noise", 3)):
        info, records = generator(name, 30.0, kind="floor" if name == "uniform noise" else "measured")
        told = list(METRICS.items())[: len(METRICS) - lacks]
        more = [dataclasses.replace(records[0], metric=m, better=better, value=0.25) for m, better in told]
        parts.append((info, records + more))
    return boards(*parts)


def test_what_does_not_fit_is_named_in_the_order_of_the_suite() -> None:
    every = [record.metric for record in memorising().records[:5]]
    shown = []
    for width in (80, 120, 160):
        text = terminal_table(memorising(), "generators", width)
        assert max(width_of(line) for line in text.splitlines()) <= width
        one = " ".join(text.split())
        named = one.partition("(also in generators.csv: ")[2].partition(")")[0].split(", ")
        named = [name for name in named if name]
        assert named == every[len(every) - len(named) :] and len(named) < len(every)
        shown.append(len(every) - len(named))
        # the meaning of a column stands where the column stands
        assert ("near-copies: about the stated quantile" in one) == ("near-copies[x]" not in named)
    assert shown == sorted(shown) and shown[0] < shown[-1] == len(every)


def test_what_a_row_cannot_have_is_a_dash_with_a_reason_and_what_failed_is_none() -> None:
    out = files(memorising())
    rows = {line.split(" | ")[1]: line for line in out["generators.md"].splitlines() if line.startswith("| ")}
    assert rows["uniform noise (floor)"].count("| - ") == 3 and rows["unconditional"].count("| - ") == 1
    assert "| - " not in rows["a"]
    for text in (out["generators.md"], out["report.html"], terminal_table(memorising(), "generators", 200)):
        one = " ".join(text.split())
        assert "this row has no such number. An unconditional generator has no classes" in one
        assert "read it beside nearest-ratio" in one
    whole = files(example())
    assert not any("has no such number" in whole[name] for name in ("classifiers.md", "generators.md", "report.html"))
    assert "near-copies" not in whole["generators.md"]
    broken = next(line for line in terminal_table(example(), "classifiers", 200).splitlines() if "broken" in line)
    assert broken.split() == ["-", "broken", "train", "!", "!"]


@pytest.mark.parametrize("width", [80, 123, 200])
@pytest.mark.parametrize("letter", ["x", "word ", "\u76ae", "\x1b", "a\nb"], ids=ascii)
def test_why_a_row_failed_is_told_below_the_table_and_cut_where_it_is_long(width: int, letter: str) -> None:
    reason = (letter * 100_000)[:100_000]
    row = classifier("broken", "diagnosis", None, status="failed", reason=reason)
    whole = classifier("cnn", "diagnosis", 0.6)
    lines = terminal_table(boards(whole, row), "classifiers", width).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("! "))
    told = [lines[first], *itertools.takewhile(lambda line: line.startswith("  "), lines[first + 1 :])]
    assert told[0].startswith("! broken / train: failed:")
    assert all(width_of(line) <= width and line.isprintable() for line in told)
    text = "".join(line.strip() for line in told)
    assert text.endswith("\N{HORIZONTAL ELLIPSIS}")
    # nothing is lost where a line ends, but the blank there
    assert LONGEST_STATE - len(told) <= len(text) <= LONGEST_STATE
    assert "\N{HORIZONTAL ELLIPSIS}" not in text[:-1]
    # the table above is as wide as without it
    assert lines[:2] == terminal_table(boards(whole), "classifiers", width).splitlines()[:2]


def test_a_reason_that_is_short_is_told_to_its_end() -> None:
    reason = "a" * (LONGEST_STATE - len("! broken / train: failed: "))
    row = classifier("broken", "diagnosis", None, status="failed", reason=reason)
    told = terminal_table(boards(row), "classifiers", 100)
    assert "".join(told.split()).count("a") > len(reason) and "\N{HORIZONTAL ELLIPSIS}" not in told


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_number_goes_before_what_a_row_is_besides_its_name(width: int) -> None:
    parts = []
    for n, value in (("50", 0.71), ("100", 0.82)):
        info, records = classifier("a-classifier", "diagnosis", value)
        names = {**info.names, "train": f"train-{n} + samples-{n}", "generator": "samples", "real": n, "ratio": "1"}
        row = f"{info.row} {n}"
        told = dataclasses.replace(info, names=names, row=row, protocol="linear-probe", started_from="scratch")
        parts.append((told, [dataclasses.replace(record, names=names, row=row) for record in records]))
    text = terminal_table(boards(*parts), "classifiers", width)
    assert "0.71" in text and "0.82" in text
    left_out = [name for name in ("generator", "ratio", "real", "protocol") if name not in text.splitlines()[1]]
    # what has no room is named
    assert all(f"{name}" in text.partition("(also in")[2] for name in left_out)
    assert bool(left_out) is (width == 80)


def test_memorisation_has_no_best_no_rank_and_no_arrow() -> None:
    out = files(memorising())
    assert (
        "near-copies\\[x\\] |" in out["generators.md"] and "**0.250**" not in out["generators.md"].split("class-a")[0]
    )
    cells = {row["row"]: row["metrics"] for row in json.loads(out["generators.json"])["rows"]}
    assert all(its["near-copies[x]"]["rank"] is None for its in cells.values())
    assert cells["a | ddim, 50 steps | 500"]["class-agreement"]["rank"] == 1


@pytest.mark.parametrize(("columns", "width"), [("30", 80), ("100", 100), ("500", 200), ("", 160)])
def test_the_width_is_that_of_the_terminal_within_limits(
    monkeypatch: pytest.MonkeyPatch, columns: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.__stdout__", None)
    assert publishing._width() == width


def example_session(place: Path) -> SimpleNamespace:
    """What publishing needs to know of a suite without stages."""
    loaded = SimpleNamespace(path=place / "suite.yaml")
    return SimpleNamespace(loaded=loaded, store=Store(place / "store"), folder=place / "suite", stages=())


def test_a_board_is_made_once_for_each_width(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[int] = []
    state = ["one"]

    def build(session: Any, folder: Path, width: int) -> Built:
        made.append(width)
        (folder / "file").write_text("same")
        text = {"generators": f"board {width}", "classifiers": "", "facts": ""}
        return Built(text=text, digests={"file": digest_file(folder / "file")})

    monkeypatch.setattr(publishing, "build", build)
    monkeypatch.setattr(publishing, "_state", lambda session: state[0])
    session = example_session(tmp_path)
    for columns in ("100", "120", "100", "120", "100"):
        monkeypatch.setenv("COLUMNS", columns)
        publishing.publish(cast("publishing.Session", session), "table")
        assert f"board {columns}" in capsys.readouterr().out
    assert made == [100, 120]
    state[0] = "two"
    for columns in ("100", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        publishing.publish(cast("publishing.Session", session), "table")
    assert made == [100, 120, 100, 120]


def test_a_memo_of_which_any_byte_changed_is_not_believed_and_pipes_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[int] = []

    def build(session: Any, folder: Path, width: int) -> Built:
        made.append(width)
        (folder / "file").write_text("same")
        text = {"generators": "fid 0.615", "classifiers": "", "facts": ""}
        return Built(text=text, digests={"file": digest_file(folder / "file")})

    monkeypatch.setattr(publishing, "build", build)
    monkeypatch.setattr(publishing, "_state", lambda session: "one")
    session = example_session(tmp_path)
    publishing.publish(cast("publishing.Session", session), "table")
    (memo,) = (tmp_path / "store" / "boards").glob("*.json")
    whole = memo.read_bytes()
    assert publishing._unchanged(memo, "one", session.folder)
    for place in range(len(whole)):
        memo.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert publishing._unchanged(memo, "one", session.folder) == {}
    memo.write_bytes(whole.replace(b"0.615", b"0.915"))
    os.mkfifo(session.folder / "pipe")
    capsys.readouterr()
    publishing.publish(cast("publishing.Session", session), "table")
    told = capsys.readouterr()
    assert "0.615" in told.out and "0.915" not in told.out and len(made) == 2
    assert "pipe (it is no file)" in told.err and told.err.count("\n") == 1
    assert publishing._unchanged(memo, "one", session.folder)
