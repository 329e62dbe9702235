"""Every way to join in, in one file.

A plugin is a module named by an entry point of the group ``dermae_bench``. It implements one or more of the
declaration hooks below; each returns a mapping from the name that a suite uses to the class. Declarations are
pure and quick: no download, no file, no device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from dermae_bench.plugin.contracts import Classifier, Generator, Pretrainer
    from dermae_bench.plugin.data import Dataset
    from dermae_bench.plugin.extractor import Extractor
    from dermae_bench.plugin.measures import Metric

PROJECT = "dermae_bench"
GROUP = "dermae_bench"
OBSERVER_GROUP = "dermae_bench_observers"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Declarations:
    """Asked once, when a suite uses one of the names."""

    @hookspec
    def dermae_datasets(self) -> Mapping[str, type[Dataset]]:
        """Declare datasets by the name a suite uses."""
        raise NotImplementedError

    @hookspec
    def dermae_generators(self) -> Mapping[str, type[Generator]]:
        """Declare generators by the name a suite uses."""
        raise NotImplementedError

    @hookspec
    def dermae_pretrainers(self) -> Mapping[str, type[Pretrainer]]:
        """Declare pretrainers by the name a suite uses."""
        raise NotImplementedError

    @hookspec
    def dermae_classifiers(self) -> Mapping[str, type[Classifier]]:
        """Declare classifiers by the name a suite uses."""
        raise NotImplementedError

    @hookspec
    def dermae_extractors(self) -> Mapping[str, type[Extractor]]:
        """Declare feature extractors by the name a suite uses."""
        raise NotImplementedError

    @hookspec
    def dermae_metrics(self) -> Mapping[str, type[Metric]]:
        """Declare sample, prediction and cost metrics by the name a suite uses."""
        raise NotImplementedError


class Observations:
    """Told, never asked: return values are ignored and nothing can be changed from here."""

    @hookspec
    def dermae_stage_started(self, event: Mapping[str, Any]) -> None:
        """A stage is about to run: {key, kind, name, attempt}."""

    @hookspec
    def dermae_stage_finished(self, event: Mapping[str, Any]) -> None:
        """A stage was committed to the store: {key, kind, name, attempt, seconds}."""

    @hookspec
    def dermae_stage_failed(self, event: Mapping[str, Any]) -> None:
        """An attempt failed: {key, kind, name, attempt, reason, phase}."""


KINDS: Mapping[str, str] = {
    "dermae_datasets": "dataset",
    "dermae_generators": "generator",
    "dermae_pretrainers": "pretrainer",
    "dermae_classifiers": "classifier",
    "dermae_extractors": "extractor",
    "dermae_metrics": "metric",
}
