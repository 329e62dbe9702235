"""Perceptual diversity against the mean over all pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dermae_bench import api
from dermae_bench.builtin.metrics.diversity import FeatureDiversity, SetDiversity

BY_CLASS, OF_SET = FeatureDiversity(FeatureDiversity.Config()), SetDiversity(SetDiversity.Config())


def side(seed: int, n: int = 40, scale: float = 1.0) -> api.Features:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    # classes lie far apart, which is no diversity within a class
    values = rng.standard_normal((n, 5)) * scale + 100 * labels[:, None]
    return api.Features(values=values.astype(np.float32), labels=labels)


def compare(generated: api.Features, real: api.Features) -> api.Comparison:
    return api.Comparison(generated=generated, real=real, classes=("a", "b", "c", "nobody"))


def by_pairs(values: np.ndarray) -> float:
    wide = values.astype(float)
    squares = [((p - q) ** 2).sum() for i, p in enumerate(wide) for q in wide[:i]]
    return float(np.sqrt(np.mean(squares)))


def test_is_the_root_mean_square_over_all_pairs_of_a_class() -> None:
    a, b = side(0), side(1, 30, 2.0)
    found = BY_CLASS.values(compare(a, b))
    for name, features in (("feature-diversity", a), ("feature-diversity-real", b)):
        expected = np.mean([by_pairs(features.values[features.labels == c]) for c in range(3)])
        assert found[name] == pytest.approx(expected, rel=1e-9)
    details = BY_CLASS.details(compare(a, b))["classes"]
    assert details["b"]["real"] == pytest.approx(by_pairs(b.values[b.labels == 1]), rel=1e-9)
    assert set(details) == {"a", "b", "c"}
    whole = OF_SET.values(compare(a, b))
    assert whole["feature-diversity-set"] == pytest.approx(by_pairs(a.values), rel=1e-9)
    assert whole["feature-diversity-set"] > 10 * found["feature-diversity"]


def test_copies_have_none_and_scale_is_its_unit() -> None:
    a, b = side(0), side(1)
    copies = replace(a, values=a.values[a.labels])
    assert BY_CLASS.values(compare(copies, b))["feature-diversity"] == 0
    assert BY_CLASS.values(compare(side(0, 300, 3.0), b))["feature-diversity"] == pytest.approx(
        3 * BY_CLASS.values(compare(side(0, 300), b))["feature-diversity"], rel=1e-4
    )


def test_order_rotation_and_shift_change_nothing_and_the_number_of_images_moves_it_little() -> None:
    rng = np.random.default_rng(2)
    a, b = side(0), side(1)
    order, (turn, _) = rng.permutation(40), np.linalg.qr(rng.standard_normal((5, 5)))
    expected = BY_CLASS.values(compare(a, b))
    moved = api.Features(values=a.values[order] @ turn - 7, labels=a.labels[order])
    assert BY_CLASS.values(compare(moved, b))["feature-diversity"] == pytest.approx(expected["feature-diversity"])
    few = np.mean([BY_CLASS.values(compare(side(s, 9), b))["feature-diversity"] ** 2 for s in range(200)])
    assert few == pytest.approx(2 * 5, rel=0.1), "E |x - y|^2 of unit Gaussians in 5 dimensions"


def test_refuses_missing_labels_and_a_class_without_a_pair() -> None:
    a = side(0)
    with pytest.raises(api.InvalidOutput, match="the real images have no labels"):
        BY_CLASS.values(compare(a, api.Features(values=a.values)))
    with pytest.raises(api.InvalidOutput, match="2 generated images of every class, there are 0 of c"):
        BY_CLASS.values(compare(a.at(np.flatnonzero(a.labels < 2)), a))
    with pytest.raises(api.InvalidOutput, match="at least 2 generated images"):
        OF_SET.values(compare(a.at(np.array([0])), a))
