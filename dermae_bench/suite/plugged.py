"""Checks of a suite against the cards of the plugins it names; fills their defaults in. Imports no plugin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dermae_bench.errors import PluginError
from dermae_bench.plugin.checking import Finding, Path, check, dotted
from dermae_bench.suite.cards import Card as Card
from dermae_bench.suite.cards import Cards as Cards
from dermae_bench.suite.given import asked_caption_findings, budget_findings, caption_findings, is_fitted
from dermae_bench.suite.lookup import NO_OPTIONS, Lookup
from dermae_bench.suite.measuring import CAS, PLANNED, prediction_metrics
from dermae_bench.suite.metric_cards import MetricCards, selected
from dermae_bench.suite.places import samples_in, specs, texts
from dermae_bench.suite.sweeps import Origins, sweeps_of

_KIND_OF = {
    "generators": "generator",
    "pretrained": "pretrainer",
    "classifiers": "classifier",
    "extractors": "extractor",
}


class Plugged:
    """One suite against its cards.

    Args:
        suite: normalised JSON; `params` and `sampling` in it are replaced by checked ones with defaults.
        catalog: where cards come from.
        origins: which rows its sweeps made.
    """

    def __init__(self, suite: dict[str, Any], catalog: Cards, origins: Origins) -> None:
        self.suite = suite
        self._origins = origins
        self._lookup = Lookup(catalog)
        self.findings: list[Finding] = self._lookup.findings
        self.paths: list[tuple[Path, str, str]] = self._lookup.paths
        """(place, ``file`` or ``folder``, text) of every path in the suite's params."""

    def settle(self) -> None:
        """Check everything, into `findings`, `paths` and the suite itself."""
        self._lookup.catalog.prefetch(dict.fromkeys(self._names()))
        dataset = self.suite.get("dataset")
        if isinstance(dataset, dict):
            self._lookup.entry("dataset", ("dataset",), dataset)
        for at, entry in specs(self.suite, "evaluate_on"):
            self._evaluated(at, entry)
        generators: dict[str, Card] = {}
        classifiers: dict[str, Card] = {}
        for section, kind in _KIND_OF.items():
            for at, entry in specs(self.suite, section):
                if entry.get("from") is not None:
                    continue
                card = self._lookup.entry(kind, at, entry)
                if card is not None and kind in ("generator", "classifier"):
                    self.findings += budget_findings(at, entry, card)
                if card is not None and kind == "classifier":
                    classifiers[str(at[1])] = card
                if card is not None and kind == "generator":
                    generators[str(at[1])] = card
                    self._generator(at, entry, card)
                elif card is not None and kind == "classifier":
                    self._teaching(at, entry, card)
        for at, part in samples_in(self.suite):
            name = part.get("samples")
            if isinstance(name, str) and name in generators:
                self._samples(at, part, name, generators[name])
        for section in ("generator_rows", "figures"):
            for at, row in specs(self.suite, section):
                self._row_sampling(at, row, generators)
        for at, part in [*samples_in(self.suite), *specs(self.suite, "generator_rows"), *specs(self.suite, "figures")]:
            self.findings += asked_caption_findings(at, part, generators)
        for at, entry in specs(self.suite, "classifiers"):
            self._joint(at, entry, generators)
        self._asked(classifiers)
        MetricCards(self.suite, self._lookup).settle()
        self._lookup.end()

    def _names(self) -> Iterator[str]:
        sections = ("evaluate_on", "generators", "pretrained", "classifiers", "extractors")
        entries = [
            self.suite.get("dataset"),
            *(entry for section in sections for _, entry in specs(self.suite, section)),
        ]
        found = [entry.get("plugin") for entry in entries if isinstance(entry, dict)]
        found += [entry.get("metric") for _, entry in specs(self.suite, "sample_metrics")]
        found += [name for _, name in prediction_metrics(self.suite)]
        found += [metric for _, metric in selected(self.suite)]
        return (name for name in found if isinstance(name, str) and name not in PLANNED)

    def _evaluated(self, at: Path, entry: dict[str, Any]) -> None:
        """A data set beside the suite's own, whose images are prepared at the same size."""
        dataset = self.suite.get("dataset")
        given = dataset.get("params") if isinstance(dataset, dict) else None
        size = given.get("image_size") if isinstance(given, dict) else None
        own = entry.get("params")
        if isinstance(own, dict) and size is not None and own.setdefault("image_size", size) != size:
            message = f"its images are prepared at the suite's own image_size, {size}"
            self.findings.append(Finding((*at, "params", "image_size"), message, "remove it", on_key=True))
        self._lookup.entry("dataset", at, entry)

    def _asked(self, classifiers: Mapping[str, Card]) -> None:
        """Who is asked for answers while the suite runs must have weights; and features where they are compared."""
        for section, key in (("classifiers", "teacher"), ("sample_metrics", "judge"), ("extractors", "from")):
            for at, entry in specs(self.suite, section):
                pair = entry.get(key)
                name = pair.get("classifier") if isinstance(pair, dict) else None
                card = classifiers.get(name) if isinstance(name, str) else None
                if card is None:
                    continue
                place = (*at, key, "classifier")
                if not is_fitted(card):
                    message = f"{name!r} is not fitted: it has answers for the images that it was asked about elsewhere"
                    self.findings.append(Finding(place, message, "name another classifier"))
                elif section == "extractors" and not card.flags.get("features"):
                    self.findings.append(Finding(place, f"{name!r} gives no features", "name another classifier"))
        unfitted = {name for name, card in classifiers.items() if not is_fitted(card)}
        for at, entry in specs(self.suite, "sample_metrics"):
            name = entry.get("classifier")
            if entry.get("metric") == CAS and isinstance(name, str) and name in unfitted:
                message = f"{name!r} is not fitted: {CAS} trains it on samples"
                self.findings.append(Finding((*at, "classifier"), message, "name another classifier"))
        controls = list(self._controls())
        for place, name in controls:
            if name in unfitted:
                message = f"{name!r} is not fitted: it learns from no images, and cannot be a control"
                self.findings.append(Finding(place, message, "name a classifier with the budget of what is swept"))
        told = {place for place, _ in controls}
        for at, row in specs(self.suite, "rows"):
            trains = row.get("train") != "train" or row.get("point") or row.get("sweep")
            for place, name in texts(row.get("classifiers"), (*at, "classifiers")) if trains else ():
                if name in unfitted and place not in told:
                    message = f"{name!r} is not fitted: this row's training set would change nothing"
                    self.findings.append(Finding(place, message, "give it a row of its own: {classifiers: NAME}"))

    def _controls(self) -> Iterator[tuple[Path, str]]:
        """Controls of sweeps, as rows or, where a sweep has mistakes and became none, as they are written."""
        for at, row in specs(self.suite, "rows"):
            number, rows = at[1], self._origins.rows
            if isinstance(number, int) and number < len(rows) and rows[number][2]:
                yield from texts(row.get("classifiers"), (*at, "classifiers"))
        for at, _, sweep in sweeps_of(self.suite):
            yield from texts(sweep.get("control"), (*at, "sweep", "control"))

    def _generator(self, at: Path, entry: dict[str, Any], card: Card) -> None:
        if isinstance(entry.get("sampling"), dict):
            place = (*at, "sampling")
            entry["sampling"] = self._lookup.options(entry["sampling"], "sampling", entry["plugin"], card, place)
        self.findings += caption_findings(at, entry, card)
        conditional = bool(card.flags.get("conditional"))
        if conditional and entry.get("task") is None:
            message = f"missing key 'task' in {dotted(at)}: {entry['plugin']!r} is conditional"
            self.findings.append(Finding(at, message, "name the task whose labels condition it"))
        elif not conditional and entry.get("task") is not None:
            message = f"{entry['plugin']!r} is not conditional and has no task"
            self.findings.append(
                Finding((*at, "task"), message, "remove it, or choose a conditional generator", on_key=True)
            )

    def _teaching(self, at: Path, entry: dict[str, Any], card: Card) -> None:
        """A classifier that learns from labels alone takes no teacher, and one that imitates needs one."""
        teaching, given = card.flags.get("teaching", "optional"), entry.get("teacher") is not None
        if teaching == "required" and not given:
            message = f"missing key 'teacher' in {dotted(at)}: {entry['plugin']!r} learns from a teacher"
            self.findings.append(Finding(at, message, "teacher: {classifier: NAME, train: IMAGE_SET}"))
        elif teaching == "none" and given:
            others = (name for name in self._lookup.catalog.names("classifier") if self._may_learn(name))
            hint = self._lookup.hint("", lambda: others, "classifiers that do")
            message = f"{entry['plugin']!r} does not learn from a teacher"
            self.findings.append(Finding((*at, "teacher"), message, hint, on_key=True))

    def _may_learn(self, name: str) -> bool:
        try:
            return self._lookup.catalog.card("classifier", name).flags.get("teaching") != "none"
        except PluginError:
            # a broken plugin is not offered as a way out
            return False

    def _samples(self, at: Path, part: dict[str, Any], name: str, card: Card) -> None:
        if isinstance(part.get("sampling"), dict):
            plugin = self.suite["generators"][name]["plugin"]
            part["sampling"] = self._lookup.options(part["sampling"], "sampling", plugin, card, (*at, "sampling"))
        if part.get("per_class") is not None and not card.flags.get("conditional"):
            message = f"{name!r} is not conditional: it cannot draw so many of each class"
            self.findings.append(
                Finding((*at, "per_class"), message, "write count, or choose a conditional generator", on_key=True)
            )
        if part.get("even") and not card.flags.get("conditional"):
            message = f"{name!r} is not conditional: it cannot draw classes in equal numbers"
            self.findings.append(Finding((*at, "even"), message, "choose a conditional generator", on_key=True))

    def _row_sampling(self, at: Path, row: dict[str, Any], generators: Mapping[str, Card]) -> None:
        given = row.get("sampling")
        axis = enumerate(given) if isinstance(given, list) else ()
        for place, sampling in [((*at, "sampling"), given), *(((*at, "sampling", i), one) for i, one in axis)]:
            if isinstance(sampling, dict):
                self._shared_sampling(place, sampling, row, generators)

    def _shared_sampling(
        self, at: Path, sampling: dict[str, Any], row: dict[str, Any], generators: Mapping[str, Card]
    ) -> None:
        # one sampling for several generators: it stays as written, since each has its own defaults
        names = [name for _, name in texts(row.get("samples"), ()) if name in generators]
        whose: dict[Finding, list[str]] = {}
        for name in names:
            checked, findings = check(sampling, generators[name].sampling or NO_OPTIONS, at)
            for finding in findings:
                whose.setdefault(finding, []).append(name)
            if not findings:
                plugin = self.suite["generators"][name]["plugin"]
                self._lookup.ruled.note(at, plugin, "sampling", checked, generators[name])
        for finding, those in whose.items():
            some = f" (sampling of {', '.join(those)})" if len(those) < len(names) else ""
            self.findings.append(Finding(finding.path, finding.message + some, finding.hint, finding.on_key))

    def _joint(self, at: Path, entry: dict[str, Any], generators: Mapping[str, Card]) -> None:
        source = entry.get("from")
        name = source.get("generator") if isinstance(source, dict) else None
        if isinstance(name, str) and name in generators and not generators[name].flags.get("joint"):
            others = (other for other, card in generators.items() if card.flags.get("joint"))
            hint = self._lookup.hint("", lambda: others, "joint generators of this suite")
            message = f"generator {name!r} gives no predictions: it is not a joint model"
            self.findings.append(Finding((*at, "from", "generator"), message, hint))
