"""Planning a suite without plugins: cards from a table, with digests and references."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from fake_catalog import CARDS, FakeCard, FakeCatalog

from dermae_bench.durable import digest_of
from dermae_bench.plugin.catalog import Card, Reference
from dermae_bench.store.contents import Contents
from dermae_bench.suite.load import LoadedSuite, load_suite
from dermae_bench.suite.parts import FigurePlan, RowPlan
from dermae_bench.suite.plan import Planner
from dermae_bench.suite.rows import RowPlanner
from dermae_bench.suite.stage import Stage

DESIGN = Path(__file__).parent / "design_example.yaml"
COSTS = {"compute": FakeCard(kind="metric", flags={"metric": "cost"})}
TASKS: Mapping[str, Mapping[str, Any]] = {
    "diagnosis": {
        "name": "diagnosis",
        "classes": ["MEL", "NV", "BCC"],
        "positive": None,
        "parent": None,
        "mapping": {},
    },
    "malignancy": {
        "name": "malignancy",
        "classes": ["benign", "malignant"],
        "positive": "malignant",
        "parent": "diagnosis",
        "mapping": {"MEL": "malignant", "BCC": "malignant", "NV": "benign"},
    },
}


class PlanCatalog(FakeCatalog):
    """The table of fake cards, as real cards whose sources can be edited."""

    def __init__(self, edited: Iterable[str] = ()) -> None:
        self.edited = set(edited)

    def card(self, kind: str, name: str) -> Card:  # type: ignore[override]
        table = {**CARDS, "parameters": COSTS["compute"]}
        fake = table[name] if name == "parameters" else super().card(kind, name)
        sampling = replace(fake).sampling
        digest = digest_of([name, name in self.edited])
        flags = {**fake.flags, "home": "ask the archive"} if fake.kind == "dataset" else fake.flags
        about = {"params": fake.params, "sampling": sampling, "flags": flags, "columns": fake.columns}
        return Card(name, fake.kind, digest=digest, **about)

    def reference(self, name: str) -> Reference:
        return Reference(name, f"fake.{name}")


@dataclass
class Planned:
    """A suite, planned."""

    loaded: LoadedSuite
    stages: Sequence[Stage]
    rows: Sequence[RowPlan]
    missing: str | None
    figures: Sequence[FigurePlan] = ()

    def __getitem__(self, name: str) -> Stage:
        (found,) = [stage for stage in self.stages if stage.name == name]
        return found

    def row(self, name: str) -> RowPlan:
        (found,) = [row for row in self.rows if row.row.startswith(name)]
        return found

    def table(self, kind: str | None = None) -> dict[str, str]:
        """Name -> key, of one kind or of all."""
        return {stage.name: stage.key for stage in self.stages if kind in (None, stage.kind)}

    def of(self, kind: str) -> list[Stage]:
        return [stage for stage in self.stages if stage.kind == kind]


Plan = Callable[..., Planned]


def plan_of(
    path: Path,
    folder: Path,
    *,
    edited: Iterable[str] = (),
    known: bool = True,
    sets: Sequence[str] = (),
    preset: str | None = None,
    counts: Mapping[str, Mapping[str, int]] | None = None,
    others: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
) -> Planned:
    """Load and plan; with `known=False`, as when the dataset cannot tell its tasks.

    Args:
        others: name of a set under `evaluate_on` -> its tasks.
    """
    catalog: Any = PlanCatalog(edited)
    tasks = TASKS if known else None
    loaded = load_suite(path, catalog=catalog, tasks_of=lambda plugin, params: tasks, preset=preset, sets=sets)
    planner = Planner(loaded.suite, catalog, Contents(folder / "memo.json"), tasks, counts, others)
    row_planner = RowPlanner(planner, loaded.resolved)
    rows = row_planner.rows()
    return Planned(loaded, planner.stages, rows, planner.missing, row_planner.figures)


def changed(text: str, **changes: Any) -> str:
    """The suite's text with top-level sections replaced."""
    return yaml.safe_dump({**yaml.safe_load(text), **changes}, sort_keys=False)
