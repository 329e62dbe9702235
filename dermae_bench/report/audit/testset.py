"""The images that a number may have been computed on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TestSet:
    """A test set: its size, and the images of each class if they are known, negative before positive."""

    __test__ = False  # pytest would take the name for a class of tests

    n: int | None
    counts: tuple[int, ...] = ()

    def __str__(self) -> str:
        if len(self.counts) == 2:
            return f"{self.n} images ({self.counts[0]} negative, {self.counts[1]} positive)"
        return f"{self.n} images" if self.n is not None else "a test set of unknown size"
