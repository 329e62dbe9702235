"""Which equal numbers of a table are called copied, and which are chance, round or equal by definition."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from dermae_bench.report.audit.audit import Audit, audit
from dermae_bench.report.audit.findings import Finding
from dermae_bench.report.audit.matrices import allowed
from dermae_bench.report.audit.table import read_paper_table


def audited(folder: Path, text: str) -> Audit:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return audit(read_paper_table(path))


def copies(result: Audit) -> list[Finding]:
    return [item for item in result.findings if item.kind == "copy"]


def test_an_exactly_copied_row_of_a_large_table_is_likely(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = [f"s{i},{a:.4f},{b:.4f},{c:.4f}" for i, (a, b, c) in enumerate(rng.uniform(0.6, 0.9, (10, 3)))]
    head = "system,accuracy,auc,sensitivity\n"
    assert not [item for item in audited(tmp_path, head + "\n".join(rows)).findings if item.kind == "copy"]
    copied = ",".join(["s9", *rows[2].split(",")[1:3], "0.7001"])
    (finding,) = [item for item in audited(tmp_path, head + "\n".join([*rows[:9], copied])).findings
                  if item.kind == "copy"]  # fmt: skip
    assert finding.grade == "likely" and finding.lines == (4, 11) and "sensitivity differ" in finding.says


def test_equal_numbers_of_one_row_are_no_copies(tmp_path: Path) -> None:
    # accuracy, sensitivity, specificity and balanced accuracy are equal by definition here, F1-micro always
    head = "system,accuracy,f1-micro,sensitivity,specificity,balanced-accuracy\n"
    rows = [f"s{i}" + f",{value:.4f}" * 5 for i, value in enumerate((0.9137, 0.8742, 0.9318, 0.8911, 0.9053, 0.9246))]
    assert copies(audited(tmp_path, head + "\n".join(rows))) == []


def test_round_numbers_are_no_evidence(tmp_path: Path) -> None:
    text = (
        "system,accuracy,f1,sensitivity,specificity,balanced-accuracy\n"
        "a,0.9500,,0.8000,0.9000,\nb,0.9000,,0.9000,0.9000,0.9500\nc,0.8000,0.9500,,,\n"
        "d,0.9000,0.8182,0.9000,0.9000,0.9000\ne,0.1235,,,,\n"
    )
    assert "likely" not in {item.grade for item in copies(audited(tmp_path, text))}
    # the same with digits that were measured
    rng = np.random.default_rng(5)
    rows = [[f"{value:.4f}" for value in row] for row in rng.uniform(0.6, 0.9, (8, 2))]
    rows[1], rows[6] = ["0.8000", "0.7000"], ["0.8000", "0.7000"]
    lines = [f"s{i},{','.join(row)}" for i, row in enumerate(rows)]
    (finding,) = copies(audited(tmp_path, "system,accuracy,auc\n" + "\n".join(lines)))
    assert finding.grade == "cannot be told"
    text = "\n".join(lines).replace("0.8000,0.7000", "0.8137,0.7241")
    (finding,) = copies(audited(tmp_path, "system,accuracy,auc\n" + text))
    assert finding.grade == "likely"


def test_narrow_columns_repeat_values_by_chance(tmp_path: Path) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        rows = [f"s{i},{rng.uniform(0.90, 0.92):.3f},{rng.uniform(0.1, 0.9):.3f}" for i in range(25)]
        found = copies(audited(tmp_path, "system,accuracy,sensitivity\n" + "\n".join(rows)))
        assert found and "likely" not in {item.grade for item in found}


def test_a_copied_row_is_likely_although_its_numbers_follow_from_each_other(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    rows = []
    for tp, tn in zip(rng.integers(70, 140, 12), rng.integers(200, 390, 12), strict=True):
        exact = allowed(401, 151, {"sensitivity": (tp / 151,) * 2, "specificity": (tn / 401,) * 2})
        assert exact is not None
        metrics = ("accuracy", "sensitivity", "specificity", "balanced-accuracy", "f1-macro")
        rows.append(",".join(f"{exact.values(metric)[0]:.4f}" for metric in metrics))
    rows[9] = rows[2]
    head = "system,n,positives,accuracy,sensitivity,specificity,balanced-accuracy,f1-macro\n"
    found = copies(audited(tmp_path, head + "\n".join(f"s{i},552,151,{row}" for i, row in enumerate(rows))))
    assert [item.lines for item in found if item.grade == "likely"] == [(4, 11)]


def test_no_probability_is_zero(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    rows = [",".join(f"{value:.9f}" for value in row) for row in rng.uniform(0, 1, (12, 3))]
    rows[5] = rows[4]
    rows[7] = ",".join(rows[3].split(",")[:1] + rows[7].split(",")[1:])
    found = copies(audited(tmp_path, "system,accuracy,auc,npv\n" + "\n".join(f"s{i},{r}" for i, r in enumerate(rows))))
    assert [item.grade for item in found] == ["likely", "likely"]
    assert all(re.search(r"probability (by chance )?(below 1e-06|[\d.e-]*[1-9])", item.says) for item in found)
    assert "below 1e-06" in found[0].says
