"""Pixels: types, sizes, and sets joined from parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dermae_bench.errors import InvalidOutput
from dermae_bench.plugin.images import RESIZE_PROTOCOL, ImageSet, Part, from_uint8, resize, to_uint8


def numbered(count: int, first: int = 0, size: int = 2) -> np.ndarray:
    """Images whose every pixel is their number."""
    values = np.arange(first, first + count, dtype=np.uint8)
    return np.broadcast_to(values[:, None, None, None], (count, 3, size, size)).copy()


def a_set(parts: list[Part]) -> ImageSet:
    names = [str(i) for i in range(sum(len(part.rows) for part in parts))]
    return ImageSet(parts=parts, ids=names, groups=names)


def test_every_level_survives_there_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    floats = from_uint8(levels)
    assert floats.dtype == torch.float32
    assert (floats.min(), floats.max()) == (-1, 1)
    assert torch.equal(to_uint8(floats), levels)
    assert torch.equal(to_uint8(floats + 0.4 / 127.5), levels)


def test_floats_are_clipped_and_rounded_and_what_is_no_number_is_no_pixel() -> None:
    given = torch.tensor([-7.0, -1.0, 0.0, 0.001, 1.0, 7.0])
    assert to_uint8(given).tolist() == [0, 0, 128, 128, 255, 255]
    assert to_uint8(given.bfloat16()).dtype == torch.uint8
    for bad in (float("nan"), float("inf")):
        with pytest.raises(InvalidOutput, match="not finite"):
            to_uint8(torch.tensor([0.0, bad]))


def test_resizing_is_on_integers_antialiased_and_nothing_at_the_same_size() -> None:
    assert "antialias" in RESIZE_PROTOCOL
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert resize(images, 32) is images
    smaller = resize(images, 8)
    assert smaller.shape == (2, 3, 8, 8)
    assert smaller.dtype == torch.uint8
    # an antialiased mean of noise lies near its middle; a picked pixel does not
    assert smaller.float().std() < 0.5 * images.float().std()
    assert torch.equal(resize(images[:1], 8), smaller[:1])


def test_parts_and_shards_are_joined_in_order() -> None:
    shards = [numbered(3), numbered(4, 3)]
    images = a_set([Part(shards, np.array([6, 0, 2])), Part([numbered(5, 100)], np.arange(5))])
    assert len(images) == 8
    assert images.image_size == 2
    expected = [6, 0, 2, 100, 101, 102, 103, 104]
    assert images[slice(None)][:, 0, 0, 0].tolist() == expected
    order = [7, 0, 3, 3, 1]
    assert images[order][:, 0, 0, 0].tolist() == [expected[i] for i in order]
    assert images[np.array([2])].shape == (1, 3, 2, 2)
    assert len(images[slice(0, 0)]) == 0
    assert images[slice(-2, None)][:, 0, 0, 0].tolist() == expected[-2:]


@pytest.mark.parametrize("index", [-1, 8, 100])
def test_an_index_outside_is_an_error(index: int) -> None:
    with pytest.raises(IndexError, match=r"0\.\.7"):
        _ = a_set([Part([numbered(8)], np.arange(8))])[[0, index]]


def test_what_is_given_out_is_a_copy(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", numbered(4))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    images = a_set([Part([mapped], np.arange(4))])
    batch = images[[0, 1]]
    batch.zero_().add_(9)
    assert images[[0, 1]][:, 0, 0, 0].tolist() == [0, 1]
