"""What a check of a results folder looked at, what differs, and what could not be looked at here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dermae_bench.errors import FAILED, INCONCLUSIVE, OK, BenchError

MOST = 1_000
"""Findings of one topic that are kept; how many there were is counted."""

STORE = "store"
"""Topic of what is wrong with entries of the store, and not with the folder."""
UNUSABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    NotImplementedError,
    RuntimeError,
    StopIteration,
    EOFError,
    BufferError,
    MemoryError,
    OSError,
    BenchError,
)
"""What reading or computing from a file that somebody else wrote may raise; each becomes a finding with its text."""

ABSENT = "(absent)"
"""Stands in findings for a value that is not there, which null is."""

Needs = Literal["store", "entry", "plugin", "file", "run", "row", "version"]
"""What a check lacks; `store`: the whole store, `entry`: one of its entries, which is missing or damaged."""


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far a float may lie from the same float computed again; counts and texts have to be equal."""

    relative: float
    absolute: float


ANSWERS = Tolerance(relative=1e-9, absolute=1e-12)
"""Of numbers from predictions: float64 sums over at most some 10^5 images, which another processor may add in another
order. A thousand times finer than the 6 digits of the CSV files."""
FEATURES = Tolerance(relative=1e-6, absolute=1e-9)
"""Of numbers from features: a distance is a small difference of large traces, and of eigenvalues near 0."""
COUNTS = Tolerance(relative=1e-12, absolute=0.0)
"""Of shares, which are a count over a count: no order of adding changes them."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is not what it should be."""

    topic: str
    place: str
    """File, and row and column or line in it."""
    message: str
    stored: Any = None
    expected: Any = None


@dataclass(frozen=True, kw_only=True)
class Unchecked:
    """Something that cannot be checked here."""

    what: str
    needs: Needs
    numbers: int = 1


@dataclass(kw_only=True)
class Report:
    """The outcome of one check."""

    folder: str
    """How it is called."""
    lies_at: str | None = None
    """Its path, where it is called otherwise: texts of errors hold the path, and are told with the name."""
    store: str | None = None
    without_store: bool = False
    """Whether the reader said that there is no store, as in a clone: what needs it then does not count."""
    checked: dict[str, int] = field(default_factory=dict)
    """Topic -> things that were compared, in the order in which they were looked at."""
    counts: dict[str, int] = field(default_factory=dict)
    """Topic -> findings."""
    findings: list[Finding] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    other_version: bool = False
    """Whether some score was made by other sources (of the harness or of a metric) than those that are here."""

    def count(self, topic: str, number: int = 1) -> None:
        """So many more things of a topic were compared."""
        self.checked[topic] = self.checked.get(topic, 0) + number

    def differs(self, topic: str, place: str, message: str, stored: Any = None, expected: Any = None) -> None:
        """Something is not what it should be."""
        self.checked.setdefault(topic, 0)
        self.counts[topic] = self.counts.get(topic, 0) + 1
        if self.counts[topic] <= MOST:
            told = self._called(message)
            self.findings.append(Finding(topic=topic, place=place, message=told, stored=stored, expected=expected))

    def skip(self, what: str, needs: Needs, numbers: int = 1) -> None:
        """Something cannot be checked here."""
        self.unchecked.append(Unchecked(what=self._called(what), needs=needs, numbers=numbers))

    def note(self, text: str) -> None:
        """Something that a reader should know; told once."""
        if text not in self.notes:
            self.notes.append(text)

    def _called(self, text: str) -> str:
        return text.replace(self.lies_at, self.folder) if self.lies_at is not None else text

    @property
    def left(self) -> int:
        """Numbers that could not be checked and should have been."""
        return sum(item.numbers for item in self.unchecked if not (self.without_store and item.needs == "store"))

    @property
    def exit_code(self) -> int:
        """1 something differs, 4 something is left unchecked, 0 neither."""
        if self.counts:
            return FAILED
        return INCONCLUSIVE if self.left else OK


def same(stored: Any, expected: Any, tolerance: Tolerance) -> bool:
    """Whether two JSON values are equal, floats within the tolerance."""
    if isinstance(stored, Mapping) and isinstance(expected, Mapping):
        return stored.keys() == expected.keys() and all(same(stored[k], expected[k], tolerance) for k in stored)
    if isinstance(stored, list) and isinstance(expected, list):
        pairs = zip(stored, expected, strict=False)
        return len(stored) == len(expected) and all(same(one, two, tolerance) for one, two in pairs)
    if isinstance(stored, float) and isinstance(expected, float):
        return math.isclose(stored, expected, rel_tol=tolerance.relative, abs_tol=tolerance.absolute)
    # 1 and 1.0 are one number in JSON, but true is none
    return bool(stored == expected) and isinstance(stored, bool) == isinstance(expected, bool)


def parts(stored: Any, expected: Any, tolerance: Tolerance, at: str = "") -> list[tuple[str, Any, Any]]:
    """(place, stored, expected) of the innermost values that differ between two JSON values."""
    if isinstance(stored, Mapping) and isinstance(expected, Mapping):
        names = [*expected, *(name for name in stored if name not in expected)]
        return [
            found
            for name in names
            for found in parts(
                stored.get(name, ABSENT), expected.get(name, ABSENT), tolerance, f"{at}.{name}" if at else str(name)
            )
        ]
    if isinstance(stored, list) and isinstance(expected, list) and len(stored) == len(expected):
        pairs = enumerate(zip(stored, expected, strict=True))
        return [found for place, (one, two) in pairs for found in parts(one, two, tolerance, f"{at}[{place}]")]
    return [] if same(stored, expected, tolerance) else [(at, stored, expected)]


def why(error: BaseException) -> str:
    """An error in one line."""
    text = str(error).partition("\n")[0] or type(error).__name__
    return text if isinstance(error, BenchError | OSError) else f"{type(error).__name__}: {text}"
