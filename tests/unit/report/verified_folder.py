"""A results folder with its store, made by hand and by the real stages in about a second: no model is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from dermae_bench.execute.stages.common import StageContext, Table
from dermae_bench.execute.stages.score import score as score_stage
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.plugin.data import SPLITS, Example, Task
from dermae_bench.plugin.loading import load_plugin
from dermae_bench.plugin.params import build
from dermae_bench.plugin.splits import summarise
from dermae_bench.report.collect import Collector
from dermae_bench.report.evidence_writer import write_evidence
from dermae_bench.report.export import write
from dermae_bench.report.verify.digests import write_digests
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import Manifest, describe_files
from dermae_bench.suite.keys import harness_digests
from dermae_bench.suite.parts import Cell, RowPlan
from dermae_bench.suite.stage import KEY_VERSION, Stage, key_of

CLASSES = ("mel", "nv", "bkl")
ROOT = Task(name="diagnosis", classes=CLASSES, image_size=8)
COARSE = Task(
    name="malignancy", classes=("benign", "malignant"), positive="malignant", parent="diagnosis",
    mapping={"mel": "malignant", "nv": "benign", "bkl": "benign"}, image_size=8,
)  # fmt: skip
COUNTS = {"train": 24, "val": 18, "test": 48}
RESAMPLES = 40
REFERENCE = """\
board,name,detail,task,metric,value,n,source,beside,note
classifiers,thumbs,train,diagnosis,accuracy,0.75,48,a table,brier,not the same number
"""


class Maker:
    """Fills a store stage by stage, and makes the results folder of it."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.store = Store(results / "store")
        self.catalog = Catalog()
        self.stages: list[Stage] = []

    def stage(
        self,
        kind: str,
        name: str,
        work: Mapping[str, Any],
        inputs: Mapping[str, Stage],
        do: Any,
        plugins: Sequence[str] = (),
    ) -> Stage:
        """Do one stage: `do(out, inputs)` writes files and gives the summary."""
        parts = {
            "version": KEY_VERSION, "kind": kind, "work": dict(work), "libraries": {},
            "plugins": {p: self.catalog.sources(self.catalog.reference(p)).digest[:16] for p in plugins},
            "harness": dict(harness_digests(kind)), "inputs": {role: its.key for role, its in inputs.items()},
        }  # fmt: skip
        key = key_of(parts)
        out = self.store.root / "making" / key
        out.mkdir(parents=True)
        made = Stage(kind=kind, name=name, work=work, parts=parts, inputs=inputs, key=key)
        summary = do(out, made)
        files = describe_files(out)
        self.store.commit(out, Manifest(kind=kind, key=key, name=name, parts=parts, files=files, summary=summary))
        self.stages.append(made)
        return made

    def prepared(self) -> Stage:
        rng = np.random.default_rng(0)
        examples = [
            Example(id=f"{split}-{i}", group=f"{split}-lesion-{i // 2}", split=split, label=CLASSES[i % 3 * (i % 2)],
                    source=None, attributes={"age": float(20 + i), "sex": "female" if i % 4 else None})
            for split in SPLITS
            for i in range(COUNTS[split])
        ]  # fmt: skip

        def do(out: Path, _: Stage) -> dict[str, Any]:
            np.save(out / "images.npy", rng.integers(0, 256, (len(examples), 3, 8, 8), dtype=np.uint8))
            columns: dict[str, Any] = {name: [getattr(e, name) for e in examples] for name in ("id", "group", "split")}
            columns["label"] = [CLASSES.index(e.label) for e in examples]
            columns |= {f"attribute.{name}": [e.attributes[name] for e in examples] for name in ("age", "sex")}
            Table.write(out / "table.parquet", columns)
            split = summarise(examples, "by hand", None, CLASSES)
            return {
                "tasks": [asdict(ROOT), asdict(COARSE)], "size": 8, "n": len(examples), "counts": split.classes,
                "split_rule": split.rule, "split_digest": split.digest, "split": asdict(split), "leaky": None,
                "resize": "drawn at size", "skipped": [], "warnings": [],
            }  # fmt: skip

        return self.stage("prepare", "prepare/by-hand", {"plugin": "by-hand"}, {}, do)

    def answers(self, name: str, split: str, data: Stage, seed: int, skill: float) -> Stage:
        """What a model with some skill says; `split` may be `generated`."""
        table = Table.read(self.store.folder("prepare", data.key) / "table.parquet").columns
        rows = [i for i, its in enumerate(table["split"]) if its == split]
        real = split != "generated"
        ids = [table["id"][i] for i in rows] if real else [f"drawn-{i}" for i in range(12)]
        groups = [table["group"][i] for i in rows] if real else ids
        labels = np.array([table["label"][i] for i in rows] if real else [i % 3 for i in range(12)])

        def do(out: Path, _: Stage) -> dict[str, Any]:
            rng = np.random.default_rng([seed, len(name), len(ids)])
            logits = rng.standard_normal((len(ids), 3)).astype(np.float32)
            logits[np.arange(len(ids)), labels] += skill
            columns: dict[str, Any] = {"id": ids, "group": groups, "label": labels.tolist()}
            Table.write(
                out / "predictions.parquet", columns | {f"logit.{c}": logits[:, k] for k, c in enumerate(CLASSES)}
            )
            return {"n": len(ids), "task": ROOT.name, "images": work["images"]}

        images = [{"split": split}] if real else [{"samples": "samples0"}]
        work = {"model": {"task": asdict(ROOT), "plugin": name, "seed": seed}, "images": images}
        return self.stage("predict", f"predict/{name}/seed={seed}/{split}", work, {"prepare": data}, do)

    def score(self, name: str, work: Mapping[str, Any], inputs: Mapping[str, Stage]) -> Stage:
        """By the real stage."""
        plugins = [asked["metric"] for asked in work["metrics"]]

        class Context(StageContext):
            def configured(self, name: str, params: Mapping[str, Any]) -> Any:
                cls = load_plugin(name, Catalog().reference(name).module)[1]
                return cls(build(cls.Config, params))

        def do(out: Path, made: Stage) -> dict[str, Any]:
            sources = {role: {"kind": its.kind, "key": its.key} for role, its in inputs.items()}
            spec = {"work": work, "inputs": sources, "store": str(self.store.root), "name": name}
            return score_stage(Context(folder=out, spec=spec, out=out))

        return self.stage("score", name, work, inputs, do, plugins)

    def cost(self, name: str) -> Stage:
        values = {"gmacs": 0.125, "parameters-total": 300.0, "network-calls": 1.0}
        work = {"of": "predict", "model": name}
        return self.stage("cost", f"cost/{name}", work, {}, lambda out, made: {"values": values})


