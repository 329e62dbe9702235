"""The lint of a data set that models are scored on beside their own: what it shares with what they learn from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from dermae_bench.leakage.findings import COPIES, NAMES, Finding, Tally
from dermae_bench.leakage.fingerprints import TURNS
from dermae_bench.leakage.lints import Images, folded, near

ENDINGS = frozenset({".jpg", ".jpeg", ".png"})
LEAST = 20
"""Fewer pictures to compare with say nothing, and names are believed."""
ASKED = 500
"""Pairs of one name whose pictures are looked at."""
ALIKE = 0.75
"""Names mean the same picture in both sets where half of such pairs are more alike than this share of other pairs: of
drawn lesions with an eighth cut off each side half are above about 0.9, of unlike pictures above about 0.5."""


def lint_other(own: Images, other: Images, name: str) -> Tally:
    """Images, ids and lesions that the splits of the suite's own data share with another set.

    Equal ids are believed where their pictures are alike: sets that count their images have the same ids for different
    pictures, and a crop that no hash finds is still the picture of that name.

    Args:
        own: what models learn from: images of train and val, with their splits.
        other: the images that they are scored on.
        name: of the other set, which stands for a split in what is found.
    """
    tally = Tally()
    copies: set[tuple[int, int]] = set()
    for kind, found in (("other-exact", _exact(own, other, name)), ("other-near", _near(own, other, name))):
        known = list(found)
        tally.add(kind, [finding for _, _, finding in known])
        for i, j, _ in known:
            copies.add((i, j))
            for one in (kind, COPIES):
                tally.touch(one, f"{own.splits[i]}>{name}", [other.ids[j]])
    pairs = list(_same_ids(own.ids, other.ids))
    believed = _believed(own, other, pairs, copies)
    kind = "other-id" if believed else "other-name"
    tally.add(kind, [_pair(kind, own, other, i, j, name) for i, j in pairs])
    if believed:
        for i, j in pairs:
            tally.touch(NAMES, f"{own.splits[i]}>{name}", [other.ids[j]])
        _groups(own, other, name, tally)
    return tally


def _exact(own: Images, other: Images, name: str) -> Iterator[tuple[int, int, Finding]]:
    """Each image of the other set with the first of equal pixels in each split."""
    first: dict[tuple[int, int], dict[str, int]] = {}
    for i, digest in enumerate(own.prints.digests.tolist()):
        first.setdefault(tuple(digest), {}).setdefault(own.splits[i], i)
    for j, digest in enumerate(other.prints.digests.tolist()):
        for i in first.get(tuple(digest), {}).values():
            yield i, j, _pair("other-exact", own, other, i, j, name)


def _near(own: Images, other: Images, name: str) -> Iterator[tuple[int, int, Finding]]:
    for pairs, _ in near(own, other, None):
        for k, (i, j) in enumerate(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)):
            yield (
                i,
                j,
                replace(
                    _pair("other-near", own, other, i, j, name),
                    hamming=int(pairs.hamming[k]),
                    correlation=round(float(pairs.correlation[k]), 4),
                    turn=TURNS[int(pairs.turn[k])],
                ),
            )


def _pair(kind: str, own: Images, other: Images, i: int, j: int, name: str) -> Finding:
    return Finding(
        kind=kind,
        ids=(own.ids[i], other.ids[j]),
        splits=(own.splits[i], name),
        groups=(own.groups[i], other.groups[j]),
        labels=(own.labels[i], other.labels[j]) if own.labels and other.labels else (),
    )


def _same_ids(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(i, j) of one name: with its folders or without, whatever the end of the file name and the case."""
    known = [_places(names) for names in (left, right)]
    found = {(known[0][name], j) for name, j in known[1].items() if name in known[0]}
    yield from sorted(found)


def _places(ids: Sequence[str]) -> dict[str, int]:
    """Name -> the only image that has it."""
    names: list[tuple[str, int]] = []
    for position, name in enumerate(ids):
        path = PurePosixPath(name)
        plain = path.with_suffix("") if path.suffix.lower() in ENDINGS else path
        names += [(form, position) for form in {folded(str(plain)), folded(plain.name)} if form]
    counts = Counter(form for form, _ in names)
    return {form: position for form, position in names if counts[form] == 1}


def _groups(own: Images, other: Images, name: str, tally: Tally) -> None:
    known: dict[str, dict[str, str]] = {}
    for split, group in zip(own.splits, own.groups, strict=True):
        known.setdefault(folded(group), {}).setdefault(split, group)
    found: dict[tuple[str, str], list[str]] = {}
    for group, image in zip(other.groups, other.ids, strict=True):
        for split in known.get(folded(group), {}) if folded(group) else ():
            found.setdefault((split, group), []).append(image)
    for (split, group), images in found.items():
        finding = Finding(kind="other-group", ids=(), groups=(group,), splits=(split, name))
        tally.add("other-group", [finding])
        for kind in ("other-group", NAMES):
            tally.touch(kind, f"{split}>{name}", images)


def _believed(own: Images, other: Images, pairs: Sequence[tuple[int, int]], copies: set[tuple[int, int]]) -> bool:
    """Whether equal names are of one picture: such pairs are more alike than most others."""
    blank = own.prints.flat, other.prints.flat
    seen = [(i, j) for i, j in pairs if (i, j) in copies or not (blank[0][i] or blank[1][j])]
    if not seen or len(other.ids) <= LEAST:
        return True
    ranked = sorted(seen, key=lambda pair: hashlib.sha256(other.ids[pair[1]].encode()).digest())[:ASKED]
    left, right = (_unit(images.prints.thumbnails) for images in (own, other))
    groups = np.asarray(other.groups)
    shares = []
    for i, j in ranked:
        alike = right @ left[i]
        others = alike[groups != groups[j]]
        shares.append(1.0 if (i, j) in copies or not len(others) else float((others < alike[j]).mean()))
    return bool(np.median(shares) >= ALIKE)


def _unit(thumbnails: NDArray[np.uint16]) -> NDArray[np.float32]:
    """(N, D) of length 1 and mean 0."""
    cells = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    cells -= cells.mean(axis=1, keepdims=True)
    return np.asarray(cells / np.maximum(np.linalg.norm(cells, axis=1, keepdims=True), 1.0), dtype=np.float32)
