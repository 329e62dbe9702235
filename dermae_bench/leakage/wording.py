"""What the words of captions tell of a class: telling phrases, a guess by a bag of words, and names of classes."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermae_bench.leakage.chance import drawn_at_least

Words = tuple[str, ...]
Phrase = tuple[str, ...]

LONGEST = 3
"""Words of a phrase."""
PRECISION = 0.95
"""Share of the captions with a phrase that must be of one class, for it to tell the class almost surely."""
GAIN = 4
"""How many times less often the class is another one with the phrase than without looking, at least."""
LEAST = 5
"""Lesions whose captions must have it: those of one lesion say the same, and are no evidence."""
CHANCE = 0.05
"""Phrases of one length that chance alone would find in all."""
MOST_SHOWN = 80
"""Characters of a phrase that are told."""
FOLDS = 5
FEW = 20
"""Lesions below which nothing is guessed."""

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "akiec": ("actinic keratosis", "bowen", "intraepithelial carcinoma", "solar keratosis"),
    "ak": ("actinic keratosis", "solar keratosis"),
    "bcc": ("basal cell carcinoma", "basalioma", "basal cell"),
    "bkl": ("benign keratosis", "seborrheic keratosis", "seborrhoeic keratosis", "solar lentigo", "lichen planus"),
    "df": ("dermatofibroma",),
    "mel": ("melanoma",),
    "nv": ("nevus", "naevus", "nevi", "naevi", "mole"),
    "scc": ("squamous cell carcinoma", "squamous cell"),
    "vasc": ("angioma", "hemangioma", "haemangioma", "angiokeratoma", "vascular lesion", "pyogenic granuloma"),
    "malignant": ("malignancy", "cancer", "cancerous"),
    "benign": (),
}
"""Class as data sets call it -> how people say it."""


@dataclass(frozen=True, kw_only=True)
class Telling:
    """A phrase, and the class that it tells."""

    phrase: Phrase
    label: int
    count: int
    """Captions of the class with it."""
    among: int
    """Captions with it."""
    rows: tuple[int, ...]
    """Those captions."""


@dataclass(frozen=True, kw_only=True)
class Guess:
    """How often the class is guessed from the words of a caption by whoever read those of other lesions."""

    accuracy: float
    majority: float
    """Share of the most frequent class: what guessing without words reaches."""
    n: int


def words_of(text: str) -> Words:
    """Words and numbers of a caption, without case, widths and punctuation."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKC", text) if unicodedata.category(sign) != "Cf")
    return tuple(re.findall(r"[^\W_]+", plain.casefold()))


def shown(phrase: Phrase) -> str:
    """A phrase as text; what has no spaces can be long."""
    text = " ".join(phrase)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def names_of(label: str, said: str | None) -> tuple[Phrase, ...]:
    """What a class is called: its own name, the one that a suite declares, and what people say."""
    own = words_of(label)
    known = [own, words_of(said or ""), *(words_of(name) for name in SYNONYMS.get(" ".join(own), ()))]
    return tuple(name for name in dict.fromkeys(known) if name)


