"""Overlap along principal components: against scipy and scikit-learn, closed forms, and what must not matter."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import gaussian_kde, norm
from sklearn.decomposition import PCA

from dermae_bench import api
from dermae_bench.builtin.metrics.feature_overlap import (
    FeatureOverlap,
    bandwidth,
    chosen,
    density,
    overlap,
    principal_axes,
)

WIDTHS = np.array([5.0, 3.0, 2.0, 1.5, 1.0, 0.7])


def side(seed: int, n: int = 400, shift: float = 0.0, scale: float = 1.0, prefix: str = "i") -> api.Features:
    values = np.random.default_rng(seed).standard_normal((n, 6)) * WIDTHS * scale + shift * WIDTHS
    return api.Features(values=values.astype(np.float32), ids=[f"{prefix}-{row}" for row in range(n)])


def metric(components: int = 4) -> FeatureOverlap:
    return FeatureOverlap(FeatureOverlap.Config(components=components))


def score(generated: api.Features, real: api.Features, components: int = 4) -> float:
    return metric(components).values(api.Comparison(generated=generated, real=real))["feature-overlap"]


# -- the parts against others' ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [7, 300])
def test_the_density_is_that_of_scipy(n: int) -> None:
    values = np.random.default_rng(1).gamma(2.0, size=n)
    points = np.linspace(-3, 12, 512)
    theirs = gaussian_kde(values)
    assert bandwidth(values) == pytest.approx(float(np.sqrt(theirs.covariance[0, 0])), rel=1e-12)
    np.testing.assert_allclose(density(values, points), theirs(points), rtol=1e-9, atol=1e-15)


def test_the_axes_are_those_of_scikit_learn_and_ready_moments_give_the_same() -> None:
    real = side(0)
    theirs = PCA(4, svd_solver="full").fit(real.values.astype(np.float64))
    mean, axes, explained = principal_axes(real, 4)
    np.testing.assert_allclose(np.abs((axes * theirs.components_).sum(axis=1)), 1, rtol=1e-9)
    np.testing.assert_allclose(explained, theirs.explained_variance_ratio_, rtol=1e-9)
    np.testing.assert_allclose(mean, theirs.mean_, rtol=1e-9)
    assert (axes[np.arange(4), np.abs(axes).argmax(axis=1)] > 0).all()
    ready = principal_axes(replace(real, **dict(zip(("mean", "root"), api.moments([real.values]), strict=True))), 4)
    np.testing.assert_allclose(ready[1], axes, rtol=1e-9, atol=1e-12)


def test_the_overlap_is_the_integral_of_the_smaller_density_of_scipy() -> None:
    rng = np.random.default_rng(2)
    real, generated = rng.standard_normal(500), rng.standard_normal(300) * 0.6 + 0.8
    points = np.linspace(-12, 12, 12_001)
    smaller = np.minimum(gaussian_kde(real)(points), gaussian_kde(generated)(points))
    assert overlap(real, generated) == pytest.approx(smaller.sum() * (points[1] - points[0]), abs=1e-4)


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_shifted_normals_overlap_by_the_closed_form(shift: float) -> None:
    rng = np.random.default_rng(3)
    found = overlap(rng.standard_normal(10_000), rng.standard_normal(10_000) + shift)
    # both densities are a little too wide: by 1 + n^(-2/5) / 2
    assert found == pytest.approx(2 * norm.cdf(-shift / 2), abs=0.02)


# -- the number --------------------------------------------------------------------------------------------------


def test_a_set_and_itself_overlap_whole_and_sets_apart_not_at_all() -> None:
    real = side(0)
    assert score(real, real) == 1.0
    assert score(side(1, shift=40), real) == pytest.approx(0, abs=1e-9)
    assert 0.9 < score(side(1), real) < 1


def test_it_falls_with_shift_with_scale_and_with_collapse() -> None:
    real, honest = side(0), score(side(1), side(0))
    assert honest > score(side(1, shift=0.5), real) > score(side(1, shift=1.5), real)
    assert honest > score(side(1, scale=0.5), real) > score(side(1, scale=0.1), real)
    assert honest > score(side(1, scale=3), real)
    one = side(1)
    for nearly in (0.0, 1e-7):
        copies = replace(one, values=one.values[:1] + np.float32(nearly) * one.values)
        assert 0 <= score(copies, real) < 0.06


def test_order_units_rotation_and_names_change_nothing() -> None:
    real, generated = side(0), side(1, shift=0.3)
    expected, rng = score(generated, real), np.random.default_rng(4)
    order, (turn, _) = rng.permutation(400), np.linalg.qr(rng.standard_normal((6, 6)))
    assert score(generated.at(order), real.at(order)) == pytest.approx(expected, rel=1e-9)
    for change in (lambda x: x * 1000 + 7, lambda x: x @ turn):
        moved = [api.Features(values=change(s.values.astype(np.float64)).astype(np.float32)) for s in (generated, real)]
        assert score(*moved) == pytest.approx(expected, rel=1e-3)


def test_the_components_are_those_of_the_real_set_alone() -> None:
    # the generated images vary most where the real ones hardly do: their own components would show it, these must not
    real, generated = side(0), side(1)
    wild = replace(generated, values=generated.values * np.array([1, 1, 1, 1, 1, 500], dtype=np.float32))
    assert score(wild, real) == pytest.approx(score(generated, real), abs=0.25)
    assert score(wild, real, 6) < score(generated, real, 6) - 0.1
    seen = [metric().details(api.Comparison(generated=g, real=real)) for g in (generated, wild)]
    assert seen[0]["scatter"]["real"] == seen[1]["scatter"]["real"]


def test_what_has_no_overlap_says_why() -> None:
    real = side(0)
    flat = replace(real, values=real.values * np.array([1, 1, 1, 0, 0, 0], dtype=np.float32))
    for generated, against, message in (
        (side(1), flat, "vary in 3 directions, and 4"),
        (side(1), replace(real, values=np.ones_like(real.values)), "vary in 0 directions"),
        (side(1), side(0, n=4), "at least 5 real images, there are 4"),
        (side(1, n=1), real, "at least 2 generated images, there are 1"),
        (replace(real, values=real.values * np.float32(np.nan)), real, "not finite"),
        (api.Features(values=np.ones((9, 5), np.float32)), real, "cannot be compared"),
    ):
        with pytest.raises(api.InvalidOutput, match=message):
            score(generated, against)
    assert 0 <= score(side(1, n=2), real) <= 1
    with pytest.raises(api.InvalidOutput, match="vary in 6 directions, and 8"):
        score(side(1), real, 8)


def test_the_protocol_names_components_and_bandwidth() -> None:
    (column,) = FeatureOverlap.columns(FeatureOverlap.Config())
    assert column.better == "higher" and "8 principal components of the real set" in str(column.protocol)
    assert "sd n^(-1/5)" in str(column.protocol)
    (other,) = FeatureOverlap.columns(FeatureOverlap.Config(components=3))
    assert other.protocol != column.protocol


# -- what the figure needs ---------------------------------------------------------------------------------------


def details(generated: api.Features, real: api.Features, components: int = 6) -> dict[str, Any]:
    made = metric(components).details(api.Comparison(generated=generated, real=real))
    back = json.loads(json.dumps(made, allow_nan=False))
    assert isinstance(back, dict)
    return back


def test_details_hold_four_panels_every_overlap_and_at_most_a_thousand_dots() -> None:
    real, generated = side(0, n=1500), side(1, n=700, prefix="g")
    found = details(generated, real)
    assert (found["n_real"], found["n_generated"]) == (1500, 700)
    assert [("grid" in about) for about in found["components"]] == [True] * 4 + [False] * 2
    assert np.mean([about["overlap"] for about in found["components"]]) == pytest.approx(
        score(generated, real, 6), rel=1e-5
    )
    assert sum(about["explained"] for about in found["components"]) == pytest.approx(1, rel=1e-4)
    for about in found["components"][:4]:
        assert len(about["grid"]) == len(about["real"]) == len(about["generated"]) == 128
        step = about["grid"][1] - about["grid"][0]
        for name in ("real", "generated"):
            assert sum(about[name]) * step + about["outside"][name] == pytest.approx(1, abs=0.01)
    assert (len(found["scatter"]["real"]), len(found["scatter"]["generated"])) == (1000, 700)
    assert found == details(generated, real) and len(json.dumps(found)) < 100_000


def test_a_generator_far_off_leaves_the_real_densities_visible() -> None:
    far = details(side(1, shift=200), side(0))["components"][0]
    assert far["outside"]["generated"] == 1.0 and far["outside"]["real"] < 0.01 and max(far["generated"]) < 1e-6
    real = np.array(far["real"])
    assert (real > 0.1 * real.max()).mean() > 0.2


def test_the_dots_go_by_name_and_not_by_place() -> None:
    real = side(0, n=1500)
    kept = {real.ids[row] for row in chosen(real)}
    order = np.random.default_rng(5).permutation(1500)
    assert len(kept) == 1000 and kept == {real.at(order).ids[row] for row in chosen(real.at(order))}
    assert kept != set(real.ids[:1000])
    nameless = chosen(replace(real, ids=()))
    assert len(nameless) == 1000 and (np.diff(nameless) > 0).all()


@pytest.mark.slow
def test_twenty_thousand_images_take_seconds() -> None:
    rng = np.random.default_rng(6)
    sides = [api.Features(values=rng.standard_normal((20_000, 256)).astype(np.float32)) for _ in range(2)]
    start = time.perf_counter()
    assert score(*sides, components=8) > 0.95
    assert time.perf_counter() - start < 60
