"""Cards, and what datasets tell of themselves: their shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_TASK = {"name", "classes", "positive", "parent", "mapping", "image_size"}
"""Fields of a `Task`; importing that would import numpy."""


@dataclass(frozen=True)
class Card:
    """What a plugin promises, as JSON."""

    name: str
    kind: str
    doc: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] | None = None
    columns: Sequence[Mapping[str, Any]] = ()
    flags: Mapping[str, Any] = field(default_factory=dict)
    module: str = ""
    origin: str = ""
    digest: str = ""
    files: Sequence[str] = ()
    libraries: Sequence[str] = ()
    """Distributions whose major.minor version belongs to the plugin's keys."""
    error: str | None = None
    """Why the plugin cannot be used; None when it can."""


def card_of(value: Any) -> Card:
    """A card from JSON.

    Raises:
        ValueError: it is none.
    """
    try:
        card = Card(**value)
    except TypeError as error:
        raise ValueError(f"it is no card: {error}") from None
    texts = (card.name, card.kind, card.doc, card.module, card.origin, card.digest, *_list(card.files))
    mappings = (card.params, card.flags, {} if card.sampling is None else card.sampling, *_list(card.columns))
    if not (
        all(isinstance(text, str) for text in (*texts, *_list(card.libraries), card.error or ""))
        and all(isinstance(mapping, Mapping) for mapping in mappings)
    ):
        raise ValueError("it is no card: a field is of another type")
    return card


def told_of(value: Any) -> Mapping[str, Any]:
    """{"tasks", "counts", "attributes", "wrong"} of a dataset, from JSON.

    Raises:
        ValueError: it is something else.
    """
    if (
        isinstance(value, dict)
        and set(value) == {"tasks", "counts", "attributes", "wrong"}
        and isinstance(value["wrong"], str | None)
        and all(isinstance(task, dict) and set(task) == _TASK for task in _list(value["tasks"]))
        and all(value[name] is None or isinstance(value[name], dict) for name in ("counts", "attributes"))
        and all(isinstance(count, dict) for count in (value["counts"] or {}).values())
    ):
        return value
    raise ValueError("it is not what a dataset tells")


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"a list stands there, not {type(value).__name__}")
    return value
