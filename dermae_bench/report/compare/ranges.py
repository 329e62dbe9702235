"""Between what the built-in metrics lie, so that a policy that asks for 80 of 1 is told its mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

Range = tuple[float, float]

_SHARES = re.compile(
    r"(balanced-)?accuracy|f1-(macro|weighted|positive)|(auc|ap)-(binary|ovr-macro)|ece(-calibrated)?|pauc-.+"
    r"|(sensitivity|specificity)-(at|reached-at)-.+|improved-(precision|recall)|coverage"
)
_BRIER = re.compile(r"brier(-calibrated)?")


def range_of(name: str) -> Range | None:
    """Least and greatest value of a metric, by what it calls its column; None where that is not known."""
    if _SHARES.fullmatch(name):
        return 0.0, 1.0
    # squared errors summed over classes
    return (0.0, 2.0) if _BRIER.fullmatch(name) else None


def beyond(metric: str, criteria: Mapping[str, float], ends: Range) -> Iterator[tuple[str, str, str]]:
    """(word, message, hint) of criteria that no value, or every value, meets.

    Args:
        criteria: word of a policy -> its number.
        ends: of the metric.
    """
    low, high = ends
    for word, number in criteria.items():
        difference = word in ("margin", "gain")
        if number > high - low if difference else not low <= number <= high:
            share = f"; {number:g} % is {number / 100:g}" if high < number <= 100 else ""
            what = f"no difference of {metric} is larger than {high - low:g}" if difference else ""
            yield word, what or f"{metric} lies between {low:g} and {high:g}, not at {number:g}", f"say a share{share}"
