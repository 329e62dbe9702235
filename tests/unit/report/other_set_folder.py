"""A results folder of a classifier that is scored on two other data sets, made by hand and by the real score stage.

Their images have the names of the suite's own, other classes, and an age in words where the suite's own is a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from verified_folder import COARSE, ROOT, Maker, scoring

from dermae_bench.execute.stages.common import Table
from dermae_bench.plugin.data import Example, Task
from dermae_bench.plugin.splits import summarise
from dermae_bench.report.collect import Collector
from dermae_bench.report.evidence_writer import write_evidence
from dermae_bench.report.export import write
from dermae_bench.report.verify.digests import write_digests
from dermae_bench.suite.parts import Cell, RowPlan
from dermae_bench.suite.stage import Stage

ELSEWHERE = "net | train | malignancy | elsewhere"
KINDS = ("mole", "melanoma", "wart")
OTHER_ROOT = Task(name="finding", classes=KINDS, image_size=8)
OTHER_COARSE = Task(
    name="malignancy", classes=("malignant", "benign"), positive="malignant", parent="finding",
    mapping={"melanoma": "malignant", "mole": "benign", "wart": "benign"}, image_size=8,
)  # fmt: skip
COUNT = 40
BETWEEN = [asdict(ROOT), asdict(COARSE)]
FROZEN = {"metric": "sensitivity-at-90-specificity", "params": {}}


def other_set(maker: Maker, name: str, seed: int) -> Stage:
    """Test images of another data set, of which the suite's own data know the names."""
    rng = np.random.default_rng(seed)
    examples = [
        Example(id=f"test-{i}", group=f"test-lesion-{i // 2}", split="test", label=KINDS[int(rng.integers(0, 3))],
                source=None, attributes={"age": ("young", "old", None)[i % 3], "tone": "VI" if i % 4 else "I"})
        for i in range(COUNT)
    ]  # fmt: skip

    def do(out: Path, _: Stage) -> dict[str, Any]:
        np.save(out / "images.npy", rng.integers(0, 256, (COUNT, 3, 8, 8), dtype=np.uint8))
        columns: dict[str, Any] = {what: [getattr(e, what) for e in examples] for what in ("id", "group", "split")}
        columns["label"] = [KINDS.index(e.label) for e in examples]
        columns |= {f"attribute.{what}": [e.attributes[what] for e in examples] for what in ("age", "tone")}
        Table.write(out / "table.parquet", columns)
        split = summarise(examples, "another rule", None, KINDS)
        return {
            "tasks": [asdict(OTHER_ROOT), asdict(OTHER_COARSE)], "size": 8, "n": COUNT, "counts": split.classes,
            "split_rule": split.rule, "split_digest": split.digest, "split": asdict(split), "leaky": None,
            "resize": "antialias", "skipped": [], "warnings": [],
        }  # fmt: skip

    return maker.stage("prepare", f"prepare/{name}", {"plugin": "by-hand", "only": "test", "seed": seed}, {}, do)


def answers(maker: Maker, name: str, data: Stage, seed: int, skill: float) -> Stage:
    """What a classifier of the root task says of another set, as answers to the coarse one."""
    table = Table.read(maker.store.folder("prepare", data.key) / "table.parquet").columns
    mapped = [OTHER_COARSE.mapping[KINDS[label]] for label in table["label"]]
    labels = np.array([COARSE.classes.index(word) for word in mapped])
    work = {
        "model": {"task": asdict(ROOT), "plugin": "net", "seed": seed}, "images": [{"split": "test"}],
        "answers": asdict(COARSE), "between": BETWEEN,
    }  # fmt: skip

    def do(out: Path, _: Stage) -> dict[str, Any]:
        logits = np.random.default_rng([seed, COUNT]).standard_normal((COUNT, 2)).astype(np.float32)
        logits[np.arange(COUNT), labels] += skill
        columns = {"id": table["id"], "group": table["group"], "label": labels.tolist()}
        said = {f"logit.{c}": logits[:, k] for k, c in enumerate(COARSE.classes)}
        Table.write(out / "predictions.parquet", columns | said)
        return {"n": COUNT, "task": COARSE.name, "images": work["images"]}

    return maker.stage("predict", f"predict/net/seed={seed}/{name}:test", work, {"prepare": data}, do)


def _row(on: str | None, cells: list[Cell], prepare: Stage | None) -> RowPlan:
    names = {"classifier": "net", "train": "train", "task": "malignancy", **({"test": on} if on else {})}
    return RowPlan(board="classifiers", row=" | ".join(names.values()), names=names, kind="measured",
                   cells=tuple(cells), prepare=prepare, protocol="trained")  # fmt: skip


def results_folder(root: Path) -> Path:
    """`root/results/tiny` with its store: one classifier, two seeds, three sets."""
    maker = Maker(root / "results")
    own = maker.prepared()
    sets = {"elsewhere": other_set(maker, "elsewhere", 1), "third": other_set(maker, "third", 2)}
    brier = {"metric": "brier", "params": {}}
    found: dict[str | None, list[Cell]] = {None: [], "elsewhere": [], "third": []}
    groups: list[Mapping[str, Any]] = [
        {"attribute": "age", "bands": None, "join": {}}, {"attribute": "tone", "bands": None, "join": {}}
    ]  # fmt: skip
    for seed, skill in enumerate((1.0, 1.5)):
        val, test = maker.answers("net", "val", own, seed, skill), maker.answers("net", "test", own, seed, skill)
        for on, cells in found.items():
            said = test if on is None else answers(maker, on, sets[on], seed, skill)
            more: dict[str, Any] = {} if on is None else {"other": BETWEEN}
            work = scoring(COARSE, [brier, FROZEN], subgroups=groups if on == "elsewhere" else [], **more)
            inputs = {"predictions": said, "validation": val, "prepare": own if on is None else sets[on]}
            score = maker.score(f"score/net/seed={seed}/{on}", work, inputs)
            cells.append(Cell(seeds={"classifier": seed}, scores=(score,), predictions={"test": said, "val": val}))
    suite = SimpleNamespace(
        suite="tiny", description="", dataset=SimpleNamespace(plugin="by-hand"), precision="fp32", threads=1,
        reference=None,
    )  # fmt: skip
    rows = [_row(on, cells, sets[on] if on else None) for on, cells in found.items()]
    # the same scores as a point of a sweep: a chart is drawn of it
    names = {
        "classifier": "swept",
        "train": "train",
        "task": "malignancy",
        "generator": "flow",
        "real": "all",
        "ratio": "1",
    }
    rows.append(replace(rows[0], row=" | ".join(names.values()), names=names))
    collector = Collector(suite, None, maker.stages, rows, maker.store)  # type: ignore[arg-type]
    boards = collector.boards()
    folder = maker.results / "tiny"
    write(boards, folder)
    write_evidence(collector, boards, folder)
    write_digests(folder)
    return folder
