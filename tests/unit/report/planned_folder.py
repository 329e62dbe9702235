"""The suite of a results folder and the evidence of its finished run, made of the plan alone: nothing is computed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dermae_bench.plugin.catalog import Catalog, Reference
from dermae_bench.report.collect import class_counts
from dermae_bench.report.contamination import contamination
from dermae_bench.report.escape import public
from dermae_bench.report.starts import started_from
from dermae_bench.report.uncertainty import INTERVAL
from dermae_bench.report.verify.asked import check_plan
from dermae_bench.report.verify.findings import Report
from dermae_bench.report.verify.planned import plan_of
from dermae_bench.report.verify.provenance import Provenance, check_keys
from dermae_bench.report.verify.unfinished import check_unfinished
from dermae_bench.store.contents import Contents
from dermae_bench.suite.leakage import is_leakage
from dermae_bench.suite.load import load_suite
from dermae_bench.suite.plan import Planner
from dermae_bench.suite.resolved import suite_to_yaml
from dermae_bench.suite.rows import RowPlanner
from dermae_bench.suite.stage import Stage, key_of
from dermae_bench.suite.weights import declared_corpora

sys.path.insert(0, str(Path(__file__).parents[1] / "suite"))
from planning import TASKS, PlanCatalog

SUITE = """\
version: 1
suite: tiny
description: two classifiers and a generator
dataset: {plugin: phantom, params: {image_size: 16}}
evaluate_on: {elsewhere: {plugin: phantom}}
tasks: [diagnosis, malignancy]
seeds: {generator: [0], classifier: [0, 1]}
budgets: {short: {steps: 12, batch_size: 16}}
weights:
  stated: {path: WEIGHTS/stated.pt, sha256: SHA256, corpora: [ImageNet-1k]}
extractors: {lite0: {plugin: tf-efficientnet-lite0}}
generators:
  ddpm: {plugin: ddpm-conditional, budget: short, task: diagnosis, params: {weights: WEIGHTS/free.pt}}
  plain: {plugin: ddpm, budget: short, params: {weights: stated}}
image_sets: {balanced: [train, {samples: ddpm, per_class: 4}]}
generator_rows: [{samples: [ddpm, plain], count: 40}]
classifiers:
  thumbs: {plugin: timm, budget: short, params: {arch: small}}
  larger: {plugin: timm, budget: short, params: {arch: large}}
rows:
  - {classifiers: [thumbs, larger], train: train}
  - {classifiers: thumbs, train: balanced}
