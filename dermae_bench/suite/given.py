"""What is not fitted, and what it is called on boards: by cards and params, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dermae_bench.plugin.checking import Finding, Path, dotted
from dermae_bench.suite.cards import Card
from dermae_bench.suite.places import texts

TRAINED = "trained"
"""Protocol of a model whose plugin says nothing else."""
EXTERNAL = "external"
"""Protocol of images that were made elsewhere."""
ELSEWHERE = "elsewhere"
"""What the board calls the training set of answers that were given elsewhere."""


def protocol_of(card: Card, params: Mapping[str, Any]) -> str:
    """`trained`, `linear-probe` or `zero-shot`: by the first parameter that says so."""
    for name, values in card.flags.get("protocols", {}).items():
        if (said := values.get(str(params.get(name)))) is not None:
            return str(said)
    return TRAINED


def is_fitted(card: Card) -> bool:
    return bool(card.flags.get("fits", True))


def budget_findings(at: Path, entry: dict[str, Any], card: Card) -> Iterator[Finding]:
    """A model that is fitted has a budget, one that is not has none, and no images to be fitted on."""
    who = repr(entry["plugin"])
    if is_fitted(card):
        if entry.get("budget") is None:
            yield Finding(at, f"missing key 'budget' in {dotted(at)}: {who} is fitted", "name a budget")
        if entry.get("images") == []:
            yield Finding((*at, "images"), "the list is empty")
        return
    if entry.get("budget") is not None:
        yield Finding((*at, "budget"), f"{who} is not fitted, and has no budget", "remove it", on_key=True)
    for key in ("init", "teacher"):
        if entry.get(key) is not None:
            yield Finding((*at, key), f"{who} is not fitted: {key!r} would change nothing", "remove it", on_key=True)
    if "images" in entry:
        if entry["images"] not in ("train", []):
            yield Finding((*at, "images"), f"{who} is not fitted, and has no images to learn from", "remove it", True)
        entry["images"] = []


def caption_findings(at: Path, entry: Mapping[str, Any], card: Card) -> Iterator[Finding]:
    """A generator that reads captions names them, and no other does."""
    captioned, given = bool(card.flags.get("captioned")), entry.get("captions") is not None
    if captioned and not given:
        message = f"missing key 'captions' in {dotted(at)}: {entry['plugin']!r} reads captions"
        yield Finding(at, message, "name an entry of `captions:`")
    elif given and not captioned:
        message = f"{entry['plugin']!r} reads no captions"
        yield Finding((*at, "captions"), message, "remove it", on_key=True)


def asked_caption_findings(at: Path, entry: Mapping[str, Any], generators: Mapping[str, Card]) -> Iterator[Finding]:
    """Captions to ask for, of generators that read none."""
    if entry.get("captions") is None:
        return
    for _, name in texts(entry.get("samples"), ()):
        if name in generators and not generators[name].flags.get("captioned"):
            yield Finding((*at, "captions"), f"{name!r} reads no captions", "remove it", on_key=True)
