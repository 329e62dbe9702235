"""The plan of a results folder, made again from its `suite.resolved.yaml`, without data, weights or store.

Paths lead nowhere here. A key holds the digest of what lies there; in its place the plan has the path, with a mark, and
that place is compared with nothing. Where the suite states the SHA-256 of weights, the plan has this.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermae_bench.errors import PluginError, SuiteError
from dermae_bench.plugin.catalog import Catalog, Reference
from dermae_bench.report.evidence import Evidence
from dermae_bench.report.ranking import TEST
from dermae_bench.report.verify.findings import UNUSABLE, Report, why
from dermae_bench.report.verify.reading import read_text
from dermae_bench.store.contents import Contents
from dermae_bench.suite.load import LoadedSuite, load_suite
from dermae_bench.suite.parts import RowPlan
from dermae_bench.suite.plan import Planner
from dermae_bench.suite.rows import RowPlanner
from dermae_bench.suite.spec import Suite
from dermae_bench.suite.stage import Stage
from dermae_bench.suite.weights import absolute

FILE = "suite.resolved.yaml"
TOPIC = "plan"
UNKNOWN = "?"
"""Before the path that stands in place of a digest."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the suite of a results folder asks for."""

    suite: Suite
    resolved: Mapping[str, Any]
    catalog: Catalog
    stages: Sequence[Stage]
    """Their keys are not those of the run where a path is in them, or where another version planned them."""
    rows: Sequence[RowPlan]


def plan_of(folder: Path, evidence: Evidence, catalog: Catalog, report: Report) -> Plan | None:
    """The plan; None, and a finding or something left unchecked, where it cannot be made here."""
    if not evidence.prepared:
        # nothing is finished, and this is told where the scores are counted
        return None
    if read_text(folder, FILE, report, TOPIC) is None:
        return None
    report.count(TOPIC)
    try:
        # its structure first: only what concerns plugins may be different here
        bare = load_suite(folder / FILE)
    except UNUSABLE as error:
        report.differs(TOPIC, FILE, f"it is no suite: {_reason(error)}")
        return None
    stated = _stated(bare)
    installed = _Installed(catalog)
    try:
        loaded = load_suite(
            folder / FILE,
            catalog=installed,
            tasks_of=lambda plugin, params: _tasks(evidence.prepared),
            file_digest=lambda path: stated[path],
        )
        tasks, others = _tasks(evidence.prepared), _other_tasks(loaded.suite, evidence)
        planner = Planner(loaded.suite, installed, _Named(stated), tasks, evidence.prepared["counts"], others)
        rows = RowPlanner(planner, loaded.resolved).rows()
    except UNUSABLE as error:
        told = f"{FILE} cannot be planned here, so names, kinds, seeds and models of the rows: {_reason(error)}"
        report.skip(told, "plugin", max(1, len(evidence.scores)))
        return None
    return Plan(suite=loaded.suite, resolved=loaded.resolved, catalog=installed, stages=planner.stages, rows=rows)


def unknown(value: Any) -> bool:
    """Whether a path stands in a value in place of the digest of what lies there."""
    if isinstance(value, Mapping):
        return is_unknown(value) or any(unknown(item) for item in value.values())
    return isinstance(value, list | tuple) and any(unknown(item) for item in value)


def is_unknown(value: Any) -> bool:
    """Whether this is a path in place of a digest."""
    return isinstance(value, Mapping) and set(value) == {"sha256"} and str(value["sha256"]).startswith(UNKNOWN)


def _tasks(prepared: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {task["name"]: dict(task) for task in prepared["tasks"]}


def _other_tasks(suite: Suite, evidence: Evidence) -> dict[str, dict[str, dict[str, Any]]]:
    """Name under `evaluate_on` -> the tasks of that set by name.

    Of a set that nobody has prepared yet nothing is known but the rows that wait for it; without any of these it is
    held to answer everything, so that they are missing.
    """
    own = _tasks(evidence.prepared)
    found = {}
    for name in suite.evaluate_on:
        if name in evidence.others:
            found[name] = _tasks(evidence.others[name])
            continue
        rows = [row["names"] for row in evidence.about["boards"]["rows"] if row["board"] == "classifiers"]
        waiting = {names["task"] for names in rows if names.get(TEST) == name}
        found[name] = {task: about for task, about in own.items() if task in waiting or not waiting}
    return found


def _stated(loaded: LoadedSuite) -> dict[Path, str]:
    """File of weights -> the SHA-256 that the suite states."""
    entries = loaded.resolved["weights"].values()
    return {absolute(entry["path"]): entry["sha256"].lower() for entry in entries if entry.get("sha256")}


def _reason(error: BaseException) -> str:
    return error.problems[0].message if isinstance(error, SuiteError) and error.problems else why(error)


class _Named(Contents):
    """Knows of files what the suite states, and reads none."""

    def __init__(self, stated: Mapping[Path, str]) -> None:
        super().__init__(Path(os.devnull))
        self.stated = stated

    def file(self, path: Path) -> str:
        return self.stated.get(path.absolute(), f"{UNKNOWN}{path}")

    def folder(self, path: Path, roots: Sequence[Path] = ()) -> str:
        return f"{UNKNOWN}{path}"


class _Installed(Catalog):
    """The same plugins, but no name leads to a file outside of the plugins folder: strangers wrote the suite."""

    def __init__(self, catalog: Catalog) -> None:
        super().__init__(catalog.plugins_dir, catalog.cache)
        self.references = catalog.references
        self._cards, self._sources = catalog._cards, catalog._sources

    def reference(self, name: str) -> Reference:
        file, colon, inner = name.rpartition(":")
        if not colon:
            return super().reference(name)
        known = self.references.get(inner, ())
        found = [one for one in known if one.file is not None and Path(one.file).name == Path(file).name]
        if len(found) != 1:
            raise PluginError(f"plugin {name!r} is not in the plugins folder", hint="give its folder by --plugins-dir")
        return found[0]
