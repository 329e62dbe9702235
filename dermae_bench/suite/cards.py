"""What planning and reporting need to know of plugins; the catalog of the harness is one source of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol


class Card(Protocol):
    """What a plugin promises, as JSON."""

    @property
    def kind(self) -> str: ...
    @property
    def params(self) -> Mapping[str, Any]: ...
    @property
    def sampling(self) -> Mapping[str, Any] | None: ...
    @property
    def flags(self) -> Mapping[str, Any]: ...


class Cards(Protocol):
    """Where cards come from."""

    @property
    def elsewhere(self) -> str:
        """Why a plugin of the user's own may be unknown, and what to do about it."""

    def names(self, kind: str | None = None) -> Sequence[str]:
        """Known names of a kind."""

    def card(self, kind: str, name: str) -> Card:
        """Raises PluginError: unknown, clashing, broken or of another kind."""

    def prefetch(self, names: Iterable[str]) -> None:
        """Make missing cards together, since each child process costs seconds."""

    def refusals(self, asked: Sequence[tuple[str, str, Mapping[str, Any]]]) -> Sequence[str | None]:
        """Why each plugin's own rules refuse values that its schema (``params``, ``sampling``) allows, or None."""
