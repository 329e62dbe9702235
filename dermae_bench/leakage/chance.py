"""How often chance alone finds as much: exact tails, of drawing without and with replacement. Imports no scipy."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, lgamma, log, log1p


def drawn_at_least(hits: int, drawn: int, marked: int, total: int) -> float:
    """Probability that `drawn` of `total` things, `marked` of them marked, have at least `hits` marked ones."""
    least, most = max(hits, drawn + marked - total, 0), min(drawn, marked)
    whole = _choices(total, drawn)
    return _summed(lambda k: _choices(marked, k) + _choices(total - marked, drawn - k) - whole, least, most)


def happens_at_least(hits: int, tries: int, chance: float) -> float:
    """Probability of at least `hits` successes in `tries`, each of probability `chance`, which is neither 0 nor 1."""
    return _summed(lambda k: _choices(tries, k) + k * log(chance) + (tries - k) * log1p(-chance), max(hits, 0), tries)


def _summed(term: Callable[[int], float], least: int, most: int) -> float:
    return min(1.0, sum(exp(term(k)) for k in range(least, most + 1)))


def _choices(total: int, taken: int) -> float:
    """Logarithm of the number of ways to take so many of a total."""
    return lgamma(total + 1) - lgamma(taken + 1) - lgamma(total - taken + 1)
