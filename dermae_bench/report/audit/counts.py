"""Is a share a count of whole images? The GRIM test (Brown & Heathers 2017, doi:10.1177/1948550616673876).

An accuracy on N images is k / N for a whole number k, so few numbers of many digits can be one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dermae_bench.report.audit.printed import How, Printed

LARGEST_SEARCHED = 100_000
Z95 = 1.959964


def fitting(printed: Printed, n: int, how: How) -> range:
    """Every k in 0..n whose k / n is printed so, in exact integers."""
    low, high = printed.span(how)
    unit = 2 * printed.scale
    first = max(0, -(-low * n // unit))
    last = high * n // unit if how == "rounded" else -(-high * n // unit) - 1
    return range(first, min(n, last) + 1)


def explained(printed: Printed, n: int, how: How) -> bool:
    """Whether a count out of n can have been printed so; for proofs, so the doubtful end counts as reached.

    Truncation in binary floats can land one step low: int(0.29 * 100) is 28.
    """
    return bool(fitting(printed, n, how)) or (how == "truncated" and (printed.steps + 1) * n % printed.scale == 0)


def chance(places: int, n: int, how: How) -> float:
    """Share of the numbers 0, 10^-places, ..., 1 that k / n can be printed as."""
    scale = int(10**places)
    if n >= scale:
        return 1.0
    # the n + 1 shares lie more than a step apart: each is printed differently, and a half in two ways
    return (n + 1 + (_halves(scale, n) if how == "rounded" else 0)) / (scale + 1)


def _halves(scale: int, n: int) -> int:
    """How many k in 0..n make k x scale / n end in exactly one half: 2 scale k = n modulo 2 n."""
    common = math.gcd(2 * scale, 2 * n)
    if n % common:
        return 0
    period = 2 * n // common
    first = n // common * pow(2 * scale // common, -1, period) % period
    return max(0, (n - first) // period + 1)


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share over n independent images (Wilson 1927)."""
    z2 = Z95**2 / n
    middle, half = share + z2 / 2, Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n))
    return max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))


def at_least(hits: int, chances: Sequence[float]) -> float:
    """Exact probability of `hits` or more successes in independent trials of these chances (Poisson binomial)."""
    law = np.zeros(len(chances) + 1)
    law[0] = 1.0
    for p in chances:
        law[1:] = law[1:] * (1 - p) + law[:-1] * p
        law[0] *= 1 - p
    return float(min(1.0, law[hits:].sum()))


def smallest_size(numbers: Sequence[Printed], how: How, *, times: int = 1) -> int | None:
    """The least m, so that all numbers are counts out of m x `times`; None above `LARGEST_SEARCHED` images."""
    m = np.arange(1, LARGEST_SEARCHED // times + 1, dtype=np.int64)
    n, explained = m * times, np.ones(m.size, dtype=bool)
    for printed in set(numbers):
        low, high = printed.span(how)
        unit = 2 * printed.scale
        first = np.maximum(0, -(-low * n // unit))
        last = high * n // unit if how == "rounded" else -(-high * n // unit) - 1
        explained &= first <= np.minimum(last, n)
    found = np.flatnonzero(explained)
    return int(m[found[0]]) if found.size else None
