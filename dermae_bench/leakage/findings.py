"""What the lints can find, how bad it is, and how it is counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
LISTED = 200
"""Findings of one kind that are listed; all are counted."""

COPIES = "copies"
"""In `images`: exact and near-duplicates together, each image once."""
NAMES = "names"
"""In `images`: those whose id or lesion another set has, too."""


@dataclass(frozen=True)
class Kind:
    """One kind of finding."""

    severity: Severity
    words: str
    """What was found, for people, in the plural."""


KINDS: Mapping[str, Kind] = {
    "id-across-splits": Kind("error", "ids that stand in several splits"),
    "group-across-splits": Kind("error", "lesions divided between splits"),
    "spelled-alike": Kind("warning", "lesions or images across splits whose names differ in spelling alone"),
    "exact-across-splits": Kind("warning", "pairs of equal pixels across splits"),
    "near-across-splits": Kind("warning", "near-duplicates across splits"),
    "label-conflict-copies": Kind("warning", "exact or near-duplicates with different labels"),
    "label-conflict-lesion": Kind("warning", "lesions with several labels"),
    "generated-exact": Kind("warning", "generated images with the pixels of a real one in val or test"),
    "generated-near": Kind("warning", "generated near-duplicates of real images in val or test"),
    "other-exact": Kind("warning", "pairs of equal pixels in what is trained on and in the other set"),
    "other-near": Kind("warning", "near-duplicates in what is trained on and in the other set"),
    "other-id": Kind("warning", "ids that both sets have"),
    "other-group": Kind("warning", "lesions that both sets have"),
    "caption-names": Kind("warning", "names of classes in the captions of their images"),
    "caption-words": Kind("warning", "words and phrases of captions that tell a class almost surely"),
    "caption-class": Kind("warning", "tasks whose class follows from the words of a caption"),
    "caption-copied": Kind("warning", "captions of val or test that stand in train word for word, more than by chance"),
    "caption-label": Kind("note", "classes that the captions name, as their template asks"),
    "caption-repeated": Kind("note", "captions of val or test that stand in train word for word, as others do there"),
    "other-name": Kind("note", "ids that both sets have, of pictures that are unlike: only the names coincide"),
    "exact-within-split": Kind("note", "pairs of equal pixels of different lesions in one split"),
    "near-within-split": Kind("note", "near-duplicates of different lesions in one split"),
    "exact-one-lesion": Kind("note", "pairs of equal pixels of one lesion in one split"),
    "near-one-lesion": Kind("note", "near-duplicates of one lesion in one split"),
}
"""Kind -> what it is. Only shared ids and lesions are errors; a split that states why it is leaky makes them warnings.
The notes leak nothing: a lesion may have many photographs, as long as they stand together."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing found: an image, a pair, or a lesion."""

    kind: str
    ids: tuple[str, ...]
    """Images: the one of the earlier split (or the generated one) first."""
    splits: tuple[str, ...] = ()
    """Of the images, or those of the group."""
    groups: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    hamming: int | None = None
    """Bits of 256 in which the hashes differ; None where nobody asked or features alone found the pair."""
    correlation: float | None = None
    """Of the 16 x 16 grey thumbnails."""
    distance: float | None = None
    """Between features of the extractor; None without one."""
    confirmed: bool | None = None
    """Whether the extractor, too, sees them as near as neighbours; None without one, or for a turned copy."""
    turn: str = ""
    """How one must be turned to show the other."""
    task: str = ""
    """Whose class is told, in captions; `labels` holds the class."""
    phrase: str = ""
    """What tells it."""
    count: int | None = None
    """Captions of images of the class with it; of a task, captions whose class is guessed."""
    among: int | None = None
    """All captions with it; of a task, all captions."""

    @property
    def order(self) -> tuple[Any, ...]:
        """Sorts findings: most alike first, then by name."""
        unlike = -(self.correlation if self.correlation is not None else 1.0)
        bits = self.hamming if self.hamming is not None else 257
        return (self.kind, unlike, bits, self.ids, self.groups, -(self.count or 0), self.task, self.labels, self.phrase)


@dataclass
class Tally:
    """Counts whole, lists bounded; what is listed does not depend on the order in which it came."""

    counts: dict[str, int] = field(default_factory=dict)
    """Kind -> how many."""
    touched: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    """Kind -> "train>test" -> images of the second that have a partner in the first."""
    _listed: dict[str, list[Finding]] = field(default_factory=dict)

    def add(self, kind: str, found: Sequence[Finding]) -> None:
        """Count all and list the first of them."""
        if found:
            self.counts[kind] = self.counts.get(kind, 0) + len(found)
            merged = sorted([*self._listed.get(kind, ()), *found], key=lambda finding: finding.order)
            self._listed[kind] = merged[:LISTED]

    def touch(self, kind: str, where: str, ids: Iterable[str]) -> None:
        """Note images that have a partner."""
        self.touched.setdefault(kind, {}).setdefault(where, set()).update(ids)

    @property
    def findings(self) -> list[Finding]:
        """Those listed, by kind in the order of `KINDS`."""
        return [finding for kind in KINDS for finding in self._listed.get(kind, ())]

    def summary(self) -> dict[str, Any]:
        """Small JSON: {"counts", "images", "findings"}."""
        return {
            "counts": {kind: self.counts[kind] for kind in KINDS if kind in self.counts},
            "images": {
                kind: {where: len(ids) for where, ids in sorted(places.items())}
                for kind, places in sorted(self.touched.items())
            },
            "findings": [_json(finding) for finding in self.findings],
        }


def _json(finding: Finding) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(finding).items()
        if value not in (None, (), "")
    }
