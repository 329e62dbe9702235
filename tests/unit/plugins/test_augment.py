"""Augmentation on batches: what changes, what may not, and how often."""

from __future__ import annotations

import pytest
import torch
from dermae_plugins.parts import augment


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
    targets = torch.eye(4)
    mixed, blended = augment.mixup(images, targets, 0.8)
    torch.testing.assert_close(blended.sum(1), torch.ones(4))
    torch.testing.assert_close(mixed[:, 0, 0, 0], blended @ images[:, 0, 0, 0])
    weight = blended[0, 0].item()
    assert 0 < weight < 1
    assert blended[0, 3].item() == pytest.approx(1 - weight)


def test_soft_targets_are_those_of_torch() -> None:
    labels = torch.tensor([0, 2, 1])
    logits = torch.randn(3, 3)
    theirs = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.2)
    ours = torch.nn.functional.cross_entropy(logits, augment.soft_targets(labels, 3, 0.2))
    torch.testing.assert_close(ours, theirs)