def scoring(task: Task, metrics: Sequence[Mapping[str, Any]], images: str = "test", **more: Any) -> dict[str, Any]:
    return {
        "of": "predictions", "task": asdict(task), "trained": asdict(ROOT), "metrics": list(metrics), "rename": {},
        "facts": {}, "images": images, "resamples": RESAMPLES, "subgroups": [], **more,
    }  # fmt: skip


def results_folder(root: Path) -> Path:
    """`root/results/tiny` with `root/results/store` and `root/results/reference/published.csv`."""
    results = root / "results"
    maker = Maker(results)
    data = maker.prepared()
    brier, ece = {"metric": "brier", "params": {}}, {"metric": "ece", "params": {"bins": 5}}
    ages = [{"attribute": "age", "bands": [40.0], "join": {}}]
    rows = []
    for name, skills in (("thumbs", (1.0, 1.2)), ("larger", (2.5, 2.4))):
        for task in (ROOT, COARSE):
            cells = []
            for seed, skill in enumerate(skills):
                key = f"predict/{name}/seed={seed}/"
                known = {stage.name: stage for stage in maker.stages}
                test = known.get(key + "test") or maker.answers(name, "test", data, seed, skill)
                val = known.get(key + "val") or maker.answers(name, "val", data, seed, skill)
                work = scoring(task, [brier, ece], subgroups=ages if task is ROOT else [])
                inputs = {"predictions": test, "validation": val, "prepare": data}
                score = maker.score(f"score/{name}/seed={seed}/{task.name}", work, inputs)
                cells.append(Cell(seeds={"classifier": seed}, scores=(score,), predictions={"test": test, "val": val}))
            names = {"classifier": name, "train": "train", "task": task.name}
            cost = next((s for s in maker.stages if s.name == f"cost/{name}"), None) or maker.cost(name)
            rows.append(
                RowPlan(board="classifiers", row=" | ".join(names.values()), names=names, kind="measured",
                        cells=tuple(cells), cost=cost)
            )  # fmt: skip
    rows.append(_drawn(maker, data))
    (results / "reference").mkdir()
    published = results / "reference" / "published.csv"
    published.write_text(REFERENCE)
    suite = SimpleNamespace(
        suite="tiny", description="", dataset=SimpleNamespace(plugin="by-hand"), precision="fp32", threads=1,
        reference=str(published),
    )  # fmt: skip
    collector = Collector(suite, None, maker.stages, rows, maker.store)  # type: ignore[arg-type]
    boards = collector.boards()
    folder = results / "tiny"
    write(boards, folder)
    write_evidence(collector, boards, folder)
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "figures" / "grid.png").write_bytes(b"\x89PNG drawn by hand")
    write_digests(folder)
    return folder


