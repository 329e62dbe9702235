"""What a suite needs and what is not there, with its place in the suite, as commands tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dermae_bench.errors import DataMissing
from dermae_bench.plugin.checking import dotted
from dermae_bench.suite.load import At, LoadedSuite
from dermae_bench.suite.missing import Missing

SHOWN = 3
"""Entries of a suite that are named for one file."""


def told(loaded: LoadedSuite, found: Iterable[Missing], inside: Mapping[At, str]) -> list[str]:
    """One line for each file and folder: where the suite names it, and where to get it.

    Args:
        found: what is not there; the same file may stand twice.
        inside: entry of the suite -> what is missing in a folder of it that is there.
    """
    named: dict[Path, list[At]] = {}
    # a name for weights stands once, however many models read them
    for given in sorted(loaded.paths, key=lambda given: given.at[0] != "weights"):
        named.setdefault(given.absolute, []).append(given.at)
    lines: dict[tuple[str, ...], str] = {}
    for missing in found:
        lines.setdefault(
            (str(missing.path),) if missing.path is not None else ("", missing.reason),
            _line(loaded, named.get(missing.path, []) if missing.path is not None else [], missing.reason),
        )
    for at, reason in inside.items():
        lines.setdefault((str(at), reason), _line(loaded, [at], reason))
    return list(lines.values())


def _line(loaded: LoadedSuite, places: Sequence[At], reason: str) -> str:
    if not places:
        return reason
    place = loaded.problem(places[0], reason).place
    entries = list(dict.fromkeys(dotted(at[:1] if at[0] in ("dataset", "reference") else at[:2]) for at in places))
    more = f" and {len(entries) - SHOWN} more" if len(entries) > SHOWN else ""
    where = f"{place}: " if place is not None else ""
    return f"{where}{', '.join(entries[:SHOWN])}{more}: {reason}"


def refusal(lines: Sequence[str]) -> DataMissing:
    """The error of a command that cannot do without what is missing."""
    if len(lines) == 1:
        return DataMissing(lines[0])
    return DataMissing(f"{len(lines)} files or folders that this needs are not there", lines)
