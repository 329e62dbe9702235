"""The tests that `--test` chooses from, and what each of them can be asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dermae_bench.builtin.metrics.roc import log_odds
from dermae_bench.errors import InvalidOutput
from dermae_bench.report.compare.answers import Answered, Asked, Measured
from dermae_bench.statistics.bootstrap import ROUNDING
from dermae_bench.statistics.paired import PairedTest, delong, mcnemar, paired_bootstrap
from dermae_bench.statistics.randomisation import cluster_sign_flip, pseudo_value_sign_flip

Test = Literal["sign-flip", "bootstrap", "mcnemar", "mcnemar-mid-p", "delong"]
TESTS: tuple[Test, ...] = get_args(Test)

ONLY: Mapping[Test, str] = {"mcnemar": "accuracy", "mcnemar-mid-p": "accuracy", "delong": "auc-binary"}
"""Test -> the one metric that it is a test of."""

BIASED = 0.25
"""Standard errors of bootstrap bias above which neither pseudo-values nor replicates are trusted with a p-value.

Two models of equal calibration error were told apart in 8 to 21 % of simulated test sets by either, in at most 2 % of
those below this bound; the F1 of a rare class stays below 0.2.
"""

MEANS = frozenset({"accuracy", "balanced-accuracy"})
"""Metrics that are means over images of right (1) and wrong (0)."""

ABOUT: Mapping[Test, str] = {
    "sign-flip": "cluster sign-flip: A and B change places on random whole lesions, with all photographs of the lesion "
    "and all seeds at once (accuracy, balanced accuracy); for other metrics each lesion's contribution (its jackknife "
    "pseudo-value, mean over seeds) changes its sign",
    "bootstrap": "paired clustered bootstrap: the same whole lesions drawn for A and B and for all seeds",
    "mcnemar": "exact McNemar, which takes all images for independent and ignores lesions: with several photographs of "
    "a lesion its p is too small",
    "mcnemar-mid-p": "mid-p McNemar, which takes all images for independent and ignores lesions: with several "
    "photographs of a lesion its p is too small",
    "delong": "DeLong, which takes all images for independent and ignores lesions: with several photographs of a "
    "lesion its p is too small",
}
"""What a reader must know of the test that was made."""

PER_SEED = (
    "with several seeds this test is made once a seed; no p of all seeds together exists, and answers are never "
    "averaged into an ensemble"
)


@dataclass(frozen=True, kw_only=True)
class Tested:
    """One test that was made: A against B, with the difference B - A."""

    test: PairedTest
    seeds: str = ""
    """Which seeds, where the test takes one answer an image; empty where all are in it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Both:
    """Reference and candidate on one column."""

    answers: tuple[Answered, Answered]
    measured: tuple[Measured, Measured]
    values: tuple[float, float]
    """Means over seeds, by the vectorised form."""

    @property
    def difference(self) -> float:
        return self.values[1] - self.values[0]

    @property
    def replicates(self) -> NDArray[np.float64]:
        """(R,) of B - A."""
        return self.measured[1].replicates - self.measured[0].replicates

    @property
    def jackknife(self) -> NDArray[np.float64]:
        """(G,) of B - A."""
        return self.measured[1].jackknife - self.measured[0].jackknife

    @property
    def identical(self) -> bool:
        """Whether both rows have the same number on every draw, and none on the same ones."""
        one, other = (np.r_[found.replicates, found.jackknife] for found in self.measured)
        if not np.array_equal(np.isfinite(one), np.isfinite(other)):
            return False
        drawn = np.r_[(other - one)[np.isfinite(one)], self.difference]
        return bool(np.abs(drawn).max() <= ROUNDING)

    @property
    def bias(self) -> float:
        """How far draws of lesions shift the number of a row, in standard errors; the larger of both.

        Large where a number is bent at the truth, as the absolute gaps of a calibration error are.
        """
        found = []
        for value, measured in zip(self.values, self.measured, strict=True):
            drawn = measured.replicates[np.isfinite(measured.replicates)]
            spread = float(drawn.std()) if len(drawn) else 0.0
            found.append(abs(float(drawn.mean()) - value) / spread if spread > ROUNDING else 0.0)
        return max(found)

    @property
    def groups(self) -> list[str]:
        return list(self.answers[0].predictions[0].groups)


