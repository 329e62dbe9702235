"""Augmentation on batches: what changes, what may not, and how often."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from dermae_plugins.parts import augment
from dermae_plugins.parts.rand_augment import OPERATIONS, rand_augment
from dermae_plugins.parts.recipe import Recipe
from dermae_plugins.parts.views import View, changes_images, view_of

from dermae_bench import api


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def pictures(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 3, 6, 6) * 2 - 1


def test_half_of_the_images_are_mirrored() -> None:
    images = pictures(1).expand(600, -1, -1, -1)
    found = augment.flipped(images)
    mirrored = (found == images.flip(3)).flatten(1).all(1)
    kept = (found == images).flatten(1).all(1)
    assert torch.all(mirrored ^ kept)
    assert mirrored.float().mean().item() == pytest.approx(0.5, abs=0.07)
    assert augment.flipped(images, wanted=False) is images


def test_all_eight_positions_of_a_square_occur_equally_often() -> None:
    image = pictures(1)
    found = augment.dihedral(image.expand(1600, -1, -1, -1))
    turned = [torch.rot90(image, k, (2, 3)) for k in range(4)]
    positions = [*turned, *(one.flip(3) for one in turned)]
    counts = torch.stack([(found == one).flatten(1).all(1).sum() for one in positions])
    assert counts.sum() == 1600
    assert counts.min() > 140


def test_colour_jitter_is_per_image_and_stays_in_range() -> None:
    images = pictures(1).expand(5, -1, -1, -1)
    found = augment.colour_jitter(images, 0.4)
    assert len({tuple(one.flatten().tolist()) for one in found}) == 5
    assert found.abs().max() <= 1
    torch.testing.assert_close(augment.colour_jitter(images, 0.0), images, atol=1e-6, rtol=0)


def test_mixup_blends_targets_as_it_blends_images() -> None:
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 2, 2) / 2 - 1
    mixed, share = augment.mixup(images, 0.8)
    blended = View(mixed, share).blended(torch.eye(4))
    torch.testing.assert_close(blended.sum(1), torch.ones(4))
    torch.testing.assert_close(mixed[:, 0, 0, 0], blended @ images[:, 0, 0, 0])
    assert 0 < share < 1
    assert blended[0, 3].item() == pytest.approx(1 - share)


def test_the_share_of_cutmix_is_that_of_the_pixels() -> None:
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 13, 13)
    shares = []
    for _ in range(60):
        mixed, share = augment.cutmix(images, 1.0)
        own = (mixed == images).float().mean(dim=(1, 2, 3))
        assert own.tolist() == pytest.approx([share] * 4)
        assert ((mixed == images) | (mixed == images.flip(0))).all()
        box = (mixed[0, 0] != images[0, 0]).nonzero()
        if len(box):
            height, width = (box.amax(0) - box.amin(0) + 1).tolist()
            assert len(box) == height * width
        shares.append(share)
    assert min(shares) < 0.4
    assert max(shares) > 0.9


def test_soft_targets_are_those_of_torch() -> None:
    labels = torch.tensor([0, 2, 1])
    logits = torch.randn(3, 3)
    theirs = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.2)
    ours = torch.nn.functional.cross_entropy(logits, augment.soft_targets(labels, 3, 0.2))
    torch.testing.assert_close(ours, theirs)


def test_erasing_takes_a_rectangle_of_the_stated_area_from_the_stated_share() -> None:
    images = torch.full((2000, 3, 32, 32), 2.0)
    changed = (augment.erased(images, 0.3) != images).all(1)
    assert (changed.flatten(1).any(1)).float().mean().item() == pytest.approx(0.3, abs=0.04)
    everywhere = augment.erased(images, 1.0)
    areas = (everywhere != images).all(1).float().mean(dim=(1, 2))
    # uniform between 0.02 and 1/3
    assert areas.mean().item() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.01)
    assert areas.max().item() < 0.37
    height, width = (changed.any(dim).sum(1) for dim in (2, 1))
    assert torch.equal(changed.sum(dim=(1, 2)), height * width)
    noise = everywhere[everywhere != 2.0]
    assert noise.abs().max() <= 1
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert torch.equal(augment.erased(images, 0.0), images)


def test_every_operation_changes_images_of_its_own_and_none_at_strength_0() -> None:
    images = pictures(1).lerp(torch.zeros(1), 0.3).expand(400, -1, -1, -1)
    found = rand_augment(images, 1, 10.0)
    assert found.shape == images.shape
    assert found.abs().max() <= 1
    # 12 operations, nine of them with two signs
    assert len({tuple(one.round(decimals=4).flatten().tolist()) for one in found}) == 21
    for count in (1, 3):
        torch.testing.assert_close(rand_augment(images, count, 0.0), images, atol=1e-5, rtol=0)


def drawn(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let RandAugment draw these operations, one an image, with positive signs."""
    answers = [torch.tensor([[OPERATIONS.index(name) for name in names]]), torch.ones(1, len(names), dtype=torch.int64)]
    monkeypatch.setattr(torch, "randint", lambda *arguments, **keywords: answers.pop(0))


