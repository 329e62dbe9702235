"""The lints: over the real images of all splits, and over generated images beside real ones."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dermae_bench.leakage.features import Reach, distances, touching
from dermae_bench.leakage.findings import COPIES, Finding, Tally
from dermae_bench.leakage.fingerprints import TURNS, Fingerprints
from dermae_bench.leakage.pairs import Pairs, compared, near_pairs, same_pixels
from dermae_bench.leakage.stamped import stamped_pairs

SPLITS = ("train", "val", "test")
ALIKE = 0.9
"""Least correlation of thumbnails for pairs that features alone found. 95 of 100 dermoscopic images still have it after
a twentieth is cut off each side; the most alike of 45,000 pairs of other lesions has 0.96."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """N images and what is known of them; row i of everything is image i."""

    ids: Sequence[str]
    prints: Fingerprints
    groups: Sequence[str] = ()
    splits: Sequence[str] = ()
    """Of real images."""
    labels: Sequence[str] = ()
    """Names of classes; () for images without."""
    features: NDArray[np.float32] | None = None
    """(N, D) of one extractor."""


def lint_real(images: Images, reach: Reach | None = None) -> Tally:
    """Ids and groups across splits, copies across splits, conflicting labels.

    Args:
        reach: how far is near among `images.features`; None without features.
    """
    tally = Tally()
    _shared(images, tally)
    _spelled_alike(images, tally)
    # each pair has one direction, whatever the order of the images
    by_name = sorted(range(len(images.ids)), key=lambda i: (SPLITS.index(images.splits[i]), images.ids[i]))
    order = np.argsort(np.array(by_name, dtype=np.int64))
    for group in same_pixels(images.prints):
        first, *others = group[np.argsort(order[group])].tolist()
        _report(images, tally, [_exact(images, first, other) for other in others])
    for pairs, hashed in near(images, None, reach):
        swap = order[pairs.left] > order[pairs.right]
        left = np.where(swap, pairs.right, pairs.left)
        right = np.where(swap, pairs.left, pairs.right)
        _report(images, tally, list(_findings(images, images, left, right, pairs, hashed, reach)))
    return tally


def lint_generated(generated: Images, real: Images, reach: Reach | None = None, others: Sequence[Images] = ()) -> Tally:
    """Generated images that are copies of real ones.

    Args:
        real: what they should not show: the images of val and test.
        reach: how far is near among the features of the real images; None without features.
        others: images of other sets that they should not show, by pixels alone; their splits are the names of the sets.
    """
    tally = Tally()
    _copied(generated, real, reach, tally)
    for other in others:
        _copied(generated, other, None, tally)
    return tally


def _copied(generated: Images, real: Images, reach: Reach | None, tally: Tally) -> None:
    known: dict[tuple[int, int], list[int]] = defaultdict(list)
    for j, digest in enumerate(real.prints.digests.tolist()):
        known[tuple(digest)].append(j)
    exact = [
        Finding(
            kind="generated-exact",
            ids=(generated.ids[i], real.ids[j]),
            splits=(real.splits[j],),
            groups=(real.groups[j],),
        )
        for i, digest in enumerate(generated.prints.digests.tolist())
        for j in known.get(tuple(digest), ())
    ]
    _drawn(tally, exact)
    for pairs, hashed in near(generated, real, reach):
        _drawn(tally, list(_findings(generated, real, pairs.left, pairs.right, pairs, hashed, reach)))


def _drawn(tally: Tally, found: Sequence[Finding]) -> None:
    """Count pairs of a generated and a real image, and the images on both sides."""
    for kind in dict.fromkeys(finding.kind for finding in found):
        tally.add(kind, [finding for finding in found if finding.kind == kind])
    for finding in found:
        (generated, real), (split,) = finding.ids, finding.splits
        for name in (finding.kind, COPIES):
            tally.touch(name, f"samples>{split}", [real])
            tally.touch(name, f"{split}>samples", [generated])


def _shared(images: Images, tally: Tally) -> None:
    """Ids and groups that stand in several splits, and groups with several labels."""
    for name, rows in _members(images.ids).items():
        if len(splits := _splits(images, rows)) > 1:
            tally.add("id-across-splits", [Finding(kind="id-across-splits", ids=(name,), splits=splits)])
    for group, rows in _members(images.groups).items():
        if len(splits := _splits(images, rows)) > 1:
            found = Finding(kind="group-across-splits", ids=(), groups=(group,), splits=splits)
            tally.add("group-across-splits", [found])
            for split in splits[1:]:
                ids = [images.ids[i] for i in rows if images.splits[i] == split]
                for earlier in splits[: splits.index(split)]:
                    tally.touch("group-across-splits", f"{earlier}>{split}", ids)
        labels = tuple(sorted({images.labels[i] for i in rows})) if images.labels else ()
        if len(labels) > 1:
            ids = sorted(images.ids[i] for i in rows)
            conflict = Finding(kind="label-conflict-lesion", ids=tuple(ids), groups=(group,), labels=labels)
            tally.add("label-conflict-lesion", [conflict])


def _spelled_alike(images: Images, tally: Tally) -> None:
    """Names that differ in case, separators, widths or invisible signs alone: perhaps one lesion under two names."""
    for names, of_groups in ((images.groups, True), (images.ids, False)):
        for rows in _members([folded(name) for name in names]).values():
            forms = sorted({names[i] for i in rows})
            splits = _splits(images, rows)
            if len(forms) > 1 and len(splits) > 1:
                ids, groups = ((), tuple(forms)) if of_groups else (tuple(forms), ())
                tally.add("spelled-alike", [Finding(kind="spelled-alike", ids=ids, groups=groups, splits=splits)])


def folded(name: str) -> str:
    """A name without case, widths and invisible characters; every other run of signs is one hyphen."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    visible = "".join(sign for sign in plain if unicodedata.category(sign) != "Cf")
    return re.sub(r"[^0-9a-z]+", "-", unicodedata.normalize("NFKD", visible)).strip("-")


