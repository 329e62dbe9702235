"""Policies: mistakes with places, verdicts, and how many more lesions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dermae_bench.report.compare.outcome import Comparison, Line, Number, PairResult
from dermae_bench.report.compare.policy import Criteria, Policy, PolicyError, load_policy
from dermae_bench.report.compare.ranges import range_of
from dermae_bench.report.compare.recorded import Row
from dermae_bench.report.compare.sides import Pairing, RowPair
from dermae_bench.report.compare.text import terminal_comparison
from dermae_bench.report.compare.verdicts import MOST_LESIONS, judge, more_lesions, overall

ROW = Row(
    board="classifiers",
    row="vit | train | malignancy",
    names={"task": "malignancy"},
    kind="measured",
    marks=(),
    seeds=1,
)
PAIR = RowPair(a=ROW, b=ROW)


def comparison(*lines: Line) -> Comparison:
    return Comparison(
        folders=("a", "b"),
        pairing=Pairing(pairs=(PAIR,)),
        pairs=(PairResult(pair=PAIR, lines=lines, answers=None),),
        test="sign-flip",
        level=0.95,
        resamples=2000,
        seed=0,
    )


def line(a: float, b: float, low: float | None, high: float | None, better: str = "higher") -> Line:
    return Line(
        metric="m", unit="1", better=better, n=200, lesions=100, low=low, high=high,
        a=Number(value=a, by_seed=(({}, a),), sd=None),
        b=Number(value=b, by_seed=(({}, b),), sd=None, low=b - 0.05, high=b + 0.05),
    )  # fmt: skip


def policy(**words: float) -> Policy:
    return Policy(version=1, metrics={"m": Criteria(**words)})


@pytest.mark.parametrize(
    ("words", "found", "verdict"),
    [
        ({"margin": 0.02}, line(0.8, 0.81, -0.01, 0.03), "GO"),
        ({"margin": 0.0}, line(0.8, 0.81, -0.01, 0.03), "INCONCLUSIVE"),
        ({"margin": 0.02}, line(0.8, 0.7, -0.15, -0.05), "NO-GO"),
        ({"gain": 0.02}, line(0.8, 0.9, 0.05, 0.15), "GO"),
        ({"gain": 0.02}, line(0.8, 0.81, -0.01, 0.03), "INCONCLUSIVE"),
        ({"gain": 0.02}, line(0.8, 0.8, -0.01, 0.01), "NO-GO"),
        ({"margin": 0.02}, line(0.2, 0.21, -0.01, 0.015, "lower"), "GO"),
        ({"margin": 0.02}, line(0.2, 0.3, 0.05, 0.15, "lower"), "NO-GO"),
        ({"gain": 0.02}, line(0.2, 0.1, -0.15, -0.05, "lower"), "GO"),
        ({"gain": 0.02}, line(0.2, 0.21, -0.01, 0.02, "lower"), "NO-GO"),
        ({"at_least": 0.7}, line(0.8, 0.8, None, None), "GO"),
        ({"at_least": 0.9}, line(0.8, 0.8, None, None), "NO-GO"),
        ({"at_most": 0.8}, line(0.8, 0.8, None, None, "lower"), "INCONCLUSIVE"),
        ({"at_most": 0.9}, line(0.8, 0.8, None, None, "lower"), "GO"),
        ({"margin": 0.5}, line(0.8, 0.8, None, None), "INCONCLUSIVE"),
        ({"margin": 0.02, "at_least": 0.9}, line(0.8, 0.81, -0.01, 0.03), "NO-GO"),
        ({"margin": 0.02, "at_least": 0.75}, line(0.8, 0.81, -0.01, 0.03), "GO"),
    ],
)
def test_the_whole_interval_decides(words: dict[str, float], found: Line, verdict: str) -> None:
    assert judge(comparison(found), policy(**words)).verdict == verdict


def test_a_number_that_is_not_there_is_inconclusive() -> None:
    absent = Line(metric="m", unit="1", better="higher", n=None, note="B: failed: out of memory")
    judged = judge(comparison(absent), policy(margin=0.1, at_least=0.1))
    assert [(one.verdict, one.note) for one in judged.judgements] == [
        ("INCONCLUSIVE", "B: failed: out of memory"),
        ("INCONCLUSIVE", "B: failed: out of memory"),
    ]


def test_what_b_does_not_have_is_not_a_go() -> None:
    good = comparison(line(0.8, 0.81, -0.01, 0.03))
    asked = policy(margin=0.02)
    assert judge(good, asked).verdict == "GO"
    lost = replace(good, pairing=replace(good.pairing, only_a=("vit | train | malignancy",)))
    judged = judge(lost, asked)
    assert judged.verdict == "INCONCLUSIVE" and judged.missing == ("vit | train | malignancy: B has no such row",)
    assert judge(lost, replace(asked, tasks=("diagnosis",))).missing == ("m: no row has it",)
    assert judge(replace(good, left_out=("m of vit: only in A",)), asked).verdict == "INCONCLUSIVE"
    assert judge(replace(good, left_out=("other of vit: only in A",)), asked).verdict == "GO"
    everything = replace(asked, metrics={**asked.metrics, "never": Criteria(margin=1.0)})
    assert judge(good, everything).missing == ("never: no row has it",)


def test_other_tasks_are_not_judged() -> None:
    other = replace(policy(margin=0.1), tasks=("diagnosis",))
    assert judge(comparison(line(0.8, 0.8, -0.01, 0.01)), other).judgements == ()
    assert overall([]) == "INCONCLUSIVE"
    assert overall(["GO", "INCONCLUSIVE"]) == "INCONCLUSIVE"
    assert overall(["INCONCLUSIVE", "NO-GO", "GO"]) == "NO-GO"


def test_what_is_left_out_of_other_tasks_is_not_asked() -> None:
    good = comparison(line(0.8, 0.81, -0.01, 0.03))
    asked = replace(policy(margin=0.02), tasks=("malignancy",))
    for row, verdict in {"vit | train | diagnosis": "GO", "vit | train | malignancy": "INCONCLUSIVE"}.items():
        told = f"m of {row}: protocol is 15 bins in A and 10 in B"
        assert judge(replace(good, left_out=(told,)), asked).verdict == verdict


def test_nothing_that_is_asked_is_cut_on_a_narrow_terminal() -> None:
    long = replace(line(0.81234, 0.81, -0.00123, 0.003), metric="specificity-at-95-sensitivity")
    rows = replace(ROW, row="a-classifier-with-a-long-name | balanced-and-more | malignancy")
    pair = RowPair(a=rows, b=replace(rows, row=f"{rows.row}-b"))
    found = comparison(long)
    found = replace(found, pairs=(replace(found.pairs[0], pair=pair), replace(found.pairs[0], pair=PAIR)))
    asked = replace(policy(), metrics={long.metric: Criteria(margin=0.00125, at_least=0.8)})
    narrow = terminal_comparison(found, judge(found, asked), {}, 0, 60).partition("policy: INCONCLUSIVE")[2]
    assert max(map(len, narrow.splitlines())) <= 60
    told = " ".join(narrow.split())
    assert "…" not in told
    for words in ("margin: B - A >= -0.00125", "at_least: B >= 0.8 ", f"INCONCLUSIVE {long.metric}", pair.b.row):
        assert words in told
    assert terminal_comparison(comparison(), judge(comparison(), asked), {}, 0, 60)


def test_four_times_the_lesions_halve_the_interval() -> None:
    # the interval reaches 0.02 down, the threshold is 0.01 away
    assert more_lesions(0.81, 0.79, 0.83, 0.80, 100) == 300
    assert more_lesions(0.79, 0.77, 0.81, 0.80, 100) == 300
    assert more_lesions(0.8, 0.79, 0.81, 0.8, 100) is None
    assert more_lesions(0.8, 0.7, 0.9, 0.8 - 1e-9, 100) == MOST_LESIONS
    assert more_lesions(0.81, 0.79, 0.83, 0.80, None) is None


BROKEN = """\
version: 2
metrics:
  accuracy: {margin: -0.1}
  brier: {at_mots: 0.2}
  ece: {}
