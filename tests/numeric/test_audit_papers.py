"""The audit of the published tables gives what was worked out by hand for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dermae_bench.report.audit.audit import Audit, audit
from dermae_bench.report.audit.averages import verdict
from dermae_bench.report.audit.counts import fitting
from dermae_bench.report.audit.printed import read_printed
from dermae_bench.report.audit.table import read_paper_table
from dermae_bench.report.audit.testset import TestSet
from dermae_bench.report.reference import reference_rows

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
OFFICIAL = TestSet(1512, (1205, 307))
VALIDATION = TestSet(2003, (1612, 391))


@pytest.fixture(scope="module")
def dermae() -> Audit:
    table = read_paper_table(REFERENCE / "dermae_table1.csv")
    sizes = [("malignancy", OFFICIAL.counts), ("malignancy", VALIDATION.counts),
             ("diagnosis", (909, 171, 93, 43, 217, 44, 35))]  # fmt: skip
    return audit(table, [2003], sizes)


@pytest.fixture(scope="module")
def class_n_diff() -> Audit:
    return audit(read_paper_table(REFERENCE / "class_n_diff_table3.csv"))


def averages_of(result: Audit, test_set: TestSet) -> dict[str, set[str]]:
    """`accuracy/F1` -> averages that are exact or near."""
    return {
        f"{item.entry.cells['accuracy'].printed.text}/{item.entry.cells['f1'].printed.text}": {
            name.removeprefix("f1-") for name, fit in item.averages[test_set].items() if fit.fits
        }
        for item in result.checked
        if test_set in item.averages
    }


# -- DerMAE, Table 1 ---------------------------------------------------------------------------------------------


def test_of_24_accuracies_4_are_counts_of_1512_and_8_of_2003(dermae: Audit) -> None:
    own = dermae.pools[0]
    assert len(own.cells) == 24  # the two of another paper stand apart
    tried = {item.n: item for item in own.tried}
    assert tried[1512].hits["rounded"] == 4
    assert tried[2003].hits["rounded"] == 8
    assert tried[1512].chance["rounded"] == pytest.approx(1513 / 10001)
    assert tried[2003].chance["rounded"] == pytest.approx(2004 / 10001)
    # exact binomial tails: as many would fit by chance
    assert tried[1512].p["rounded"] == pytest.approx(0.502, abs=0.001)
    assert tried[2003].p["rounded"] == pytest.approx(0.0900, abs=0.001)
    assert tried[1512].refuted and tried[2003].refuted


def test_no_size_below_5000_explains_all(dermae: Audit) -> None:
    # With an upper end that truncation does not reach (0.6579 <= k / n < 0.6580) the least is 7,736. 5,000 is what a
    # closed interval gives: 3,290 / 5,000 is 0.6580 and would have to be cut off to 0.6579.
    assert dermae.pools[0].smallest == {"rounded": 7916, "truncated": 7736}
    printed = read_printed("0.6579", percent=False, share=True)
    assert not fitting(printed, 5000, "truncated")
    assert 3290 / 5000 == 0.658


@pytest.mark.parametrize(
    ("pair", "averages"),
    [
        ("0.7612/0.4043", set()),
        ("0.7225/0.3209", {"positive"}),
        ("0.8050/0.7563", {"macro", "weighted"}),
        ("0.8157/0.7330", {"macro"}),
        ("0.8152/0.7361", {"macro"}),
        ("0.7952/0.7506", {"macro", "weighted"}),
        ("0.8715/0.8715", {"weighted", "micro"}),
        ("0.8512/0.8361", {"weighted"}),
        ("0.8782/0.8797", {"weighted"}),
        ("0.8278/0.7887", {"macro", "weighted"}),
        ("0.9051/0.9010", {"weighted"}),
    ],
)
def test_f1_averages_row_by_row(dermae: Audit, pair: str, averages: set[str]) -> None:
    assert averages_of(dermae, OFFICIAL)[pair] == averages


def test_first_baseline_is_positive_f1_on_the_validation_images(dermae: Audit) -> None:
    assert averages_of(dermae, VALIDATION)["0.7612/0.4043"] == {"positive"}


def test_mixed_averages_are_proved(dermae: Audit) -> None:
    says = [item.says for item in dermae.findings if item.kind == "average" and item.grade == "proved"]
    assert any("mixes averages" in text and "1205 negative" in text for text in says)
    by_pair = {item.entry.cells["f1"].printed.text: verdict(item.averages[OFFICIAL]) for item in dermae.checked
               if OFFICIAL in item.averages}  # fmt: skip
    assert by_pair["0.3209"] == ("proved", "only positive is in range")
    assert by_pair["0.7330"] == ("proved", "only macro is in range")
    assert by_pair["0.8797"] == ("proved", "only weighted is in range")


def test_baselines_fit_no_average_of_a_balanced_test_set(dermae: Audit) -> None:
    balanced = audit(dermae.table, (), [("malignancy", (756, 756))])
    found = averages_of(balanced, TestSet(1512, (756, 756)))
    assert found["0.7612/0.4043"] == set() and found["0.7225/0.3209"] == set()


def test_copied_pair_is_likely_and_the_single_repeat_is_not(dermae: Audit) -> None:
    copies = [item for item in dermae.findings if item.kind == "copy"]
    likely = [item for item in copies if item.grade == "likely"]
    assert len(likely) == 1
    assert likely[0].lines == (42, 43, 46, 47)
    assert "0.8278" in likely[0].says and "0.7887" in likely[0].says and "differ" in likely[0].says
    weak = [item for item in copies if item.grade == "cannot be told"]
    assert len(weak) == 1 and "0.7563 (lines 13, 49)" in weak[0].says


def test_rows_1_2_and_8_do_not_beat_the_all_benign_answer(dermae: Audit) -> None:
    below = next(item for item in dermae.findings if item.kind == "baseline" and item.says.startswith("accuracy: "))
    assert below.grade == "proved"
    assert {entry.system for entry, _ in below.cells} == {"vit-l | train", "vit-b | train", "vit-b | balanced"}
    best = next(item for item in dermae.checked if OFFICIAL in item.baselines).baselines[OFFICIAL]["accuracy"]
    assert best.value == pytest.approx(0.797, abs=5e-4)


# -- Class-N-Diff, Tables II and III -----------------------------------------------------------------------------

IMPLIED = {  # true positives and balanced accuracy of settings 1, 2, 3
    "DDI_all": ((19, 15, 5), (0.521, 0.523, 0.503)),
    "DDI_A": ((4, 4, 0), (0.522, 0.531, 0.494)),
    "DDI_B": ((10, 6, 2), (0.532, 0.520, 0.508)),
    "DDI_C": ((5, 5, 3), (0.502, 0.521, 0.509)),
    "ISIC-2018": ((12, 14, 20), (0.528, 0.530, 0.551)),
    "AtlasDerm": ((48, 47, 45), (0.571, 0.575, 0.584)),
    "AtlasClinic": ((10, 15, 8), (0.511, 0.525, 0.514)),
    "MClassDerm": ((4, 3, 3), (0.594, 0.569, 0.575)),
    "MClassClinic": ((4, 5, 2), (0.600, 0.613, 0.550)),
}
MAJORITY = {"DDI_all": 0.739, "DDI_A": 0.764, "DDI_B": 0.693, "DDI_C": 0.768, "ISIC-2018": 0.887, "AtlasDerm": 0.751,
            "AtlasClinic": 0.751, "MClassDerm": 0.8, "MClassClinic": 0.8}  # fmt: skip


@pytest.mark.parametrize("name", IMPLIED)
def test_implied_true_positives_and_balanced_accuracy(class_n_diff: Audit, name: str) -> None:
    rows = [item for item in class_n_diff.checked if item.entry.task.endswith(f" on {name}")]
    assert len(rows) == 3
    for item, tp, balanced in zip(rows, *IMPLIED[name], strict=True):
        (test_set,) = item.sets
        implied = item.matched[test_set].implied
        assert implied is not None and not item.matched[test_set].clashes
        assert implied.tp == (tp, tp)
        # at 1,512 images two counts give a printed accuracy, so the balanced accuracy is a range
        low, high = implied.balanced_accuracy
        assert low - 5e-4 <= balanced <= high + 5e-4
        assert high - low < 5e-4
        assert item.baselines[test_set]["accuracy"].value == pytest.approx(MAJORITY[name], abs=5e-4)


def test_accuracies_at_the_majority_rate(class_n_diff: Audit) -> None:
    below = next(item for item in class_n_diff.findings if item.kind == "baseline" and item.grade == "proved")
    lines = {(entry.task.rpartition(" ")[2], entry.system[-1]) for entry, _ in below.cells}
    assert {("DDI_all", setting) for setting in "123"} <= lines  # below 73.9 % in all three
    assert ("DDI_B", "3") in lines  # 167 of 241, as many as are benign
    assert ("ISIC-2018", "1") in lines and ("ISIC-2018", "2") in lines and ("ISIC-2018", "3") not in lines
    assert not [item for item in class_n_diff.findings if item.kind != "baseline" and item.grade == "proved"]


@pytest.mark.parametrize("name", ["class_n_diff_table2", "class_n_diff_table3", "dermaflux", "dermae_table1"])
def test_tables_are_references_for_a_suite_too(name: str) -> None:
    path = REFERENCE / f"{name}.csv"
    _, records, _ = reference_rows(path)
    table = read_paper_table(path)
    assert len(records) == sum(len(entry.cells) for entry in table.entries) > 10
