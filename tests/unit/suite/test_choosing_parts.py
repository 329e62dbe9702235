"""Some images of a split: how they are chosen, and how a plan asks for them."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from words import brief, keys, planned

from dermae_bench.errors import UserError
from dermae_bench.scoring.choosing import chosen
from dermae_bench.suite.resolved import suite_to_yaml

CLASSES = ("a", "b", "c")
RNG = np.random.default_rng(0)
LESIONS = 120
GROUPS = [f"lesion-{i}" for i in range(LESIONS) for _ in range(1 + i % 3)]
IDS = [f"image-{i}" for i in range(len(GROUPS))]
LABELS = np.array([int(group.removeprefix("lesion-")) % 4 // 2 for group in GROUPS], dtype=np.int64)
"""By lesion; nobody has the last class."""


def take(labels: Any = None, classes: tuple[str, ...] = (), order: Any = None, **asked: Any) -> list[str]:
    """Names of the images that are chosen from these rows, in their own order."""
    rows = np.arange(len(IDS)) if order is None else order
    about = {"fraction": None, "count": None, "per_class": None, "task": None, "seed": 0, **asked}
    own = None if labels is None else labels[rows]
    found = chosen([IDS[i] for i in rows], [GROUPS[i] for i in rows], about, own, classes, "train")
    assert found.tolist() == sorted(found.tolist())
    return [IDS[rows[i]] for i in found]


def test_a_larger_choice_holds_every_smaller_one() -> None:
    held = [set(take(count=count)) for count in (1, 2, 50, 51, 100, len(IDS))]
    assert [len(names) for names in held] == [1, 2, 50, 51, 100, len(IDS)]
    assert all(small < large for small, large in pairwise(held))
    assert set(take(fraction=0.25)) == set(take(count=round(0.25 * len(IDS))))
    for small, large in ((5, 6), (6, 30)):
        assert set(take(LABELS, CLASSES[:2], per_class=small)) < set(take(LABELS, CLASSES[:2], per_class=large))
        assert set(take(LABELS, CLASSES[:2], count=small)) < set(take(LABELS, CLASSES[:2], count=large))


@pytest.mark.parametrize("count", [7, 50, 133])
def test_lesions_stay_together_but_for_the_last(count: int) -> None:
    whole = Counter(GROUPS)
    taken = Counter(GROUPS[IDS.index(name)] for name in take(count=count))
    assert sum(taken[group] < whole[group] for group in taken) <= 1
    by_class = Counter(GROUPS[IDS.index(name)] for name in take(LABELS, CLASSES[:2], per_class=count // 4))
    # one lesion of each class at most
    assert sum(by_class[group] < whole[group] for group in by_class) <= 2


def test_the_order_of_rows_and_what_else_is_there_do_not_matter() -> None:
    order = RNG.permutation(len(IDS))
    assert set(take(count=60)) == set(take(count=60, order=order))
    assert set(take(LABELS, CLASSES[:2], per_class=9)) == set(take(LABELS, CLASSES[:2], per_class=9, order=order))
    # images that are not there change nothing of the order of the others
    some = np.array([i for i in range(len(IDS)) if i % 7])
    kept = {IDS[i] for i in some}
    assert set(take(count=60)) & kept <= set(take(count=60, order=some))


def test_another_seed_chooses_other_lesions() -> None:
    one, two = set(take(count=60)), set(take(count=60, seed=1))
    assert one != two
    # as many in common as chance would have it: 60 of 240 twice
    assert 2 < len(one & two) < 35
    assert take(count=60) == take(count=60, seed=0)


def test_classes_in_equal_numbers() -> None:
    names = take(LABELS, CLASSES[:2], per_class=20)
    assert Counter(LABELS[IDS.index(name)] for name in names) == {0: 20, 1: 20}
    even = take(LABELS, CLASSES[:2], count=41)
    assert Counter(LABELS[IDS.index(name)] for name in even) == {0: 21, 1: 20}
    # unasked, a number keeps the shares roughly, and nothing else
    assert Counter(LABELS[IDS.index(name)] for name in take(count=100))[0] not in (0, 100)


def test_more_than_there_is_is_refused_with_numbers() -> None:
    total = len(IDS)
    with pytest.raises(UserError, match=f"{total + 1} images are asked for, but 'train' has {total}"):
        take(count=total + 1)
    with pytest.raises(UserError, match=r"a share of 0\.001 of the 240 images of 'train' is none"):
        take(fraction=0.001)
    have = Counter(LABELS.tolist())
    with pytest.raises(UserError, match=rf"in 'train' a has {have[0]} of 200, b has {have[1]} of 200"):
        take(LABELS, CLASSES[:2], per_class=200)
    # a class that nobody has is told, also where it is the last
    with pytest.raises(UserError, match=r"in 'train' c has 0 of 1$"):
        take(LABELS, CLASSES, per_class=1)
    assert len(take(count=total)) == total == len(take(fraction=1.0))


def test_a_share_of_train_is_the_number_that_it_is(tmp_path: Path) -> None:
    def sets(**asked: Any) -> dict[str, Any]:
        return brief(image_sets={"few": ["train", {"samples": "flow", **asked}]}, rows=[{"classifiers": "cnn",
                    "train": "few"}])  # fmt: skip

    share, number = planned(tmp_path, sets(ratio=0.5)), planned(tmp_path, sets(count=50))
    assert keys(share) == keys(number)
    assert keys(planned(tmp_path, sets(ratio=0.51))) != keys(share)
    with pytest.raises(UserError, match=r"0\.004 images of 'flow' for each of `train` are none"):
        planned(tmp_path, sets(ratio=0.004))
    even = planned(tmp_path, sets(count=50, even=True))
    drawn = [stage for stage in even.of("sample") if stage.work.get("even")]
    assert len(drawn) == 1 and drawn[0].key not in keys(number)
    # the default of another word is no word
    assert all("even" not in stage.work for stage in number.of("sample"))


def test_a_choice_is_part_of_the_key_and_its_name_is_not(tmp_path: Path) -> None:
    def train(**choice: Any) -> str:
        suite = brief(image_sets={choice.pop("name", "few"): {"from": "train", **choice}})
        suite["rows"] = [{"classifiers": "cnn", "train": next(iter(suite["image_sets"]))}]
        found = planned(tmp_path, suite)
        return next(s.key for s in found.of("train") if "classifier/cnn/" in s.name and "/train/" not in s.name)

    several: list[dict[str, Any]] = [
        {"count": 10}, {"count": 11}, {"count": 10, "seed": 1}, {"fraction": 0.1}, {"from": "val", "count": 5},
        {"per_class": 3, "task": "diagnosis"}, {"per_class": 3, "task": "malignancy"},
        {"count": 10, "task": "diagnosis"},
    ]  # fmt: skip
    assert len({train(**choice) for choice in several}) == len(several)
    assert train(name="other", count=10) == train(count=10, seed=0)


def test_a_generator_learns_from_some_images_and_a_teacher_is_asked_about_them(tmp_path: Path) -> None:
    suite = brief()
    suite["generators"]["flow"]["images"] = "tenth"
    about = {"teacher": {"classifier": "cnn", "train": "train"}, "plugin": "distilled", "budget": "short"}
    suite["classifiers"]["student"] = {**about, "params": {"arch": "resnet18"}}
    suite["rows"] = [{"classifiers": "student", "train": "tenth"}]
    found = planned(tmp_path, suite)
    assert found["train/generator/flow/seed=0"].work["images"][0]["choose"]["fraction"] == 0.1
    (fit,) = [s for s in found.of("train") if s.name == "train/classifier/student/tenth/diagnosis/seed=0"]
    said = fit.inputs["teacher-logits0"]
    assert said.work["images"] == fit.work["images"] and "choose" in said.work["images"][0]
    assert "fraction=0.1" in said.name


def test_the_resolved_suite_is_the_same_suite(tmp_path: Path) -> None:
    sets = {
        "a": {"from": "train", "fraction": 0.5}, "b": [{"from": "val", "count": 3, "seed": 4}, "a"],
        "c": {"from": "train", "per_class": 2, "task": "malignancy"}, "d": {"samples": "flow", "ratio": 2},
        "e": {"samples": "flow", "count": 9, "even": True},
    }  # fmt: skip
    first = planned(tmp_path, brief(image_sets=sets, rows=[{"classifiers": "cnn", "train": name} for name in sets]))
    again = planned(tmp_path, yaml.safe_load(suite_to_yaml(first.loaded)))
    assert (again.loaded.suite, again.table()) == (first.loaded.suite, first.table())
