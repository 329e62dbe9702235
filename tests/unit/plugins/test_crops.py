"""Random resized crops: where they lie, how they are resized, in which precision."""

from __future__ import annotations

import torch
from dermae_plugins.parts import crops
from dermae_plugins.parts.crops import random_resized_crop


def test_crops_are_resized_views_of_their_boxes() -> None:
    ramp = torch.arange(32.0).expand(64, 1, 32, 32)
    images = torch.cat([ramp, ramp.transpose(2, 3)], dim=1)
    torch.manual_seed(0)
    seen = random_resized_crop(images, (0.2, 1.0), flip=True)
    across, down = seen[:, 0, 16], seen[:, 1, :, 16]
    for lines in (across.abs(), down):
        inner = lines[:, 4:-4].diff(dim=1)
        assert (inner - inner.mean(1, keepdim=True)).abs().max() < 1e-3, "a line stays a line"
    widths, heights = (across[:, 20] - across[:, 12]) / 8, (down[:, 20] - down[:, 12]) / 8
    assert 0.3 < (widths < 0).float().mean() < 0.7, "half are mirrored"
    areas, aspects = widths.abs() * heights, widths.abs() / heights
    assert 0.19 < areas.min() < 0.3 and 0.8 < areas.max() <= 1.0001
    assert aspects.min() > 0.74 and aspects.max() < 1.34 and len(areas.unique()) == 64
    whole = random_resized_crop(images, (1.0, 1.0), flip=False)
    assert (whole - images).abs().max() < 32 * (1 - 0.75**0.5) + 1, "at most cut by its aspect"


def test_crops_equal_torchvisions_bilinear_resize_of_the_same_box() -> None:
    from torchvision.transforms.v2.functional import resized_crop

    images = torch.randint(0, 256, (1, 3, 24, 24), generator=torch.Generator().manual_seed(5)).float()
    boxes = torch.tensor([[5, 12], [8, 15]]) / 24
    down, across = (crops._resampling(start, extent, 24) for start, extent in boxes.unsqueeze(2))
    expected = resized_crop(images, 5, 8, 12, 15, [24, 24], antialias=False)
    found = down.unsqueeze(1) @ images @ across.transpose(1, 2).unsqueeze(1)
    # at the rim torchvision repeats the box's last pixel, here the picture goes on
    torch.testing.assert_close(found[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=1e-3, rtol=1e-4)


def test_crops_are_exact_under_autocast() -> None:
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(0)
    exact = random_resized_crop(images, (0.2, 1.0), flip=True)
    torch.manual_seed(0)
    # bfloat16 would round a pixel's place and its value to 8 bits
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(random_resized_crop(images, (0.2, 1.0), flip=True), exact)
