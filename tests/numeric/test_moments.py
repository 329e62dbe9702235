"""Streamed mean and covariance root against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from dermae_bench import api


def pieces(values: np.ndarray, size: int) -> list[np.ndarray]:
    return [values[first : first + size] for first in range(0, len(values), size)]


@pytest.mark.parametrize(("n", "d"), [(3000, 7), (2600, 1), (9, 8), (8, 8), (5, 8), (2, 3)])
def test_equals_the_definition_whatever_the_blocks(n: int, d: int) -> None:
    values = (np.random.default_rng(0).standard_normal((n, d)) * np.linspace(0.1, 9, d) + 3).astype(np.float32)
    wide = values.astype(np.float64)
    expected = np.atleast_2d(np.cov(wide, rowvar=False))
    whole = api.moments([values])
    assert whole[0].dtype == whole[1].dtype == np.float64
    assert whole[1].shape == (min(n, d), d)
    np.testing.assert_allclose(whole[0], wide.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(whole[1].T @ whole[1], expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
    for size in (1, 7, 1000):
        mean, root = api.moments(pieces(values, size))
        np.testing.assert_allclose(mean, whole[0], rtol=1e-12)
        np.testing.assert_allclose(root.T @ root, whole[1].T @ whole[1], rtol=1e-12, atol=1e-12 * expected.max())


def test_a_small_spread_beside_a_large_mean_and_a_large_spread_keeps_its_digits() -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_normal((5000, 3)) * [1e3, 1.0, 1e-4] + 1e5
    _, root = api.moments(pieces(values, 512))
    # sum of squares minus square of the mean would leave no digit of 1e-8 beside 1e10
    np.testing.assert_allclose((root**2).sum(axis=0), values.var(axis=0, ddof=1), rtol=1e-9)


def test_reads_a_memory_map_and_leaves_it_as_it_is(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "features.npy"
    values = np.random.default_rng(2).standard_normal((40, 5)).astype(np.float32)
    np.save(path, values)
    mapped = np.load(path, mmap_mode="r")
    np.testing.assert_array_equal(api.moments(pieces(mapped, 16))[0], api.moments([values])[0])
    np.testing.assert_array_equal(np.load(path), values)


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        ([], "at least 2 images"),
        ([np.zeros((1, 3))], "at least 2 images, there are 1"),
        ([np.zeros((4, 3)), np.zeros((4, 2))], "no common mean"),
        ([np.zeros(4)], "no common mean"),
        ([np.zeros((4, 0))], "no common mean"),
        ([np.array([[0.0], [np.inf]])], "not finite"),
    ],
)
def test_refuses_what_has_no_moments(blocks: list[np.ndarray], reason: str) -> None:
    with pytest.raises(api.InvalidOutput, match=reason):
        api.moments(blocks)
