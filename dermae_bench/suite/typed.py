"""A suite as typed JSON: reserved words, types, defaults, and the rows that its sweeps stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from dermae_bench.plugin.checking import Finding, Path, check, near
from dermae_bench.plugin.params import schema_of
from dermae_bench.suite.names import duplicate_rows
from dermae_bench.suite.spec import RESERVED, Suite
from dermae_bench.suite.sweep_findings import sweep_findings
from dermae_bench.suite.sweeps import Origins, expand
from dermae_bench.suite.yaml import Node

MOST_PROBLEMS = 100
"""Problems that are shown of one suite; a file that is no suite may have thousands."""


def some(findings: Iterable[Finding]) -> list[Finding]:
    """A file that is no suite may have thousands of mistakes: some will do."""
    return list(islice(findings, 2 * MOST_PROBLEMS))


def typed(root: Node) -> tuple[dict[str, Any], list[Finding], Origins]:
    """The suite as JSON with the harness's own defaults; reserved words are found first, and hide what they break."""
    plain = root.plain()
    findings: list[Finding] = []
    hidden: set[Path] = set()

    def refuse(at: Path, held: Mapping[str, Any], words: Iterable[str]) -> bool:
        found = [word for word in words if word in held]
        findings.extend(
            Finding((*at, word), f"{word!r} is reserved, but not yet built", "remove it", True) for word in found
        )
        return bool(found)

    def search(at: Path, holder: Any, key: Any, words: Iterable[str]) -> None:
        entry = holder[key]
        if isinstance(entry, dict) and refuse(at, entry, words):
            holder[key] = None
            hidden.add(at)
        for i, _ in enumerate(entry) if isinstance(entry, list) else ():
            search((*at, i), entry, i, words)

    for section, words in RESERVED.items():
        if not section:
            refuse((), plain, words)
            continue
        name = section.removesuffix(".*")
        held = plain.get(name)
        if name == section:
            if name in plain:
                search((name,), plain, name, words)
            continue
        keys: Iterable[Any] = (
            list(held) if isinstance(held, dict) else range(len(held)) if isinstance(held, list) else ()
        )
        for key in keys:
            search((name, key), held, key, words)
    classifiers = plain.get("classifiers")
    for name, entry in classifiers.items() if isinstance(classifiers, dict) else ():
        if isinstance(entry, dict) and entry.get("derive") is not None and "task" in entry:
            message = "a classifier is either fitted for each task or derives the others"
            findings.append(Finding(("classifiers", name, "task"), message, "remove task or derive", True))
    lacks_dataset = "datasets" in plain and "dataset" not in plain
    kept = {key: value for key, value in plain.items() if key not in RESERVED[""]}
    resolved, found = check(kept, schema_of(Suite, free=True))
    resolved.pop("presets", None)
    unknown = 0
    for finding in found:
        if any(finding.path[:n] in hidden for n in (1, 2, 3)) or (
            lacks_dataset and not finding.path and "'dataset'" in finding.message
        ):
            continue
        findings.append(finding)
        if not finding.on_key or len(finding.path) != 1 or unknown == MOST_PROBLEMS:
            continue
        unknown += 1
        meant = near(str(finding.path[0]), resolved)
        if meant is not None and meant not in kept:
            # a section with a typo in its name is not empty: what refers to it is no mistake
            resolved[meant] = None
    findings += some(duplicate_rows(resolved))
    swept = some(sweep_findings(resolved))
    whole = not swept and isinstance(resolved.get("image_sets"), dict)
    origins = expand(resolved) if whole else Origins()
    return resolved, [*findings, *swept], origins
