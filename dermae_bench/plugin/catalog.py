"""Finding plugins without importing them: entry points, a plugins folder, single files; and their cards.

A card says what a plugin is (kind, parameters, sampling, columns) in JSON. It is made once per source digest, in
a child process, and cached; everything that only reads (`validate`, `plan`, `plugins`, `report`) reads cards.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from dermae_bench.bounded.memos import keep, kept
from dermae_bench.durable import digest_of
from dermae_bench.errors import DataMissing, PluginError
from dermae_bench.plugin.asking import ask
from dermae_bench.plugin.cards import Card as Card
from dermae_bench.plugin.cards import card_of, told_of
from dermae_bench.plugin.declared import declared, why_unread
from dermae_bench.plugin.hookspecs import GROUP
from dermae_bench.plugin.rules import Ruled, refusals
from dermae_bench.plugin.sources import Sources, sources_of

CARD_VERSION = 6


@dataclass(frozen=True)
class Reference:
    """Where a plugin lies: enough to import it in another process."""

    name: str
    module: str
    file: str | None = None
    """Path of a single-file plugin; None for an installed module."""
    origin: str = ""
    """Distribution and version, or the file's name: for people, never in a key."""


def cache_folder() -> Path:
    """Where cards and digest memos are kept: `$DERMAE_BENCH_CACHE`, else the user's cache folder."""
    given = os.environ.get("DERMAE_BENCH_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "dermae-bench"


class Catalog:
    """Every plugin that can be named, by name.

    Args:
        plugins_dir: a folder of single-file plugins, each `*.py` with hook functions.
        cache: where cards are kept; `cache_folder()` by default.
    """

    def __init__(self, plugins_dir: Path | None = None, cache: Path | None = None) -> None:
        self.plugins_dir = plugins_dir
        self.cache = cache or cache_folder()
        self._cards: dict[Reference, Card] = {}
        self._sources: dict[Reference, Sources | PluginError] = {}
        self._labels: dict[str, Reference] = {}

    @cached_property
    def references(self) -> Mapping[str, Sequence[Reference]]:
        """Name -> where it lies; more than one place is a clash, an error for those who use the name."""
        found: dict[str, list[Reference]] = {}
        # the entries of a package share its description, which is read anew for its name and for its version
        origin = cache(lambda dist: f"{dist.name} {dist.version}" if dist else "")
        for entry in metadata.entry_points(group=GROUP):
            reference = Reference(entry.name, entry.module, None, origin(entry.dist))
            if reference not in found.setdefault(entry.name, []):
                found[entry.name].append(reference)
        if self.plugins_dir is not None:
            if not self.plugins_dir.is_dir():
                raise PluginError(f"plugins folder {self.plugins_dir} is not there")
            for file in sorted(self.plugins_dir.glob("*.py")):
                for name in declared(file):
                    found.setdefault(name, []).append(Reference(name, file.stem, str(file.resolve()), file.name))
        return found

    def names(self, kind: str | None = None) -> list[str]:
        """Known names; with `kind`, those of that kind: missing cards are made for that, which takes its time."""
        if kind is None:
            return sorted(self.references)
        references = [reference for found in self.references.values() for reference in found]
        cards = zip(references, self.cards(references), strict=True)
        return sorted({reference.name for reference, card in cards if card.kind == kind})

    @cached_property
    def elsewhere(self) -> str:
        """Why a name may be unknown that is meant to be one of the user's own, and what to do about it."""
        if self.plugins_dir is None:
            return "one of your own needs --plugins-dir DIR"
        files = sorted(self.plugins_dir.glob("*.py"))
        reasons = [reason for file in files if (reason := why_unread(file))]
        if reasons:
            told = "; ".join(reasons[:3]) + (f" (and {len(reasons) - 3} more files)" if len(reasons) > 3 else "")
            return f"--plugins-dir has files whose plugins are unknown until they are mended: {told}"
        return f"no file of {self.plugins_dir} declares it"

    def reference(self, name: str) -> Reference:
        """The one place of `name`, which may also be written `path/to/file.py:NAME`.

        Raises:
            PluginError: unknown, or declared twice.
        """
        if name in self._labels:
            return self._labels[name]
        path, colon, inner = name.rpartition(":")
        if colon and path.endswith(".py"):
            file = Path(path)
            if not file.is_file():
                raise PluginError(f"plugin file {path} is not there")
            return Reference(inner, file.stem, str(file.resolve()), file.name)
        found = self.references.get(name, ())
        if not found:
            hint = f"{self.elsewhere}; `dermae-bench plugins` lists the installed ones"
            raise PluginError(f"unknown plugin {name!r}", hint=hint)
        if len(found) > 1:
            places = " and ".join(f"{r.module} ({r.origin})" for r in found)
            raise PluginError(
                f"plugin {name!r} is declared twice: by {places}", hint="uninstall one, or name it file.py:NAME"
            )
        return found[0]

    def sources(self, reference: Reference) -> Sources:
        """Files and digest of a plugin, read once a run."""
        if reference not in self._sources:
            try:
                file = Path(reference.file) if reference.file else None
                self._sources[reference] = sources_of(reference.module, file)
            except PluginError as error:
                self._sources[reference] = error
        found = self._sources[reference]
        if isinstance(found, PluginError):
            raise found
        return found

    def card(self, kind: str, name: str) -> Card:
        """The card of `name`, made now if there is none.

        A plugin that is named by its file is called ``file.py:NAME`` on its card, without the folder: that is how
        stages and keys name it, and `reference` knows it.

        Raises:
            PluginError: unknown, clashing, broken, or of another kind.
        """
        reference = self.reference(name)
        card = self.cards([reference])[0]
        if card.error is not None:
            raise PluginError(f"plugin {name!r} cannot be used: {card.error}")
        if card.kind != kind:
            raise PluginError(
                f"plugin {name!r} is a {card.kind}, not a {kind}", hint=f"{kind}s: {', '.join(self.names(kind))}"
            )
        return replace(card, name=self._label(name, reference))

    def _label(self, name: str, reference: Reference) -> str:
        if reference.file is None or ":" not in name:
            return name
        label = f"{Path(reference.file).name}:{reference.name}"
        known = self._labels.setdefault(label, reference)
        if known != reference:
            raise PluginError(
                f"{known.file} and {reference.file} would both be called {label}", hint="rename one of the files"
            )
        return label

    def prefetch(self, names: Iterable[str]) -> None:
        """Make all missing cards of `names` in one child process; unknown names are left for later."""
        references = []
        for name in dict.fromkeys(names):
            try:
                references.append(self.reference(name))
            except PluginError:
                # reported with its place by whoever asks for this name
                continue
        self.cards(references)

    def cards(self, references: Sequence[Reference]) -> list[Card]:
        """One card each; missing ones are made in one child process. A broken plugin gives a card with `error`."""
        missing = [reference for reference in references if self._cached(reference) is None]
        if missing:
            self._make(missing)
        return [self._cards[reference] for reference in references]

    def _cached(self, reference: Reference) -> Card | None:
        if reference in self._cards:
            return self._cards[reference]
        try:
            path = self._card_path(reference, self.sources(reference).digest)
            self._cards[reference] = replace(card_of(kept(path)), origin=reference.origin)
        except PluginError as error:
            self._cards[reference] = Card(reference.name, "unknown", origin=reference.origin, error=str(error))
        except ValueError:
            # no card yet, a damaged one, or one that another version wrote: it is made again
            return None
        return self._cards[reference]

    def _card_path(self, reference: Reference, digest: str) -> Path:
        words = [CARD_VERSION, reference.name, reference.module, digest, sys.version_info[:2]]
        return self.cache / "cards" / f"{digest_of(words)[:32]}.json"

    def _make(self, references: Sequence[Reference]) -> None:
        answers: list[Mapping[str, Any]] = []
        while len(answers) < len(references):
            # those behind one that took the child down are asked in another one
            answers += ask([{"card": asdict(reference)} for reference in references[len(answers) :]])
        for reference, answer in zip(references, answers, strict=True):
            sources = self.sources(reference)
            about: dict[str, Any] = {
                "name": reference.name,
                "module": reference.module,
                "origin": reference.origin,
                "digest": sources.digest,
                "files": sorted(sources.files),
            }
            try:
                card = card_of({"kind": "unknown", **answer, **about})
            except ValueError as error:
                card = Card(**about, kind="unknown", error=f"what it promises cannot be read: {error}")
            self._cards[reference] = card
            if card.error is None:
                keep(self._card_path(reference, sources.digest), asdict(card))

    def refusals(self, asked: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[str | None]:
        """Why each plugin's own rules refuse checked values, or None.

        Args:
            asked: (plugin, ``params`` or ``sampling``, values that its schema allows).
        """
        references = [self.reference(name) for name, _, _ in asked]
        return refusals(
            self.cache,
            [
                Ruled(asdict(reference), self.sources(reference).digest, schema, values)
                for reference, (_, schema, values) in zip(references, asked, strict=True)
            ],
        )

    def tasks(self, name: str, params: Mapping[str, Any], facts: Any) -> list[dict[str, Any]]:
        """The tasks of a dataset under `params`, read in a child process and cached under `facts`.

        Args:
            facts: a JSON value that changes when the params or the content of the data change.

        Raises:
            DataMissing: the tasks depend on data that are not there.
        """
        found: list[dict[str, Any]] = self._dataset(name, params, facts)["tasks"]
        return found

    def counts(self, name: str, params: Mapping[str, Any], facts: Any) -> dict[str, dict[str, int]] | None:
        """Split -> class of the root task -> images, from the same child and cache as `tasks`.

        None where the data are missing or cannot be read: `wrong` or preparing them tells why.

        Raises:
            DataMissing: not even the tasks can be told.
        """
        found: dict[str, dict[str, int]] | None = self._dataset(name, params, facts)["counts"]
        return found

    def attributes(self, name: str, params: Mapping[str, Any], facts: Any) -> dict[str, str] | None:
        """Attribute of the images -> ``number`` or ``text``, as `counts`."""
        found: dict[str, str] | None = self._dataset(name, params, facts)["attributes"]
        return found

    def wrong(self, name: str, params: Mapping[str, Any], facts: Any) -> str | None:
        """Why the images of a dataset cannot be read, as it says itself; from the same child and cache as `tasks`."""
        found: str | None = self._dataset(name, params, facts)["wrong"]
        return found

    def _dataset(self, name: str, params: Mapping[str, Any], facts: Any) -> Mapping[str, Any]:
        """{"tasks", "counts", "attributes", "wrong"} of a dataset."""
        reference = self.reference(name)
        key = digest_of([CARD_VERSION, "dataset", name, self.sources(reference).digest, facts])
        path = self.cache / "tasks" / f"{key[:32]}.json"
        with contextlib.suppress(ValueError):
            return told_of(kept(path))
        answer = ask([{"tasks": asdict(reference), "params": dict(params)}])[0]
        if "missing" in answer:
            raise DataMissing(answer["missing"])
        if "error" in answer:
            raise PluginError(f"dataset {name!r} cannot tell its tasks: {answer['error']}")
        try:
            told = told_of(answer)
        except ValueError as error:
            raise PluginError(f"dataset {name!r} cannot tell its tasks: {error}") from None
        keep(path, answer)
        return told
