"""Plan and store -> boards: what is finished, what failed and why, what is still to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dermae_bench.errors import brief
from dermae_bench.report.class_mix import Mix, of_row
from dermae_bench.report.contamination import Contamination, contamination
from dermae_bench.report.data_sets import finished_others
from dermae_bench.report.grids import grids
from dermae_bench.report.pictures import curves, samples
from dermae_bench.report.records import Boards, Record, Reported, RowInfo, Uncertainty, record_of
from dermae_bench.report.reference import reference_rows
from dermae_bench.report.starts import started_from
from dermae_bench.report.timing import timings
from dermae_bench.report.uncertainty import INTERVAL, Resamples, uncertainty
from dermae_bench.store.artifacts import Store
from dermae_bench.store.environment import environment
from dermae_bench.store.manifests import Manifest
from dermae_bench.suite.parts import Cell, FigurePlan, RowPlan
from dermae_bench.suite.plugged import Cards
from dermae_bench.suite.spec import Suite
from dermae_bench.suite.stage import Stage
from dermae_bench.suite.weights import Source, declared_corpora


class Collector:
    """Reads the results of one plan.

    Args:
        suite: the suite, for its facts.
        preset: its preset, if one was chosen.
        stages: every stage of the plan.
        rows: every row of the two boards.
        store: where results lie.
        figures: the grids of samples that the suite asks for.
        known: the suite as normalised JSON and the cards of its plugins, for what its models have seen.
    """

    def __init__(
        self,
        suite: Suite,
        preset: str | None,
        stages: Sequence[Stage],
        rows: Sequence[RowPlan],
        store: Store,
        figures: Sequence[FigurePlan] = (),
        known: tuple[Mapping[str, Any], Cards] | None = None,
    ) -> None:
        self.suite = suite
        self.preset = preset
        self.stages = stages
        self.rows = rows
        self.store = store
        self.figures = figures
        self.known = known
        self._manifests: dict[str, Manifest | None] = {}

    def boards(self) -> Boards:
        """Everything a results folder shows; works on a half-done, failed or killed run."""
        seen = self._contamination()
        infos, beside = [], list[Reported]()
        records, inside = list[Record](), list[Record]()
        uncertain: dict[tuple[str, str], Uncertainty] = {}
        details: dict[str, dict[str, Any]] = {}
        mixes: dict[tuple[str, str], Mix] = {}
        for row in self.rows:
            info, found = self._row(row)
            info = replace(info, protocol=row.protocol, started_from=self._started_from(row))
            infos.append(replace(info, marks=(*info.marks, *seen.marks_of(row))) if seen is not None else info)
            records += found
            inside += self._subgroups(replace(row, names=info.names))
            mixes |= of_row(self, row)
            uncertain |= self._uncertainty(row)
            details |= self._details(row)
        if self.suite.reference is not None:
            reported, numbers, published = reference_rows(Path(self.suite.reference))
            infos += reported
            records += numbers
            beside = published
        prepared = self.prepared()
        return Boards(
            suite=self.suite.suite,
            preset=self.preset,
            description=self.suite.description,
            dataset=self.suite.dataset.plugin,
            image_size=prepared.get("size"),
            split_rule=prepared.get("split_rule", ""),
            split_digest=prepared.get("split_digest", ""),
            class_counts=class_counts(prepared),
            facts={
                "precision": self.suite.precision,
                "threads": str(self.suite.threads),
                "images": str(prepared.get("n", "unknown")),
            },
            interval=INTERVAL,
            rows=tuple(infos),
            records=tuple(records),
            subgroups=tuple(inside),
            subgroup_classes=mixes,
            uncertainty=uncertain,
            details=details,
            contamination=tuple(tuple(line) for line in seen.rows()) if seen is not None else (),
            reported=tuple(beside),
            timings=tuple(timings(self)),
            figures=(*grids(self), *samples(self)),
            curves=tuple(curves(self)),
            warnings=tuple(self._warnings(prepared)),
            environment=environment(),
        )

    def _started_from(self, row: RowPlan) -> str:
        return started_from(self.known[0], self._declared, row) if self.known is not None else ""

    @cached_property
    def _declared(self) -> Mapping[str, Mapping[str, list[Source]]]:
        assert self.known is not None
        return declared_corpora(*self.known)

    def _contamination(self) -> Contamination | None:
        if self.known is None:
            return None
        suite, cards = self.known
        return contamination(suite, cards, self.stages, lambda stage: self._summary(stage) or None, self.prepared())

    # -- rows ------------------------------------------------------------------------------------------------------

    def manifest(self, stage: Stage) -> Manifest | None:
        """The manifest of a finished stage, read once; None if it is not finished."""
        if stage.key not in self._manifests:
            done = bool(stage.key) and self.store.has(stage.kind, stage.key)
            self._manifests[stage.key] = self.store.manifest(stage.kind, stage.key) if done else None
        return self._manifests[stage.key]

    def _row(self, row: RowPlan) -> tuple[RowInfo, list[Record]]:
        records: list[Record] = []
        reasons: list[str] = []
        confusions: list[dict[str, Any]] = []
        pending = False
        for cell in row.cells:
            for score in cell.scores:
                manifest = self.manifest(score)
                if manifest is not None:
                    records += self._records(row, cell, score, manifest.summary["records"])
                    if "confusion" in manifest.summary:
                        facts = {name: manifest.summary[name] for name in ("classes", "confusion", "per_class")}
                        metrics = [item["metric"] for item in manifest.summary["records"]]
                        confusions.append({"seeds": dict(cell.seeds), "metrics": metrics, **facts})
                    continue
                reason = self.why(score)
                if reason is None:
                    pending = True
                else:
                    reasons.append(reason)
        if row.kind == "floor" and "n" in row.names and records:
            # fewer real images may be held out than samples were drawn: the row shows what it has
            names = {**row.names, "n": str(records[0].n)}
            row = replace(row, names=names)
            records = [replace(record, names=names) for record in records]
        leaky = self.prepared().get("leaky")
        info = RowInfo(
            board=row.board,
            row=row.row,
            names=row.names,
            kind=row.kind,
            status="failed" if reasons else "pending" if pending else "ok",
            reason="; ".join(dict.fromkeys(reasons)) or None,
            seeds=tuple(cell.seeds for cell in row.cells),
            costs=self._costs(row),
            confusions=tuple(confusions),
            marks=(*row.marks, *labels_of_teacher(row, self._summary), *([f"leaky: {leaky}"] if leaky else [])),
        )
        return info, records

    def _records(self, row: RowPlan, cell: Cell, score: Stage, found: Sequence[Mapping[str, Any]]) -> Iterator[Record]:
        about: dict[str, Any] = {"board": row.board, "row": row.row, "names": row.names, "kind": row.kind}
        warnings = self._summary(score)["warnings"]
        for item in found:
            yield record_of(item, **about, key=score.key, seeds=cell.seeds, warnings=warnings)

    def _summary(self, stage: Stage) -> Mapping[str, Any]:
        manifest = self.manifest(stage)
        return manifest.summary if manifest is not None else {}

    def _subgroups(self, row: RowPlan) -> Iterator[Record]:
        for cell in row.cells:
            for score in cell.scores:
                if (summary := self._summary(score)) and "subgroups" in summary:
                    yield from self._records(row, cell, score, summary["subgroups"])

    def _uncertainty(self, row: RowPlan) -> dict[tuple[str, str], Uncertainty]:
        """Of every metric that all seeds of a row have, under the bootstrap of lesions."""
        found: dict[str, list[Resamples]] = {}
        for cell in row.cells:
            for score in cell.scores:
                columns = self._summary(score).get("columns")
                if not columns:
                    continue
                folder, _ = self.store.checked(score.kind, score.key, ("replicates.npy", "jackknife.npy"))
                replicates, jackknife = np.load(folder / "replicates.npy"), np.load(folder / "jackknife.npy")
                values = {item["metric"]: item["value"] for item in self._summary(score)["records"]}
                for k, name in enumerate(columns):
                    item = Resamples(value=values[name], replicates=replicates[k], jackknife=jackknife[k])
                    found.setdefault(name, []).append(item)
        made = {name: uncertainty(items) for name, items in found.items() if len(items) == len(row.cells)}
        return {(row.row, name): item for name, item in made.items() if item is not None}

    def _details(self, row: RowPlan) -> dict[str, dict[str, Any]]:
        """What stands behind the numbers of the first seed that has any."""
        for cell in row.cells:
            found = {k: v for score in cell.scores for k, v in self._summary(score).get("details", {}).items()}
            if found:
                return {row.row: found}
        return {}

    def why(self, stage: Stage) -> str | None:
        """Why a stage is not finished: the failure nearest to the data among what it needs; None if none failed."""
        for source in stage.inputs.values():
            reason = self.why(source) if self.manifest(source) is None else None
            if reason is not None:
                return reason
        failure = self.store.failure(stage.key) if stage.key else None
        return f"{brief(failure.reason)} ({stage.name}, {stage.key[:8]})" if failure is not None else None

    def _costs(self, row: RowPlan) -> dict[str, float | None]:
        manifest = self.manifest(row.cost) if row.cost is not None else None
        values: Mapping[str, float] = manifest.summary["values"] if manifest is not None else {}
        columns = {"gmacs": "gmacs", "parameters": "parameters-total", "network-calls": "network-calls"}
        return {name: values.get(source) for name, source in columns.items()}

    # -- facts -----------------------------------------------------------------------------------------------------

    @property
    def prepared_stage(self) -> Stage | None:
        """The stage that prepares the suite's own data set, once it is finished."""
        own = (stage for stage in self.stages if stage.kind == "prepare" and "only" not in stage.work)
        return next((stage for stage in own if self.manifest(stage) is not None), None)

    def prepared(self) -> Mapping[str, Any]:
        """Facts of the prepared dataset; empty until it is there."""
        stage = self.prepared_stage
        return self._summary(stage) if stage is not None else {}

    def _warnings(self, prepared: Mapping[str, Any]) -> list[str]:
        found = list(prepared.get("warnings", ()))
        found += [f"skipped: {name}" for name in prepared.get("skipped", ())]
        for name, stage in finished_others(self).items():
            other = self._summary(stage)
            found += [f"{name}: {text}" for text in other["warnings"]]
            found += [f"{name}: skipped: {image}" for image in other["skipped"]]
        found += self._small_floors()
        for stage in self.stages:
            manifest = self.manifest(stage)
            if manifest is not None and stage.kind == "score":
                found += manifest.summary.get("warnings", ())
            if manifest is not None and stage.kind == "cost":
                found += manifest.summary.get("warnings", ())
        return list(dict.fromkeys(found))

    def _small_floors(self) -> Iterator[str]:
        """A distance falls with n: a floor over fewer images than the samples it stands beside is no floor."""
        for row in self.rows:
            if row.kind != "floor" or "n" not in row.names:
                continue
            for score in row.cells[0].scores:
                if score.work["of"] != "samples":
                    # what a judge says of real images is no distance to them
                    continue
                manifest = self.manifest(score)
                n = manifest.summary["records"][0]["n"] if manifest is not None else int(row.names["n"])
                if n < int(row.names["n"]):
                    yield (
                        f"{row.names['generator']} ({row.names['sampling']}): {n} images against samples of "
                        f"{row.names['n']}; its distance is biased upwards beside theirs"
                    )