sample_metrics: [{metric: fd, extractor: lite0}, {metric: class-agreement, judge: {classifier: thumbs, train: train}}]
prediction_metrics: [accuracy, ece]
"""
COUNTS = {split: {"MEL": 10, "NV": 20, "BCC": 10} for split in ("train", "val", "test")}


def cards() -> Catalog:
    """A catalog of plugins that are nowhere: the cards alone."""
    fake, catalog = PlanCatalog(), Catalog()
    known = ["phantom", "tf-efficientnet-lite0", "ddpm", "ddpm-conditional", "timm", "fd", "accuracy", "ece",
             "balanced-accuracy", "compute", "parameters"]  # fmt: skip
    places = {name: Reference(name, f"fake.{name}") for name in known}
    kinds = {"phantom": "dataset", "tf-efficientnet-lite0": "extractor", "ddpm": "generator", "timm": "classifier",
             "ddpm-conditional": "generator"}  # fmt: skip
    catalog.references = {name: [place] for name, place in places.items()}
    catalog._cards = {place: fake.card(kinds.get(name, "metric"), name) for name, place in places.items()}
    return catalog


class Folder:
    """A results folder with its suite, and what `evidence.json` would say of it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.catalog = cards()
        (weights := place / "weights").mkdir()
        for name in ("stated", "free"):
            (weights / f"{name}.pt").write_text(name)
        contents = Contents(place / "memo.json")
        digest = contents.file(weights / "stated.pt")
        suite = place / "suite.yaml"
        suite.write_text(SUITE.replace("WEIGHTS", str(weights)).replace("SHA256", digest))
        tasks = {name: dict(task) for name, task in TASKS.items()}
        loaded = load_suite(suite, catalog=self.catalog, tasks_of=lambda plugin, params: tasks)
        planner = Planner(loaded.suite, self.catalog, contents, tasks, COUNTS, {"elsewhere": tasks})
        rows = RowPlanner(planner, loaded.resolved).rows()
        (place / "suite.resolved.yaml").write_text(suite_to_yaml(loaded))
        self.stages = {stage.key: stage for stage in planner.stages}
        prepared = {
            "key": _prepared(self.stages, "prepare/phantom"), "n": 120, "size": 16,
            "tasks": [{**task, "image_size": 16} for task in tasks.values()], "counts": COUNTS, "leaky": None,
            "split": {},
        }  # fmt: skip
        seen = contamination(loaded.resolved, self.catalog, planner.stages, self.summary, prepared)
        scores: dict[str, dict[str, Any]] = {}
        for row in rows:
            for cell in row.cells:
                for stage in cell.scores:
                    shown = {"board": row.board, "row": row.row, "seeds": dict(cell.seeds)}
                    scores.setdefault(stage.key, _score(stage))["rows"].append(shown)
        declared = declared_corpora(loaded.resolved, self.catalog)
        about = {
            "prepared": prepared,
            "others": {"elsewhere": {**prepared, "key": _prepared(self.stages, "prepare/elsewhere")}},
            "predictions": {},
            "scores": list(scores.values()),
            "boards": {
                "suite": "tiny", "preset": None, "description": loaded.suite.description, "dataset": "phantom",
                "image_size": 16, "facts": {"precision": "fp32", "threads": str(loaded.suite.threads), "images": "120"},
                "interval": INTERVAL, "contamination": seen.rows(), "class_counts": class_counts(prepared),
                "rows": [
                    {"board": row.board, "row": row.row, "names": dict(row.names), "kind": row.kind, "status": "ok",
                     "reason": None, "seeds": [dict(cell.seeds) for cell in row.cells],
                     "marks": [*row.marks, *seen.marks_of(row)], "protocol": row.protocol,
                     "started_from": started_from(loaded.resolved, declared, row)}
                    for row in rows
                ],
            },
            "provenance": {
                "reference": None,
                "harness": {stage.kind: stage.parts["harness"] for stage in planner.stages},
                "costs": [{"board": row.board, "row": row.row, "key": row.cost.key} for row in rows if row.cost],
                "stages": {
                    key: {"kind": stage.kind, "name": stage.name,
                          "parts": {name: value for name, value in stage.parts.items() if name != "harness"}}
                    for key, stage in self.stages.items()
                },
            },
        }  # fmt: skip
        self.text = json.dumps(public(about))

    @staticmethod
    def summary(stage: Stage) -> Mapping[str, Any] | None:
        """Of the lints, one of which found copies."""
        copies = {"samples>test": 3} if "ddpm" in stage.name else {}
        return {"images": {"copies": copies}} if is_leakage(stage) else {}

    def about(self) -> Any:
        """What the folder says of itself, for a test to change."""
        return json.loads(self.text)

    def check(
        self,
        about: Any,
        *,
        store: bool = False,
        catalog: Catalog | None = None,
        gone: Sequence[str] = (),
        failures: Mapping[str, str] | None = None,
        lost: Sequence[str] = (),
    ) -> Report:
        """Keys and plan, as `verify` checks them.

        Args:
            gone: keys that the store does not have.
            failures: key -> why the store has not finished it.
            lost: keys of entries of the store that are missing or damaged.
        """
        report = Report(folder="", without_store=not store)
        told = [SimpleNamespace(**score) for score in about["scores"]]
        evidence: Any = SimpleNamespace(
            about=about, scores=told, prepared=about["prepared"], others=about.get("others", {})
        )
        provenance = Provenance(about["provenance"])
        reasons = failures or {}
        held: Any = SimpleNamespace(
            has=lambda kind, key: key in self.stages and key not in gone,
            manifest=self._manifest,
            manifests=lambda kind: (s for k, s in self.stages.items() if s.kind == kind and k not in gone),
            failure=lambda key: SimpleNamespace(reason=reasons[key]) if key in reasons else None,
        )
        whole = lambda kind, key: None if key in lost else self._manifest(kind, key)  # noqa: E731
        entries: Any = SimpleNamespace(whole=whole, store=held) if store else None
        check_keys(provenance, evidence.scores, report, stored=store)
        plan = plan_of(self.place, evidence, catalog or self.catalog, report)
        lacking = check_plan(plan, evidence, provenance, entries, report) if plan is not None else None
        check_unfinished(plan, lacking, evidence, provenance, entries, report)
        return report

    def _manifest(self, kind: str, key: str) -> Any:
        return SimpleNamespace(summary=self.summary(self.stages[key]))


def _prepared(stages: Mapping[str, Stage], name: str) -> str:
    return next(key for key, stage in stages.items() if stage.name == name)


def _score(stage: Stage) -> dict[str, Any]:
    return {
        "key": stage.key, "name": stage.name, "of": stage.work["of"], "work": stage.parts["work"], "rows": [],
        "inputs": {role: {"kind": source.kind, "key": source.key} for role, source in stage.inputs.items()},
    }  # fmt: skip


def with_new_keys(about: Any) -> Any:
    """The same, with the key of every stage made again of its parts, and used wherever the old one stood."""
    stages = about["provenance"]["stages"]
    new: dict[str, str] = {}

    def key(old: str) -> str:
        if old not in new:
            parts = stages[old]["parts"]
            parts["inputs"] = {role: key(source) for role, source in parts["inputs"].items()}
            new[old] = key_of({**parts, "harness": about["provenance"]["harness"][stages[old]["kind"]]})
        return new[old]

    for old in stages:
        key(old)
    text = json.dumps(about)
    for old, made in new.items():
        text = text.replace(old, made)
    return json.loads(text)
