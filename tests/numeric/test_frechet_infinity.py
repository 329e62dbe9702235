"""The extrapolated Fréchet distance against distances of known Gaussians."""

from __future__ import annotations

import numpy as np
import pytest

from dermae_bench import api
from dermae_bench.builtin.metrics.frechet import FrechetDistance
from dermae_bench.builtin.metrics.frechet_infinity import FrechetInfinity, line_sizes

SPECTRUM = 1 / np.sqrt(np.arange(1, 17))
METRIC = FrechetInfinity(FrechetInfinity.Config())


def known(scale: np.ndarray = SPECTRUM, shift: float = 0.0) -> api.Features:
    """A real set of infinitely many images: its moments are exact."""
    d = len(scale)
    return api.Features(values=np.zeros((2, d), np.float32), mean=np.full(d, shift), root=np.diag(scale))


def drawn(seed: int, n: int = 800, scale: np.ndarray = SPECTRUM, shift: float = 0.0) -> api.Features:
    return api.Features(values=np.random.default_rng(seed).standard_normal((n, len(scale))) * scale + shift)


def compare(generated: api.Features, real: api.Features, seed: int = 0) -> api.Comparison:
    return api.Comparison(generated=generated, real=real, seed=seed)


def test_a_perfect_generator_is_at_zero_where_the_distance_of_n_images_is_not() -> None:
    comparisons = [compare(drawn(seed), known()) for seed in range(6)]
    plain = [FrechetDistance(FrechetDistance.Config()).values(c)["fd"] for c in comparisons]
    infinite = [METRIC.values(c)["fd-infinity"] for c in comparisons]
    assert min(plain) > 0.01, "biased upwards"
    assert abs(np.mean(infinite)) < 0.1 * np.mean(plain)
    assert max(map(abs, infinite)) < 0.5 * min(plain)


def test_of_shifted_gaussians_it_is_near_the_analytic_distance() -> None:
    expected = 16 * 0.2**2 + ((0.7 * SPECTRUM) ** 2).sum()
    found = [METRIC.values(compare(drawn(s, 1500, 1.7 * SPECTRUM, 0.2), known()))["fd-infinity"] for s in range(4)]
    assert np.mean(found) == pytest.approx(expected, rel=0.03)


def test_the_curve_falls_and_says_what_the_values_are() -> None:
    metric = FrechetInfinity(FrechetInfinity.Config(sizes=(100, 300), repeats=2))
    comparison = compare(drawn(0, 400), known())
    values, details = metric.values(comparison), metric.details(comparison)
    assert list(values) == [column.name for column in metric.columns(metric.config)]
    assert list(values) == ["fd-infinity", "fd-at-100", "fd-at-300"]
    curve = {point["n"]: point for point in details["curve"]}
    assert list(curve) == sorted({*line_sizes(400), 100, 300})
    assert curve[100]["fd"] == values["fd-at-100"] > values["fd-at-300"]
    assert [curve[n]["subsets"] for n in (100, 133, 200, 300, 400)] == [8, 6, 4, 2, 1]
    assert curve[400]["sd"] is None and curve[100]["sd"] > 0
    assert details["intercept"] == values["fd-infinity"]
    whole = FrechetDistance(FrechetDistance.Config()).values(comparison)["fd"]
    assert curve[400]["fd"] == pytest.approx(whole, rel=1e-12)
    assert details["slope"] > 0


def test_sizes_asked_for_do_not_move_the_line_and_the_seed_does() -> None:
    generated = drawn(1, 200)
    asked = FrechetInfinity(FrechetInfinity.Config(sizes=(60,)))
    value = METRIC.values(compare(generated, known()))["fd-infinity"]
    assert asked.values(compare(generated, known()))["fd-infinity"] == value
    assert METRIC.values(compare(generated, known()))["fd-infinity"] == value
    assert METRIC.values(compare(generated, known(), seed=1))["fd-infinity"] != value


def test_rotation_and_a_common_shift_change_nothing() -> None:
    a, b = drawn(2, 200), drawn(3, 300, shift=0.5)
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))
    turned = [api.Features(values=side.values @ turn + 2) for side in (a, b)]
    expected = METRIC.values(compare(a, b))["fd-infinity"]
    assert METRIC.values(compare(*turned))["fd-infinity"] == pytest.approx(expected, rel=1e-9)


def test_the_line_is_evenly_spaced_in_one_over_n() -> None:
    assert line_sizes(8400) == [2100, 2400, 2800, 3360, 4200, 5600, 8400]
    assert all(len(set(line_sizes(n))) == 7 and line_sizes(n)[-1] == n for n in range(28, 300))


def test_refuses_too_few_images_with_both_numbers() -> None:
    asked = FrechetInfinity(FrechetInfinity.Config(sizes=(100, 500))).values(compare(drawn(0, 400), known()))
    assert asked["fd-at-500"] == "500 images are needed, there are 400"
    assert isinstance(asked["fd-at-100"], float) and isinstance(asked["fd-infinity"], float)
    with pytest.raises(api.InvalidOutput, match="at least 28 generated images, there are 27"):
        METRIC.values(compare(drawn(0, 27), known()))
    with pytest.raises(ValueError, match="twice"):
        FrechetInfinity.Config(sizes=(5, 5))


def test_warns_where_no_straight_line_can_be() -> None:
    assert METRIC.warnings(compare(drawn(0, 400), drawn(1, 400))) == []
    (text,) = METRIC.warnings(compare(drawn(0, 64), drawn(1, 400)))
    assert text.startswith("fd-infinity: subsets of 16 generated images in 16 dimensions")
    (text,) = METRIC.warnings(compare(drawn(0, 400), drawn(1, 16)))
    assert text.startswith("fd-infinity: 16 real images")
