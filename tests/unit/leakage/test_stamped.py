"""Copies with a label on them, and copies of pictures so smooth that their hash is one of rounding."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import compressed, drawn, images_of, with_copy

from dermae_bench.leakage.fingerprints import fingerprints
from dermae_bench.leakage.lints import lint_generated, lint_real
from dermae_bench.leakage.pairs import near_pairs
from dermae_bench.leakage.stamped import stamped_pairs


def prints(pixels: np.ndarray):
    return fingerprints(lambda rows: pixels[rows], len(pixels))


def pairs_of(found) -> set[tuple[int, int]]:
    return {pair for pairs in found for pair in zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)}


def smooth(count: int, size: int = 96, seed: int = 3) -> np.ndarray:
    """Skin with one blurred spot each."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size - 0.5
    made = []
    for _ in range(count):
        (dy, dx), (wide, high) = random.normal(0, 0.08, 2), random.uniform(0.1, 0.3, 2)
        tilt = random.normal(0, 30, 2)
        spot = np.exp(-((((y - dy) / high) ** 2 + ((x - dx) / wide) ** 2) ** 2))
        made.append(
            [level + tilt[0] * x + tilt[1] * y - dark * spot for level, dark in ((190, 70), (150, 80), (130, 80))]
        )
    return np.clip(made, 0, 255).astype(np.uint8)


def labelled(image: np.ndarray, level: int = 255) -> np.ndarray:
    """A solid box of 56 x 14 of 256 in the lower left corner."""
    copy, side = image.copy(), image.shape[-1]
    rows, columns = (slice(round(a * side / 256), round(b * side / 256)) for a, b in ((236, 250), (4, 60)))
    copy[:, rows, columns] = level
    return copy


@pytest.mark.parametrize("level", [0, 255])
def test_a_label_in_a_corner_hides_no_copy(level: int) -> None:
    known = smooth(24)
    copies = np.stack([labelled(image, level) for image in known])
    found = pairs_of(stamped_pairs(prints(known), prints(copies)))
    assert found == {(i, i) for i in range(len(known))}
    assert len(pairs_of(near_pairs(prints(known), prints(copies)))) < len(known) / 2


def test_nor_does_a_label_on_a_turned_and_compressed_copy() -> None:
    known = smooth(12)
    copies = np.stack([compressed(labelled(image[:, :, ::-1]), 50) for image in known])
    (pairs,) = stamped_pairs(prints(known), prints(copies))
    assert pairs_of([pairs]) == {(i, i) for i in range(len(known))}


def test_one_changed_pixel_of_a_smooth_picture_hides_no_copy() -> None:
    known = smooth(12, 32)
    copies = known.copy()
    copies[:, :, 0, 0] = 0
    assert pairs_of(stamped_pairs(prints(known), prints(copies))) == {(i, i) for i in range(len(known))}


def test_pictures_of_other_lesions_are_none() -> None:
    data = drawn()
    found = pairs_of(stamped_pairs(prints(data.pixels)))
    assert all(data.groups[i] == data.groups[j] for i, j in found)


def test_a_labelled_copy_across_splits_is_one_near_duplicate() -> None:
    data = drawn()
    original = data.one("train")
    tally = lint_real(with_copy(data, labelled(data.pixels[original])).images())
    near = [finding for finding in tally.findings if finding.kind == "near-across-splits"]
    assert [finding.ids for finding in near] == [(data.ids[original], "copy")]
    assert tally.counts["near-across-splits"] == 1
    generated = images_of(labelled(data.pixels[data.one("test")])[None], ids=["sample"])
    assert lint_generated(generated, data.images()).counts == {"generated-near": 1}


def test_equal_and_flat_pictures_are_left_out() -> None:
    pixels = np.concatenate([smooth(1, 32), smooth(1, 32), np.full((2, 3, 32, 32), 90, dtype=np.uint8)])
    pixels[3, :, 0, 0] = 91
    assert list(stamped_pairs(prints(pixels))) == []
