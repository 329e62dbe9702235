"""What a data set that models are scored on shares with what they learn from: pictures, ids, lesions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from phantoms import Drawn, compressed, drawn
from PIL import Image

from dermae_bench.builtin.datasets.phantom import Phantom, PhantomConfig
from dermae_bench.leakage import others
from dermae_bench.leakage.findings import KINDS, Tally
from dermae_bench.leakage.others import lint_other

COUNT = 30


def own() -> Drawn:
    """Train and val of the drawn lesions."""
    data = drawn()
    rows = [i for i, split in enumerate(data.splits) if split != "test"]
    return part(data, rows)


def part(data: Drawn, rows: list[int]) -> Drawn:
    listed = [[values[i] for i in rows] for values in (data.ids, data.groups, data.splits, data.labels)]
    return Drawn(data.pixels[rows], *listed)


def strangers() -> Drawn:
    """Lesions of another seed, with names of their own."""
    data = Phantom(PhantomConfig(image_size=64, images=50, seed=7))
    found = data.examples()[:COUNT]
    pixels = np.stack([data.image(example, 64) for example in found])
    names = [f"other-{i}" for i in range(COUNT)]
    return Drawn(pixels, names, [f"of-{name}" for name in names], ["test"] * COUNT, [e.label for e in found])


def renamed(data: Drawn, ids: dict[int, str], groups: dict[int, str] = {}) -> Drawn:  # noqa: B006
    its = [ids.get(i, name) for i, name in enumerate(data.ids)]
    return Drawn(data.pixels, its, [groups.get(i, g) for i, g in enumerate(data.groups)], data.splits, data.labels)


def with_pictures(data: Drawn, pictures: dict[int, NDArray[np.uint8]]) -> Drawn:
    pixels = data.pixels.copy()
    for i, picture in pictures.items():
        pixels[i] = picture
    return Drawn(pixels, data.ids, data.groups, data.splits, data.labels)


def cropped(image: NDArray[np.uint8], border: int) -> NDArray[np.uint8]:
    middle = Image.fromarray(image[:, border:-border, border:-border].transpose(1, 2, 0))
    return np.asarray(middle.resize(image.shape[1:], Image.Resampling.BILINEAR)).transpose(2, 0, 1)


def lint(other: Drawn) -> Tally:
    mine = own()
    return lint_other(mine.images(), other.images(), "clinic")


def places(tally: Tally, kind: str) -> dict[str, int]:
    return {where: len(ids) for where, ids in tally.touched.get(kind, {}).items()}


def test_strangers_share_nothing() -> None:
    assert lint(strangers()).counts == {}


def test_copies_are_found_and_told_by_the_split_that_they_stand_in() -> None:
    mine = own()
    train, val = mine.one("train"), mine.one("val")
    other = with_pictures(strangers(), {0: mine.pixels[train], 1: compressed(mine.pixels[val], 60)})
    other = with_pictures(other, {2: mine.pixels[train][:, :, ::-1]})
    found = lint(other)
    assert found.counts == {"other-exact": 1, "other-near": 2}
    assert places(found, "copies") == {"train>clinic": 2, "val>clinic": 1}
    assert all(KINDS[kind].severity == "warning" for kind in found.counts)
    exact, *near = found.findings
    assert (exact.ids, exact.splits) == ((mine.ids[train], "other-0"), ("train", "clinic"))
    assert exact.labels == (mine.labels[train], other.labels[0])
    assert {finding.turn for finding in near} == {"", "mirrored left to right"}


def test_equal_pixels_in_both_splits_are_told_once_each() -> None:
    mine = own()
    train, val = mine.one("train"), mine.one("val")
    both = with_pictures(mine, {val: mine.pixels[train], train + 1: mine.pixels[train]})
    other = with_pictures(strangers(), {0: mine.pixels[train]})
    found = lint_other(both.images(), other.images(), "clinic")
    assert found.counts == {"other-exact": 2}
    assert places(found, "copies") == {"train>clinic": 1, "val>clinic": 1}


def test_an_id_finds_a_picture_that_no_hash_finds() -> None:
    mine = own()
    rows = [i for i, split in enumerate(mine.splits) if split == "train"][:3]
    # an eighth is cut off each side: no hash finds it, but hardly another picture is as like it
    crops = {n: cropped(mine.pixels[i], 8) for n, i in enumerate(rows)}
    named = {n: f"folder/{mine.ids[i].upper()}.JPG" for n, i in enumerate(rows)}
    found = lint(renamed(with_pictures(strangers(), crops), named))
    assert found.counts == {"other-id": 3}
    assert places(found, "names") == {"train>clinic": 3}
    assert {finding.ids for finding in found.findings} == {(mine.ids[i], named[n]) for n, i in enumerate(rows)}


def test_names_that_coincide_are_a_note_alone() -> None:
    mine = own()
    taken = {n: mine.ids[n] for n in range(12)}
    groups = {n: mine.groups[n] for n in range(12)}
    found = lint(renamed(strangers(), taken, groups))
    assert found.counts == {"other-name": 12}
    assert KINDS["other-name"].severity == "note"
    assert places(found, "names") == {}


def test_lesions_that_both_have_are_counted_with_their_images() -> None:
    mine = own()
    group = mine.groups[mine.one("val")]
    found = lint(renamed(strangers(), {}, {4: group.upper(), 9: group.upper()}))
    assert found.counts == {"other-group": 1}
    assert found.findings[0].splits == ("val", "clinic")
    assert places(found, "names") == {"val>clinic": 2}


def test_names_that_stand_twice_and_blank_pictures_decide_nothing() -> None:
    mine = own()
    blank = np.zeros_like(mine.pixels[0])
    twice = renamed(strangers(), {0: f"a/{mine.ids[0]}", 1: f"b/{mine.ids[0]}"})
    assert lint(twice).counts == {}
    # nothing can be seen of the only picture of that name, so the name is believed
    assert lint(renamed(with_pictures(strangers(), {0: blank}), {0: mine.ids[0]})).counts == {"other-id": 1}


def test_a_few_pictures_are_too_few_to_doubt_their_names() -> None:
    mine, other = own(), part(strangers(), list(range(5)))
    found = lint(renamed(other, {0: mine.ids[0]}))
    assert found.counts == {"other-id": 1}


def test_how_alike_a_crop_and_how_alike_a_stranger_is() -> None:
    """What `ALIKE` lies between: how many other pictures are less alike than the one of the same name."""
    mine, other = own(), strangers()

    def half_above(pictures: dict[int, NDArray[np.uint8]]) -> float:
        left, right = (others._unit(d.images().prints.thumbnails) for d in (mine, with_pictures(other, pictures)))
        alike = right @ left[:COUNT].T
        return float(np.median([(np.delete(alike[:, n], n) < alike[n, n]).mean() for n in range(COUNT)]))

    assert 0.85 < half_above({n: cropped(mine.pixels[n], 8) for n in range(COUNT)}) < 0.99
    assert 0.35 < half_above({}) < 0.65