def telling(said: Sequence[Words], groups: Sequence[str], labels: NDArray[np.int64], classes: int) -> list[Telling]:
    """Phrases that stand almost only in captions of one class, the shortest that do; the most frequent first.

    Chance is reckoned by lesions: so many with the phrase, so many of them of the class, drawn from all; or from those
    with the phrase less one word, so that a phrase is not told for what a part of it tells nearly.
    """
    lesions: dict[str, int] = {}
    of_lesion = np.array([lesions.setdefault(group, len(lesions)) for group in groups], dtype=np.int64)
    label_of = np.zeros(len(lesions), dtype=np.int64)
    label_of[of_lesion[::-1]] = labels[::-1]
    sizes = np.bincount(label_of, minlength=classes)
    found: list[Telling] = []
    # phrase one word shorter -> lesions with it
    shorter: dict[Phrase, NDArray[np.int64]] = {}
    for length in range(1, LONGEST + 1):
        candidates: dict[Phrase, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        for phrase, having in _phrases(said, length, shorter).items():
            rows = np.array(having)
            if len(rows) >= LEAST and len(lesions_with := np.unique(of_lesion[rows])) >= LEAST:
                candidates[phrase] = rows, lesions_with
        fresh: list[Telling] = []
        for phrase, (rows, its) in candidates.items():
            counts = np.bincount(labels[rows], minlength=classes)
            label = int(counts.argmax())
            share = sizes[label] / len(lesions)
            if counts[label] < max(PRECISION, 1 - (1 - share) / GAIN) * len(rows) or _told(phrase, label, found):
                continue
            mine = label_of == label
            wider = [np.arange(len(lesions))] if length == 1 else [shorter[phrase[:-1]], shorter[phrase[1:]]]
            if all(_beyond(mine, its, whole) * len(candidates) <= CHANCE for whole in wider):
                count, those = int(counts[label]), tuple(rows.tolist())
                fresh.append(Telling(phrase=phrase, label=label, count=count, among=len(rows), rows=those))
        found += fresh
        shorter = {phrase: its for phrase, (_, its) in candidates.items()}
    # of phrases that stand together always: few words, and long ones
    unlike: dict[tuple[int, tuple[int, ...]], Telling] = {}
    for one in sorted(found, key=lambda its: (len(its.phrase), -len("".join(its.phrase)), its.phrase)):
        unlike.setdefault((one.label, one.rows), one)
    return sorted(unlike.values(), key=lambda one: (-one.count, one.phrase))


def _beyond(mine: NDArray[np.bool_], its: NDArray[np.int64], whole: NDArray[np.int64]) -> float:
    """Probability that so many lesions taken from `whole` have as many of the class as `its` have."""
    return drawn_at_least(int(mine[its].sum()), len(its), int(mine[whole].sum()), len(whole))


def _phrases(said: Sequence[Words], length: int, shorter: Collection[Phrase]) -> dict[Phrase, list[int]]:
    """Phrase of so many words -> captions with it; only of frequent shorter ones, since the others are no rarer."""
    found: dict[Phrase, list[int]] = {}
    for row, words in enumerate(said):
        for phrase in {words[i : i + length] for i in range(len(words) - length + 1)}:
            if length == 1 or (phrase[1:] in shorter and phrase[:-1] in shorter):
                found.setdefault(phrase, []).append(row)
    return found


def _told(phrase: Phrase, label: int, found: Sequence[Telling]) -> bool:
    return any(its.label == label and holds(phrase, its.phrase) for its in found)


def holds(words: Words, phrase: Phrase) -> bool:
    """Whether a phrase stands in a text, its words side by side."""
    return any(words[i : i + len(phrase)] == phrase for i in range(len(words) - len(phrase) + 1))


def guess(said: Sequence[Words], groups: Sequence[str], labels: NDArray[np.int64], classes: int) -> Guess | None:
    """A bag of words (Bernoulli naive Bayes), each fold of lesions by the others.

    To each class one caption is added that is as all are on average, so that words which are rare anywhere speak for
    no class; words that none of the others has say nothing. None where there are too few lesions, or captions of one
    class alone.
    """
    if len(set(groups)) < FEW or len(np.unique(labels)) < 2:
        return None
    known: dict[str, int] = {}
    ids = [np.array(sorted({known.setdefault(word, len(known)) for word in words}), dtype=np.int64) for words in said]
    rows = np.repeat(np.arange(len(said)), [len(found) for found in ids])
    columns = np.concatenate(ids)
    fold = np.array([int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") % FOLDS for group in groups])
    right = np.zeros(len(said), dtype=np.bool_)
    for number in range(FOLDS):
        mine = fold == number
        if mine.any() and not mine.all():
            scores = _scores(rows, columns, labels, ~mine, classes, len(known))
            right[mine] = scores[mine].argmax(axis=1) == labels[mine]
    share = float(np.bincount(labels).max() / len(labels))
    return Guess(accuracy=float(right.mean()), majority=share, n=len(said))


def _scores(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    labels: NDArray[np.int64],
    learnt: NDArray[np.bool_],
    classes: int,
    words: int,
) -> NDArray[np.float64]:
    """(N, C) log joint probabilities of the words that each caption has and lacks; classes not learnt are never it."""
    sizes = np.bincount(labels[learnt], minlength=classes).astype(np.float64)
    mine = learnt[rows]
    counts = np.zeros((classes, words))
    np.add.at(counts, (labels[rows[mine]], columns[mine]), 1)
    usual = (counts.sum(axis=0) + 0.5) / (sizes.sum() + 1)
    share = (counts + usual) / (sizes[:, None] + 1)
    share[:, counts.sum(axis=0) == 0] = 0.5
    prior = np.log(np.maximum(sizes, 1) / sizes.sum()) + np.where(sizes > 0, 0.0, -np.inf)
    lacking, having = np.log1p(-share).sum(axis=1), np.log(share) - np.log1p(-share)
    found = [np.bincount(rows, weights=having[c, columns], minlength=len(labels)) for c in range(classes)]
    return np.asarray(np.stack(found, axis=1) + lacking + prior)


def named(
    said: Sequence[Words], labels: NDArray[np.int64], names: Sequence[Sequence[Phrase]]
) -> Iterator[tuple[int, Phrase, list[int], int]]:
    """(class, name, captions of the class with it, all captions with it), where the class's own have it at least twice
    as often as the others: a word that stands everywhere names nothing.
    """
    sizes = np.bincount(labels, minlength=len(names))
    beginning: dict[str, list[int]] = {name[0]: [] for its in names for name in its}
    for row, words in enumerate(said):
        for word in beginning.keys() & set(words):
            beginning[word].append(row)
    for label, its in enumerate(names):
        for name in its:
            having = [row for row in beginning[name[0]] if holds(said[row], name)]
            own = [row for row in having if labels[row] == label]
            others, rest = len(having) - len(own), len(labels) - int(sizes[label])
            if own and (not others or len(own) * rest >= 2 * others * int(sizes[label])):
                yield label, name, own, len(having)


def repeated(said: Sequence[Words], held: Sequence[Words]) -> Iterator[tuple[int, int]]:
    """(caption of train, equal caption of the held-out ones), the first of train for each."""
    first: dict[Words, int] = {}
    for row, words in enumerate(said):
        first.setdefault(words, row)
    for row, words in enumerate(held):
        if words in first:
            yield first[words], row


def repeated_within(said: Sequence[Words], groups: Sequence[str]) -> int:
    """Lesions with a caption that stands at another lesion, too."""
    having: dict[Words, set[str]] = {}
    for words, group in zip(said, groups, strict=True):
        having.setdefault(words, set()).add(group)
    return len({group for its in having.values() if len(its) > 1 for group in its})
