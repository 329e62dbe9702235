"""How much a suite asks for: checked before it is planned, so that a slip of the pen does not fill the memory.

Everything here takes time in proportion to the text, circles or not: what comes after may take more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from dermae_bench.plugin.checking import Finding, Path
from dermae_bench.suite.circles import Key, edges_of, inner_first
from dermae_bench.suite.places import SPLITS, entries, specs, texts

MOST_CELLS = 20_000
"""Fits and draws: rows times tasks times seeds. Each makes several stages."""
MOST_PARTS = 200
"""Splits and samples that an image set consists of, through others, and several that are used together."""
DEEPEST = 30
"""Image sets, generators, encoders and teachers that are made one from the other."""

ROLES = ("generator", "pretrain", "classifier")


def extent_findings(suite: Mapping[str, Any], circles: bool) -> list[Finding]:
    """What is too much in a suite (normalised JSON), whether or not it is right.

    Args:
        circles: whether anything in it goes in a circle, and so has no length.
    """
    found = [*([] if circles else _chains(suite)), *_parts(suite)]
    return found or list(_cells(suite))


def _chains(suite: Mapping[str, Any]) -> Iterator[Finding]:
    edges = edges_of(suite)
    depth: dict[Key, int] = {}
    for key in inner_first(edges):
        depth[key] = 1 + max((depth.get(inner, 0) for inner in edges[key]), default=0)
    # the first that goes too deep; those that are made from it do, too
    for key, levels in depth.items():
        if levels == DEEPEST + 1:
            message = f"{key[1]!r} is the end of a chain of more than {DEEPEST} that are made one from the other"
            yield Finding(key, message, "make the chain shorter", on_key=True)


def _parts(suite: Mapping[str, Any]) -> Iterator[Finding]:
    held = {str(at[1]): entry for at, entry in entries(suite, "image_sets")}
    inner = {name: [one for _, one in texts(entry, ())] for name, entry in held.items()}
    count = dict.fromkeys(SPLITS, 1)
    for name in inner_first(inner):
        if name in SPLITS:
            continue
        entry = held[name]
        drawn = sum(isinstance(part, dict) for part in (entry if isinstance(entry, list) else [entry]))
        count[name] = drawn + sum(count.get(one, 0) for one in inner[name])
        if count[name] > MOST_PARTS:
            message = f"{name!r} consists of {count[name]:,} splits and samples; at most {MOST_PARTS} are allowed"
            yield Finding(("image_sets", name), message, "its parts hold each other many times", on_key=True)
            return
    for at, names in _uses(suite):
        joined = sum(count.get(name, 0) for _, name in texts(names, ()))
        if joined > MOST_PARTS:
            message = f"these image sets consist of {joined:,} splits and samples; at most {MOST_PARTS} are allowed"
            yield Finding(at, message, "name fewer of them")
            return


def _uses(suite: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Every field that names image sets to learn from, with its place."""
    for section, key in (("generators", "images"), ("pretrained", "images"), ("rows", "train")):
        yield from (((*at, key), entry.get(key)) for at, entry in specs(suite, section))
    for section, key in (("classifiers", "teacher"), ("sample_metrics", "judge")):
        for at, entry in specs(suite, section):
            pair = entry.get(key)
            if isinstance(pair, dict):
                yield (*at, key, "train"), pair.get("train")


def _cells(suite: Mapping[str, Any]) -> Iterator[Finding]:
    seeds = suite.get("seeds")
    tasks = suite.get("tasks")
    if not isinstance(seeds, dict) or not all(isinstance(seeds.get(role), list) for role in ROLES):
        return
    many = {role: len(seeds[role]) for role in ROLES}
    drawn = _drawn(suite)
    roles = _roles(suite, drawn)
    cells = 0
    for _, row in specs(suite, "generator_rows"):
        sampling = row.get("sampling")
        ways = len(sampling) if isinstance(sampling, list) else 1
        cells += len(list(texts(row.get("samples"), ()))) * ways * many["generator"]
    for _, row in specs(suite, "rows"):
        own = {"generator"} if _any(drawn, row.get("train")) else set()
        for _, name in texts(row.get("classifiers"), ()):
            used = own | roles.get(name, set())
            cells += prod(many[role] for role in used) * (len(tasks) if isinstance(tasks, list) else 1)
    if cells > MOST_CELLS:
        message = (
            f"the suite asks for {cells:,} fits and draws (rows x tasks x seeds); at most {MOST_CELLS:,} are planned"
        )
        at = "seeds" if max(many.values()) > 1 else "rows"
        yield Finding((at,), message, "divide it into several suites, or take fewer seeds", on_key=True)


def _drawn(suite: Mapping[str, Any]) -> set[str]:
    """Image sets that hold samples, themselves or through others."""
    held = {str(at[1]): entry for at, entry in entries(suite, "image_sets")}
    inner = {name: [one for _, one in texts(entry, ())] for name, entry in held.items()}
    found: set[str] = set()
    for name in inner_first(inner):
        parts = held[name] if isinstance(held[name], list) else [held[name]]
        samples = any(isinstance(part, dict) and isinstance(part.get("samples"), str) for part in parts)
        if samples or any(one in found for one in inner[name]):
            found.add(name)
    return found


def _any(drawn: set[str], names: Any) -> bool:
    return any(name in drawn for _, name in texts(names, ()))


def _roles(suite: Mapping[str, Any], drawn: set[str]) -> dict[str, set[str]]:
    """Classifier -> roles whose seeds it depends on besides those of its own training set."""
    held = {str(at[1]): entry for at, entry in specs(suite, "classifiers")}
    encoders = {str(at[1]): entry for at, entry in specs(suite, "pretrained")}
    teachers = {name: pair for name, entry in held.items() if isinstance(pair := entry.get("teacher"), dict)}
    inner = {name: [one for _, one in texts(teachers.get(name, {}).get("classifier"), ())] for name in held}
    found: dict[str, set[str]] = {}
    for name in inner_first(inner):
        entry, own = held[name], {"classifier"}
        encoder = encoders.get(entry["init"]) if isinstance(entry.get("init"), str) else None
        if encoder is not None:
            own |= {"pretrain", "generator"} if _any(drawn, encoder.get("images")) else {"pretrain"}
        if isinstance(entry.get("from"), dict) or _any(drawn, teachers.get(name, {}).get("train")):
            own.add("generator")
        found[name] = own.union(*(found.get(one, set()) for one in inner[name]))
    return found
