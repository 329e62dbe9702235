"""The metric plugins that are installed here, by the names that a results folder gives them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermae_bench.durable import canonical
from dermae_bench.errors import PluginError
from dermae_bench.plugin.catalog import Catalog, Reference
from dermae_bench.plugin.loading import load_plugin
from dermae_bench.plugin.measures import Metric
from dermae_bench.plugin.params import build


class NotHere(PluginError):
    """A metric cannot be built here, so its numbers cannot be computed again."""


class Metrics:
    """Builds metrics; a name never leads to a file outside of the installed plugins and the plugins folder."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._built: dict[str, Metric] = {}

    def reference(self, name: str) -> Reference:
        """Where a metric lies. A name `file.py:NAME` is looked for in the plugins folder only.

        Raises:
            NotHere: no plugin has that name, or several have.
        """
        file, _, inner = name.rpartition(":")
        known = self.catalog.references.get(inner, ())
        found = [one for one in known if not file or (one.file is not None and Path(one.file).name == file)]
        if len(found) != 1:
            raise NotHere(f"metric {name!r} is not installed here, or twice", hint="give its folder by --plugins-dir")
        return found[0]

    def digest(self, name: str) -> str:
        """Of its source, as keys hold it.

        Raises:
            NotHere: it is not installed, or its source cannot be read.
        """
        try:
            return self.catalog.sources(self.reference(name)).digest[:16]
        except PluginError as error:
            raise NotHere(error.message) from error

    def __call__(self, name: str, params: Mapping[str, Any]) -> Metric:
        """The metric.

        Raises:
            NotHere: it is not installed, cannot be imported, is no metric, does not take the params, or they name a
                file.
        """
        asked = canonical([name, dict(params)])
        if asked not in self._built:
            self._built[asked] = self._build(name, params)
        return self._built[asked]

    def _build(self, name: str, params: Mapping[str, Any]) -> Metric:
        if _names_file(params):
            raise NotHere(f"params of metric {name!r} name a file, of which only the digest is known")
        reference = self.reference(name)
        try:
            kind, cls = load_plugin(reference.name, reference.module, reference.file)
        except (ImportError, PluginError, SyntaxError) as error:
            raise NotHere(f"metric {name!r} cannot be imported: {error}") from error
        if kind != "metric":
            raise NotHere(f"plugin {name!r} is a {kind}, not a metric")
        try:
            metric: Metric = cls(build(cls.Config, params))
        except PluginError as error:
            raise NotHere(f"metric {name!r} of this version does not take its params: {error.message}") from error
        return metric


def _names_file(value: Any) -> bool:
    """Whether params hold the digest that stands for a path."""
    if isinstance(value, Mapping):
        return set(value) == {"sha256"} or any(_names_file(inner) for inner in value.values())
    return isinstance(value, list | tuple) and any(_names_file(inner) for inner in value)
