"""What a plan needs and what is not there: every file and folder, not the first alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermae_bench.errors import DataMissing
from dermae_bench.plugin.catalog import Card
from dermae_bench.plugin.checking import paths_in
from dermae_bench.store.contents import Contents
from dermae_bench.suite.parts import where_to_get


@dataclass(frozen=True)
class Missing:
    """Something that a plan needs and that is not there."""

    reason: str
    """In one line, with where to get it."""
    path: Path | None = None
    """Absolute; None for what is missing inside of a folder that is there."""


def missing_paths(value: Mapping[str, Any], card: Card, contents: Contents) -> list[Missing]:
    """The paths in the params of a plugin that name nothing.

    Raises:
        DataError: there is something else in the place of a folder, e.g. an archive of it.
    """
    found = []
    for _, kind, text in paths_in(value, card.params):
        path = Path(text).expanduser()
        if path.is_dir() if kind == "folder" else path.is_file():
            continue
        try:
            # it says the same words as where a digest is taken, and reads nothing
            contents.folder(path) if kind == "folder" else contents.file(path)
        except DataMissing as error:
            found.append(Missing(where_to_get(error, card), path.absolute()))
    return found
