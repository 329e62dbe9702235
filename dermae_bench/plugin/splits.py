"""Splits by rule, not by chance, and what a split is: its digest, its counts, and which groups it divides.

Every rule is a pure function of ids. `lesion_grouped` looks at one group alone, so that adding images never moves old
ones. `paper_random` orders all ids by a hash, so that its shares are exact; adding images may move those near a border.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

from dermae_bench.errors import DataError
from dermae_bench.plugin.data import SPLITS, Split

LESION_GROUPED = "lesion-grouped 70/10/20 by sha256 of the group id"
OFFICIAL_TEST = "lesion-grouped 90/10 by sha256 of the group id, test: ISIC 2018 task 3"
PAPER_RANDOM = "paper-random-80-20, 72/8/20 by sha256 of the image id"
PAPER_RANDOM_OFFICIAL = "paper-random-80-20, 80/20 by sha256 of the image id, test: ISIC 2018 task 3"
PAPER_LEAK = "paper-random-80-20 splits by image, so photographs of one lesion fall on both sides"
"""Why groups are divided by `paper_random`; the rows of such a split are marked with it and ranked apart."""

_PAPER_SALT = "paper-random-80-20"


def lesion_grouped(group: str) -> Split:
    """70 % train, 10 % val, 20 % test of the groups, by the first 8 bytes of SHA-256 of the group's id."""
    position = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2**64
    return "train" if position < 0.7 else "val" if position < 0.8 else "test"


def beside_official_test(group: str) -> Split:
    """90 % train, 10 % val of the groups: `lesion_grouped`, with the groups of its test in train."""
    split = lesion_grouped(group)
    return "train" if split == "test" else split


def paper_random(ids: Collection[str], *, own_test: bool = True) -> dict[str, Split]:
    """The random 80/20 split by image of DerMAE and Class-N-Diff, as a rule: their seed and files are not published.

    Images are ordered by SHA-256 of `paper-random-80-20:ID`. The first round(0.8 N), halves up, are the 80 % (8,012 of
    10,015), the others the 20 % (2,003).

    Args:
        ids: of every image, without the official test set; in any order, each once.
        own_test: without an official test set the 20 % are test, and the last tenth of the 80 % is val. With one
            (False) the 80 % are train and the 20 % val, as in the papers.
    """
    ordered = sorted(ids, key=lambda name: hashlib.sha256(f"{_PAPER_SALT}:{name}".encode()).digest())
    larger = _rounded(8 * len(ordered))
    fitted = larger - _rounded(larger)
    words: tuple[Split, Split, Split] = ("train", "val", "test") if own_test else ("train", "train", "val")
    return {name: words[(place >= fitted) + (place >= larger)] for place, name in enumerate(ordered)}


def _rounded(tenths: int) -> int:
    """A number of tenths as a whole number, halves up."""
    return (tenths + 5) // 10


@dataclass(frozen=True)
class SplitRule:
    """A rule that a suite may name."""

    name: str
    """What `Dataset.split_rule` says."""
    place: Callable[[Mapping[str, str]], Mapping[str, Split]]
    """Image id -> group gives image id -> split, over every image but the official test set."""
    leaky: str | None = None
    """Why the rule divides groups; None where it divides none."""


def _by_group(place: Callable[[str], Split]) -> Callable[[Mapping[str, str]], Mapping[str, Split]]:
    return lambda groups: {name: place(group) for name, group in groups.items()}


_RULES: Mapping[tuple[str, bool], SplitRule] = {
    ("lesion-grouped", True): SplitRule(LESION_GROUPED, _by_group(lesion_grouped)),
    ("official-test", False): SplitRule(OFFICIAL_TEST, _by_group(beside_official_test)),
    ("paper-random-80-20", True): SplitRule(PAPER_RANDOM, paper_random, PAPER_LEAK),
    ("paper-random-80-20", False): SplitRule(PAPER_RANDOM_OFFICIAL, partial(paper_random, own_test=False), PAPER_LEAK),
}


