"""What a data set says of itself before it is prepared: tasks, images by class, what is missing or wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dermae_bench.durable import digest_of
from dermae_bench.errors import DataMissing
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.store.contents import Contents
from dermae_bench.suite.keys import Identities
from dermae_bench.suite.missing import Missing, missing_paths


class Tasks:
    """Asks for a dataset's tasks once, and remembers what was missing."""

    def __init__(self, catalog: Catalog, contents: Contents) -> None:
        self.catalog = catalog
        self.identities = Identities(catalog, contents)
        self.found: Mapping[str, Mapping[str, Any]] | None = None
        self.missing: str | None = None
        """What the plugin says that is missing."""
        self.absent: list[Missing] = []
        """Files and folders of its params that are not there."""
        self.counts: Mapping[str, Mapping[str, int]] | None = None
        """Split -> class -> images, where there are data to count."""
        self.attributes: Mapping[str, Any] | None = None
        """Attribute -> number or text, where there are data that have them."""
        self.wrong: str | None = None
        """Why the images that are there cannot be read."""

    def __call__(self, plugin: str, params: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]] | None:
        card = self.catalog.card("dataset", plugin)
        self.absent = missing_paths(params, card, self.identities.contents)
        if self.absent:
            facts = digest_of(["missing", plugin, dict(params)])
        else:
            facts = self.identities.facts(plugin, self.identities.params(params, card.params))
        try:
            absolute = self.identities.absolute(params, card.params)
            tasks = self.catalog.tasks(plugin, absolute, facts)
            self.counts = self.catalog.counts(plugin, absolute, facts)
            self.attributes = self.catalog.attributes(plugin, absolute, facts)
            if not self.absent:
                self.wrong = self.catalog.wrong(plugin, absolute, facts)
        except DataMissing as error:
            self.missing = str(error)
            return None
        self.found = {task["name"]: task for task in tasks}
        return self.found
