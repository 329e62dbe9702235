"""A large suite over tiny plugins, and a store in which it is already finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from dermae_bench.commands.session import Session, open_session
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import Manifest, describe_files
from dermae_bench.suite.stage import Stage

PLUGINS = Path(__file__).parent.parent / "e2e" / "plugins"
TASKS = ("diagnosis", "malignancy")
IMAGES = 6
"""Predictions faked for every set."""


def large_suite(path: Path, rows: int) -> Path:
    """Write a suite with `rows` lines on its classifier board: half as many classifiers, each for two tasks."""
    classifiers = {
        f"thumbs-{i:04d}": {"plugin": "thumbnails", "budget": "fine", "params": {"lr": 1e-4 * (i + 1)}}
        for i in range(rows // len(TASKS))
    }
    suite = {
        "version": 1,
        "suite": "large",
        "dataset": {"plugin": "phantom", "params": {"image_size": 16, "images": 600}},
        "tasks": list(TASKS),
        "budgets": {"fine": {"steps": 30, "batch_size": 32}},
        "classifiers": classifiers,
        "rows": [{"classifiers": list(classifiers), "train": "train"}],
        "prediction_metrics": ["accuracy", "f1-weighted"],
    }
    path.write_text(yaml.safe_dump(suite, sort_keys=False))
    return path


def plan(suite: Path, results: Path) -> Session:
    """The suite, loaded and planned, with the tiny plugins."""
    return open_session(suite, preset=None, sets=[], results=results, plugins_dir=PLUGINS)


def finish(session: Session) -> None:
    """Commit a small, well-formed result for every stage, as if the suite had been run."""
    for number, stage in enumerate(session.stages):
        work = session.store.attempt_folder(stage.key) / "out"
        work.mkdir(parents=True)
        summary = _WRITERS[stage.kind](stage, work, number)
        commit(session.store, stage, work, summary)
        session.store.settle(stage.key)


def commit(store: Store, stage: Stage, work: Path, summary: Mapping[str, Any]) -> None:
    """What an attempt does with the files that lie in `work`."""
    manifest = Manifest(
        kind=stage.kind,
        key=stage.key,
        name=stage.name,
        parts=stage.parts,
        files=describe_files(work),
        summary=summary,
        seconds=0.1,
        max_rss_mb=100,
    )
    store.commit(work, manifest)


def _prepared(stage: Stage, folder: Path, number: int) -> dict[str, Any]:
    classes = ("a", "b")
    counts = {split: dict.fromkeys(classes, IMAGES) for split in ("train", "val", "test")}
    splits = [split for split in counts for _ in range(IMAGES * len(classes))]
    pq.write_table(
        pa.table({"split": splits, "label": [i % len(classes) for i in range(len(splits))]}), folder / "table.parquet"
    )
    np.save(folder / "images.npy", np.zeros((len(splits), 3, 16, 16), dtype=np.uint8))
    task = {"name": "diagnosis", "classes": classes, "positive": None, "parent": None, "mapping": {}, "image_size": 16}
    return {
        "n": len(splits),
        "size": 16,
        "tasks": [task],
        "counts": counts,
        "split_rule": "none",
        "split_digest": "0" * 64,
        "leaky": None,
        "resize": "none",
        "skipped": [],
        "warnings": [],
    }


def _trained(stage: Stage, folder: Path, number: int) -> dict[str, Any]:
    (folder / "curves.csv").write_text("step,loss\n0,1.0\n29,0.5\n")
    return {"steps": 30}


def _predicted(stage: Stage, folder: Path, number: int) -> dict[str, Any]:
    classes: Sequence[str] = stage.work["model"]["task"]["classes"]
    names = [str(i) for i in range(IMAGES)]
    columns: dict[str, Any] = {"id": names, "group": names, "label": [i % len(classes) for i in range(IMAGES)]}
    columns |= {f"logit.{name}": np.zeros(IMAGES, dtype=np.float32) for name in classes}
    pq.write_table(pa.table(columns), folder / "predictions.parquet")
    return {"n": IMAGES, "task": stage.work["model"]["task"]["name"]}


def _scored(stage: Stage, folder: Path, number: int) -> dict[str, Any]:
    value = 0.5 + 0.4 * (number % 97) / 97
    records = [
        {
            "metric": metric,
            "value": value,
            "low": value - 0.05,
            "high": value + 0.05,
            "n": IMAGES,
            "unit": "",
            "better": "higher",
            "identity": {"name": metric, "task": stage.work["task"]["name"], "n": IMAGES},
            "reason": None,
        }
        for metric in stage.work["metrics"]
    ]
    return {"records": records, "confusion": [[1]], "classes": ["a"], "warnings": []}


def _counted(stage: Stage, folder: Path, number: int) -> dict[str, Any]:
    values = {"gmacs": 0.1, "gmacs-fvcore": 0.1, "parameters-total": 1e3, "network-calls": 1.0}
    return {"values": values, "columns": {}, "of": "predict", "image_size": 16, "warnings": []}


_WRITERS = {"prepare": _prepared, "train": _trained, "predict": _predicted, "score": _scored, "cost": _counted}
