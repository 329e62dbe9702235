"""Holm by hand, power by the normal distribution, verdicts on both sides of a threshold."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from dermae_bench.statistics.decisions import decide, holm, minimal_detectable_effect


def test_holm_by_hand() -> None:
    # sorted .01 .02 .03 .04 times 4 3 2 1 is .04 .06 .06 .04; the last is raised to .06
    assert holm([0.03, 0.01, 0.04, 0.02]).tolist() == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]).tolist() == [1, 1]
    assert holm([0.03]).tolist() == [0.03]
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_raises_no_order_and_stays_below_bonferroni(p_values: list[float]) -> None:
    values = np.array(p_values)
    adjusted = holm(p_values)
    assert (adjusted >= values).all() and (adjusted <= np.minimum(1, values * len(values))).all()
    order = np.argsort(values, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert holm(values[::-1].tolist())[::-1].tolist() == adjusted.tolist()


def test_holm_refuses_what_is_no_p_value() -> None:
    with pytest.raises(ValueError, match=r"\[1\.5\]"):
        holm([0.1, 1.5])
    with pytest.raises(ValueError, match="nan"):
        holm([0.1, float("nan")])


@pytest.mark.parametrize(("alpha", "power"), [(0.05, 0.8), (0.01, 0.9)])
def test_the_detectable_effect_is_detected_that_often(alpha: float, power: float) -> None:
    effect = minimal_detectable_effect(0.01, alpha, power)
    critical = scipy.stats.norm.isf(alpha / 2) * 0.01
    assert scipy.stats.norm.sf(critical, loc=effect, scale=0.01) == pytest.approx(power)


def test_the_detectable_effect_in_standard_errors() -> None:
    assert minimal_detectable_effect(1.0) == pytest.approx(2.8016, abs=1e-4)
    assert minimal_detectable_effect(0.0) == 0
    for wrong in [(-1.0, 0.05, 0.8), (1.0, 0.0, 0.8), (1.0, 0.05, 1.0), (float("nan"), 0.05, 0.8), (1.0, 0.5, 0.4)]:
        with pytest.raises(ValueError, match="no effect"):
            minimal_detectable_effect(*wrong)


@pytest.mark.parametrize(
    ("low", "high", "higher", "lower"),
    [
        (0.81, 0.9, "GO", "NO-GO"),
        (0.8, 0.9, "GO", "INCONCLUSIVE"),
        (0.7, 0.9, "INCONCLUSIVE", "INCONCLUSIVE"),
        (0.7, 0.8, "INCONCLUSIVE", "GO"),
        (0.7, 0.79, "NO-GO", "GO"),
        (0.8, 0.8, "GO", "GO"),
        (None, None, "INCONCLUSIVE", "INCONCLUSIVE"),
    ],
)
def test_verdicts(low: float | None, high: float | None, higher: str, lower: str) -> None:
    assert decide(low, high, 0.8, "higher") == higher
    assert decide(low, high, 0.8, "lower") == lower


def test_a_margin_below_zero_is_a_test_of_non_inferiority() -> None:
    assert decide(-0.01, 0.03, -0.02, "higher") == "GO"
    assert decide(-0.03, 0.03, -0.02, "higher") == "INCONCLUSIVE"


def test_no_verdict_on_nonsense() -> None:
    with pytest.raises(ValueError, match="direction"):
        decide(0.1, 0.2, 0.1, "neither")  # type: ignore[arg-type]
    for low, high, threshold in [(0.3, 0.2, 0.1), (float("nan"), 0.2, 0.1), (0.1, 0.2, float("nan"))]:
        with pytest.raises(ValueError, match="no verdict"):
            decide(low, high, threshold, "higher")
