"""The auditor on tables made from true confusion matrices, and on the same with something planted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from dermae_bench.commands.auditing import audit_table
from dermae_bench.errors import DataError, DataMissing, UserError
from dermae_bench.report.audit.audit import Audit, audit
from dermae_bench.report.audit.averages import verdict
from dermae_bench.report.audit.findings import Finding
from dermae_bench.report.audit.matrices import allowed
from dermae_bench.report.audit.printed import HOWS
from dermae_bench.report.audit.table import read_paper_table


def written(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def audited(
    folder: Path, text: str, sizes: Sequence[int] = (), classes: Sequence[tuple[str, tuple[int, ...]]] = ()
) -> Audit:
    return audit(read_paper_table(written(folder, text)), sizes, classes)


def proved(result: Audit) -> list[Finding]:
    """Contradictions: being below a baseline is proved of honest tables, too."""
    return [item for item in result.findings if item.grade == "proved" and item.kind != "baseline"]


# -- honest tables -----------------------------------------------------------------------------------------------

STATED = ("accuracy", "balanced-accuracy", "sensitivity", "specificity", "precision", "npv", "f1-macro", "f1-weighted",
          "f1-positive")  # fmt: skip


def true_table(rng: np.random.Generator, how: str) -> tuple[str, list[tuple[str, tuple[int, ...]]], dict[str, str]]:
    """A table of random classifiers on random scores, its class sizes, and the first row."""
    negatives, positives = (int(n) for n in rng.integers(5, 400, 2))
    digits, per_cent = int(rng.integers(2, 5)), bool(rng.integers(2))
    average = str(rng.choice(["f1-macro", "f1-weighted", "f1-positive", "f1-micro", "f1-negative"]))
    rows = []
    for index in range(6):
        shift, cut = rng.normal(0.8, 0.7), rng.normal(0, 1)
        # coarse scores have ties, which an AUC counts as halves
        low, high = np.round(rng.normal(0, 1, negatives), 1), np.round(rng.normal(shift, 1, positives), 1)
        tp, tn = int((high > cut).sum()), int((low <= cut).sum())
        exact = allowed(
            negatives, positives, {"sensitivity": (tp / positives,) * 2, "specificity": (tn / negatives,) * 2}
        )
        assert exact is not None
        values = {metric: float(exact.values(metric)[0]) for metric in (*STATED, average)}
        above = (high[:, None] > low).sum() + 0.5 * (high[:, None] == low).sum()
        values |= {"f1": values[average], "auc": above / (negatives * positives)}
        row = {"system": f"s{index}"}
        for metric in (*STATED, "f1", "auc"):
            value = 0.0 if np.isnan(values[metric]) else values[metric]
            scaled = value * 100 if per_cent else value
            shown = digits - 2 if per_cent else digits
            text = f"{scaled:.{shown}f}" if how == "rounded" else f"{int(scaled * 10**shown) / 10**shown:.{shown}f}"
            row[f"{metric} (%)" if per_cent else metric] = "n/a" if np.isnan(values[metric]) else text
        rows.append(row)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue(), [("", (negatives, positives))], rows[0]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_proved_against_a_true_table(tmp_path: Path, seed: int, how: str) -> None:
    text, classes, _ = true_table(np.random.default_rng(seed), how)
    result = audited(tmp_path, text, (), classes)
    assert [item.says for item in proved(result)] == []
    assert all(tried.n == sum(classes[0][1]) and not tried.refuted for pool in result.pools for tried in pool.tried)


@pytest.mark.slow
@pytest.mark.parametrize("how", HOWS)
def test_nothing_is_proved_against_many_true_tables(tmp_path: Path, how: str) -> None:
    for seed in range(100, 220):
        text, classes, _ = true_table(np.random.default_rng(seed), how)
        assert [item.says for item in proved(audited(tmp_path, text, (), classes))] == [], seed


# -- planted faults ----------------------------------------------------------------------------------------------


def test_a_wrong_digit_is_found(tmp_path: Path) -> None:
    honest = "system,n,positives,accuracy,sensitivity,specificity\nA,207,48,0.715,0.104,0.899\n"
    assert proved(audited(tmp_path, honest)) == []
    (finding,) = proved(audited(tmp_path, honest.replace("0.104", "0.114")))
    assert "sensitivity 0.114 is no count of 48: next to it lie 5/48 = 0.104 and 6/48 = 0.125" in finding.says
    (finding,) = proved(audited(tmp_path, honest.replace("0.715", "0.717")))
    assert finding.kind == "size" and "0.717" in finding.says
    (finding,) = proved(
        audited(tmp_path, honest.replace("0.899", "0.906"))
    )  # 144 of 159 is a count, but does not agree
    assert finding.kind == "impossible" and "together" in finding.says and "specificity lies in 0.8994" in finding.says


def test_an_f1_beyond_the_accuracy_is_impossible(tmp_path: Path) -> None:
    (finding,) = proved(audited(tmp_path, "system,n,positives,accuracy,f1-positive\nA,1512,307,0.8512,0.8361\n"))
    assert "f1-positive" in finding.says and finding.lines == (2,)
    # also where the accuracy is no count
    findings = proved(audited(tmp_path, "system,n,positives,accuracy,f1-positive\nA,1512,307,0.8715,0.8715\n"))
    assert {item.kind for item in findings} == {"size", "impossible"}


def test_an_auc_that_no_curve_through_the_operating_point_has(tmp_path: Path) -> None:
    text = "system,n,positives,auc,sensitivity,specificity\nA,200,100,{},0.95,0.90\n"
    assert proved(audited(tmp_path, text.format("0.900"))) == []
    (finding,) = proved(audited(tmp_path, text.format("0.840")))  # at least 0.95 x 0.90 = 0.855
    assert "A6" in finding.assuming and "0.8550-0.9950" in finding.says
    (finding,) = proved(audited(tmp_path, text.format("0.999")))
    assert "0.999" in finding.says


def test_mixed_averages_are_found_and_a_single_one_is_not(tmp_path: Path) -> None:
    # positive 0.4, macro 0.6667 of one matrix at 300 + 50: tp 20, tn 270
    exact = allowed(300, 50, {"sensitivity": (0.4, 0.4), "specificity": (0.9, 0.9)})
    assert exact is not None
    one, two = (f"{exact.values(name)[0]:.4f}" for name in ("f1-positive", "f1-macro"))
    accuracy = f"{290 / 350:.4f}"
    head = "system,n,positives,accuracy,f1\n"
    mixed = audited(tmp_path, f"{head}A,350,50,{accuracy},{one}\nB,350,50,{accuracy},{two}\n")
    assert [item.kind for item in proved(mixed)] == ["average"] and "mixes averages" in proved(mixed)[0].says
    assert proved(audited(tmp_path, f"{head}A,350,50,{accuracy},{one}\nB,350,50,{accuracy},{one}\n")) == []


# accuracy, sensitivity and specificity 0.9 of 800 + 200: TP 180, TN 720, F1 0.7826, 0.8588, 0.9046, 0.9000, 0.9351
PINNED = "system,n,positives,accuracy,f1,sensitivity,specificity\nA,1000,200,0.9000,{},0.9000,0.9000\n"


@pytest.mark.parametrize("f1", ["0.7826", "0.8588", "0.9046", "0.9000", "0.9351", "0.9350"])
def test_an_f1_of_the_implied_matrix_is_possible(tmp_path: Path, f1: str) -> None:
    result = audited(tmp_path, PINNED.format(f1))
    assert proved(result) == []
    (known,) = [item.implied for item in result.checked[0].matched.values()]
    assert known is not None and (known.tp, known.tn) == ((180, 180), (720, 720))


def test_an_f1_that_the_accuracy_allows_and_the_row_does_not(tmp_path: Path) -> None:
    result = audited(tmp_path, PINNED.format("0.8543"))
    (finding,) = proved(result)
    assert finding.kind == "impossible" and finding.assuming == ("A1", "A3", "A4", "A5")
    assert "positive 0.7826, macro 0.8588, weighted 0.9046, micro 0.9000, negative 0.9351" in finding.says
    ((test_set, pair),) = result.checked[0].averages.items()
    assert verdict(pair) == ("proved", "none: wrong test set or an error")
    assert result.checked[0].matched[test_set].implied is None
    # the accuracy alone leaves macro, and sensitivity with specificity leave nothing, too
    alone = audited(tmp_path, "system,n,positives,accuracy,f1\nA,1000,200,0.9000,0.8543\n")
    assert proved(alone) == [] and verdict(alone.checked[0].averages[test_set])[1] == "only macro is in range"
    without = audited(tmp_path, "system,n,positives,sensitivity,specificity,f1\nA,1000,200,.9000,.9000,.8543\n")
    assert [item.kind for item in proved(without)] == ["impossible"]


def test_means_over_runs_leave_the_average_open(tmp_path: Path) -> None:
    text = "system,n,positives,accuracy,sensitivity,specificity,f1\nA,207,48,0.7157,0.1061,0.8997,{}\n"
    (pair,) = audited(tmp_path, text.format("0.5123")).checked[0].averages.values()
    assert verdict(pair) == ("likely", "none: another test set, a mean or an error")
    (pair,) = audited(tmp_path, text.format("0.9323")).checked[0].averages.values()
    assert verdict(pair)[0] == "proved"  # beyond what the accuracy allows


def test_numbers_that_clash_leave_the_average_open(tmp_path: Path) -> None:
    result = audited(tmp_path, "system,n,positives,accuracy,precision,npv,f1\nA,1000,200,0.9000,0.7000,0.9500,0.8543\n")
    assert ["npv" in item.says for item in proved(result)] == [True]
    assert [verdict(pair)[0] for pair in result.checked[0].averages.values()] == ["cannot be told"]


def test_one_impossible_row_is_no_mixture(tmp_path: Path) -> None:
    exact = allowed(300, 50, {"sensitivity": (0.4, 0.4), "specificity": (0.9, 0.9)})
    assert exact is not None
    row = f"{290 / 350:.4f},{exact.values('f1-positive')[0]:.4f}"
    text = f"system,n,positives,accuracy,f1\nA,350,50,{row}\nB,350,50,{row}\nC,350,50,0.8286,0.9999\n"
    told = [item.says for item in proved(audited(tmp_path, text))]
    assert told and not any("mixes" in says for says in told)


def test_f1_micro_is_the_accuracy_with_any_classes(tmp_path: Path) -> None:
    text = "system,classes,accuracy,f1-micro,f1-macro\nA,100;50;30,0.8000,{},0.7000\n"
    assert [
        item.assuming for item in proved(audited(tmp_path, text.format("0.8100"))) if item.kind == "impossible"
    ] == [("A1", "A9")]
    assert proved(audited(tmp_path, text.format("0.8000"))) == []
    (finding,) = proved(audited(tmp_path, "system,accuracy,f1-micro\nA,0.80,0.82\n"))
    assert "f1-micro 0.82 is not the accuracy 0.80" in finding.says


def test_without_sizes_nothing_is_proved(tmp_path: Path) -> None:
    result = audited(tmp_path, "system,accuracy,f1,fid\nA,0.8278,0.7887,3.2\nB,91.2 %,0.9,2.1\n")
    assert proved(result) == [] and result.table.others == ("fid",)


# -- reading -----------------------------------------------------------------------------------------------------


def test_every_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    text = (
        "system,n,positives,accuracyy,auc\n"
        "A,100,20,0.8,0.9\n"
        "A,100,20,0.8,0.9\n"
        "B,100,200,0.8,1.9\n"
        ",ten,,0.8,abc\n"
        "C,100,20,0.8\n"
        "D,,5,0.8,82.78\n"
    )
    with pytest.raises(DataError) as caught:
        read_paper_table(written(tmp_path, text))
    told = str(caught.value)
    for part in ("line 1: unknown metric 'accuracyy'; did you mean 'accuracy'?", "line 3: 'A' stands on line 2 already",
                 "line 4: 200 positives of 100 images", "line 4: auc: '1.9' is not between 0 and 1",
                 "line 5: the system has no name", "line 5: n must be a number of images",
                 "line 5: auc: 'abc' is no plain", "line 6: 4 cells instead of 5",
                 "line 7: positives without n", "82.78 %"):  # fmt: skip
        assert part in told, part
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "content",
    [b"", b"system,accuracy\n", b"a,b\n1,2\n", b"\xff\xfe", b"system,accuracy\nA,0.\x001\n", b"system,system\nA,B\n",
     b'system,accuracy\nA,"0.1\n', b"metric,value\naccuracy,0.1\n", b"system,accuracy\nA,-\n",
     b"system,auc,roc-auc\nA,.1,.2\n"],
)  # fmt: skip
def test_files_that_are_no_table(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_paper_table(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataMissing):
        read_paper_table(tmp_path / "none.csv")


def test_digits_and_percentages_are_kept(tmp_path: Path) -> None:
    text = "system,test_set,DDI: accuracy (%),f1-score,note\nA,x,82.70,.750,hello\nB,x,-,71 %,\n"
    table = read_paper_table(written(tmp_path, text))
    by_task = {(entry.system, entry.task): entry.cells for entry in table.entries}
    accuracy = by_task["A", "DDI on x"]["accuracy"].printed
    assert (accuracy.steps, accuracy.places) == (8270, 4)
    assert (by_task["A", "x"]["f1"].printed.places, by_task["B", "x"]["f1"].printed.value) == (3, 0.71)
    assert ("B", "DDI on x") not in by_task


# -- the command -------------------------------------------------------------------------------------------------


def test_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    path = written(tmp_path, "system,accuracy,f1\n=A|x,0.8715,0.8715\nB\x1b[2J,0.7225,0.3209\n")
    out = tmp_path / "audit.md"
    assert audit_table(path, sizes=[2003], classes=["1205,307"], out=out) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told and "PROVED" in told and "0 of 2 fit rounded" in told
    assert "=A\\|x" in out.read_text()
    assert audit_table(path, classes=["1205,307"], form="json") == 0
    read = json.loads(capsys.readouterr().out)
    assert read["sizes"][0]["tried"][0]["n"] == 1512
    assert {item["grade"] for item in read["findings"]} <= {"proved", "likely", "cannot be told"}
    assert audit_table(path, classes=["1205,307"], form="csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 4 and rows[0]["system"] == "'=A|x" and "1512 images" in rows[1]["f1_average"]


def test_wrong_flags(tmp_path: Path) -> None:
    path = written(tmp_path, "system,malignancy: accuracy\nA,0.9\n")
    with pytest.raises(UserError, match="no list of class sizes"):
        audit_table(path, classes=["malignancy=5"])
    with pytest.raises(UserError, match="malignanci") as caught:
        audit_table(path, classes=["malignanci=5,6"])
    assert "did you mean 'malignancy'?" in str(caught.value)
