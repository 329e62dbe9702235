"""What stands under a leaderboard: why numbers are missing, which ones show nothing, why rows were not asked."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from example_boards import FRECHET, boards, classifier, generator

from dermae_bench.report.board_file import read_board
from dermae_bench.report.export import files, terminal_table, write
from dermae_bench.report.html import render
from dermae_bench.report.latex import latex_tables
from dermae_bench.report.leaderboard import Boards, Record, RowInfo, table
from dermae_bench.report.records import Board

Part = tuple[RowInfo, list[Record]]
ABSENT = "no image of benign among the true labels; choose a split that has both"


def failed(part: Part, metrics: Sequence[str] = ("f1-macro", "accuracy")) -> Part:
    """The row with some numbers that do not exist."""
    info, records = part
    return info, [
        dataclasses.replace(
            record, value=None, low=None, high=None, status=f"failed: {record.metric} does not exist: {ABSENT}"
        )
        if record.metric in metrics
        else record
        for record in records
    ]


def outputs(made: Boards, board: Board, folder: Path) -> dict[str, str]:
    """Every form of a leaderboard, in one line each."""
    write(made, folder)
    told = {
        "terminal": terminal_table(made, board, 160),
        "md": files(made)[f"{board}.md"],
        "html": render(made),
        "tex": latex_tables(read_board(folder, board), whole=True),
    }
    return {name: " ".join(text.split()) for name, text in told.items()}


def test_a_number_that_does_not_exist_is_a_sign_and_its_reason_stands_once_below(tmp_path: Path) -> None:
    made = boards(failed(classifier("a", "t", 0.5)), failed(classifier("b", "t", 0.6)))
    for name, text in outputs(made, "classifiers", tmp_path).items():
        assert f"f1-macro, accuracy of all rows: {ABSENT}" in text.replace("{-}", "-").replace("{,}", ","), name
        assert "does not exist" not in text or name == "html"
    lines = terminal_table(made, "classifiers", 120).splitlines()
    assert lines[2].split() == ["-", "a", "train", "!", "!"]
    assert [line for line in lines if line.startswith("! ")] == [f"! f1-macro, accuracy of all rows: {ABSENT}"]
    page = files(made)["classifiers.md"]
    assert "|  | a | train | ! | ! |" in page and page.count(ABSENT) == 1 and "| no number (!) |" in page
    assert re.search(rf'<td class="num none" title="failed: f1-macro does not exist: {ABSENT}">!</td>', render(made))
    assert "<td" in render(made) and '<td class="failed">no number (!)</td>' in render(made)
    tex = outputs(made, "classifiers", tmp_path)["tex"]
    assert "a & train & ! & !" in tex


def test_only_what_lacks_a_number_is_named_and_the_rest_of_its_row_stays(tmp_path: Path) -> None:
    one = boards(failed(classifier("a", "t", 0.5), ["accuracy"]), classifier("b", "t", 0.6))
    for text in outputs(one, "classifiers", tmp_path).values():
        assert f"accuracy of a / train: {ABSENT}" in text and "no number (!)" not in text
    many = [failed(classifier(f"c{number}", "t", 0.5), ["accuracy"]) for number in range(4)]
    assert f"accuracy of 4 rows: {ABSENT}" in terminal_table(
        boards(*many, classifier("b", "t", 0.6)), "classifiers", 99
    )
    # a row that failed or waits as a whole has a line of its own
    whole = boards(
        classifier("a", "t", None, status="failed", reason="diverged"),
        classifier("w", "t", None, status="pending"),
        classifier("b", "t", 0.6),
    )
    page = files(whole)["classifiers.md"]
    assert "`!`" not in page and "| ! |" not in page
    told = [line for line in terminal_table(whole, "classifiers", 99).splitlines() if line.startswith("! ")]
    assert told == ["! a / train: failed: diverged", "! w / train: pending"]


def floor(value: float, name: str = "majority class", **more: object) -> Part:
    return classifier(name, "t", value, kind="floor", half=None, **more)


SHOWS = "this number alone does not show that anything was learnt"


@pytest.mark.parametrize(("value", "marked"), [(0.4, True), (0.5, True), (0.501, False)])
def test_a_number_that_a_floor_reaches_is_marked_and_is_not_the_best(
    tmp_path: Path, value: float, marked: bool
) -> None:
    made = boards(classifier("a", "t", value), floor(0.5))
    (line, _) = table(made, "classifiers").lines
    cell = line.cells["f1-macro"]
    assert (cell.rank, cell.floor) == (1, "majority class" if marked else "")
    told = outputs(made, "classifiers", tmp_path)
    for name, text in told.items():
        assert (SHOWS in text) == marked, name
        assert text.count(SHOWS) <= 1
    shown = f"{value:.3f}"
    assert (f"{shown}†" in told["md"]) == marked and (f"**{shown}**" in told["md"]) != marked
    assert (rf"\textbf{{{shown}}}" in told["tex"]) != marked and (rf"{shown}$^{{\dagger}}$" in told["tex"]) == marked
    assert bool(re.search(rf'class="num best"[^>]*>{shown}', told["html"])) != marked
    assert ('<span class="mark">†</span>' in told["html"]) == marked
    assert bool(re.search(rf"{shown} \[[^]]*\] †", told["terminal"])) == marked


def test_what_a_constant_is_good_in_needs_no_better_number() -> None:
    def renamed(part: Part) -> Part:
        info, records = part
        return info, [dataclasses.replace(item, metric="ece", better="lower") for item in records[:1]]

    made = boards(renamed(classifier("a", "t", 0.4)), renamed(floor(0.1)))
    assert table(made, "classifiers").lines[0].cells["ece"].floor == ""


def test_every_floor_of_classifiers_counts_and_of_generators_noise_alone() -> None:
    made = boards(classifier("a", "t", 0.5), floor(0.3), floor(0.6, "random", train="nothing"))
    assert table(made, "classifiers").lines[0].cells["f1-macro"].floor == "random"
    # lower is better there, and real images are no floor that anything must beat
    real = generator("real images", 2.0, kind="floor", sampling="held out: test")
    noise = generator("uniform noise", 1509.0, kind="floor", sampling="")
    made = boards(generator("flow", 1560.0), generator("ddpm", 41.0), real, noise)
    found = {line.info.names["generator"]: line.cells[FRECHET].floor for line in table(made, "generators").lines}
    assert found == {"ddpm": "", "flow": "uniform noise", "real images": "", "uniform noise": ""}


def test_a_floor_over_other_images_says_nothing_and_how_a_row_was_made_is_no_other_measure() -> None:
    made = boards(classifier("a", "t", 0.4, n=299), floor(0.5))
    assert table(made, "classifiers").lines[0].cells["f1-macro"].floor == ""
    made = boards(
        classifier("a", "t", 0.4), classifier("a", "t", 0.4, train="other", identity={"split": {}}), floor(0.5)
    )
    found = {line.info.names["train"]: line.cells["f1-macro"].floor for line in table(made, "classifiers").lines[:2]}
    assert found == {"train": "majority class", "other": ""}
    for how in ({"training": "zero-shot"}, {"reached": "derived from diagnosis"}):
        made = boards(classifier("b", "t", 0.9), classifier("a", "t", 0.4, identity=how), floor(0.5))
        cells = {line.info.names["classifier"]: line.cells["f1-macro"] for line in table(made, "classifiers").lines}
        assert cells["a"].floor == "majority class"


def agreeing(part: Part) -> Part:
    info, (head, *rest) = part
    more = dataclasses.replace(head, metric="class-agreement", better="higher", value=0.25)
    return info, [head, *rest, more]


def counted(part: Part, n: str) -> Part:
    info, records = part
    names = {**info.names, "n": n}
    return dataclasses.replace(info, names=names), [dataclasses.replace(r, names=names) for r in records]


def test_a_row_over_some_of_the_images_is_not_called_unconditional() -> None:
    some = counted(generator("a", 31.0, n=40), "40")
    made = boards(counted(agreeing(generator("a", 30.0, n=100)), "100"), some)
    text = " ".join(terminal_table(made, "generators", 160).split())
    assert "A row over some of a generator's images (its n is smaller) is not asked" in text
    assert "unconditional" not in text and "Noise" not in text
    other = counted(generator("b", 33.0, n=100), "100")
    text = " ".join(
        files(boards(counted(agreeing(generator("a", 30.0, n=100)), "100"), other))["generators.md"].split()
    )
    assert "An unconditional generator has no classes" in text and "A row over some" not in text


def test_what_stands_apart_says_in_words_what_it_is_unlike() -> None:
    others = [classifier(name, "t", 0.5) for name in ("b", "c")]
    for its, words in (
        ({"training": "zero-shot"}, "unlike the ranked rows: zero-shot, not trained here"),
        ({"training": "external"}, "unlike the ranked rows: made elsewhere, not trained here"),
        ({"leaky": True}, "unlike the ranked rows: leaky True, not None"),
    ):
        text = terminal_table(boards(classifier("a", "t", 0.4, identity=its), *others), "classifiers", 120)
        assert f"A: apart, {words}" in text.splitlines()
