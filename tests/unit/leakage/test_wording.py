"""What words tell of a class: beyond chance, by lesion, and beside what others compute."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from dermae_bench.leakage import others, wording
from dermae_bench.leakage.captions import LESS, SURE
from dermae_bench.leakage.chance import drawn_at_least, happens_at_least
from dermae_bench.leakage.wording import guess, holds, named, names_of, repeated, repeated_within, telling, words_of


@pytest.mark.parametrize(("hits", "drawn", "marked", "total"),
                         [(5, 5, 20, 400), (0, 3, 5, 10), (4, 6, 5, 7), (30, 31, 80, 126), (7, 6, 9, 20)])  # fmt: skip
def test_chances_are_those_of_scipy(hits: int, drawn: int, marked: int, total: int) -> None:
    meant = stats.hypergeom.sf(hits - 1, total, marked, drawn)
    assert drawn_at_least(hits, drawn, marked, total) == pytest.approx(meant, rel=1e-9, abs=1e-300)
    meant = stats.binom.sf(hits - 1, total, 0.3)
    assert happens_at_least(hits, total, 0.3) == pytest.approx(meant, rel=1e-9)


def test_words_without_case_widths_and_signs() -> None:
    text = "A blue-white VEIL, 7 mm; \uff2e\uff36\u200b-like: n\u00e6vus"
    assert words_of(text) == ("a", "blue", "white", "veil", "7", "mm", "nv", "like", "n\u00e6vus")
    assert holds(words_of("with white scale"), ("white", "scale"))
    assert not holds(words_of("white and scale"), ("white", "scale"))


def test_classes_have_their_own_the_declared_and_the_usual_names() -> None:
    assert names_of("mel", "malignant melanoma") == (("mel",), ("malignant", "melanoma"), ("melanoma",))
    assert ("basal", "cell", "carcinoma") in names_of("BCC", None)
    assert names_of("pyogenic_granuloma", None) == (("pyogenic", "granuloma"),)
    assert names_of("?", None) == ()


FILLER = ("light", "brown", "round", "small", "large", "flat", "raised", "smooth", "pink", "dark")


def said_of(labels: np.ndarray, seed: int = 0) -> list[tuple[str, ...]]:
    """Words that have nothing to do with the class."""
    rng = np.random.default_rng(seed)
    return [("a", *rng.choice(FILLER, 4, replace=False).tolist(), "lesion") for _ in labels]


def one_each(count: int) -> list[str]:
    return [f"lesion-{i}" for i in range(count)]


def phrases(found: list[wording.Telling]) -> dict[str, int]:
    return {" ".join(its.phrase): its.label for its in found}


def test_words_without_a_class_tell_none_whatever_its_share() -> None:
    for seed in range(6):
        labels = np.random.default_rng(seed).choice(4, 300, p=[0.03, 0.07, 0.1, 0.8])
        said = said_of(labels, seed)
        assert telling(said, one_each(300), labels, 4) == []
        answer = guess(said, one_each(300), labels, 4)
        assert answer is not None
        assert answer.accuracy <= answer.majority + 0.03


def test_the_shortest_phrase_that_tells_is_told_with_its_counts() -> None:
    labels = np.repeat([0, 1], [30, 170])
    said = said_of(labels)
    for i in range(12):
        said[i] = (*said[i], "needs", "excision")
    # both words alone stand elsewhere, too
    for i in range(60, 80):
        said[i] = (*said[i], "needs", "rest", "excision", "late")
    for i in range(80, 100):
        said[i] = (*said[i], "needs", "cream", "excision", "soon")
    (found,) = telling(said, one_each(200), labels, 2)
    assert (found.phrase, found.label, found.count, found.among) == (("needs", "excision"), 0, 12, 12)
    assert found.rows == tuple(range(12))


def test_a_word_may_be_wrong_now_and_then() -> None:
    labels = np.repeat([0, 1], [50, 150])
    said = said_of(labels)
    for i in range(20, 60):
        said[i] = (*said[i], "risky")
    assert phrases(telling(said, one_each(200), labels, 2)) == {}, "30 of 40"
    for i in range(52, 60):
        said[i] = said[i][:-1]
    assert phrases(telling(said, one_each(200), labels, 2)) == {}, "30 of 32 is below 95 %"
    said[51] = said[51][:-1]
    assert phrases(telling(said, one_each(200), labels, 2)) == {"risky": 0}


def test_a_word_without_end_is_told_in_part() -> None:
    assert wording.shown(("short", "one")) == "short one"
    assert len(wording.shown(("x" * 4000,))) < 100


def test_photographs_of_one_lesion_are_one_witness() -> None:
    labels = np.repeat([0, 1], [40, 160])
    said = said_of(labels)
    for i in range(8):
        said[i] = (*said[i], "unusual")
    groups = one_each(200)
    assert phrases(telling(said, groups, labels, 2)) == {"unusual": 0}
    groups[:8] = ["same"] * 8
    assert telling(said, groups, labels, 2) == []


def test_in_a_rare_answer_few_mistakes_are_left_to_spare() -> None:
    """Where 9 of 10 are benign anyway, a word with 95 benign ones of 100 says little."""
    labels = np.repeat([0, 1], [900, 100])
    said = said_of(labels)
    for i in [*range(285), *range(900, 915)]:
        said[i] = (*said[i], "calm")
    assert telling(said, one_each(1000), labels, 2) == []


def by_hand(words: tuple[str, ...], learnt: list[tuple[tuple[str, ...], int]]) -> int:
    """The likeliest class, by the definition: shares of captions with a word, a usual one added to those of a class."""
    known = {word for its, _ in learnt for word in its}
    scores = {}
    for label in sorted({label for _, label in learnt}):
        mine = [its for its, other in learnt if other == label]
        scores[label] = math.log(len(mine) / len(learnt))
        for word in known:
            usual = (sum(word in its for its, _ in learnt) + 0.5) / (len(learnt) + 1)
            share = (sum(word in its for its in mine) + usual) / (len(mine) + 1)
            scores[label] += math.log(share if word in words else 1 - share)
    return max(scores, key=lambda label: scores[label])


@pytest.mark.parametrize("seed", range(3))
def test_the_guess_is_that_of_naive_bayes_fold_by_fold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, 60, p=[0.5, 0.3, 0.2])
    said = [tuple(f"w{w}" for w in rng.choice(12, 4, p=np.roll(np.arange(1, 13) / 78, 4 * label))) for label in labels]
    groups = [f"g{i // 2}" for i in range(60)]
    answer = guess(said, groups, labels, 3)
    fold = [int(hashlib.sha256(group.encode()).hexdigest()[:16], 16) % 5 for group in groups]
    pairs = list(zip(said, labels.tolist(), strict=True))
    right = 0
    for i in range(60):
        learnt = [pair for j, pair in enumerate(pairs) if fold[j] != fold[i]]
        right += by_hand(said[i], learnt) == labels[i]
    assert answer is not None
    assert answer.accuracy == pytest.approx(right / 60)
    assert answer.majority == np.bincount(labels).max() / 60


def test_rare_classes_are_guessed_among_words_that_stand_once() -> None:
    labels = np.repeat([0, 1], [190, 10])
    said = [(*its, f"photograph{i}", "sign" if labels[i] else "none") for i, its in enumerate(said_of(labels))]
    answer = guess(said, one_each(200), labels, 2)
    assert answer is not None
    assert answer.accuracy == 1


def test_nothing_is_guessed_of_too_little() -> None:
    labels = np.array([0, 1] * 20)
    said = said_of(labels)
    assert guess(said, ["one"] * 40, labels, 2) is None
    assert guess(said, one_each(40), np.zeros(40, dtype=np.int64), 2) is None
    assert telling([], [], np.zeros(0, dtype=np.int64), 2) == []


def test_a_name_that_stands_everywhere_names_nothing() -> None:
    labels = np.repeat([0, 1], 20)
    said = [("no", "sign", "of", "melanoma")] * 40
    names = [names_of("mel", None), names_of("nv", None)]
    assert list(named(said, labels, names)) == []
    said[20:] = [("a", "mole")] * 20
    found = {(label, name): (len(rows), among) for label, name, rows, among in named(said, labels, names)}
    assert found == {(0, ("melanoma",)): (20, 20), (1, ("mole",)): (20, 20)}


def test_equal_captions_across_and_within() -> None:
    said = [words_of(text) for text in ("A mole.", "a mole", "a spot", "a lentigo")]
    assert list(repeated(said, [words_of("a MOLE"), words_of("a wart")])) == [(0, 0)]
    assert repeated_within(said, ["g1", "g2", "g3", "g4"]) == 2
    assert repeated_within(said, ["g1", "g1", "g3", "g4"]) == 0


def test_the_document_has_the_bounds_that_are_used() -> None:
    text = (Path(__file__).parents[3] / "docs" / "splits.md").read_text()
    captions = text.partition("## Captions")[2].partition("## ")[0]
    for said in (f"up to {wording.LONGEST} words", f"at least {wording.PRECISION:.0%} of the captions",
                 f"at {wording.LEAST} lesions or more", f"at least {wording.GAIN} times less often",
                 f"From {SURE:.0%} on, with half of its mistakes"):  # fmt: skip
        assert said.replace("%", " %") in " ".join(captions.split()), said
    assert (wording.FOLDS, LESS) == (5, 0.5)
    sets = " ".join(text.partition("## Other data sets")[2].partition("## ")[0].split())
    assert f"more than {others.ALIKE:.0%} of the others".replace("%", " %") in sets
    assert f"With {others.LEAST} images or fewer" in sets
