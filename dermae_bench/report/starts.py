"""Where the weights of a row began: at random, from our own pretraining, or from somebody else's weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dermae_bench.suite.parts import RowPlan
from dermae_bench.suite.weights import Source

SCRATCH = "scratch"
OWN = "our pretraining"
UNDECLARED = "corpora not declared"

Declared = Mapping[str, Mapping[str, list[Source]]]
"""What `suite.weights.declared_corpora` finds."""


def started_from(suite: Mapping[str, Any], declared: Declared, row: RowPlan) -> str:
    """In words, with the collections that external weights were trained on; "" of floors.

    Args:
        suite: normalised JSON of the suite.
    """
    if row.kind != "measured":
        return ""
    if row.board == "generators":
        return _said((), declared["generators"].get(row.names["generator"], []))
    name = row.names["classifier"]
    entry = suite["classifiers"].get(name, {})
    if isinstance(entry.get("from"), Mapping):
        return _said((), declared["generators"].get(str(entry["from"]["generator"]), []))
    sources = list(declared["classifiers"].get(name, []))
    encoder = entry.get("init")
    if encoder is not None:
        sources += declared["pretrained"].get(encoder, [])
    return _said((f"{OWN} {encoder}",) if encoder is not None else (), sources)


def _said(own: Iterable[str], sources: Iterable[Source]) -> str:
    found = list(own)
    for name, corpora in dict.fromkeys(sources):
        told = UNDECLARED if corpora is None else ", ".join(corpora) or "no collection"
        found.append(f"{name} ({told})")
    return "; ".join(found) or SCRATCH
