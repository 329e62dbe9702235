"""The parameters of a suite that a plugin's own rules must judge, asked together at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dermae_bench.plugin.checking import Finding, Path
from dermae_bench.suite.cards import Card, Cards


class Ruled:
    """Checked parameters by place, of those plugins that have rules beyond their schemas."""

    def __init__(self) -> None:
        self._asked: list[tuple[Path, tuple[str, str, Mapping[str, Any]]]] = []

    def note(self, at: Path, name: str, schema: str, values: Mapping[str, Any], card: Card) -> None:
        """Remember values that the schema (``params`` or ``sampling``) of plugin `name` allows."""
        if schema in card.flags.get("rules", ()):
            self._asked.append((at, (name, schema, values)))

    def findings(self, catalog: Cards) -> list[Finding]:
        """One for each place whose values are refused."""
        if not self._asked:
            return []
        answers = catalog.refusals([asked for _, asked in self._asked])
        return [
            Finding(at, f"{name!r} refuses these {schema}: {refused}")
            for (at, (name, schema, _)), refused in zip(self._asked, answers, strict=True)
            if refused is not None
        ]
