"""Walking through a suite (normalised JSON), whether or not it is right: entries and names with their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dermae_bench.plugin.checking import Path

SPLITS = ("train", "val", "test")


def texts(value: Any, at: Path) -> Iterator[tuple[Path, str]]:
    """Names in a field that holds one name or a list of them, each with its place."""
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, list):
        yield from (((*at, i), item) for i, item in enumerate(value) if isinstance(item, str))


def entries(suite: Mapping[str, Any], section: str) -> Iterator[tuple[Path, Any]]:
    """Entries of a section with their places, mappings and lists alike."""
    held = suite.get(section)
    if isinstance(held, dict):
        yield from (((section, name), entry) for name, entry in held.items())
    elif isinstance(held, list):
        yield from (((section, i), entry) for i, entry in enumerate(held))


def specs(suite: Mapping[str, Any], section: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Entries of a section that are mappings."""
    return ((at, entry) for at, entry in entries(suite, section) if isinstance(entry, dict))


def samples_in(suite: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every `{samples: ...}` under `image_sets`, alone or in a list."""
    return ((at, part) for at, part in _parts_in(suite) if "from" not in part)


def chosen_in(suite: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every `{from: ...}` under `image_sets`, alone or in a list."""
    return ((at, part) for at, part in _parts_in(suite) if "from" in part)


def asked_of(suite: Mapping[str, Any], captions: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Where an entry of `captions:` is named, each with the generator that it is for."""
    generators = dict(specs(suite, "generators"))
    for at, entry in generators.items():
        if entry.get("captions") == captions:
            yield at, entry
    for at, part in (*samples_in(suite), *specs(suite, "figures")):
        for _, name in texts(part.get("samples"), ()) if part.get("captions") == captions else ():
            if ("generators", name) in generators:
                yield at, generators["generators", name]


def _parts_in(suite: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for at, entry in entries(suite, "image_sets"):
        parts = enumerate(entry) if isinstance(entry, list) else ()
        inner = [(at, entry), *(((*at, i), part) for i, part in parts)]
        yield from ((place, part) for place, part in inner if isinstance(part, dict))


def image_sets_of(suite: Mapping[str, Any]) -> dict[str, Any]:
    """Image sets by name; None for the real splits."""
    held = suite.get("image_sets")
    return {**(held if isinstance(held, dict) else {}), **dict.fromkeys(SPLITS)}
