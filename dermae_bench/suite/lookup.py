"""A suite's plugins by name: their cards, and its options under their schemas. What is wrong is gathered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from dermae_bench.errors import PluginError
from dermae_bench.plugin.checking import Finding, Path, check, paths_in, suggestion
from dermae_bench.suite.cards import Card, Cards
from dermae_bench.suite.ruled import Ruled

UNKNOWN = "unknown"
NO_OPTIONS: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
MOST_HINTS = 200
"""Mistakes of a suite whose hints name what would be right."""


class Lookup:
    """The catalog as one suite sees it.

    Args:
        catalog: where cards come from.
    """

    def __init__(self, catalog: Cards) -> None:
        self.catalog = catalog
        self.findings: list[Finding] = []
        self.paths: list[tuple[Path, str, str]] = []
        """(place, ``file`` or ``folder``, text) of every path in the suite's params."""
        self.ruled = Ruled()
        self._cards: dict[tuple[str, str], Card | Finding] = {}
        self._told: dict[tuple[str, str], tuple[int, int]] = {}
        """Plugin that cannot be used -> the place of its first finding, and how often the suite names it."""

    def card(self, kind: str, name: Any, at: Path) -> Card | None:
        """The card of plugin `name`; None where it cannot be used, which is a finding at `at`."""
        if not isinstance(name, str):
            return None
        if (kind, name) not in self._cards:
            try:
                self._cards[kind, name] = self.catalog.card(kind, name)
            except PluginError as error:
                self._cards[kind, name] = self._unusable(kind, name, error)
        found = self._cards[kind, name]
        if isinstance(found, Finding):
            self._tell(kind, name, found, at)
            return None
        return found

    def _tell(self, kind: str, name: str, found: Finding, at: Path) -> None:
        place, uses = self._told.get((kind, name), (len(self.findings), 0))
        self._told[kind, name] = place, uses + 1
        # a plugin is mended once, however often it is named; a name is corrected wherever it stands
        if uses == 0:
            self.findings.append(Finding(at, found.message, found.hint))
        elif found.message.startswith(UNKNOWN):
            self.findings.append(Finding(at, found.message, f"see the other {name!r}"))

    def _unusable(self, kind: str, name: str, error: PluginError) -> Finding:
        known = name.rpartition(":")[0].endswith(".py") or name in self._known
        if known:
            return Finding((), error.message, error.hint)
        hint = self.hint(name, lambda: self.catalog.names(kind), f"{kind}s")
        return Finding((), f"{UNKNOWN} {kind} {name!r}", f"{hint}; {self.catalog.elsewhere}")

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.catalog.names())

    def hint(self, word: str, names: Callable[[], Iterable[str]], label: str) -> str:
        """Which of the names may be meant by `word`."""
        # nobody reads the thousandth, and looking for each takes time
        return suggestion(word, names(), label) if len(self.findings) < MOST_HINTS else f"see the other {label}"

    def entry(self, kind: str, at: Path, entry: dict[str, Any]) -> Card | None:
        """The card of an entry's plugin; its `params` get their defaults."""
        card = self.card(kind, entry.get("plugin"), (*at, "plugin"))
        if card is not None and isinstance(entry.get("params"), dict):
            entry["params"] = self.options(entry["params"], "params", entry["plugin"], card, (*at, "params"))
        return card

    def options(self, value: dict[str, Any], which: str, name: str, card: Card, at: Path) -> Any:
        """`value` with the defaults of the plugin's schema for its ``params`` or its ``sampling``."""
        schema = card.params if which == "params" else card.sampling or NO_OPTIONS
        checked, findings = check(value, schema, at)
        self.findings += findings
        if not findings:
            self.paths += paths_in(checked, schema, at)
            self.ruled.note(at, name, which, checked, card)
        return checked

    def end(self) -> None:
        """Ask the plugins' own rules, and say of a plugin that cannot be used how often it is named."""
        self.findings += self.ruled.findings(self.catalog)
        for place, uses in self._told.values():
            told = self.findings[place]
            if uses > 1 and not told.message.startswith(UNKNOWN):
                self.findings[place] = replace(told, message=f"{told.message} (named {uses} times)")
