"""Hashes stay where an image stays the same, turn with it, and do not depend on its neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import SIZE, brighter, compressed, drawn, scaled, worn

from dermae_bench.leakage.fingerprints import BITS, TURNS, fingerprints, turned, turned_pictures
from dermae_bench.leakage.pairs import HAMMING


def bits(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return np.bitwise_count(one ^ two).sum(axis=1)


def prints(pixels: np.ndarray):
    return fingerprints(lambda rows: pixels[rows], len(pixels))


@pytest.mark.parametrize(
    ("how", "bound"),
    [
        (lambda image: compressed(image, 75), 24),
        (lambda image: scaled(image, 48), 24),
        (lambda image: brighter(image, 1.05), 16),
        (lambda image: brighter(image, 0.95), 16),
        (worn, HAMMING),
    ],
)
def test_a_copy_changes_few_bits(how, bound: int) -> None:
    pixels = drawn().pixels[:40]
    copies = np.stack([how(image) for image in pixels])
    assert not np.array_equal(copies, pixels)
    found = bits(prints(copies).hashes, prints(pixels).hashes)
    assert found.max() <= bound, found


def test_different_lesions_differ_in_many_bits() -> None:
    data = drawn()
    known = prints(data.pixels)
    groups = np.array(data.groups)
    one, two = np.triu_indices(len(groups), 1)
    other = groups[one] != groups[two]
    found = bits(known.hashes[one[other]], known.hashes[two[other]])
    assert found.min() > HAMMING
    assert abs(np.median(found) - BITS / 2) < 16


def test_a_fingerprint_does_not_depend_on_its_neighbours() -> None:
    pixels = drawn().pixels[:70]
    whole = prints(pixels)
    order = np.random.default_rng(0).permutation(len(pixels))
    mixed = prints(pixels[order])
    for name in ("digests", "hashes", "thumbnails"):
        assert np.array_equal(getattr(mixed, name), getattr(whole, name)[order])
    assert np.array_equal(prints(pixels[66:67]).hashes, whole.hashes[66:67])


@pytest.mark.parametrize("turn", range(len(TURNS)))
def test_turning_a_hash_is_hashing_the_turned_image(turn: int) -> None:
    pixels = drawn().pixels[:30]
    rotated = np.stack([turned_pictures(image.astype(np.uint16), turn) for image in pixels]).astype(np.uint8)
    # frequencies whose sign is one of rounding may fall either way
    assert bits(turned(prints(pixels).hashes, turn), prints(rotated).hashes).max() <= 1
    by_words = {
        "": lambda image: image,
        "mirrored left to right": lambda image: image[:, :, ::-1],
        "mirrored top to bottom": lambda image: image[:, ::-1],
        "turned by 180 degrees": lambda image: image[:, ::-1, ::-1],
        "mirrored along a diagonal": lambda image: image.transpose(0, 2, 1),
        "a quarter turn": lambda image: np.rot90(image, 1, (1, 2)),
    }[TURNS[turn]]
    if turn < 5:
        assert np.array_equal(rotated[0], by_words(pixels[0]))


def test_digests_tell_a_single_level_apart() -> None:
    pixels = np.repeat(drawn().pixels[:1], 2, axis=0)
    assert np.array_equal(*prints(pixels).digests)
    pixels[1, 2, SIZE - 1, SIZE - 1] ^= 1
    assert not np.array_equal(*prints(pixels).digests)


@pytest.mark.parametrize("size", [8, 17, 32, 100])
def test_any_size_can_be_hashed_and_the_thumbnail_is_the_mean_grey(size: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 3, size, size), dtype=np.uint8)
    known = prints(pixels)
    grey = (np.array([0.299, 0.587, 0.114])[:, None, None] * pixels).sum(axis=1).mean(axis=(1, 2))
    np.testing.assert_allclose(known.thumbnails.mean(axis=(1, 2)) / 256, grey, atol=0.05)
    assert not known.flat.any()


def test_a_picture_without_contrast_is_flat() -> None:
    pixels = np.full((2, 3, 16, 16), 90, dtype=np.uint8)
    pixels[1, :, :8] = 95
    assert prints(pixels).flat.tolist() == [True, False]
    assert len(prints(pixels[:0])) == 0
