"""The Fréchet distance against closed forms and against the reference implementation."""

from __future__ import annotations

import numpy as np
import pytest

from dermae_bench import api
from dermae_bench.builtin.metrics.frechet import FrechetDistance, frechet_distance

METRIC = FrechetDistance(FrechetDistance.Config())


def whitened(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Points whose sample mean is exactly 0 and whose sample covariance is exactly the identity."""
    points = rng.standard_normal((n, d))
    points -= points.mean(axis=0)
    u, _, vt = np.linalg.svd(points, full_matrices=False)
    return u @ vt * np.sqrt(n - 1)


def fd(a: np.ndarray, b: np.ndarray) -> float:
    return METRIC.values(compare(api.Features(values=a), api.Features(values=b)))["fd"]


def compare(generated: api.Features, real: api.Features) -> api.Comparison:
    return api.Comparison(generated=generated, real=real)


def test_gaussians_with_known_moments() -> None:
    rng = np.random.default_rng(0)
    s, t = np.array([1.0, 2.0, 0.5, 3.0, 0.1]), np.array([2.0, 1.0, 0.5, 0.3, 0.4])
    offset = np.array([1.0, -2.0, 0.0, 0.5, 3.0])
    a, b = whitened(rng, 400, 5) * s, whitened(rng, 300, 5) * t + offset
    # commuting covariances: |m|^2 + sum (s - t)^2
    assert fd(a, b) == pytest.approx((offset**2).sum() + ((s - t) ** 2).sum(), rel=1e-9)


def test_covariances_that_do_not_commute() -> None:
    scipy_linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(1)
    left, right = rng.standard_normal((6, 6)), rng.standard_normal((6, 6))
    a, b = whitened(rng, 100, 6) @ left, whitened(rng, 90, 6) @ right + 1
    c, d = left.T @ left, right.T @ right
    expected = 6 + np.trace(c + d - 2 * scipy_linalg.sqrtm(c @ d).real)
    assert fd(a, b) == pytest.approx(expected, rel=1e-9)


def test_agrees_with_torch_fidelity() -> None:
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    rng = np.random.default_rng(2)
    a = np.maximum(rng.standard_normal((300, 40)), 0).astype(np.float32)
    b = np.maximum(rng.standard_normal((260, 40)) * 1.3 + 0.1, 0).astype(np.float32)
    theirs = fid_statistics_to_metric(
        fid_features_to_statistics(torch.from_numpy(a)), fid_features_to_statistics(torch.from_numpy(b)), verbose=False
    )
    assert fd(a, b) == pytest.approx(next(iter(theirs.values())), rel=1e-6)


@pytest.mark.parametrize("n", [30, 200])
def test_of_a_set_to_itself_is_zero_also_when_the_covariance_is_singular(n: int) -> None:
    a = np.random.default_rng(3).standard_normal((n, 64)).astype(np.float32) * 10 + 5
    assert 0 <= fd(a, a) < 1e-6
    assert 0 <= fd(a, a[::-1]) < 1e-6


def test_is_symmetric_and_grows_with_noise() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((300, 16)), rng.standard_normal((200, 16)) * 1.2 + 0.3
    assert fd(a, b) == pytest.approx(fd(b, a), rel=1e-10)
    noise = rng.standard_normal(a.shape)
    distances = [fd(a + level * noise, a) for level in (0.1, 0.5, 1.0, 2.0)]
    assert distances == sorted(distances)
    assert distances[0] < 0.1 < distances[-1]


def test_warns_with_both_numbers_when_images_are_too_few() -> None:
    few, many = api.Features(values=np.zeros((64, 64), np.float32)), api.Features(values=np.zeros((65, 64), np.float32))
    assert METRIC.warnings(compare(many, many)) == []
    (text,) = METRIC.warnings(compare(few, many))
    assert text.startswith("fd: 64 generated images in 64 dimensions")


@pytest.mark.parametrize("shape", [(1, 4), (8, 3)])
def test_refuses_what_has_no_distance(shape: tuple[int, int]) -> None:
    with pytest.raises(api.InvalidOutput):
        fd(np.zeros(shape), np.zeros((8, 4)))


def test_refuses_features_that_are_not_finite() -> None:
    bad = np.zeros((8, 4))
    bad[3, 2] = np.nan
    with pytest.raises(api.InvalidOutput, match="finite"):
        frechet_distance(np.zeros((8, 4)), bad)


def test_takes_the_moments_that_stand_ready_and_does_not_compute_them_again() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((200, 6)), rng.standard_normal((300, 6)) + 1
    mean, root = api.moments([b])
    ready = api.Features(values=np.full_like(b, 7), mean=mean, root=root)
    found = METRIC.values(compare(api.Features(values=a), ready))["fd"]
    assert found == fd(a, b)
    assert found == frechet_distance(a, b)


def test_order_rotation_and_a_common_shift_change_nothing() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.standard_normal((200, 6)) * 2, rng.standard_normal((300, 6)) + 1
    turn, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    assert fd(a[rng.permutation(200)], b) == pytest.approx(fd(a, b), rel=1e-10)
    assert fd(a @ turn + 3, b @ turn + 3) == pytest.approx(fd(a, b), rel=1e-10)
