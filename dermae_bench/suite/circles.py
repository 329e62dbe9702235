"""What a suite makes from what, and where that goes in a circle."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from dermae_bench.plugin.checking import Finding
from dermae_bench.suite.places import SPLITS, entries, specs, texts

Key = tuple[str, str]
"""(section, name)."""
Node = TypeVar("Node", bound=Hashable)


def edges_of(suite: Mapping[str, Any]) -> dict[Key, list[Key]]:
    edges: dict[Key, list[Key]] = {}

    def images(value: Any) -> list[Key]:
        return [("image_sets", name) for _, name in texts(value, ()) if name not in SPLITS]

    for at, entry in entries(suite, "image_sets"):
        parts = entry if isinstance(entry, list) else [entry]
        samples = [part.get("samples") for part in parts if isinstance(part, dict)]
        drawn = [("generators", name) for name in samples if isinstance(name, str)]
        edges["image_sets", str(at[1])] = images(entry) + drawn
    for section in ("generators", "pretrained"):
        for at, entry in specs(suite, section):
            edges[section, str(at[1])] = images(entry.get("images"))
    for at, entry in specs(suite, "extractors"):
        source = entry.get("from")
        if isinstance(source, dict):
            edges["extractors", str(at[1])] = [
                ("classifiers", str(source.get("classifier"))),
                *images(source.get("train")),
            ]
    for at, entry in specs(suite, "classifiers"):
        found: list[tuple[str, Any]] = [("pretrained", entry.get("init"))]
        for key, section in (("teacher", "classifiers"), ("from", "generators")):
            inner = entry.get(key)
            if isinstance(inner, dict):
                found += [(section, inner.get(section[:-1]))]
                found += [("image_sets", name) for _, name in images(inner.get("train"))]
        edges["classifiers", str(at[1])] = [(section, name) for section, name in found if isinstance(name, str)]
    return edges


def inner_first(edges: Mapping[Node, Iterable[Node]]) -> list[Node]:
    """Every node after those that it leads to, as far as nothing goes in a circle."""
    order: dict[Node, None] = {}
    seen: set[Node] = set()
    for start in edges:
        # an own stack: a chain may be longer than Python's
        todo = [(start, iter(edges[start]))] if start not in seen else []
        seen.add(start)
        while todo:
            node, rest = todo[-1]
            following = next((one for one in rest if one in edges and one not in seen), None)
            if following is None:
                order[node] = None
                todo.pop()
            else:
                seen.add(following)
                todo.append((following, iter(edges[following])))
    return list(order)


def circle_findings(suite: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything that would have to be made before itself."""
    edges = edges_of(suite)
    order = {key: i for i, key in enumerate(edges)}
    finished: set[Key] = set()
    for start in edges:
        if start in finished:
            continue
        # an own stack: a chain of teachers may be longer than Python's
        path: list[Key] = [start]
        depth_of = {start: 0}
        todo = [iter(edges[start])]
        while todo:
            following = next(todo[-1], None)
            if following is None:
                todo.pop()
                last = path.pop()
                del depth_of[last]
                finished.add(last)
            elif following in depth_of:
                circle = path[depth_of[following] :]
                first = min(circle, key=order.__getitem__)
                turn = circle.index(first)
                circle = [*circle[turn:], *circle[:turn], first]
                words = " -> ".join(f"{_singular(section)} {name!r}" for section, name in circle)
                yield Finding(first, f"goes in a circle: {words}", "break it at one of these", on_key=True)
            elif following in edges and following not in finished:
                depth_of[following] = len(path)
                path.append(following)
                todo.append(iter(edges[following]))


def _singular(section: str) -> str:
    return {"image_sets": "image set", "pretrained": "pretrained encoder"}.get(section, section.removesuffix("s"))