level: 1.5
extra: 1
level: 0.9
"""


def test_every_mistake_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(BROKEN)
    columns = {"accuracy": "higher", "brier": "lower", "ece": "lower"}
    with pytest.raises(PolicyError) as caught:
        load_policy(path).fitting(columns, ["malignancy"])
    told = [(one.place.line, one.place.column, one.message) for one in caught.value.problems if one.place]
    assert told == [
        (1, 10, "expected 1, got 2"),
        (3, 22, "-0.1 is out of range: at least 0"),
        (4, 10, "brier has no criterion"),
        (4, 11, "unknown key 'at_mots'"),
        (5, 8, "ece has no criterion"),
        (6, 8, "1.5 is out of range: at least 0.5 and at most 0.9999"),
        (7, 1, "unknown key 'extra'"),
        (8, 1, "key 'level' is given twice"),
    ]
    assert "did you mean 'at_most'" in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["", "a: [", "- 1\n", "version: 1\nmetrics: {}\n", "version: 1\n"])
def test_a_file_that_is_no_policy(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(PolicyError, match="error"):
        load_policy(path).fitting({}, [])
    with pytest.raises(PolicyError, match="there is no policy file"):
        load_policy(tmp_path / "none.yaml")


def test_a_policy_fits_what_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nmetrics:\n  f1: {margin: 0}\n  ece: {at_least: 1}\n  t: {gain: 1, at_most: 2}\n"
                    "  m: {at_most: 1}\ntasks: [x]\n")  # fmt: skip
    loaded = load_policy(path)
    with pytest.raises(PolicyError) as caught:
        loaded.fitting({"f1-macro": "higher", "ece": "lower", "t": "neither", "m": "higher"}, ["malignancy"])
    assert [(one.place.line, one.message) for one in caught.value.problems if one.place] == [
        (3, "A and B have no column 'f1'"),
        (4, "ece is better when lower: say at_most"),
        (5, "t has no better side: only at_least and at_most can judge it"),
        (6, "m is better when higher: say at_least"),
        (7, "task 'x' is not compared"),
    ]


def test_mistakes_of_every_sort_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nmetrics:\n  f1: {margin: 0}\n  AUC: {gain: 0.1}\n  ece: {at_least: 1, at_mots: 2}\n"
                    "  acuracy: {margin: -1}\ntasks: [x]\nextra: 1\n")  # fmt: skip
    with pytest.raises(PolicyError) as caught:
        load_policy(path).fitting({"f1-macro": "higher", "accuracy": "higher", "ece": "lower"}, ["malignancy"])
    told = {one.place.line: one.message for one in caught.value.problems if one.place}
    assert len(caught.value.problems) == 8 and sorted(told) == [3, 4, 5, 6, 7, 8]
    hints = {
        one.place.line: one.hint or "" for one in caught.value.problems if one.place and "no column" in one.message
    }
    assert "f1-macro, f1-weighted or f1-positive" in hints[3]
    assert "auc-ovr-macro, or auc-binary" in hints[4]
    assert "did you mean 'accuracy'?" in hints[6]


def test_numbers_beyond_what_a_metric_can_be_are_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nmetrics:\n  accuracy: {at_least: 80}\n  renamed: {margin: 5}\n"
                    "  brier: {at_most: 1.5}\n  fd[x]: {at_most: 80}\n")  # fmt: skip
    columns = {"accuracy": "higher", "renamed": "higher", "brier": "lower", "fd[x]": "lower"}
    names = {"accuracy": "accuracy", "renamed": "f1-macro", "brier": "brier", "fd[x]": "fd"}
    ranges = {column: ends for column, name in names.items() if (ends := range_of(name)) is not None}
    with pytest.raises(PolicyError) as caught:
        load_policy(path).fitting(columns, [], ranges)
    told = [(one.place.line, one.message, one.hint) for one in caught.value.problems if one.place]
    assert told == [
        (3, "accuracy lies between 0 and 1, not at 80", "say a share; 80 % is 0.8"),
        (4, "no difference of renamed is larger than 1", "say a share; 5 % is 0.05"),
    ]
    assert caught.value.exit_code == 2


def test_ranges_are_those_of_the_metrics_that_are_built_in() -> None:
    from dermae_bench.builtin.metrics import auc, calibration, classification, operating_points

    for module in (auc, calibration, classification, operating_points):
        for metric in module.dermae_metrics().values():
            for column in metric.columns(metric.Config()):
                if column.name not in ("nll", "temperature"):
                    assert range_of(column.name) in ((0.0, 1.0), (0.0, 2.0)), column.name
    assert range_of("nll") is range_of("temperature") is range_of("fd") is None
