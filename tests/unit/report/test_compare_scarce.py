"""Rows that differ on few lesions, on none, or not at all: what an interval may say, and what a policy concludes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compared_rows import OLD, WHICH, compared, line

from dermae_bench.errors import DataError, UserError
from dermae_bench.report.compare.comparison import compare
from dermae_bench.report.compare.machine import json_comparison
from dermae_bench.report.compare.outcome import Comparison
from dermae_bench.report.compare.policy import Criteria, Policy
from dermae_bench.report.compare.recorded import Results
from dermae_bench.report.compare.scarce import binomial, counted, least
from dermae_bench.report.compare.sides import paired
from dermae_bench.report.compare.text import terminal_comparison
from dermae_bench.report.compare.verdicts import judge
from tests.result_folders import Folder, Images, answers, metric_of

SMALL = Images(
    ids=[f"i{n}" for n in range(14)], groups=[f"g{n}" for n in range(14)], labels=np.array([0] * 8 + [1] * 6)
)


def said(wrong: int, seed: int, which: Images = SMALL) -> np.ndarray:
    """Logits that are right but for the last images."""
    logits = answers(which, 1.0, seed)
    logits[len(logits) - wrong :] = logits[len(logits) - wrong :, ::-1]
    return logits


def two(
    path: Path, old: np.ndarray, new: np.ndarray, which: Images = SMALL, metrics: tuple[str, ...] = ()
) -> Comparison:
    made = Folder(path / "r", metrics=metrics or ("accuracy", "balanced-accuracy", "f1-macro", "auc-binary"))
    made.row("old", which, [old])
    made.row("new", which, [new])
    return compared(made.write(), "old", "new")


def policy(**words: float) -> Policy:
    return Policy(version=1, metrics={"accuracy": Criteria(**words)})


@pytest.mark.parametrize(("old", "new"), [(0, 0), (1, 0), (0, 1), (3, 0), (5, 0)])
def test_few_lesions_that_differ_are_no_go_at_a_margin_of_0(tmp_path: Path, old: int, new: int) -> None:
    found = two(tmp_path, said(old, 1), said(new, 2))
    for metric in ("accuracy", "balanced-accuracy"):
        one = line(found, metric)
        assert one.low is not None and one.high is not None
        assert one.low <= 0 <= one.high and one.form == "counts"
        assert one.error is None and one.detectable is None
        assert f"A and B differ on {old + new} of 14 lesions" in one.note
    # nothing is left of a number that is no mean of right answers
    assert line(found, "f1-macro").low is None and "no interval" in line(found, "f1-macro").note
    # ranks tell more than decisions do: its own test may find what these cannot
    ranked = line(found, "auc-binary")
    assert ranked.low is None or ranked.tests[0].p < 0.05
    for metric in ("accuracy", "balanced-accuracy", "f1-macro", *(["auc-binary"] if ranked.low is None else [])):
        asked = Policy(version=1, metrics={metric: Criteria(margin=0.0)})
        assert judge(found, asked).verdict == "INCONCLUSIVE"
    if old < 3:
        assert judge(found, policy(margin=0.1)).verdict == "INCONCLUSIVE"


def test_what_cannot_be_told_is_not_told_as_0(tmp_path: Path) -> None:
    found = two(tmp_path, said(0, 1), said(0, 2))
    shown = terminal_comparison(found, None, {}, 0, 140)
    assert shown.count("cannot be told") == 4
    assert '"detectable": null' in json_comparison(found, None, {})


def test_many_images_on_which_nothing_differs_are_evidence_of_a_margin(tmp_path: Path) -> None:
    many = Images(ids=[f"i{n}" for n in range(1000)], groups=[f"g{n}" for n in range(1000)], labels=np.arange(1000) % 2)
    found = two(tmp_path, said(100, 1, many), said(100, 2, many), many, ("accuracy",))
    reach = 1 - 0.025 ** (1 / 1000)
    one = line(found, "accuracy")
    assert (one.low, one.high) == pytest.approx((-reach, reach))
    assert judge(found, policy(margin=0.005)).verdict == "GO"
    assert judge(found, policy(margin=0.003)).verdict == "INCONCLUSIVE"


def test_the_same_answers_differ_by_nothing_also_of_another_machine(tmp_path: Path) -> None:
    found = two(tmp_path, said(2, 1), said(2, 1) + np.float32(1e-7))
    for one in found.pairs[0].lines:
        assert (one.low, one.high, one.detectable) == (0, 0, None)
    assert judge(found, policy(margin=0.0)).verdict == "GO"


def test_six_lesions_on_one_side_are_enough_for_interval_and_test_alike(tmp_path: Path) -> None:
    assert [least(level) for level in (0.5, 0.9, 0.95, 0.99)] == [2, 5, 6, 8]
    found = two(tmp_path, said(6, 1), said(0, 2), metrics=("accuracy",))
    one = line(found, "accuracy")
    assert one.form != "counts" and one.tests[0].p == pytest.approx(2 / 64)
    assert judge(found, policy(margin=0.0)).verdict == "GO"
    # by exact counts, too, 0 is left outside from there on
    ends = [counted(np.r_[np.full(k, 1 / 200), np.zeros(200 - k)], np.zeros(200, int), 0.95).low for k in (4, 5, 6)]
    assert ends[0] < 0 < ends[2] and ends[1] == pytest.approx(0, abs=0.001)


def test_the_limits_of_counts_are_those_of_clopper_and_pearson() -> None:
    for count, n in ((0, 14), (1, 14), (5, 200), (14, 14)):
        low, high = (end / n for end in binomial(count, n, 0.95))
        at_most = [sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(count + 1)) for p in (low, high)]
        below = sum(math.comb(n, k) * low**k * (1 - low) ** (n - k) for k in range(count))
        assert (low == 0) if count == 0 else 1 - below == pytest.approx(0.025)
        assert (high == 1) if count == n else at_most[1] == pytest.approx(0.025)


def test_intervals_of_counts_hold_the_truth() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        parts = random.choice([1, -1, 0], size=60, p=[0.02, 0.03, 0.95]) / 60
        found = counted(parts, np.zeros(60, int), 0.95)
        held += found.low <= -0.01 <= found.high
    assert held >= 950


def test_an_interval_that_no_test_supports_is_no_go(tmp_path: Path) -> None:
    # two photographs of each of 60 lesions: B is better, hardly
    random = np.random.default_rng(5)
    old, new = OLD[0], OLD[0].copy()
    new[random.permutation(len(new))[:20]] *= 1.4
    made = Folder(tmp_path / "r", metrics=("brier",))
    made.row("old", WHICH, [old])
    made.row("new", WHICH, [new])
    found = compared(made.write(), "old", "new")
    one = line(found, "brier")
    asked = Policy(version=1, metrics={"brier": Criteria(margin=0.0)})
    for p, verdict in ((0.04, "GO"), (0.06, "INCONCLUSIVE")):
        tested = replace(one, low=-0.02, high=-0.001, tests=(replace(one.tests[0], p=p),))
        judged = judge(replace(found, pairs=(replace(found.pairs[0], lines=(tested,)),)), asked)
        assert judged.verdict == verdict
        assert ("does not tell A and B apart (p = 0.06)" in judged.judgements[0].note) == (verdict != "GO")
        rough = replace(tested, tests=(), rough=True)
        judged = judge(replace(found, pairs=(replace(found.pairs[0], lines=(rough,)),)), asked)
        assert judged.verdict == "INCONCLUSIVE"


def test_a_row_without_a_number_on_both_sides_is_inconclusive(tmp_path: Path) -> None:
    folders = []
    for name in "ab":
        made = Folder(tmp_path / name, metrics=("accuracy",))
        made.row("vit", WHICH, OLD[:1])
        made.row("cnn", WHICH, OLD[:1])
        made.distance("gan", [10.0])
        made.records = [one for one in made.records if not one["row"].startswith("cnn")]
        made.scores = [one for one in made.scores if "cnn" not in one["name"]]
        folders.append(Results(made.write()))
    a, b = folders
    found = compare(a, b, paired(a, b, None, None), metric_of=metric_of, judged=("accuracy",))
    judged = judge(found, policy(margin=0.5))
    assert judged.verdict == "INCONCLUSIVE"
    assert judged.missing == ("accuracy of cnn | train | malignancy: neither A nor B has a number",)
    other = Policy(version=1, metrics=policy(margin=0.5).metrics, tasks=("40",))
    assert judge(found, other).missing == ("accuracy: no row has it",)


# -- answers that are none -----------------------------------------------------------------------------------------


def test_logits_that_are_no_numbers_are_refused_with_row_and_images(tmp_path: Path) -> None:
    made = Folder(tmp_path / "r")
    broken = OLD[0].copy()
    broken[[3, 7, 11, 20], 0] = np.nan
    made.row("old", WHICH, [OLD[0]])
    made.row("new", WHICH, [broken], status="failed")
    for record in made.records:
        record.update(value=record["value"] or 0.5, status="ok")
    folder = made.write()
    with pytest.raises(
        DataError, match=r"new \| train \| malignancy, test: 4 of 90 images have logits that are"
    ) as told:
        compared(folder, "old", "new")
    assert told.value.exit_code == 2


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", b"PAR1" * 9])
def test_damaged_answers_are_told_in_a_line(tmp_path: Path, content: bytes) -> None:
    made = Folder(tmp_path / "r")
    made.row("old", WHICH, OLD[:1])
    made.row("new", WHICH, OLD[:1])
    folder = made.write()
    (folder / "predictions.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"predictions\.parquet") as told:
        compared(folder, "old", "new")
    assert told.value.exit_code == 2


def test_rows_with_the_same_answers_are_the_same_where_a_class_is_lost_by_many_draws(tmp_path: Path) -> None:
    rare = replace(SMALL, labels=np.array([0] * 12 + [1] * 2))
    found = two(tmp_path, said(3, 1, rare), said(3, 1, rare), rare, metrics=("balanced-accuracy", "f1-macro"))
    for metric in ("balanced-accuracy", "f1-macro"):
        one = line(found, metric)
        assert (one.low, one.high) == (0, 0) and one.a.low is None and one.b.low is None
        assert [test.p for test in one.tests] == [1]


def test_a_difference_of_a_class_that_draws_lose_has_no_interval_and_says_so(tmp_path: Path) -> None:
    rare = replace(SMALL, ids=[f"i{n}" for n in range(60)], groups=[f"g{n}" for n in range(60)],
                   labels=np.array([0] * 58 + [1] * 2))  # fmt: skip
    found = two(tmp_path, answers(rare, 0.6, 1), answers(rare, 0.7, 2), rare, metrics=("f1-macro",))
    one = line(found, "f1-macro")
    assert one.low is None and "too many draws of lesions have no such number" in one.note
