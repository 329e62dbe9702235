"""The kernel distance against its definition and against torch-fidelity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kernel_mmd, kid_features_to_metric

from dermae_bench import api
from dermae_bench.builtin.metrics import kid as module
from dermae_bench.builtin.metrics import rows
from dermae_bench.builtin.metrics.kid import KernelDistance

FULL = KernelDistance(KernelDistance.Config())


def features(seed: int, n: int, d: int = 32, scale: float = 1.0, shift: float = 0.0) -> api.Features:
    values = np.maximum(np.random.default_rng(seed).standard_normal((n, d)) * scale + shift, 0)
    return api.Features(values=values.astype(np.float32))


def kid(metric: KernelDistance, a: api.Features, b: api.Features, seed: int = 0) -> float:
    return metric.values(compare(a, b, seed))["kid"]


def compare(generated: api.Features, real: api.Features, seed: int = 0) -> api.Comparison:
    return api.Comparison(generated=generated, real=real, seed=seed)


def test_full_set_is_the_mean_over_all_unlike_pairs() -> None:
    a, b = features(0, 7, 3), features(1, 5, 3, shift=0.5)
    x, y = a.values.astype(float), b.values.astype(float)

    def k(p: np.ndarray, q: np.ndarray) -> float:
        return float((p @ q / 3 + 1) ** 3)

    expected = (
        np.mean([k(p, q) for i, p in enumerate(x) for j, q in enumerate(x) if i != j])
        + np.mean([k(p, q) for i, p in enumerate(y) for j, q in enumerate(y) if i != j])
        - 2 * np.mean([k(p, q) for p in x for q in y])
    )
    assert kid(FULL, a, b) == pytest.approx(expected, rel=1e-10)


def test_full_set_agrees_with_torch_fidelity_and_does_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = features(2, 150), features(3, 150, scale=1.4)
    theirs = kernel_mmd(a.values.astype(np.float64), b.values.astype(np.float64))
    assert kid(FULL, a, b) == pytest.approx(theirs, rel=1e-5)
    monkeypatch.setattr(module, "BLOCK", 37)
    monkeypatch.setattr(rows, "BLOCK", 37)
    assert kid(FULL, a, b) == pytest.approx(theirs, rel=1e-9)


def test_subsets_agree_with_torch_fidelity() -> None:
    a, b = features(4, 200), features(5, 180, scale=1.4)
    metric = KernelDistance(KernelDistance.Config(subsets=10, subset_size=60))
    ours = metric.values(compare(a, b, 7))
    theirs = kid_features_to_metric(
        torch.from_numpy(a.values.astype(np.float64)),
        torch.from_numpy(b.values.astype(np.float64)),
        kid_subsets=10,
        kid_subset_size=60,
        rng_seed=7,
        verbose=False,
    )
    assert ours["kid"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-5)
    assert ours["kid-subset-std"] == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-5)
    assert ours == metric.values(compare(a, b, 7))
    assert ours != metric.values(compare(a, b, 8))
    assert set(ours) == {column.name for column in metric.columns(metric.config)}


def test_equal_distributions_are_near_zero_on_average_and_others_far() -> None:
    same = [kid(FULL, features(10 + i, 100), features(50 + i, 100)) for i in range(30)]
    other = kid(FULL, features(0, 100), features(1, 100, shift=0.5))
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(len(same)), "unbiased"
    assert min(same) < 0 < max(same)
    assert other > 10 * max(map(abs, same))


def test_the_protocol_says_how_it_was_drawn() -> None:
    (full,) = KernelDistance.columns(KernelDistance.Config())
    drawn, _ = KernelDistance.columns(KernelDistance.Config(subsets=5, subset_size=9))
    assert full.protocol == "unbiased MMD^2, cubic kernel, full set"
    assert drawn.protocol == "unbiased MMD^2, cubic kernel, mean of 5 subsets of 9"


def test_refuses_too_few_images_and_unlike_dimensions() -> None:
    with pytest.raises(api.InvalidOutput, match="at least 60 generated images, there are 59"):
        kid(KernelDistance(KernelDistance.Config(subsets=2, subset_size=60)), features(0, 59), features(1, 80))
    with pytest.raises(api.InvalidOutput):
        kid(FULL, features(0, 9, 4), features(1, 9, 5))


def test_order_and_rotation_change_nothing() -> None:
    a, b = features(8, 90), features(9, 80, shift=0.4)
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.standard_normal((32, 32)))
    shuffled = api.Features(values=a.values[rng.permutation(90)])
    turned = [api.Features(values=side.values @ turn) for side in (a, b)]
    assert kid(FULL, shuffled, b) == pytest.approx(kid(FULL, a, b), rel=1e-9)
    assert kid(FULL, *turned) == pytest.approx(kid(FULL, a, b), rel=1e-9)