def frozen(asked: Asked, both: Both) -> bool:
    """Whether a difference does not come from the test images at all: temperatures fitted on validation images."""
    drawn = np.r_[both.jackknife, both.replicates, both.difference]
    same = bool(np.ptp(drawn) <= ROUNDING)
    return asked.plugin not in MEANS and same and abs(both.difference) > ROUNDING


def make(test: Test, asked: Asked, both: Both, seed: int) -> list[Tested]:
    """The test of one column, or one a seed.

    Raises:
        InvalidOutput: the test does not exist for these answers; the message says why.
    """
    if test in ONLY:
        return _per_seed(test, both)
    if test == "sign-flip" and asked.plugin in MEANS:
        return [Tested(test=_exchange(asked.plugin, both, seed))]
    n, bias = len(both.groups), both.bias
    if bias > BIASED and not both.identical:
        raise InvalidOutput(
            f"draws of lesions shift this number by {bias:.1f} of its standard errors, so {test} would find "
            "differences that are not there (a class of few images, or absolute gaps as in a calibration error, "
            "where brier has a test)"
        )
    if test == "bootstrap":
        return [Tested(test=paired_bootstrap(both.difference, both.replicates, both.jackknife, n))]
    # the same answers in another order differ in the last bit, which no sign may decide about
    same = both.identical
    difference, jackknife = (0.0, np.zeros_like(both.jackknife)) if same else (both.difference, both.jackknife)
    try:
        return [Tested(test=pseudo_value_sign_flip(difference, jackknife, n, seed=seed))]
    except ValueError as error:
        raise InvalidOutput(str(error)) from None


def _exchange(plugin: str, both: Both, seed: int) -> PairedTest:
    """Whole lesions change places, with all seeds: whole numbers of right answers, so that accuracy is exact."""
    candidate, reference, weights = contributions(plugin, both)
    return cluster_sign_flip(candidate, reference, both.groups, weights, seed=seed)


def contributions(plugin: str, both: Both) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64] | None]:
    """What each image adds to a metric of `MEANS`: right answers (N,) of B and of A, and weights (N,), None for equal.

    As many votes on both sides, where one has more seeds than the other: (seeds of A) x (seeds of B) at most.
    """
    a, b = (answered.right for answered in both.answers)
    labels = both.answers[0].predictions[0].labels
    weights = None if plugin == "accuracy" else 1 / np.bincount(labels)[labels]
    return b.sum(axis=0) * len(a), a.sum(axis=0) * len(b), weights


def _per_seed(test: Test, both: Both) -> list[Tested]:
    a, b = both.answers
    if len(a.seeds) != len(b.seeds):
        raise InvalidOutput(f"{test} pairs one seed with one: A has {len(a.seeds)} and B {len(b.seeds)}")
    made = []
    for place, (one, other) in enumerate(zip(a.predictions, b.predictions, strict=True)):
        if test == "delong":
            task = one.task
            if task.positive is None:
                raise InvalidOutput(f"delong needs a positive class; task {task.name!r} has none")
            positive = task.classes.index(task.positive)
            mine, theirs = log_odds(one.logits, positive), log_odds(other.logits, positive)
            found = delong(theirs, mine, one.labels == positive, both.groups)
        else:
            form: Literal["exact", "mid-p"] = "exact" if test == "mcnemar" else "mid-p"
            found = mcnemar(b.right[place], a.right[place], both.groups, form)
        made.append(Tested(test=found, seeds=seeds_in_words(a.seeds[place], b.seeds[place])))
    return made


def seeds_in_words(a: Mapping[str, int], b: Mapping[str, int]) -> str:
    """``classifier 0``: the roles that both have; both sides where they differ in those."""
    shared = {role: seed for role, seed in a.items() if role in b}
    if all(b[role] == seed for role, seed in shared.items()):
        return _roles(shared or {**a, **b})
    return f"A {_roles(a)} / B {_roles(b)}"


def _roles(seeds: Mapping[str, int]) -> str:
    return ", ".join(f"{role} {seed}" for role, seed in sorted(seeds.items())) or "no seed"
