"""MS-SSIM of pairs against torchmetrics, and what happens to images that are too small."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from dermae_bench import api
from dermae_bench.builtin.metrics import ms_ssim
from dermae_bench.builtin.metrics.ms_ssim import ClassSimilarity, SetSimilarity
from dermae_bench.plugin.images import Part


def side(pixels: np.ndarray, labels: np.ndarray | None = None) -> api.Features:
    names = [str(i) for i in range(len(pixels))]
    images = api.ImageSet(parts=[Part([pixels], np.arange(len(pixels)))], ids=names, groups=names)
    return api.Features(values=np.zeros((len(pixels), 0), np.float32), ids=names, labels=labels, images=images)


def noisy(seed: int, n: int, size: int = 44, spread: float = 40.0) -> np.ndarray:
    """A gradient with noise: the more noise, the less alike."""
    rng = np.random.default_rng(seed)
    base = np.linspace(40, 200, size)[None, None, None, :]
    return np.clip(base + spread * rng.standard_normal((n, 3, size, size)), 0, 255).astype(np.uint8)


def compare(generated: api.Features, real: api.Features, seed: int = 0) -> api.Comparison:
    return api.Comparison(generated=generated, real=real, classes=("a", "b"), seed=seed)


def of_set(comparison: api.Comparison, pairs: int = 100, scales: int = 3) -> dict[str, float]:
    return dict(SetSimilarity(SetSimilarity.Config(pairs=pairs, scales=scales)).values(comparison))


def test_agrees_with_torchmetrics_at_176_px_and_5_scales() -> None:
    a, b = noisy(0, 3, 176, 80), noisy(1, 2, 176, 20)
    theirs = [
        float(
            multiscale_structural_similarity_index_measure(
                torch.from_numpy(x[None]).float() / 255, torch.from_numpy(y[None]).float() / 255, data_range=1.0
            )
        )
        for x, y in ((a[0], a[1]), (a[0], a[2]), (a[1], a[2]), (b[0], b[1]))
    ]
    found = of_set(compare(side(a), side(b)), scales=5)
    assert found["ms-ssim-set"] == pytest.approx(np.mean(theirs[:3]), abs=2e-5)
    assert found["ms-ssim-set-real"] == pytest.approx(theirs[3], abs=2e-5)


def test_equal_images_give_one_and_noise_gives_less() -> None:
    same = side(np.repeat(noisy(0, 1), 4, axis=0))
    values = [of_set(compare(side(noisy(1, 4, spread=s)), same))["ms-ssim-set"] for s in (5, 40, 120)]
    assert of_set(compare(same, same)) == pytest.approx({"ms-ssim-set": 1, "ms-ssim-set-real": 1}, abs=1e-5)
    assert 1 > values[0] > values[1] > values[2] >= 0


def test_pairs_are_of_one_class_and_classes_weigh_alike() -> None:
    pixels = np.concatenate([np.repeat(noisy(0, 1), 6, axis=0), noisy(1, 3)])
    labels = np.array([0] * 6 + [1] * 3)
    metric = ClassSimilarity(ClassSimilarity.Config(scales=3))
    comparison = compare(side(pixels, labels), side(pixels, labels))
    values, details = metric.values(comparison), metric.details(comparison)
    other = of_set(compare(side(pixels[6:]), side(pixels[6:])))["ms-ssim-set"]
    assert values["ms-ssim"] == pytest.approx((1 + other) / 2, abs=1e-5)
    assert values["ms-ssim"] == values["ms-ssim-real"] or values["ms-ssim"] == pytest.approx(values["ms-ssim-real"])
    assert details["image_size"] == 44
    assert details["parts"]["b"]["generated"] == pytest.approx(other, abs=1e-5)
    assert values["ms-ssim"] > of_set(comparison)["ms-ssim-set"]


def test_order_changes_nothing_where_all_pairs_are_taken() -> None:
    pixels = noisy(3, 5)
    whole = of_set(compare(side(pixels), side(pixels[::-1].copy())))
    assert whole["ms-ssim-set"] == pytest.approx(whole["ms-ssim-set-real"], abs=1e-6)


def test_pairs_are_drawn_by_the_seed() -> None:
    a = side(noisy(4, 12))
    assert of_set(compare(a, a), pairs=5) == of_set(compare(a, a), pairs=5)
    assert of_set(compare(a, a), pairs=5) != of_set(compare(a, a, seed=1), pairs=5)
    for count, pairs in ((4, 6), (4, 99), (30, 20), (2, 1)):
        drawn = ms_ssim.draw_pairs(count, pairs, np.random.RandomState(0))
        assert len(drawn) == min(pairs, count * (count - 1) // 2)
        assert len({tuple(pair) for pair in drawn.tolist()}) == len(drawn)
        assert (drawn[:, 0] < drawn[:, 1]).all() and drawn.min() >= 0 and drawn.max() < count


@pytest.mark.parametrize(("scales", "size"), [(2, 22), (3, 44), (4, 99), (5, 176)])
def test_the_least_size_of_each_number_of_scales(scales: int, size: int) -> None:
    small, enough = (side(noisy(5, 2, s)) for s in (size - 1, size))
    assert 0 <= of_set(compare(enough, enough), scales=scales)["ms-ssim-set"] <= 1
    with pytest.raises(api.InvalidOutput, match=f"{scales} scales needs images of {size} px, these have {size - 1}"):
        of_set(compare(small, small), scales=scales)
    assert ms_ssim.most_scales(size) == scales == ms_ssim.most_scales(size - 1) + 1
    weights = ms_ssim.betas(scales)
    assert len(weights) == scales and sum(weights) == pytest.approx(1, abs=2e-4)


def test_the_refusal_says_what_would_fit_and_numbers_of_scales_never_look_equal() -> None:
    small = side(noisy(6, 2, 64))
    with pytest.raises(api.InvalidOutput, match="ask for `scales: 3`, which is another measure"):
        of_set(compare(small, small), scales=5)
    protocols = {SetSimilarity.columns(SetSimilarity.Config(scales=scales))[0].protocol for scales in (2, 3, 4, 5)}
    assert len(protocols) == 4
    assert "5 scales of weights 0.0448, 0.2856, 0.3001, 0.2363, 0.1333" in max(protocols, key=len)


def test_refuses_what_has_no_pair() -> None:
    a = side(noisy(7, 3), np.array([0, 0, 1]))
    metric = ClassSimilarity(ClassSimilarity.Config(scales=2))
    with pytest.raises(api.InvalidOutput, match="2 generated images of every class, there are 1 of b"):
        metric.values(compare(a, a))
    with pytest.raises(api.InvalidOutput, match="the generated side has none"):
        metric.values(compare(api.Features(values=np.zeros((3, 0), np.float32)), a))
    with pytest.raises(api.InvalidOutput, match="not alike in scale"):
        of_set(compare(side(noisy(7, 3, 64)), a))
    with pytest.raises(api.InvalidOutput, match="at least 2 generated images, there are 1"):
        of_set(compare(side(noisy(7, 1)), a))