def labels_of_teacher(row: RowPlan, summary_of: Callable[[Stage], Mapping[str, Any] | None]) -> Iterator[str]:
    """How a teacher labelled what has no other label: a teacher that gives one class to all is seen at once."""
    for cell in row.cells[:1]:
        counts = (summary_of(cell.models[0]) or {}).get("labelled_by_teacher") if cell.models else None
        if counts:
            given = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
            seed = f" (seed {cell.seeds['classifier']})" if len(row.cells) > 1 and "classifier" in cell.seeds else ""
            yield f"teacher's labels{seed}: {given}"


def class_counts(prepared: Mapping[str, Any]) -> dict[str, dict[str, dict[str, int]]]:
    """Task -> class -> split -> images."""
    if not prepared:
        return {}
    tasks = {task["name"]: task for task in prepared["tasks"]}
    found: dict[str, dict[str, dict[str, int]]] = {}
    for name, task in tasks.items():
        if task["parent"] is None:
            found[name] = {
                c: {split: counts[c] for split, counts in prepared["counts"].items()} for c in task["classes"]
            }
        else:
            above = found[task["parent"]]
            found[name] = {
                c: {
                    split: sum(counts[split] for source, counts in above.items() if task["mapping"][source] == c)
                    for split in prepared["counts"]
                }
                for c in task["classes"]
            }
    return found
