"""Plan and store -> boards: what is finished, what failed and why, what is still to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dermae_bench.report.grids import grids
from dermae_bench.report.pictures import curves, samples
from dermae_bench.report.records import Boards, Record, Reported, RowInfo
from dermae_bench.report.reference import reference_rows
from dermae_bench.report.timing import timings
from dermae_bench.store.artifacts import Manifest, Store
from dermae_bench.store.environment import environment
from dermae_bench.suite.parts import Cell, FigurePlan, RowPlan
from dermae_bench.suite.spec import Suite
from dermae_bench.suite.stage import Stage


class Collector:
    """Reads the results of one plan.

    Args:
        suite: the suite, for its facts.
        preset: its preset, if one was chosen.
        stages: every stage of the plan.
        rows: every row of the two boards.
        store: where results lie.
        figures: the grids of samples that the suite asks for.
    """

    def __init__(
        self,
        suite: Suite,
        preset: str | None,
        stages: Sequence[Stage],
        rows: Sequence[RowPlan],
        store: Store,
        figures: Sequence[FigurePlan] = (),
    ) -> None:
        self.suite = suite
        self.preset = preset
        self.stages = stages
        self.rows = rows
        self.store = store
        self.figures = figures
        self._manifests: dict[str, Manifest | None] = {}

    def boards(self) -> Boards:
        """Everything a results folder shows; works on a half-done, failed or killed run."""
        infos, records, beside = [], [], list[Reported]()
        for row in self.rows:
            info, found = self._row(row)
            infos.append(info)
            records += found
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
            class_counts=_class_counts(prepared),
            facts={
                "precision": self.suite.precision,
                "threads": str(self.suite.threads),
                "images": str(prepared.get("n", "unknown")),
            },
            interval="95 %, percentiles of 2,000 bootstrap resamples of whole lesions",
            rows=tuple(infos),
            records=tuple(records),
            reported=tuple(beside),
            timings=tuple(timings(self)),
            figures=(*grids(self), *samples(self)),
            curves=tuple(curves(self)),
            warnings=tuple(self._warnings(prepared)),
            environment=environment(),
        )

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
                    records += self._records(row, cell, score, manifest)
                    if "confusion" in manifest.summary:
                        facts = {name: manifest.summary[name] for name in ("classes", "confusion")}
                        confusions.append({"seeds": dict(cell.seeds), **facts})
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
            marks=(*row.marks, *self._taught(row), *([f"leaky: {leaky}"] if leaky else [])),
        )
        return info, records

    def _taught(self, row: RowPlan) -> Iterator[str]:
        """How a teacher labelled what has no other label: a teacher that gives one class to all is seen at once."""
        for cell in row.cells[:1]:
            manifest = self.manifest(cell.models[0]) if cell.models else None
            counts = manifest.summary.get("labelled_by_teacher") if manifest is not None else None
            if counts:
                given = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
                seed = (
                    f" (seed {cell.seeds['classifier']})" if len(row.cells) > 1 and "classifier" in cell.seeds else ""
                )
                yield f"teacher's labels{seed}: {given}"

    def _records(self, row: RowPlan, cell: Cell, score: Stage, manifest: Manifest) -> Iterator[Record]:
        for found in manifest.summary["records"]:
            yield Record(
                board=row.board,
                row=row.row,
                names=row.names,
                kind=row.kind,
                metric=found["metric"],
                value=found["value"],
                low=found["low"],
                high=found["high"],
                n=found["n"],
                unit=found["unit"],
                better=found["better"],
                identity=found["identity"],
                key=score.key,
                seeds=cell.seeds,
                status="ok" if found["value"] is not None else f"failed: {found['reason']}",
                warnings=tuple(manifest.summary["warnings"]),
            )

    def why(self, stage: Stage) -> str | None:
        """Why a stage is not finished: the failure nearest to the data among what it needs; None if none failed."""
        for source in stage.inputs.values():
            reason = self.why(source) if self.manifest(source) is None else None
            if reason is not None:
                return reason
        failure = self.store.failure(stage.key) if stage.key else None
        return f"{failure.reason.partition(chr(10))[0]} ({stage.name})" if failure is not None else None

    def _costs(self, row: RowPlan) -> dict[str, float | None]:
        manifest = self.manifest(row.cost) if row.cost is not None else None
        values: Mapping[str, float] = manifest.summary["values"] if manifest is not None else {}
        columns = {"gmacs": "gmacs", "parameters": "parameters-total", "network-calls": "network-calls"}
        return {name: values.get(source) for name, source in columns.items()}

    # -- facts -----------------------------------------------------------------------------------------------------

    def prepared(self) -> Mapping[str, Any]:
        """Facts of the prepared dataset; empty until it is there."""
        for stage in self.stages:
            if stage.kind == "prepare":
                manifest = self.manifest(stage)
                return manifest.summary if manifest is not None else {}
        return {}

    def _warnings(self, prepared: Mapping[str, Any]) -> list[str]:
        found = list(prepared.get("warnings", ()))
        found += [f"skipped: {name}" for name in prepared.get("skipped", ())]
        found += self._small_floors()
        for stage in self.stages:
            manifest = self.manifest(stage)
            if manifest is not None and stage.kind == "score":
                found += manifest.summary["warnings"]
            if manifest is not None and stage.kind == "cost":
                found += manifest.summary.get("warnings", ())
        return list(dict.fromkeys(found))

    def _small_floors(self) -> Iterator[str]:
        """A distance falls with n: a floor over fewer images than the samples it stands beside is no floor."""
        for row in self.rows:
            if row.kind != "floor" or "n" not in row.names:
                continue
            for score in row.cells[0].scores:
                manifest = self.manifest(score)
                n = manifest.summary["records"][0]["n"] if manifest is not None else int(row.names["n"])
                if n < int(row.names["n"]):
                    yield (
                        f"{row.names['generator']} ({row.names['sampling']}): {n} images against samples of "
                        f"{row.names['n']}; its distance is biased upwards beside theirs"
                    )


def _class_counts(prepared: Mapping[str, Any]) -> dict[str, dict[str, dict[str, int]]]:
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


def write_predictions(collector: Collector, folder: Path) -> None:
    """predictions.parquet: row, seeds, split, id, group, label, logits of every classifier row, on val and test."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from dermae_bench.durable import replacing

    tables = []
    for row in collector.rows:
        for cell in row.cells:
            for split, stage in cell.predictions.items():
                if collector.manifest(stage) is None:
                    continue
                table = pq.read_table(collector.store.folder(stage.kind, stage.key) / "predictions.parquet")
                logits = [name for name in table.column_names if name.startswith("logit.")]
                values = np.stack([table.column(name).to_numpy() for name in logits], axis=1)
                count = table.num_rows
                seeds = ",".join(f"{role}={seed}" for role, seed in cell.seeds.items())
                tables.append(
                    pa.table(
                        {
                            "row": pa.array([row.row] * count).dictionary_encode(),
                            "seeds": pa.array([seeds] * count).dictionary_encode(),
                            "split": pa.array([split] * count).dictionary_encode(),
                            "id": table.column("id"),
                            "group": table.column("group"),
                            "label": table.column("label"),
                            "logits": pa.array(list(values.astype(np.float32)), type=pa.list_(pa.float32())),
                            "classes": pa.array(
                                [",".join(n.removeprefix("logit.") for n in logits)] * count
                            ).dictionary_encode(),
                        }
                    )
                )
    if tables:
        with replacing(folder / "predictions.parquet") as temporary:
            pq.write_table(pa.concat_tables(tables).unify_dictionaries(), temporary, compression="zstd")
