"""Splits by rule: shares, stability, what a split is. The pins are for ever: published splits depend on them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermae_bench.errors import DataError
from dermae_bench.plugin.splits import (
    LESION_GROUPED,
    PAPER_LEAK,
    Placement,
    beside_official_test,
    divided_groups,
    lesion_grouped,
    paper_random,
    split_digest,
    split_rule,
    summarise,
)

IDS = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=60)


@dataclass(frozen=True)
class Image:
    id: str
    group: str
    split: str
    label: str = "nv"


GROUPS = {f"ISIC_{i:07d}": f"HAM_{i * 3 // 4:07d}" for i in range(1000)}
"""1,000 images of 750 lesions: every third lesion has two photographs."""


def test_shares_are_as_the_rule_says() -> None:
    counts = Counter(lesion_grouped(f"HAM_{i:07d}") for i in range(20_000))
    assert "70/10/20" in LESION_GROUPED
    for split, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        assert abs(counts[split] / 20_000 - share) < 0.01


def test_a_lesion_never_moves() -> None:
    expected = ["train", "train", "test", "train", "train", "test"]
    assert [lesion_grouped(str(i)) for i in range(6)] == expected


@given(IDS, IDS)
def test_adding_images_moves_no_old_one_and_divides_no_lesion(old: set[str], new: set[str]) -> None:
    place = split_rule("lesion-grouped", own_test=True).place
    # several images of a lesion: its name is the first letter
    before = place({name: name[:1] for name in old})
    after = place({name: name[:1] for name in old | new})
    assert {name: after[name] for name in old} == before
    assert not divided_groups([Placement(name, name[:1], split) for name, split in after.items()])


def test_beside_an_official_test_set_val_stays_and_all_else_is_train() -> None:
    for i in range(500):
        alone, beside = lesion_grouped(str(i)), beside_official_test(str(i))
        assert beside == ("val" if alone == "val" else "train")


@given(IDS)
def test_the_papers_shares_are_exact(ids: set[str]) -> None:
    own, official = Counter(paper_random(ids).values()), Counter(paper_random(ids, own_test=False).values())
    larger = int(0.8 * len(ids) + 0.5)
    assert official["train"] == own["train"] + own["val"] == larger
    assert official["val"] == own["test"] == len(ids) - larger
    assert own["val"] == int(0.1 * larger + 0.5)
    # the order in which ids come changes nothing, and the 20 % are the same images in both
    assert paper_random(sorted(ids)) == paper_random(sorted(ids, reverse=True))
    last = {name for name, split in paper_random(ids).items() if split == "test"}
    assert last == {name for name, split in paper_random(ids, own_test=False).items() if split == "val"}


def test_the_papers_numbers() -> None:
    counts = Counter(paper_random([str(i) for i in range(10_015)], own_test=False).values())
    assert (counts["train"], counts["val"]) == (8012, 2003)


@pytest.mark.parametrize(
    ("word", "own_test", "images", "divided", "digest"),
    # digests made by another program, from the rules as docs/splits.md states them
    [
        (
            "lesion-grouped",
            True,
            (702, 111, 187),
            0,
            "8b6c9840367b10e6f81acc6d803f8728857cfa2cef0243b90f271e2773fa43af",
        ),
        ("official-test", False, (889, 111, 0), 0, "286789191365287dcf91be13b01a07b76945133ac30d144cdf5337cec0ec13ce"),
        (
            "paper-random-80-20",
            True,
            (720, 80, 200),
            118,
            "0dcb38fa5c07ffdf5929b5dc579b0268ebd2b8ef085ed0cfbbb900103f818224",
        ),
        (
            "paper-random-80-20",
            False,
            (800, 200, 0),
            87,
            "ca2b9ec2500a4b976deed9a30e69383e3b82b47fb9ab3ab20bf952fca2ab2c3f",
        ),
    ],
)
def test_every_rule_on_a_table_that_is_pinned(
    word: str, own_test: bool, images: tuple[int, ...], divided: int, digest: str
) -> None:
    rule = split_rule(word, own_test=own_test)
    splits = rule.place(GROUPS)
    found = summarise([Image(i, g, splits[i]) for i, g in GROUPS.items()], rule.name, rule.leaky, ("nv",))
    assert (tuple(found.images.values()), found.divided, found.digest) == (images, divided, digest)
    assert word.startswith("paper") == (found.leak is not None) == (found.leaky == PAPER_LEAK)


def test_a_rule_that_makes_no_such_split_names_those_that_do() -> None:
    with pytest.raises(DataError, match=r"no split 'official-test' without(.|\n)*lesion-grouped, paper-random-80-20"):
        split_rule("official-test", own_test=True)


def test_a_digest_is_of_who_is_where_in_any_order() -> None:
    table = [Image(f"i{i}", f"g{i}", ("train", "val", "test")[i % 3]) for i in range(6)]
    assert split_digest(table) == split_digest(table[::-1])
    assert split_digest(table) == split_digest([Placement(image.id, image.group, image.split) for image in table])
    assert split_digest(table) == split_digest([Image("i0", "g0", "train", label="mel"), *table[1:]])
    for other in (Image("i0", "g0", "test"), Image("i0", "g1", "train"), Image("i9", "g0", "train")):
        assert split_digest(table) != split_digest([other, *table[1:]])
    # sha256 of "i0\tg0\ttrain\n", by hand
    assert split_digest(table[:1]) == "29cf79fcba606b47fe1ecbf91ade87a0bc88581060f061be8f9c37bafc5ba0cf"


def test_a_summary_counts_images_groups_and_the_leak() -> None:
    table = [
        Image("a", "L1", "train"), Image("b", "L1", "test"), Image("c", "L1", "test", "mel"), Image("d", "L2", "val"),
        Image("e", "L2", "test"), Image("f", "L3", "train"), Image("g", "L3", "train"), Image("h", "L4", "test"),
    ]  # fmt: skip
    found = summarise(table, "by hand", "a reason", ("mel", "nv", "df"))
    assert found.images == {"train": 3, "val": 1, "test": 4}
    assert found.classes["test"] == {"mel": 1, "nv": 3, "df": 0}
    assert found.groups == {"train": 2, "val": 1, "test": 3}
    assert divided_groups(table) == {"L1": ("test", "train"), "L2": ("test", "val")}
    assert (found.divided, found.seen_groups, found.seen_images) == (2, {"val": 0, "test": 1}, {"val": 0, "test": 2})
    assert found.leak == "2 of 4 test images (1 of 3 groups) belong to groups that are in train too"
    assert found.parts["test"] == split_digest([image for image in table if image.split == "test"])
    assert asdict(found)["rule"] == "by hand"