def test_colour_operations_do_what_their_names_say(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(64, 192, (6, 3, 8, 8))).float() / 127.5 - 1
    drawn(monkeypatch, "brightness", "contrast", "saturation", "autocontrast", "posterise", "identity")
    bright, hard, coloured, stretched, coarse, same = rand_augment(images, 1, 5.0)
    torch.testing.assert_close(bright, ((images[0] + 1) * 1.45 - 1).clamp(-1, 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(hard.std() / images[1].std(), torch.tensor(1.45), atol=1e-3, rtol=0)
    torch.testing.assert_close(coloured.mean(0), images[2].mean(0), atol=1e-5, rtol=1e-5)
    assert coloured.std(0).mean() > 1.4 * images[2].std(0).mean()
    assert (stretched.amax(), stretched.amin()) > (images[3].amax(), images[3].amin())
    levels = ((coarse + 1) * 127.5).round().int()
    assert torch.equal(levels, ((images[4] + 1) * 127.5).round().int() // 4 * 4)
    torch.testing.assert_close(same, images[5], atol=1e-5, rtol=0)


def test_moves_go_where_their_names_say(monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.zeros(1, 3, 20, 20)
    image[:, :, 10, 16] = 1
    drawn(monkeypatch, "translate-x", "translate-y", "rotate", "shear-y", "identity")
    # 0.9 of the 20 px is 9 px at magnitude 10
    found = rand_augment(image.expand(5, -1, -1, -1), 1, 10.0)[:, 0]
    places = [divmod(int(one.argmax()), 20) for one in found]
    assert places[0] == (10, 7)
    assert places[4] == (10, 16)
    assert found[1][1, 16] == pytest.approx(1, abs=1e-4)
    # by 30 degrees around the middle (9.5, 9.5): 6.5 px away
    assert places[2][0] in (6, 7)
    assert places[2][1] in (15, 16)
    assert places[3] == (8, 16)


RECIPES = [
    {"turns": "none"},
    {"crop": 0.5, "erasing": 0.5},
    {"rand_augment": 2, "colour_jitter": 0.2},
    {"mixup": 0.8, "cutmix": 1.0},
]


@pytest.mark.parametrize("options", RECIPES, ids=lambda value: "-".join(value))
def test_views_have_range_and_shape_and_no_trace_of_the_batch(options: dict[str, Any]) -> None:
    images = torch.randint(0, 256, (7, 3, 16, 16), dtype=torch.uint8)
    before = images.clone()
    view = view_of(images, Recipe(arch="x", **options))
    assert torch.equal(images, before)
    assert view.images.shape == images.shape
    assert view.images.dtype == torch.float32
    assert view.images.abs().max() <= 1 + 1e-6
    assert view.pixels.dtype == torch.uint8
    assert (api.from_uint8(view.pixels) - view.images).abs().max() <= 1 / 255 + 1e-6
    assert (view.share == 1) == ("mixup" not in options)


def test_what_changes_no_image_says_so() -> None:
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    still = {"arch": "x", "turns": "none"}
    for options in ({}, {"rand_augment": 2, "magnitude": 0.0}, {"mixup": 1.0, "mixing": 0.0}, {"drop_path": 0.5}):
        recipe = Recipe(**still, **options)
        assert not changes_images(recipe)
        assert torch.equal(view_of(images, recipe).pixels, images)
    for options in ({"turns": "flip"}, *RECIPES[1:]):
        recipe = Recipe(**{**still, **options})
        assert changes_images(recipe)
        assert not torch.equal(view_of(images, recipe).pixels, images)


def test_batches_are_mixed_as_often_as_asked_and_by_both_ways() -> None:
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    recipe = Recipe(arch="x", turns="none", mixup=0.8, cutmix=1.0, mixing=0.6, cutmix_share=0.25)
    mixed = cut = 0
    for _ in range(400):
        view = view_of(images, recipe)
        if view.share == 1:
            continue
        mixed += 1
        plain = api.from_uint8(images)
        cut += bool(((view.images == plain) | (view.images == plain.flip(0))).all())
    assert mixed / 400 == pytest.approx(0.6, abs=0.08)
    assert cut / mixed == pytest.approx(0.25, abs=0.08)


def test_views_are_exact_in_low_precision_too() -> None:
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    recipe = Recipe(arch="x", rand_augment=2, crop=0.5)
    torch.manual_seed(1)
    plain = view_of(images, recipe).images
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        low = view_of(images, recipe).images
    assert torch.equal(plain, low)
