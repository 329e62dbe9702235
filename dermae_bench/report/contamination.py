"""Which training data of a suite's models may hold its test sets: a matrix of models against `val`, `test` and the sets
under `evaluate_on`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dermae_bench.leakage.findings import COPIES, NAMES
from dermae_bench.suite.behind import behind_classifier, behind_extractor, behind_generator, behind_images
from dermae_bench.suite.given import ELSEWHERE, is_fitted
from dermae_bench.suite.leakage import is_leakage
from dermae_bench.suite.parts import RowPlan, set_name
from dermae_bench.suite.places import SPLITS, specs, texts
from dermae_bench.suite.plugged import Cards
from dermae_bench.suite.stage import Stage
from dermae_bench.suite.weights import (
    Source,
    collections_of,
    declared_corpora,
    other_collections,
    shared_collections,
)

TEST_SETS = ("val", "test")
"""Of the suite's own data; `Contamination.tests` has all."""
LINTED = ("near-duplicates", "overlap: id or lesion")
"""How statements begin that only lints tell."""
CLEAN = "clean"
UNCHECKED = "not checked"
HEADER = ("kind", "name", "training set", "real images", "samples of", "external weights", *TEST_SETS)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One trained or pretrained thing of the suite."""

    kind: str
    """generator | pretrained | classifier | extractor"""
    name: str
    train: str
    """The image set it is fitted on; `elsewhere` for what is given, "" for extractors that are used as they are."""
    real: tuple[str, ...]
    """Real splits that it learnt from, also through others."""
    samples: tuple[str, ...]
    """Generators whose samples it learnt from, also through others."""
    weights: tuple[Source, ...]
    """(source, corpora) of the external weights in it; None where nobody declares them."""
    cells: Mapping[str, tuple[str, ...]]
    """Test set -> statements: ("clean",), or what speaks against it."""


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """The matrix, and what it says of the rows of the boards."""

    table: tuple[Line, ...]
    tests: tuple[str, ...] = TEST_SETS
    """The last columns: val, test and the sets under `evaluate_on`."""

    def rows(self) -> list[list[str]]:
        """Header and lines as text, for a CSV file."""
        head = [*HEADER[: -len(TEST_SETS)], *self.tests]
        return [head, *(_texts(line, self.tests) for line in self.table)]

    def marks_of(self, row: RowPlan) -> tuple[str, ...]:
        """What a board says beside a row, of the sets that it is scored on; nothing of clean cells. Ranks do not see
        it.
        """
        if row.kind != "measured":
            return ()
        wanted = (
            ("generator", row.names["generator"], None)
            if row.board == "generators"
            else ("classifier", row.names["classifier"], row.names["train"])
        )
        tests = (row.names["test"],) if "test" in row.names else TEST_SETS
        for line in self.table:
            if (line.kind, line.name) == wanted[:2] and wanted[2] in (None, line.train):
                return tuple(
                    f"{test}: {text}"
                    for test in tests
                    for text in line.cells[test]
                    # a leaky split is marked once for the whole board
                    if text not in (CLEAN, UNCHECKED) and not text.startswith("overlap: the split")
                )
        return ()


def contamination(
    suite: Mapping[str, Any],
    cards: Cards,
    stages: Sequence[Stage],
    summary_of: Callable[[Stage], Mapping[str, Any] | None],
    prepared: Mapping[str, Any],
) -> Contamination:
    """Training corpora of everything in a suite against its test sets.

    Args:
        suite: normalised JSON, `LoadedSuite.resolved`.
        cards: where the cards of its plugins come from.
        stages: of its plan.
        summary_of: the summary of a finished stage, None of others.
        prepared: the summary of the prepared data; {} until they are there.
    """
    matrix = _Matrix(suite, cards, stages, summary_of, prepared)
    return Contamination(table=tuple(matrix.lines()), tests=matrix.tests)


class _Matrix:
    def __init__(
        self,
        suite: Mapping[str, Any],
        cards: Cards,
        stages: Sequence[Stage],
        summary_of: Callable[[Stage], Mapping[str, Any] | None],
        prepared: Mapping[str, Any],
    ) -> None:
        self.suite = suite
        self.cards = cards
        self.prepared = prepared
        self.corpora = declared_corpora(suite, cards)
        self.own = collections_of(suite, cards)
        self.collections = {**self.own, **other_collections(suite, cards)}
        self.others = {str(at[-1]): str(entry["plugin"]) for at, entry in specs(suite, "evaluate_on")}
        self.tests = (*TEST_SETS, *self.others)
        self.dataset = str(suite["dataset"]["plugin"])
        lints = [stage for stage in stages if is_leakage(stage)]
        self.real = next((summary_of(stage) for stage in lints if stage.work["what"] == "real"), None)
        self.drawn: list[tuple[str, Mapping[str, Any] | None]] = [
            (stage.inputs["samples0"].name, summary_of(stage)) for stage in lints if stage.work["what"] == "samples"
        ]
        self.linted = {stage.work["set"]: summary_of(stage) for stage in lints if stage.work["what"] == "other"}

    def lines(self) -> Iterator[Line]:
        for at, entry in specs(self.suite, "generators"):
            name = str(at[-1])
            splits, generators = behind_generator(self.suite, name)
            weights = self._weights("generators", generators)
            images = _images(entry) if self._fitted("generator", entry) else ELSEWHERE
            yield self._line("generator", name, images, splits, generators - {name}, weights, generators)
        for at, entry in specs(self.suite, "pretrained"):
            name = str(at[-1])
            splits, generators = behind_images(self.suite, entry.get("images"))
            weights = [*self.corpora["pretrained"][name], *self._weights("generators", generators)]
            yield self._line("pretrained", name, _images(entry), splits, generators, weights, generators)
        for name, train in dict.fromkeys(self._fits()):
            if not self._fitted("classifier", self.suite["classifiers"][name]):
                yield self._line("classifier", name, ELSEWHERE, (), (), self.corpora["classifiers"][name], ())
                continue
            names: str | tuple[str, ...] = train[0] if len(train) == 1 else train
            splits, generators = behind_classifier(self.suite, name, names)
            weights = [*self._through(name), *self._weights("generators", generators)]
            yield self._line("classifier", name, set_name(names), splits, generators, weights, generators)
        for at, entry in specs(self.suite, "extractors"):
            yield self._extractor(str(at[-1]), entry)

    def _extractor(self, name: str, entry: Mapping[str, Any]) -> Line:
        source = entry.get("from")
        if not isinstance(source, Mapping):
            return self._line("extractor", name, "", (), (), self.corpora["extractors"][name], ())
        classifier, train = str(source["classifier"]), str(source["train"])
        splits, generators = behind_extractor(self.suite, name)
        weights = [*self._through(classifier), *self._weights("generators", generators)]
        return self._line("extractor", name, train, splits, generators, weights, generators)

    def _line(
        self,
        kind: str,
        name: str,
        train: str,
        splits: Iterable[str],
        generators: Iterable[str],
        weights: Iterable[Source],
        drawn: Iterable[str],
    ) -> Line:
        real = tuple(split for split in SPLITS if split in set(splits))
        sources = tuple(dict.fromkeys(weights))
        cells = {test: self._cell(test, real, sorted(drawn), sources) for test in self.tests}
        return Line(
            kind=kind,
            name=name,
            train=train,
            real=real,
            samples=tuple(sorted(generators)),
            weights=sources,
            cells=cells,
        )

    # -- what is behind a model ------------------------------------------------------------------------------------

    def _fitted(self, kind: str, entry: Mapping[str, Any]) -> bool:
        return entry.get("plugin") is None or is_fitted(self.cards.card(kind, entry["plugin"]))

    def _fits(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """(classifier, training set) of every row, teacher and judge; answers from elsewhere have none."""
        for _, row in specs(self.suite, "rows"):
            for _, name in texts(row["classifiers"], ()):
                fitted = self._fitted("classifier", self.suite["classifiers"][name])
                yield name, _names(row["train"]) if fitted else ()
        for section, key in (("classifiers", "teacher"), ("sample_metrics", "judge")):
            for _, entry in specs(self.suite, section):
                if isinstance(entry.get(key), Mapping):
                    yield entry[key]["classifier"], _names(entry[key]["train"])

    def _through(self, classifier: str) -> Iterator[Source]:
        """External weights in a classifier, in its encoder and in its teachers."""
        seen: set[str] = set()
        name: str | None = classifier
        while name is not None and name not in seen:
            seen.add(name)
            entry = self.suite["classifiers"][name]
            yield from self.corpora["classifiers"][name]
            if entry.get("init") is not None:
                yield from self.corpora["pretrained"][entry["init"]]
            name = entry["teacher"]["classifier"] if isinstance(entry.get("teacher"), Mapping) else None

    def _weights(self, section: str, names: Iterable[str]) -> list[Source]:
        return [source for name in sorted(names) for source in self.corpora[section][name]]

    # -- one cell --------------------------------------------------------------------------------------------------

    def _cell(
        self, test: str, real: Sequence[str], generators: Sequence[str], weights: Sequence[Source]
    ) -> tuple[str, ...]:
        found = self._of_other(test, real) if test in self.others else self._of_own(test, real)
        drawn = [(name, _shown(summary, COPIES, f"samples>{test}")) for name, summary in self._samples(generators)]
        found += [f"near-duplicates: {count} images in samples of {name}" for name, count in _largest(drawn)]
        for source, corpora in weights:
            if corpora is None:
                found.append(f"not declared: {source}")
            elif shared := shared_collections(corpora, self.collections[test]):
                found.append(f"declared: {', '.join(shared)} contains {self.others.get(test, self.dataset)} ({source})")
        if self._unknown(test, real, generators):
            found.append(UNCHECKED)
        return tuple(dict.fromkeys(found)) or (CLEAN,)

    def _of_own(self, test: str, real: Sequence[str]) -> list[str]:
        """What the real training data have of val or test."""
        found: list[str] = []
        if test in real:
            found.append(f"overlap: fitted on {test}")
        leaky, seen = self.prepared.get("leaky"), self.prepared.get("split", {}).get("seen_images", {}).get(test, 0)
        if leaky and "train" in real and seen:
            found.append(f"overlap: the split is leaky, {seen} images belong to groups in train ({leaky})")
        copies = sum(_shown(self.real, COPIES, f"{split}>{test}") for split in real if split != test)
        if copies:
            found.append(f"near-duplicates: {copies} images in the real training data")
        return found

    def _of_other(self, name: str, real: Sequence[str]) -> list[str]:
        """What the real training data have of another set."""
        found: list[str] = []
        held = dict.fromkeys(collection for split in real for collection in self.own[split])
        if shared := shared_collections(held, self.collections[name]):
            both = f"both {self.dataset} ({' + '.join(real)}) and {self.others[name]}"
            found.append(f"declared: {', '.join(shared)} contains {both}")
        summary = self.linted.get(name)
        copies, names = (sum(_shown(summary, what, f"{split}>{name}") for split in real) for what in (COPIES, NAMES))
        if copies:
            found.append(f"near-duplicates: {copies} images in the real training data")
        if names:
            found.append(f"overlap: id or lesion of {names} images in the real training data")
        return found

    def _unknown(self, test: str, real: Sequence[str], generators: Sequence[str]) -> bool:
        """Whether something behind a model was not compared with a test set.

        Samples of a generator that is fitted here hold nothing of another set but what it has seen, and this stands in
        its line; those that were made elsewhere are compared with every set.
        """
        linted = self.real if test not in self.others else self.linted.get(test)
        asked = generators if test not in self.others else [name for name in generators if self._given(name)]
        return (bool(real) and linted is None) or any(summary is None for _, summary in self._samples(asked))

    def _given(self, generator: str) -> bool:
        return not self._fitted("generator", self.suite["generators"][generator])

    def _samples(self, generators: Iterable[str]) -> list[tuple[str, Mapping[str, Any] | None]]:
        """(generator, summary of the lint) of the sample sets of some generators."""
        return [
            (name, summary)
            for name in generators
            for stage, summary in self.drawn
            if stage.startswith(f"sample/{name}/")
        ]


def _shown(summary: Mapping[str, Any] | None, what: str, where: str) -> int:
    """Images that a lint counted: copies, or those of one name."""
    return int(summary["images"].get(what, {}).get(where, 0)) if summary is not None else 0


def _largest(found: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Generator -> the most over its sample sets, where there are any."""
    most: dict[str, int] = {}
    for name, count in found:
        most[name] = max(count, most.get(name, 0))
    return [(name, count) for name, count in most.items() if count]


def _names(images: Any) -> tuple[str, ...]:
    return tuple(name for _, name in texts(images, ()))


def _images(entry: Mapping[str, Any]) -> str:
    return " + ".join(_names(entry.get("images")))


def _texts(line: Line, tests: Sequence[str]) -> list[str]:
    weights = [
        f"{source} ({', '.join(corpora) if corpora else 'no collection'})" if corpora is not None else f"{source} (?)"
        for source, corpora in line.weights
    ]
    joined = ["; ".join(part) for part in (line.real, line.samples, weights)]
    return [line.kind, line.name, line.train, *joined, *("; ".join(line.cells[test]) for test in tests)]