def _drawn(maker: Maker, data: Stage) -> RowPlan:
    """A generator's row: a distance over features, and what a judge says of the samples."""
    rng = np.random.default_rng(3)

    def draw(out: Path, _: Stage) -> dict[str, Any]:
        np.save(out / "images-00000.npy", rng.integers(0, 256, (12, 3, 8, 8), dtype=np.uint8))
        columns = {"id": [f"drawn-{i}" for i in range(12)], "label": [i % 3 for i in range(12)]}
        Table.write(out / "table.parquet", columns)
        return {"n": 12, "task": "diagnosis"}

    def extract(count: int, shift: float) -> Any:
        def do(out: Path, _: Stage) -> dict[str, Any]:
            np.save(out / "features.npy", (rng.standard_normal((count, 4)) + shift).astype(np.float32))
            return {"n": count, "identity": {"name": "by-hand", "dimensions": 4}}

        return do

    samples = maker.stage(
        "sample", "sample/pixels", {"count": 12, "model": "pixels", "sampling": {}}, {"prepare": data}, draw
    )
    generated = maker.stage("extract", "extract/pixels", {"of": "pixels"}, {"samples0": samples}, extract(12, 0.5))
    real = maker.stage("extract", "extract/train", {"of": "train"}, {"prepare": data}, extract(COUNTS["train"], 0))
    sides = {
        "generated": {"images": [{"samples": "samples0"}], "limit": None, "labelled": True},
        "real": {"images": [{"split": "train"}], "limit": None, "labelled": True},
    }
    kid = {"metric": "kid", "params": {}, "by": None}
    work = {
        "of": "samples", "metrics": [kid, {**kid, "by": {"attribute": "class"}}], "suffix": "[hand]", "seed": 0,
        "task": asdict(ROOT), "sides": sides, "facts": {"against": "train", "precision": "fp32"},
    }  # fmt: skip
    inputs = {"generated": generated, "real": real, "samples0": samples, "prepare": data}
    distance = maker.score("score/hand/pixels", work, inputs)
    said = maker.answers("judge", "generated", data, 0, 1.0)
    brier = {"metric": "brier", "params": {}}
    agreed = maker.score(
        "score/judge/pixels", scoring(ROOT, [brier], "generated", rename={"brier": "judged-brier"}),
        {"predictions": said, "prepare": data},
    )  # fmt: skip
    names = {"generator": "pixels", "sampling": "", "against": "train", "n": "12"}
    cell = Cell(seeds={"generator": 0}, scores=(distance, agreed))
    return RowPlan(board="generators", row="pixels | train | 12", names=names, kind="measured", cells=(cell,))