def split_rule(word: str, *, own_test: bool) -> SplitRule:
    """The rule that a suite calls `word`.

    Args:
        word: `lesion-grouped`, `official-test` or `paper-random-80-20`.
        own_test: whether test has to come from the images themselves; False where there is an official test set.

    Raises:
        DataError: no such rule, or it makes no split of that kind.
    """
    if (word, own_test) not in _RULES:
        kind = "without" if own_test else "with"
        valid = sorted(name for name, kind_of in _RULES if kind_of is own_test)
        raise DataError(f"there is no split {word!r} {kind} an official test set", hint=f"valid: {', '.join(valid)}")
    return _RULES[word, own_test]


class Placed(Protocol):
    """Whatever has an id, a group and a split: an `Example`, a `Placement`."""

    @property
    def id(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def split(self) -> str: ...


class Placement(NamedTuple):
    """One image of a table that holds no `Example`."""

    id: str
    group: str
    split: str


def split_digest(images: Iterable[Placed]) -> str:
    """SHA-256 over the sorted (id, group, split) of every image: what two tables must share to be compared."""
    digest = hashlib.sha256()
    for line in sorted(f"{image.id}\t{image.group}\t{image.split}\n" for image in images):
        digest.update(line.encode())
    return digest.hexdigest()


def divided_groups(images: Iterable[Placed]) -> dict[str, tuple[str, ...]]:
    """Group -> its splits, in alphabetic order, of every group that lies in more than one; groups sorted."""
    where: dict[str, set[str]] = {}
    for image in images:
        where.setdefault(image.group, set()).add(image.split)
    return {group: tuple(sorted(splits)) for group, splits in sorted(where.items()) if len(splits) > 1}


class Labelled(Placed, Protocol):
    """An image of a table with its class."""

    @property
    def label(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """What one split is, in numbers; `dataclasses.asdict` gives JSON."""

    rule: str
    digest: str
    """`split_digest` of all images."""
    parts: Mapping[str, str]
    """Split -> `split_digest` of its images alone: two tables may share the test set and nothing else."""
    leaky: str | None
    """Why groups may be divided; None where they may not."""
    classes: Mapping[str, Mapping[str, int]]
    """Split -> class of the root task -> images."""
    groups: Mapping[str, int]
    """Split -> groups with an image in it."""
    divided: int
    """Groups that lie in more than one split."""
    seen_groups: Mapping[str, int]
    """`val` and `test` -> their groups that have images in train too."""
    seen_images: Mapping[str, int]
    """`val` and `test` -> their images that belong to such a group: the leak, in images."""

    @property
    def images(self) -> dict[str, int]:
        """Split -> images."""
        return {split: sum(counts.values()) for split, counts in self.classes.items()}

    @property
    def leak(self) -> str | None:
        """The leak in one sentence; None where no group of val or test has images in train."""
        told = [
            f"{self.seen_images[split]} of {self.images[split]} {split} images "
            f"({self.seen_groups[split]} of {self.groups[split]} groups)"
            for split in ("val", "test")
            if self.seen_images[split]
        ]
        return f"{' and '.join(told)} belong to groups that are in train too" if told else None


def summarise(images: Collection[Labelled], rule: str, leaky: str | None, classes: Collection[str]) -> SplitSummary:
    """Digest, counts and leaks of a split.

    Args:
        images: every image, e.g. `Dataset.examples()`.
        rule: `Dataset.split_rule`.
        leaky: `Dataset.leaky`.
        classes: of the root task, in the order of their numbers; classes without images count 0.
    """
    held: dict[str, list[Labelled]] = {split: [image for image in images if image.split == split] for split in SPLITS}
    counts = {split: Counter(image.label for image in found) for split, found in held.items()}
    groups = {split: {image.group for image in found} for split, found in held.items()}
    seen = {split: groups[split] & groups["train"] for split in SPLITS[1:]}
    return SplitSummary(
        rule=rule,
        digest=split_digest(images),
        parts={split: split_digest(found) for split, found in held.items()},
        leaky=leaky,
        classes={split: {name: counts[split][name] for name in classes} for split in SPLITS},
        groups={split: len(found) for split, found in groups.items()},
        divided=len(divided_groups(images)),
        seen_groups={split: len(found) for split, found in seen.items()},
        seen_images={split: sum(image.group in found for image in held[split]) for split, found in seen.items()},
    )
