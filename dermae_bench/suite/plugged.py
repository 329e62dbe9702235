"""Checks of a suite against the cards of the plugins it names; fills their defaults in. Imports no plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from dermae_bench.errors import PluginError
from dermae_bench.plugin.checking import Finding, Path, check, dotted, paths_in, suggestion
from dermae_bench.suite.cards import Card as Card
from dermae_bench.suite.cards import Cards as Cards
from dermae_bench.suite.given import asked_caption_findings, budget_findings, caption_findings, is_fitted
from dermae_bench.suite.measuring import BARE, PLANNED, prediction_metrics
from dermae_bench.suite.places import samples_in, specs, texts

_KIND_OF = {
    "generators": "generator",
    "pretrained": "pretrainer",
    "classifiers": "classifier",
    "extractors": "extractor",
}
_UNKNOWN = "unknown"
MOST_HINTS = 200
"""Mistakes of a suite whose hints name what would be right."""
_NO_OPTIONS: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


class Plugged:
    """One suite against its cards.

    Args:
        suite: normalised JSON; `params` and `sampling` in it are replaced by checked ones with defaults.
        catalog: where cards come from.
    """

    def __init__(self, suite: dict[str, Any], catalog: Cards) -> None:
        self.suite = suite
        self.catalog = catalog
        self.findings: list[Finding] = []
        self.paths: list[tuple[Path, str, str]] = []
        """(place, ``file`` or ``folder``, text) of every path in the suite's params."""
        self._cards: dict[tuple[str, str], Card | Finding] = {}
        self._told: dict[tuple[str, str], tuple[int, int]] = {}
        """Plugin that cannot be used -> the place of its first finding, and how often the suite names it."""

    def settle(self) -> None:
        """Check everything, into `findings`, `paths` and the suite itself."""
        self.catalog.prefetch(dict.fromkeys(self._names()))
        dataset = self.suite.get("dataset")
        if isinstance(dataset, dict):
            self._entry("dataset", ("dataset",), dataset)
        for at, entry in specs(self.suite, "evaluate_on"):
            self._evaluated(at, entry)
        generators: dict[str, Card] = {}
        classifiers: dict[str, Card] = {}
        for section, kind in _KIND_OF.items():
            for at, entry in specs(self.suite, section):
                if entry.get("from") is not None:
                    continue
                card = self._entry(kind, at, entry)
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
        self._metrics()
        for place, uses in self._told.values():
            told = self.findings[place]
            if uses > 1 and not told.message.startswith(_UNKNOWN):
                self.findings[place] = replace(told, message=f"{told.message} (named {uses} times)")

    def _names(self) -> Iterator[str]:
        sections = ("evaluate_on", "generators", "pretrained", "classifiers", "extractors")
        entries = [
            self.suite.get("dataset"),
            *(entry for section in sections for _, entry in specs(self.suite, section)),
        ]
        found = [entry.get("plugin") for entry in entries if isinstance(entry, dict)]
        found += [entry.get("metric") for _, entry in specs(self.suite, "sample_metrics")]
        found += [name for _, name in prediction_metrics(self.suite)]
        found += [metric for _, metric in self._selected()]
        return (name for name in found if isinstance(name, str) and name not in PLANNED)

    def _selected(self) -> Iterator[tuple[Path, str]]:
        for at, budget in specs(self.suite, "budgets"):
            select = budget.get("select")
            if isinstance(select, str) and select.startswith("best:"):
                yield (*at, "select"), select.removeprefix("best:")

    def _card(self, kind: str, name: Any, at: Path) -> Card | None:
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
        elif found.message.startswith(_UNKNOWN):
            self.findings.append(Finding(at, found.message, f"see the other {name!r}"))

    def _unusable(self, kind: str, name: str, error: PluginError) -> Finding:
        known = name.rpartition(":")[0].endswith(".py") or name in self._known
        if known:
            return Finding((), error.message, error.hint)
        hint = self._hint(name, lambda: self.catalog.names(kind), f"{kind}s")
        return Finding((), f"{_UNKNOWN} {kind} {name!r}", f"{hint}; {self.catalog.elsewhere}")

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.catalog.names())

    def _hint(self, word: str, names: Callable[[], Iterable[str]], label: str) -> str:
        # nobody reads the thousandth, and looking for each takes time
        return suggestion(word, names(), label) if len(self.findings) < MOST_HINTS else f"see the other {label}"

    def _entry(self, kind: str, at: Path, entry: dict[str, Any]) -> Card | None:
        card = self._card(kind, entry.get("plugin"), (*at, "plugin"))
        if card is not None and isinstance(entry.get("params"), dict):
            entry["params"] = self._options(entry["params"], card.params, (*at, "params"))
        return card

    def _evaluated(self, at: Path, entry: dict[str, Any]) -> None:
        """A data set beside the suite's own, whose images are prepared at the same size."""
        dataset = self.suite.get("dataset")
        given = dataset.get("params") if isinstance(dataset, dict) else None
        size = given.get("image_size") if isinstance(given, dict) else None
        own = entry.get("params")
        if isinstance(own, dict) and size is not None and own.setdefault("image_size", size) != size:
            message = f"its images are prepared at the suite's own image_size, {size}"
            self.findings.append(Finding((*at, "params", "image_size"), message, "remove it", on_key=True))
        self._entry("dataset", at, entry)

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
        for at, row in specs(self.suite, "rows"):
            for place, name in texts(row.get("classifiers"), (*at, "classifiers")):
                card = classifiers.get(name)
                if card is not None and not is_fitted(card) and (row.get("train") != "train" or row.get("point")):
                    message = f"{name!r} is not fitted: this row's training set would change nothing"
                    self.findings.append(Finding(place, message, "give it a row of its own: {classifiers: NAME}"))

    def _options(self, value: dict[str, Any], schema: Mapping[str, Any], at: Path) -> Any:
        checked, findings = check(value, schema, at)
        self.findings += findings
        if not findings:
            self.paths += paths_in(checked, schema, at)
        return checked

    def _generator(self, at: Path, entry: dict[str, Any], card: Card) -> None:
        if isinstance(entry.get("sampling"), dict):
            entry["sampling"] = self._options(entry["sampling"], card.sampling or _NO_OPTIONS, (*at, "sampling"))
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
            others = (name for name in self.catalog.names("classifier") if self._may_learn(name))
            hint = self._hint("", lambda: others, "classifiers that do")
            message = f"{entry['plugin']!r} does not learn from a teacher"
            self.findings.append(Finding((*at, "teacher"), message, hint, on_key=True))

    def _may_learn(self, name: str) -> bool:
        try:
            return self.catalog.card("classifier", name).flags.get("teaching") != "none"
        except PluginError:
            # a broken plugin is not offered as a way out
            return False

    def _samples(self, at: Path, part: dict[str, Any], name: str, card: Card) -> None:
        if isinstance(part.get("sampling"), dict):
            part["sampling"] = self._options(part["sampling"], card.sampling or _NO_OPTIONS, (*at, "sampling"))
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
            for finding in check(sampling, generators[name].sampling or _NO_OPTIONS, at)[1]:
                whose.setdefault(finding, []).append(name)
        for finding, those in whose.items():
            some = f" (sampling of {', '.join(those)})" if len(those) < len(names) else ""
            self.findings.append(Finding(finding.path, finding.message + some, finding.hint, finding.on_key))

    def _joint(self, at: Path, entry: dict[str, Any], generators: Mapping[str, Card]) -> None:
        source = entry.get("from")
        name = source.get("generator") if isinstance(source, dict) else None
        if isinstance(name, str) and name in generators and not generators[name].flags.get("joint"):
            others = (other for other, card in generators.items() if card.flags.get("joint"))
            hint = self._hint("", lambda: others, "joint generators of this suite")
            message = f"generator {name!r} gives no predictions: it is not a joint model"
            self.findings.append(Finding((*at, "from", "generator"), message, hint))

    def _metrics(self) -> None:
        for at, name in self._selected():
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
                asked[int(at[1])] = {"metric": name, "params": self._options(given, card.params, (*at[:2], "params"))}
        for at, entry in specs(self.suite, "sample_metrics"):
            if entry.get("metric") in PLANNED:
                continue
            card = self._metric(entry.get("metric"), "sample", (*at, "metric"))
            if card is None:
                continue
            if isinstance(entry.get("params"), dict):
                entry["params"] = self._options(entry["params"], card.params, (*at, "params"))
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
        card = self._card("metric", name, at)
        if card is None:
            if self.findings[before:] and self.findings[before].message.startswith(_UNKNOWN):
                more = PLANNED if role == "sample" else ()
                hint = self._hint(name, lambda: [*self._metrics_of(role), *more], f"{role} metrics")
                hint += f"; {self.catalog.elsewhere}"
                self.findings[before] = Finding(at, f"{_UNKNOWN} {role} metric {name!r}", hint)
            return None
        if card.flags.get("metric") == role:
            return card
        its = card.flags.get("metric")
        message = f"{name!r} is a {its} metric, not a {role} metric"
        self.findings.append(Finding(at, message, self._hint("", lambda: self._metrics_of(role), f"{role} metrics")))
        return None

    def _metrics_of(self, role: str) -> list[str]:
        found = []
        for name in self.catalog.names("metric"):
            try:
                card = self.catalog.card("metric", name)
            except PluginError:
                # a broken plugin is not offered as a way out
                continue
            if card.flags.get("metric") == role:
                found.append(name)
        return found
