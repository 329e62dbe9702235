"""A table does not say whether its digits are rounded or cut off: both readings are shown, and the truth is in one."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from dermae_bench.commands.auditing import audit_table
from dermae_bench.errors import UserError
from dermae_bench.report.audit.audit import audit
from dermae_bench.report.audit.document import sections
from dermae_bench.report.audit.matrices import allowed
from dermae_bench.report.audit.pairs import matched
from dermae_bench.report.audit.printed import HOWS, read_printed
from dermae_bench.report.audit.table import read_paper_table

# TP 156 of 189 and TN 327 of 805, cut off after two digits; then a row that both readings take for one matrix
CUT = (
    "system,n,positives,sensitivity,specificity,balanced-accuracy\n"
    "A,994,189,0.82,0.40,0.61\nB,994,189,0.820,0.406,0.613\n"
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(CUT)
    return path


def test_the_truth_of_a_table_that_is_cut_off_is_shown(table: Path) -> None:
    parts = {section.title: section for section in sections(audit(read_paper_table(table)))}
    implied = parts["Implied confusion matrices"]
    assert implied.grid is not None
    rows = [row[4:7] for row in implied.grid.rows if row[0] == "2"]
    assert rows == [("rounded", "155", "318-326"), ("cut off", "155-156", "322-330")]
    numbers = parts["Numbers"].grid
    assert numbers is not None
    assert [row[5] for row in numbers.rows[:2]] == ["155/189 (cut 155-156)", "318-326/805 (cut 322-330)"]
    # of more digits one count is left, whichever way
    assert [row[5] for row in numbers.rows[3:5]] == ["155/189", "327/805"]
    assert [row[4:7] for row in implied.grid.rows if row[0] == "3"] == [("either", "155", "327")]


def test_both_readings_name_what_they_assume(table: Path) -> None:
    parts = {section.title: section for section in sections(audit(read_paper_table(table)))}
    assert "[A1, A3, A4]" in parts["Implied confusion matrices"].about
    assert "[A1, A2, A4, of one class A3]" in parts["Numbers"].about
    assert {item[:2] for item in parts["Assumptions"].items} >= {"A1", "A2", "A3", "A4"}


def test_other_forms_hold_both_readings(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_table(table, form="json") == 0
    (one, _) = json.loads(capsys.readouterr().out)["entries"]
    found = one["test_sets"][0]["implied_by_reading"]
    assert {how: found[how]["tp"] for how in found} == {"rounded": [155, 155], "truncated": [155, 156]}
    assert one["test_sets"][0]["implied"] == found["rounded"]
    assert audit_table(table, form="csv") == 0
    row = next(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert "rounded: TP 155, " in row["implied"] and "cut off: TP 155 to 156, " in row["implied"]


@pytest.mark.parametrize("how", HOWS)
def test_the_matrix_behind_a_true_row_is_always_in_its_reading(how: str) -> None:
    random = np.random.default_rng(7)
    for _ in range(60):
        negatives, positives = (int(n) for n in random.integers(20, 900, 2))
        tp, tn = int(random.integers(0, positives + 1)), int(random.integers(0, negatives + 1))
        exact = allowed(
            negatives, positives, {"sensitivity": (tp / positives,) * 2, "specificity": (tn / negatives,) * 2}
        )
        assert exact is not None
        cells = {}
        for metric in ("sensitivity", "specificity", "balanced-accuracy"):
            value = float(exact.values(metric)[0])
            text = f"{value:.2f}" if how == "rounded" else f"{int(value * 100 + 1e-9) / 100:.2f}"
            cells[metric] = read_printed(text, percent=False, share=True)
        found = matched(cells, negatives, positives).readings[how]  # type: ignore[index]
        assert found.tp[0] <= tp <= found.tp[1] and found.tn[0] <= tn <= found.tn[1]


def test_what_a_clash_leaves_is_told_over_both_readings() -> None:
    texts = {"sensitivity": "0.82", "specificity": "0.40", "balanced-accuracy": "0.70"}
    cells = {name: read_printed(text, percent=False, share=True) for name, text in texts.items()}
    (clash,) = matched(cells, 805, 189).clashes
    low, high = (float(end) for end in clash.why.rsplit(" ", 1)[1].split("-"))
    assert low <= (156 / 189 + 327 / 805) / 2 <= high


# -- mistakes ------------------------------------------------------------------------------------------------------


def test_a_folder_is_no_table_and_out_makes_none(table: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder, not a table"):
        audit_table(tmp_path)
    for out, why in ((tmp_path / "none" / "audit.md", "there is no folder"), (tmp_path, "is a folder")):
        with pytest.raises(UserError, match=why) as caught:
            audit_table(table, out=out)
        assert caught.value.exit_code == 2
    assert not (tmp_path / "none").exists()