def _members(names: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for position, name in enumerate(names):
        found[name].append(position)
    return found


def _splits(images: Images, rows: Sequence[int]) -> tuple[str, ...]:
    its = {images.splits[i] for i in rows}
    return tuple(split for split in SPLITS if split in its)


def near(left: Images, right: Images | None, reach: Reach | None) -> Iterator[tuple[Pairs, bool]]:
    """Pairs by hash or by most of their pixels, then those that only features find; the flag says by which."""
    seen: set[tuple[int, int]] = set()
    for by_pixels in (near_pairs, stamped_pairs):
        for pairs in by_pixels(left.prints, None if right is None else right.prints):
            names = list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
            unseen = pairs.at(np.array([name not in seen for name in names], dtype=np.bool_))
            seen.update(names)
            if len(unseen):
                yield unseen, True
    other = left if right is None else right
    if reach is None or left.features is None or other.features is None:
        return
    for i, j in touching(left.features, None if right is None else right.features, reach):
        fresh = np.array([pair not in seen for pair in zip(i.tolist(), j.tolist(), strict=True)], dtype=np.bool_)
        fresh &= np.any(left.prints.digests[i] != other.prints.digests[j], axis=1)
        pairs = compared(left.prints, other.prints, i[fresh], j[fresh])
        pairs = pairs.at(pairs.correlation >= ALIKE)
        if len(pairs):
            yield pairs, False


def _findings(
    one: Images,
    two: Images,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    pairs: Pairs,
    hashed: bool,
    reach: Reach | None,
) -> Iterator[Finding]:
    """`left` and `right` are those of `pairs`, in the direction in which they are reported."""
    far = None
    if reach is not None and one.features is not None and two.features is not None:
        far = distances(one.features[left], two.features[right])
    real = one is two
    for k, (i, j) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        turn = TURNS[int(pairs.turn[k])]
        # networks are not blind to turns: their distance says nothing of a turned copy
        told = far is not None and reach is not None and (not turn or not hashed)
        yield Finding(
            kind=_kind(one, i, j, "near") if real else "generated-near",
            ids=(one.ids[i], two.ids[j]),
            splits=(one.splits[i], two.splits[j]) if real else (two.splits[j],),
            groups=(one.groups[i], two.groups[j]) if real else (two.groups[j],),
            labels=(one.labels[i], two.labels[j]) if real and one.labels else (),
            hamming=int(pairs.hamming[k]) if hashed else None,
            correlation=round(float(pairs.correlation[k]), 4),
            distance=round(float(far[k]), 4) if far is not None and told else None,
            confirmed=bool(far[k] <= reach.confirm) if far is not None and reach is not None and told else None,
            turn=turn,
        )


def _report(images: Images, tally: Tally, found: Sequence[Finding]) -> None:
    """Count pairs of real images by what they mean, and again where their labels differ."""
    for kind in dict.fromkeys(finding.kind for finding in found):
        tally.add(kind, [finding for finding in found if finding.kind == kind])
    for finding in found:
        if finding.kind.endswith("across-splits"):
            tally.touch(finding.kind, ">".join(finding.splits), [finding.ids[1]])
            tally.touch(COPIES, ">".join(finding.splits), [finding.ids[1]])
    conflicting = [finding for finding in found if len(set(finding.labels)) > 1]
    tally.add("label-conflict-copies", [replace(finding, kind="label-conflict-copies") for finding in conflicting])


def _exact(images: Images, i: int, j: int) -> Finding:
    return Finding(
        kind=_kind(images, i, j, "exact"),
        ids=(images.ids[i], images.ids[j]),
        splits=(images.splits[i], images.splits[j]),
        groups=(images.groups[i], images.groups[j]),
        labels=(images.labels[i], images.labels[j]) if images.labels else (),
    )


def _kind(images: Images, i: int, j: int, how: str) -> str:
    if images.splits[i] != images.splits[j]:
        return f"{how}-across-splits"
    return f"{how}-one-lesion" if images.groups[i] == images.groups[j] else f"{how}-within-split"
