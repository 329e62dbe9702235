"""What a store holds, for `list`: stages by kind, failures, quarantine, living runs. Imports no torch."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from dermae_bench.errors import brief
from dermae_bench.plugin.catalog import cache_folder
from dermae_bench.report.escape import visible
from dermae_bench.store.artifacts import KINDS, Store
from dermae_bench.store.index import KEY, Entry, Index
from dermae_bench.store.leases import is_locked
from dermae_bench.store.refusals import size
from dermae_bench.store.runs import live_runs
from dermae_bench.store.strangers import LEASE
from dermae_bench.store.sweeping import size_of

LONGEST_REASON = 200
SHOWN = 5
"""Failures that are shown."""


def finished(results: Path) -> list[Entry]:
    """Every finished stage, newest first."""
    index = Index(Store(results / "store"), cache_folder())
    found = [entry for kind in KINDS for entry in index.entries(kind)]
    index.save()
    return sorted(found, key=lambda entry: -entry.when)


def contents(results: Path) -> dict[str, Any]:
    """Stages by kind with their bytes, what failed (latest first) or was broken off, what is aside, who is running."""
    store = Store(results / "store")
    index = Index(store, cache_folder())
    held = []
    for kind in KINDS:
        entries = index.entries(kind)
        held.append({"kind": kind, "stages": len(entries), "bytes": sum(entry.bytes for entry in entries)})
    index.save()
    aside = _names(store.root / "quarantine")
    failures = _failures(store)
    return {
        "store": held,
        "failures": failures,
        "broken_off": _broken_off(store, {failure["key"] for failure in failures}),
        "quarantine": {"entries": len(aside), "bytes": sum(size_of(path) for path in aside)},
        "runs": _runs(store),
    }


def _failures(store: Store) -> list[dict[str, Any]]:
    found = []
    for path in _names(store.root / "failures"):
        failure = store.failure(path.stem)
        if failure is not None and failure.key == path.stem:
            when = _time(path)
            found.append(
                {"key": failure.key, "name": failure.name, "category": failure.category, "reason": failure.reason,
                 "when": when}
            )  # fmt: skip
    return sorted(found, key=lambda about: (-about["when"], about["key"]))


def _broken_off(store: Store, failed: Collection[str]) -> int:
    """Stages that were begun, neither finished nor failed, and that nobody works on now."""
    begun = [path for path in _names(store.root / "attempts") if KEY.fullmatch(path.name) and path.name not in failed]
    # one that is finished may still wait for `clean`
    left = [path for path in begun if not any(store.has(kind, path.name) for kind in KINDS)]
    return sum(not is_locked(path / LEASE) for path in left)


def _runs(store: Store) -> list[dict[str, Any]]:
    try:
        alive = live_runs(store.root)
    except ValueError:
        # one that writes its announcement at this moment
        alive = []
    return [
        {"pid": run.holder.pid, "host": run.holder.host, "name": run.holder.name, "since": run.holder.since,
         "stages": len(run.keys)}
        for run in alive
    ]  # fmt: skip


def facts(about: Mapping[str, Any]) -> Iterator[str]:
    """The lines below the tables of `list`; none where there is nothing to tell."""
    failures, aside = about["failures"], about["quarantine"]
    if failures:
        yield f"failed: {len(failures)}, the last ones first; look: dermae-bench show KEY"
    for failure in failures[:SHOWN]:
        reason = visible(brief(failure["reason"]), LONGEST_REASON)
        yield f"  {failure['key'][:12]}  {_moment(failure['when'])}  {visible(failure['name'])}: {reason}"
    if len(failures) > SHOWN:
        yield f"  and {len(failures) - SHOWN} more; --format json lists them all"
    if about["broken_off"]:
        yield f"begun and broken off: {about['broken_off']}; the same `run` goes on with them"
    if aside["entries"]:
        yield f"quarantine: {aside['entries']}, {size(aside['bytes'])}; `dermae-bench clean` says what may go"
    for run in about["runs"]:
        who = f"process {run['pid']} on host {visible(run['host'])}"
        yield f"running: {visible(run['name'])}, {run['stages']} stages, {who} since {_moment(run['since'])}"


def _moment(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _names(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
