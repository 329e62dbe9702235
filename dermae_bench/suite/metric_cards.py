"""Checks of a suite's metrics against the cards of their plugins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dermae_bench.errors import PluginError
from dermae_bench.plugin.checking import Finding, Path, suggestion
from dermae_bench.suite.cards import Card
from dermae_bench.suite.lookup import UNKNOWN, Lookup
from dermae_bench.suite.measuring import BARE, PLANNED, prediction_metrics
from dermae_bench.suite.places import specs


def selected(suite: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """(place, metric) of every budget that chooses its weights by one."""
    for at, budget in specs(suite, "budgets"):
        select = budget.get("select")
        if isinstance(select, str) and select.startswith("best:"):
            yield (*at, "select"), select.removeprefix("best:")


class MetricCards:
    """The metrics of one suite; their params get their defaults.

    Args:
        suite: as for `Plugged`.
        lookup: where cards come from, and findings go.
    """

    def __init__(self, suite: dict[str, Any], lookup: Lookup) -> None:
        self.suite = suite
        self.findings = lookup.findings
        self._lookup = lookup

    def settle(self) -> None:
        """Check every metric, into the findings and the suite itself."""
        for at, name in selected(self.suite):
            card = self._metric(name, "prediction", at)
            if card is not None and card.params.get("required"):
                self.findings.append(Finding(at, f"{name!r} needs parameters and cannot be named alone"))
            if card is not None and card.flags.get("validates"):
                message = f"{name!r} freezes its threshold on 'val', and so cannot choose weights on it"
                self.findings.append(Finding(at, message, "choose one without a threshold, e.g. balanced-accuracy"))
        asked = self.suite.get("prediction_metrics")
        for at, name in prediction_metrics(self.suite):
            card = self._metric(name, "prediction", at)
            if card is None or not isinstance(asked, list):
                continue
            entry = asked[int(at[1])]
            given = entry.get("params") if isinstance(entry, dict) else {}
            if isinstance(given, dict):
                # a name alone and a name with its defaults are one thing, and look alike from here on
                params = self._lookup.options(given, "params", name, card, (*at[:2], "params"))
                asked[int(at[1])] = {"metric": name, "params": params}
        for at, entry in specs(self.suite, "sample_metrics"):
            if entry.get("metric") in PLANNED:
                continue
            card = self._metric(entry.get("metric"), "sample", (*at, "metric"))
            if card is None:
                continue
            if isinstance(entry.get("params"), dict):
                place = (*at, "params")
                entry["params"] = self._lookup.options(entry["params"], "params", entry["metric"], card, place)
            self._looks_at(at, entry, card)

    def _looks_at(self, at: Path, entry: dict[str, Any], card: Card) -> None:
        """A metric over features needs an extractor, one over pixels has none."""
        metric, extractor = entry["metric"], entry.get("extractor")
        if card.flags.get("over") == "images" and extractor is not None:
            self.findings.append(
                Finding((*at, "extractor"), f"{metric!r} looks at pixels, not at features", on_key=True)
            )
        elif card.flags.get("over") != "images" and extractor is None:
            hint = suggestion("", self.suite.get("extractors") or {}, "extractors")
            self.findings.append(Finding(at, f"{metric!r} needs an extractor", hint))
        tuned = [name for (_, name), about in specs(self.suite, "extractors") if about.get("from") is not None]
        if extractor in tuned and "training" in card.flags.get("reads", ()):
            message = f"{metric!r} looks among the training images, which extractor {extractor!r} was fitted on, too"
            self.findings.append(Finding((*at, "extractor"), message, "name an extractor that never saw them"))

    def _metric(self, name: Any, role: str, at: Path) -> Card | None:
        if not isinstance(name, str) or name in BARE:
            return None
        before = len(self.findings)
        card = self._lookup.card("metric", name, at)
        if card is None:
            if self.findings[before:] and self.findings[before].message.startswith(UNKNOWN):
                more = PLANNED if role == "sample" else ()
                hint = self._lookup.hint(name, lambda: [*self._metrics_of(role), *more], f"{role} metrics")
                hint += f"; {self._lookup.catalog.elsewhere}"
                self.findings[before] = Finding(at, f"{UNKNOWN} {role} metric {name!r}", hint)
            return None
        if card.flags.get("metric") == role:
            return card
        its = card.flags.get("metric")
        message = f"{name!r} is a {its} metric, not a {role} metric"
        self.findings.append(
            Finding(at, message, self._lookup.hint("", lambda: self._metrics_of(role), f"{role} metrics"))
        )
        return None

    def _metrics_of(self, role: str) -> list[str]:
        found = []
        for name in self._lookup.catalog.names("metric"):
            try:
                card = self._lookup.catalog.card("metric", name)
            except PluginError:
                # a broken plugin is not offered as a way out
                continue
            if card.flags.get("metric") == role:
                found.append(name)
        return found
