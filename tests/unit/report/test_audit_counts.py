"""The arithmetic of the auditor against exhaustive search, closed forms and scikit-learn."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from dermae_bench.report.audit.averages import averages, of_matrix
from dermae_bench.report.audit.baselines import baseline
from dermae_bench.report.audit.counts import at_least, chance, fitting, smallest_size, wilson
from dermae_bench.report.audit.matrices import AVERAGES, OF_MATRIX, allowed
from dermae_bench.report.audit.pairs import matched
from dermae_bench.report.audit.printed import HOWS, Printed, read_printed


def printed(text: str) -> Printed:
    return read_printed(text, percent=False, share=True)


# -- counts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [7, 48, 400])
def test_fitting_agrees_with_trying_every_count(n: int) -> None:
    for steps in range(0, 1001, 50):
        number = printed(f"{steps / 1000:.3f}")
        shares = [Fraction(k, n) for k in range(n + 1)]
        half, unit = Fraction(1, 2000), Fraction(1, 1000)
        rounded = [k for k, x in enumerate(shares) if abs(x - Fraction(steps, 1000)) <= half]
        cut = [k for k, x in enumerate(shares) if 0 <= x - Fraction(steps, 1000) < unit]
        assert list(fitting(number, n, "rounded")) == rounded
        assert list(fitting(number, n, "truncated")) == cut


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("n", [6, 8, 16, 20, 80, 99, 100, 1200])
def test_chance_is_the_share_of_numbers_that_fit(n: int, how: str) -> None:
    fit = sum(bool(fitting(printed(f"{steps / 100:.2f}"), n, how)) for steps in range(101))
    assert chance(2, n, how) == pytest.approx(fit / 101)


def test_tail_is_the_exact_binomial() -> None:
    assert at_least(2, [0.5] * 3) == pytest.approx(0.5)
    assert at_least(0, [0.1, 0.9]) == pytest.approx(1.0)
    assert at_least(2, [0.1, 0.9]) == pytest.approx(0.09)


def test_smallest_size() -> None:
    assert smallest_size([printed("0.50"), printed("0.33")], "rounded") == 6
    number = printed("0.12346")
    assert smallest_size([number], "rounded") == next(n for n in range(1, 10**5) if fitting(number, n, "rounded"))


def test_interval_of_a_share_holds_it_and_is_not_empty_at_zero() -> None:
    low, high = wilson(0.0, 49)
    assert low == 0 and high == pytest.approx(0.0727, abs=5e-4)  # statsmodels' proportion_confint(0, 49, "wilson")


# -- matrices ----------------------------------------------------------------------------------------------------


def test_allowed_matrices_are_those_of_an_exhaustive_search() -> None:
    rng = np.random.default_rng(0)
    every = allowed(23, 11, {})
    assert every is not None and every.tp.size == 24 * 12
    for _ in range(40):
        metrics = rng.choice(OF_MATRIX, 3, replace=False)
        pick = int(rng.integers(every.tp.size))
        limits = {}
        expected = np.ones(every.tp.size, dtype=bool)
        for metric in metrics:
            values = every.values(metric)
            if not np.isnan(values[pick]):
                limits[str(metric)] = (values[pick] - 0.02, values[pick] + 0.02)
                expected &= np.isnan(values) | (np.abs(values - values[pick]) <= 0.02 + 1e-12)
        found = allowed(23, 11, limits)
        assert found is not None
        assert set(zip(found.tp, found.tn, strict=True)) == set(
            zip(every.tp[expected], every.tn[expected], strict=True)
        )


def test_metrics_of_a_hand_made_matrix() -> None:
    # 40 negatives, 10 positives; TP 6, FN 4, TN 36, FP 4
    found = allowed(40, 10, {"sensitivity": (0.6, 0.6), "specificity": (0.9, 0.9)})
    assert found is not None and (found.tp.tolist(), found.tn.tolist()) == ([6], [36])
    expected = {"accuracy": 0.84, "balanced-accuracy": 0.75, "precision": 0.6, "npv": 0.9, "f1-positive": 0.6,
                "f1-negative": 0.9, "f1-macro": 0.75, "f1-weighted": 0.84, "f1-micro": 0.84}  # fmt: skip
    for metric, value in expected.items():
        assert found.values(metric)[0] == pytest.approx(value), metric


@pytest.mark.slow
def test_metrics_of_matrices_agree_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    for _ in range(10):
        negatives, positives = (int(n) for n in rng.integers(2, 30, 2))
        tn, tp = int(rng.integers(negatives + 1)), int(rng.integers(positives + 1))
        truth = [0] * negatives + [1] * positives
        answer = [0] * tn + [1] * (negatives - tn) + [1] * tp + [0] * (positives - tp)
        found = allowed(
            negatives, positives, {"sensitivity": (tp / positives,) * 2, "specificity": (tn / negatives,) * 2}
        )
        assert found is not None and found.tp.tolist() == [tp]
        for name, average in (("macro", "macro"), ("weighted", "weighted"), ("micro", "micro")):
            expected = metrics.f1_score(truth, answer, average=average, zero_division=0)
            assert found.values(f"f1-{name}")[0] == pytest.approx(expected)
        for name, label in (("positive", 1), ("negative", 0)):
            expected = metrics.f1_score(truth, answer, pos_label=label, zero_division=0)
            assert found.values(f"f1-{name}")[0] == pytest.approx(expected)
        assert found.values("balanced-accuracy")[0] == pytest.approx(metrics.balanced_accuracy_score(truth, answer))


def test_baselines_are_what_constant_answers_score() -> None:
    assert baseline("accuracy", (1205, 307)).value == pytest.approx(0.797, abs=5e-4)
    assert baseline("f1-macro", (1205, 307)).value == pytest.approx(0.444, abs=5e-4)
    assert baseline("f1-weighted", (1205, 307)).value == pytest.approx(0.707, abs=5e-4)
    assert baseline("f1-positive", (1205, 307)).value == pytest.approx(2 * 307 / (1512 + 307))
    assert baseline("balanced-accuracy", (5, 5, 5)).value == pytest.approx(1 / 3)
    assert baseline("sensitivity", (5, 5)) is None


def test_true_matrix_is_the_one_implied() -> None:
    found = matched({"accuracy": printed("0.8750"), "sensitivity": printed("0.7500")}, 40, 8)
    assert found.clashes == () and found.implied is not None
    assert (found.implied.tp, found.implied.tn) == ((6, 6), (36, 36))
    assert found.implied.balanced_accuracy == (0.825, 0.825)


def no_true_row_is_refuted(seed: int, how: str) -> None:
    """A row of a random matrix with its F1 of each average beside some of its other numbers."""
    rng = np.random.default_rng(seed)
    negatives, positives, digits = int(rng.integers(3, 400)), int(rng.integers(3, 400)), int(rng.integers(2, 6))
    tp, tn = int(rng.integers(positives + 1)), int(rng.integers(negatives + 1))
    exact = allowed(negatives, positives, {"sensitivity": (tp / positives,) * 2, "specificity": (tn / negatives,) * 2})
    assert exact is not None

    def shown(metric: str) -> Printed:
        value = float(exact.values(metric)[0])
        return printed(f"{value if how == 'rounded' else int(value * 10**digits) / 10**digits:.{digits}f}")

    some = [str(metric) for metric in rng.permutation(OF_MATRIX)[: int(rng.integers(1, len(OF_MATRIX)))]]
    for others in (["accuracy", "sensitivity", "specificity"], some):
        cells = {metric: shown(metric) for metric in others if not np.isnan(exact.values(metric)[0])}
        for average in AVERAGES:
            row = {"f1": shown(average), **cells}
            found = matched(row, negatives, positives)
            assert not found.clashes, (seed, average, row, negatives, positives)
            if cells:
                pair = averages(of_matrix(row), row["f1"], negatives, positives)
                assert pair is not None and pair[average].fit == "exact", (seed, average, row, negatives, positives)


@pytest.mark.parametrize("how", HOWS)
def test_true_rows_are_never_refuted(how: str) -> None:
    for seed in range(4):
        no_true_row_is_refuted(seed, how)


@pytest.mark.slow
@pytest.mark.parametrize("how", HOWS)
def test_many_true_rows_are_never_refuted(how: str) -> None:
    for seed in range(100, 300):
        no_true_row_is_refuted(seed, how)
