"""A number as a paper prints it: its digits say how exactly it is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

How = Literal["rounded", "truncated"]
HOWS: tuple[How, ...] = ("rounded", "truncated")
MOST_PLACES = 9

_NUMBER = re.compile(r"([+-]?)(\d{0,9})(?:\.(\d*))?\s*(%?)", re.ASCII)


@dataclass(frozen=True)
class Printed:
    """`steps` units of the last printed place; a percentage is kept as a share, with two places more."""

    text: str
    steps: int
    places: int

    @property
    def scale(self) -> int:
        return int(10**self.places)

    @property
    def step(self) -> float:
        return 1.0 / self.scale

    @property
    def value(self) -> float:
        return self.steps / self.scale

    def span(self, how: How) -> tuple[int, int]:
        """Ends of what is printed so, in half units of the last place.

        Rounding: both ends belong to it, so that halves may go up, down or to even. Truncation: the upper does not.
        """
        return (2 * self.steps - 1, 2 * self.steps + 1) if how == "rounded" else (2 * self.steps, 2 * self.steps + 2)

    def reach(self, how: How) -> tuple[float, float]:
        """The same as shares, both ends included: truncation in binary floats can turn 0.29 into 0.28."""
        low, high = self.span(how)
        return low / (2 * self.scale), high / (2 * self.scale)


def read_printed(text: str, *, percent: bool, share: bool) -> Printed:
    """A number from its text: `0.8278`, `82.78 %`, `.83`.

    Args:
        text: as printed.
        percent: the column is in per cent, with or without a sign in the cell.
        share: it must lie in 0-1 (0-100 per cent).

    Raises:
        ValueError: it is no plain decimal number, or outside 0-1.
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None or not (found[2] or found[3]):
        raise ValueError(f"{text[:40]!r} is no plain decimal number such as 0.8278 or 82.78 %")
    sign, whole, decimals, mark = found[1], found[2] or "0", found[3] or "", found[4]
    places = len(decimals) + (2 if percent or mark else 0)
    if places > MOST_PLACES:
        raise ValueError(f"{text[:40]!r} has more digits than a table can know")
    printed = Printed(text.strip(), int(f"{sign}{whole}{decimals}"), places)
    if share and not 0 <= printed.steps <= printed.scale:
        # a number such as 82.78 in a column of shares is a percentage without its sign
        hint = "" if percent or mark else "; write 82.78 % or name the column `... (%)` if it is a percentage"
        raise ValueError(f"{text[:40]!r} is not between 0 and 1{hint}")
    return printed
