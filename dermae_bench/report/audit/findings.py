"""What an audit says, in three grades that are never mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dermae_bench.report.audit.table import Cell, Entry

Grade = Literal["proved", "likely", "cannot be told"]
GRADES: tuple[Grade, ...] = ("proved", "likely", "cannot be told")
MEANING = {
    "proved": "follows from arithmetic, if the assumptions named behind it hold",
    "likely": "another explanation exists but needs a coincidence or an unusual protocol",
    "cannot be told": "the numbers do not decide",
}
Kind = Literal["size", "average", "baseline", "copy", "impossible"]
DIGITS = "the digits are rounded or cut off, one way in the whole table"
SIZES = "the test set has the stated images of each class"
TOTAL = "the test set has the stated number of images"
ONE_RUN = "a number comes from one confusion matrix, not from a mean over runs, folds, batches or classes"
NAMES = "the F1 is one of: positive class, negative class, macro, weighted, micro"
SCORES = "AUC, accuracy and sensitivity come from the same scores and threshold"
ONE_LABEL = "every image has one class and gets one answer"
SAMPLE = "test images are independent draws"
NORMAL = "numbers of different systems are independent and about normal, with the covariance of the table"
ASSUMPTIONS = {"A1": DIGITS, "A2": TOTAL, "A3": SIZES, "A4": ONE_RUN, "A5": NAMES, "A6": SCORES, "A7": NORMAL,
               "A8": SAMPLE, "A9": ONE_LABEL}  # fmt: skip
RARE = 0.01
"""A coincidence below this probability is called unlikely."""
LEAST = 1e-6
"""No probability below it is told: the normal law of the models is no better known."""


@dataclass(frozen=True)
class Finding:
    """One statement about cells of the table."""

    grade: Grade
    kind: Kind
    says: str
    assuming: tuple[str, ...]
    """Keys of `ASSUMPTIONS`."""
    cells: tuple[tuple[Entry, Cell], ...]

    @property
    def lines(self) -> tuple[int, ...]:
        return tuple(sorted({cell.line for _, cell in self.cells}))


def by_grade(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: GRADES.index(finding.grade))


def listed(texts: Sequence[str], most: int = 8) -> str:
    """`a, b, c and 4 more`."""
    shown = ", ".join(texts[:most])
    return shown if len(texts) <= most else f"{shown} and {len(texts) - most} more"


def odds(probability: float, digits: int = 2) -> str:
    """A probability by a model, to few digits; never 0, which no model knows."""
    return f"below {LEAST:g}" if probability < LEAST else f"{probability:.{digits}g}"


def percent(share: float) -> str:
    """A share in whole per cent; `below 1%` instead of 0%."""
    return f"{share:.0%}" if share >= 0.01 else "below 1%"


def pair_text(entry: Entry) -> str:
    """`accuracy/F1` as printed; `-` for an accuracy that is not."""
    return "/".join(entry.cells[metric].printed.text if metric in entry.cells else "-" for metric in ("accuracy", "f1"))
