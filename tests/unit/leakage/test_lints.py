"""Planted leaks are found, each as what it is; clean data have none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from phantoms import Drawn, drawn, images_of, with_copy, worn

from dermae_bench.leakage.features import reach_of
from dermae_bench.leakage.findings import KINDS, LISTED, Finding, Tally
from dermae_bench.leakage.fingerprints import turned_pictures
from dermae_bench.leakage.lints import Images, lint_generated, lint_real
from dermae_bench.leakage.pairs import near_pairs, same_pixels


def only(tally: Tally, kind: str) -> Finding:
    assert tally.counts[kind] == 1
    (found,) = [finding for finding in tally.findings if finding.kind == kind]
    return found


def held_out(data: Drawn) -> Images:
    rows = [i for i, split in enumerate(data.splits) if split != "train"]
    chosen = Drawn(data.pixels[rows], *([column[i] for i in rows] for column in _columns(data)))
    return chosen.images()


def _columns(data: Drawn) -> list[list[str]]:
    return [data.ids, data.groups, data.splits, data.labels]


def test_clean_data_have_no_finding_and_repeat_photographs_are_no_leak() -> None:
    data = drawn()
    assert len(set(data.groups)) < len(data.groups), "some lesions must have several photographs"
    assert lint_real(data.images()).counts == {}


def test_equal_pixels_across_splits_are_found() -> None:
    data = drawn()
    i = data.one("train")
    tally = lint_real(with_copy(data, data.pixels[i], label=data.labels[i]).images())
    found = only(tally, "exact-across-splits")
    assert found.ids == (data.ids[i], "copy")
    assert found.splits == ("train", "test")
    assert tally.counts == {"exact-across-splits": 1}
    assert tally.summary()["images"]["copies"] == {"train>test": 1}


def test_a_worn_copy_across_splits_is_found() -> None:
    data = drawn()
    i = data.one("train")
    tally = lint_real(with_copy(data, worn(data.pixels[i]), label=data.labels[i], split="val").images())
    found = only(tally, "near-across-splits")
    assert (found.ids, found.splits) == ((data.ids[i], "copy"), ("train", "val"))
    assert found.correlation is not None
    assert found.correlation > 0.985
    assert set(tally.counts) == {"near-across-splits"}


@pytest.mark.parametrize("turn", [1, 2, 3, 4, 5, 6, 7])
def test_a_turned_copy_is_found_and_says_how(turn: int) -> None:
    data = drawn()
    i = data.one("train")
    copy = turned_pictures(data.pixels[i].astype(np.uint16), turn).astype(np.uint8)
    found = only(lint_real(with_copy(data, copy, label=data.labels[i]).images()), "near-across-splits")
    words = {1: "left to right", 2: "top to bottom", 3: "180", 4: "diagonal", 5: "quarter", 6: "quarter", 7: "diagonal"}
    assert words[turn] in found.turn


def test_where_a_copy_stands_decides_what_it_is() -> None:
    data = drawn()
    i = data.one("train")
    for group, kind in (("other", "near-within-split"), (data.groups[i], "near-one-lesion")):
        more = with_copy(data, worn(data.pixels[i]), split="train", group=group, label=data.labels[i])
        tally = lint_real(more.images())
        assert set(tally.counts) == {kind}
        assert KINDS[kind].severity == "note"


def test_a_divided_lesion_and_a_double_id_are_errors() -> None:
    data = drawn()
    i = data.one("train")
    other = np.random.default_rng(3).integers(0, 256, data.pixels[0].shape, dtype=np.uint8)
    more = with_copy(data, other, group=data.groups[i], id=data.ids[i], label=data.labels[i])
    tally = lint_real(more.images())
    assert only(tally, "group-across-splits").groups == (data.groups[i],)
    assert only(tally, "id-across-splits").ids == (data.ids[i],)
    assert all(KINDS[kind].severity == "error" for kind in tally.counts)
    assert tally.summary()["images"]["group-across-splits"] == {"train>test": 1}


def test_labels_that_contradict_each_other_are_found() -> None:
    data = drawn()
    i = data.one("train")
    wrong = next(label for label in data.labels if label != data.labels[i])
    copy = with_copy(data, worn(data.pixels[i]), split="train", group=data.groups[i], label=wrong)
    tally = lint_real(copy.images())
    found = only(tally, "label-conflict-copies")
    assert dict(zip(found.ids, found.labels, strict=True)) == {data.ids[i]: data.labels[i], "copy": wrong}
    assert only(tally, "label-conflict-lesion").labels == tuple(sorted((data.labels[i], wrong)))
    exact = lint_real(with_copy(data, data.pixels[i], label=wrong).images())
    assert set(exact.counts) == {"exact-across-splits", "label-conflict-copies"}


def test_generated_copies_of_test_images_are_found() -> None:
    data = drawn()
    j, k = data.one("test"), data.one("val")
    noise = np.random.default_rng(0).integers(0, 256, (5, *data.pixels.shape[1:]), dtype=np.uint8)
    made = np.concatenate([noise, data.pixels[[j]], worn(data.pixels[k])[None]])
    generated = images_of(made, ids=[f"drawn-{n}" for n in range(len(made))])
    tally = lint_generated(generated, held_out(data))
    exact, near = only(tally, "generated-exact"), only(tally, "generated-near")
    assert (exact.ids, exact.splits) == (("drawn-5", data.ids[j]), ("test",))
    assert (near.ids, near.splits) == (("drawn-6", data.ids[k]), ("val",))
    assert tally.summary()["images"]["copies"]["samples>test"] == 1
    clean = images_of(noise, ids=[f"drawn-{n}" for n in range(5)])
    assert lint_generated(clean, held_out(data)).counts == {}


def test_findings_do_not_depend_on_the_order_of_the_images() -> None:
    data = drawn()
    for number, split in enumerate(("train", "val", "test")):
        i = data.one(split) + number
        data = with_copy(data, worn(drawn().pixels[i]), id=f"worn-{split}", split="test")
        data = with_copy(data, drawn().pixels[i, :, :, ::-1], id=f"turned-{split}", split="val")
    expected = lint_real(data.images()).summary()
    assert expected["counts"]["near-across-splits"] >= 5
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(data.ids))
        mixed = Drawn(data.pixels[order], *([column[i] for i in order] for column in _columns(data)))
        assert lint_real(mixed.images()).summary() == expected


def test_being_a_pair_is_mutual() -> None:
    pixels = drawn().pixels[:40]
    copies = np.stack([worn(image) for image in pixels])
    one, two = images_of(pixels, ids=()).prints, images_of(copies, ids=()).prints

    def pairs(left: Any, right: Any) -> dict[tuple[int, int], tuple[int, float]]:
        return {
            (int(i), int(j)): (int(bits), round(float(correlation), 9))
            for found in near_pairs(left, right)
            for i, j, bits, correlation in zip(found.left, found.right, found.hamming, found.correlation, strict=True)
        }

    there, back = pairs(one, two), pairs(two, one)
    assert set(there) == {(i, i) for i in range(40)}
    assert there == {(j, i): told for (i, j), told in back.items()}


def test_blank_pictures_are_no_near_duplicates() -> None:
    data = drawn()
    blank = np.stack([np.full(data.pixels.shape[1:], level, dtype=np.uint8) for level in (90, 91, 90)])
    prints = images_of(blank, ids=()).prints
    assert list(near_pairs(prints)) == []
    assert [group.tolist() for group in same_pixels(prints)] == [[0, 2]]


def test_counts_are_whole_where_lists_are_bounded() -> None:
    data = drawn()
    j = data.one("test")
    many = np.repeat(data.pixels[[j]], LISTED + 50, axis=0)
    generated = images_of(many, ids=[f"drawn-{n:04d}" for n in range(len(many))])
    summary = lint_generated(generated, held_out(data)).summary()
    assert summary["counts"] == {"generated-exact": LISTED + 50}
    assert [finding["ids"][0] for finding in summary["findings"]] == [f"drawn-{n:04d}" for n in range(LISTED)]
    assert summary["images"]["generated-exact"] == {"samples>test": 1, "test>samples": LISTED + 50}


def test_features_confirm_a_copy_and_find_one_that_was_cut() -> None:
    data = drawn()
    i = data.one("train")
    cut = np.roll(data.pixels[i], 2, axis=2)
    more = with_copy(data, cut, label=data.labels[i])
    assert lint_real(more.images()).counts == {}, "the hash alone does not see it"
    features = np.random.default_rng(0).normal(size=(len(more.ids), 16)).astype(np.float32)
    features[-1] = features[i] + 0.01
    images = more.images(features=features)
    reach = reach_of(features, more.groups, more.ids)
    assert reach is not None
    tally = lint_real(images, reach)
    found = only(tally, "near-across-splits")
    assert found.ids == (data.ids[i], "copy")
    assert found.hamming is None
    assert found.confirmed
    # features alone are no evidence: these two look nothing alike
    features[-1], features[-2] = features[-1] + 9, features[3]
    assert lint_real(replace(images, features=features), reach).counts == {}


def test_an_extractor_that_disagrees_strikes_nothing_out() -> None:
    data = drawn()
    i = data.one("train")
    more = with_copy(data, worn(data.pixels[i]), label=data.labels[i])
    features = np.random.default_rng(0).normal(size=(len(more.ids), 16)).astype(np.float32)
    features[-1] += 50
    reach = reach_of(features, more.groups, more.ids)
    found = only(lint_real(more.images(features=features), reach), "near-across-splits")
    assert found.confirmed is False


def test_reach_is_measured_between_lesions_and_needs_some() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(100, 8)).astype(np.float32)
    groups, ids = [f"g{n}" for n in range(100)], [f"i{n}" for n in range(100)]
    reach = reach_of(features, groups, ids)
    gaps = np.linalg.norm(features[:, None] - features[None], axis=2) + np.eye(100) * 1e9
    assert reach is not None
    assert reach.touch == pytest.approx(np.median(gaps.min(axis=1)) / 2, rel=1e-3)
    assert reach.confirm == pytest.approx(np.quantile(gaps.min(axis=1), 0.99), rel=1e-3)
    # a copy of every image within its own lesion changes nothing
    again = reach_of(
        np.repeat(features, 2, axis=0), [g for g in groups for _ in "ab"], [i + w for i in ids for w in "ab"]
    )
    assert again == reach
    assert reach_of(features, ["one"] * 100, ids) is None
    assert reach_of(features[:10], groups[:10], ids[:10]) is None
    assert reach_of(np.zeros((100, 8), np.float32), groups, ids) is None


def test_names_that_differ_in_spelling_alone_are_told_across_splits() -> None:
    data = drawn()
    groups, splits = list(data.groups), list(data.splits)
    first = next(i for i, split in enumerate(splits) if split == "train")
    second = next(i for i, split in enumerate(splits) if split == "test")
    clean = replace(data.images(), groups=tuple(groups))
    assert "spelled-alike" not in lint_real(clean).counts
    for one, other in (("HAM_0003121", "ham-0003121"), ("HAM_0003121", "HAM\u200b_0003121"), ("L 12", "\uff2c 12")):
        groups[first], groups[second] = one, other
        found = only(lint_real(replace(clean, groups=tuple(groups))), "spelled-alike")
        assert set(found.groups) == {one, other} and found.splits == ("train", "test")
    # one digit more is another lesion
    groups[first], groups[second] = "lesion-1-2", "lesion-12"
    assert "spelled-alike" not in lint_real(replace(clean, groups=tuple(groups))).counts
