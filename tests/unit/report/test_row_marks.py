"""What stands beside the names of rows: controls of sweeps, and what nobody says of external images."""

from __future__ import annotations

import dataclasses

from example_boards import boards, classifier
from test_sweep_figures import point, sweep

from dermae_bench.report.export import files, terminal_table
from dermae_bench.report.html import render
from dermae_bench.report.leaderboard import table
from dermae_bench.report.marks import in_words
from dermae_bench.report.swept import CONTROL


def test_a_control_of_a_sweep_says_that_it_is_one() -> None:
    other = point("vit-b", "none", "1000", "0", 0.7)
    made = boards(*sweep(reals=("500",)), point("augmented", "none", "500", "0", 0.66), other)
    marked = {line.info.row for line in table(made, "classifiers").lines if CONTROL in line.info.marks}
    # the first point of a curve is none, and without generated images beside as many real ones nothing is controlled
    assert marked == {"augmented | 500-none-0 | malignancy"}
    assert f"| augmented ({CONTROL}) |" in files(made)["classifiers.md"]
    assert f'<span class="mark">{CONTROL}</span>' in render(made)
    text = terminal_table(made, "classifiers", 160)
    assert "augmented [a]" in text and f"[a] {CONTROL}" in text
    assert CONTROL not in files(boards(classifier("a", "t", 0.5)))["classifiers.md"]


def test_what_nobody_declares_is_a_sentence_and_told_once_for_all_test_sets() -> None:
    told = "val, test: nobody says what external-images was trained on"
    marks = ("derived from t", "val: not declared: external-images", "test: not declared: external-images")
    assert in_words(marks) == ("derived from t", told)
    assert in_words(("ddi: not declared: a", "leaky: by image")) == (
        "ddi: nobody says what a was trained on", "leaky: by image",
    )  # fmt: skip
    info, records = classifier("a", "t", 0.5)
    made = boards((dataclasses.replace(info, marks=marks), records))
    assert f"[b] {told}" in terminal_table(made, "classifiers", 120).splitlines()
    assert "not declared" not in files(made)["classifiers.md"]
