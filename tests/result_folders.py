"""Results folders made by hand: evidence, predictions and records from arrays, without a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dermae_bench.builtin.metrics import auc, calibration, classification
from dermae_bench.durable import digest_of
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.measures import PredictionMetric, Predictions
from dermae_bench.scoring.records import record
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import Manifest, describe_files

TASKS = {
    "malignancy": Task(name="malignancy", classes=("benign", "malignant"), positive="malignant"),
    "diagnosis": Task(name="diagnosis", classes=("mel", "nv", "bkl")),
}
METRICS = ("accuracy", "balanced-accuracy", "auc-binary", "brier")
KNOWN = {**classification.dermae_metrics(), **auc.dermae_metrics(), **calibration.dermae_metrics()}
SPLIT = "5d1f" * 16
PARTS = {"prepared": "by hand"}
KEY = digest_of(PARTS)[:32]


def metric_of(name: str, params: Mapping[str, Any]) -> PredictionMetric:
    """Built-in metrics without a catalog."""
    return KNOWN[name](KNOWN[name].Config(**params))


@dataclass(frozen=True, kw_only=True)
class Images:
    """A test set."""

    ids: Sequence[str]
    groups: Sequence[str]
    labels: np.ndarray


def images(lesions: int = 60, rare: float = 0.4, seed: int = 1, classes: int = 2) -> Images:
    """Lesions of one or two photographs."""
    random = np.random.default_rng(seed)
    lesion = np.repeat(np.arange(lesions), np.arange(lesions) % 2 + 1)
    drawn = np.where(random.random(lesions) < rare, 1, 0) if classes == 2 else random.integers(0, classes, lesions)
    return Images(
        ids=[f"image-{number:03}" for number in range(len(lesion))],
        groups=[f"lesion-{number:03}" for number in lesion],
        labels=drawn[lesion].astype(np.int64),
    )


def answers(which: Images, right: float, seed: int, classes: int = 2) -> np.ndarray:
    """Logits (N, C) whose argmax is the label for a share `right` of the images."""
    random = np.random.default_rng(seed)
    count = len(which.ids)
    wrong = (which.labels + 1 + random.integers(0, classes - 1, count)) % classes
    decided = np.where(random.random(count) < right, which.labels, wrong)
    return (random.normal(0, 0.3, (count, classes)) + 2 * np.eye(classes)[decided]).astype(np.float32)


@dataclass
class Folder:
    """A results folder that grows row by row; `write` makes it."""

    path: Path
    metrics: Sequence[str] = METRICS
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Over the identity of every number: what another data set, split or precision would change."""
    data: str = "da7a" * 4
    rows: list[dict[str, Any]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)
    predictions: dict[str, Any] = field(default_factory=dict)

    def row(
        self,
        name: str,
        which: Images,
        logits: Sequence[np.ndarray],
        *,
        task: str = "malignancy",
        kind: str = "measured",
        status: str = "ok",
        marks: Sequence[str] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> str:
        """A classifier's row with one set of answers a seed; returns its id."""
        row = f"{name} | train | {task}"
        seeds = [{"classifier": seed} for seed in range(len(logits))]
        names = {"classifier": name, "train": "train", "task": task}
        self.rows.append({"board": "classifiers", "row": row, "names": names, "kind": kind, "marks": list(marks),
                          "status": "ok", "seeds": seeds})  # fmt: skip
        for seed, values in zip(seeds, logits, strict=True):
            self._seed(row, names, kind, which, values, seed, TASKS[task], status, facts or {})
        return row

    def _seed(
        self,
        row: str,
        names: Mapping[str, str],
        kind: str,
        which: Images,
        values: np.ndarray,
        seed: Mapping[str, int],
        task: Task,
        status: str,
        facts: Mapping[str, Any],
    ) -> None:
        key = digest_of([row, dict(seed), len(self.scores)])[:32]
        made = Predictions(task=task, ids=which.ids, groups=which.groups, labels=which.labels, logits=values)
        count = len(which.ids)
        self.tables.append(
            pa.table(
                {
                    "predictions": pa.array([key] * count).dictionary_encode(),
                    "id": pa.array(list(which.ids)),
                    "group": pa.array(list(which.groups)),
                    "label": pa.array(which.labels),
                    "logits": pa.array(list(values), type=pa.list_(pa.float32())),
                }
            )
        )
        self.predictions[key] = {"task": asdict(task)}
        metrics = [name for name in self.metrics if task.positive is not None or name != "auc-binary"]
        score = f"score-{key[:26]}"
        work = {"metrics": [{"metric": name, "params": {}} for name in metrics], "rename": {}, "images": "test",
                "task": asdict(task)}  # fmt: skip
        self.scores.append({"key": score, "name": f"score/{row}", "of": "predictions", "work": work,
                            "inputs": {"predictions": {"kind": "predict", "key": key}},
                            "rows": [{"board": "classifiers", "row": row, "seeds": dict(seed)}]})  # fmt: skip
        base = {"task": task.name, "classes": list(task.classes), "reached": "trained", "images": "test", "n": count,
                "data": self.data, "split_digest": SPLIT, "leaky": None, "precision": "fp32",
                **self.facts, **facts}  # fmt: skip
        ones = np.ones((1, count), dtype=np.float32)
        for name in metrics:
            metric = metric_of(name, {})
            column = metric.columns(metric.config)[0]
            found = metric.resampled(made, ones)
            assert found is not None
            value = float(found[name][0]) if status == "ok" else None
            self._record("classifiers", row, names, kind, record(column, value, base), score, seed, status)

    def distance(self, name: str, values: Sequence[float], **facts: Any) -> str:
        """A generator's row with one distance a seed."""
        row = f"{name} | train | 40"
        names = {"generator": name, "against": "train", "n": "40"}
        seeds = [{"generator": seed} for seed in range(len(values))]
        self.rows.append({"board": "generators", "row": row, "names": names, "kind": "measured", "marks": [],
                          "status": "ok", "seeds": seeds})  # fmt: skip
        for seed, value in zip(seeds, values, strict=True):
            about = {"metric": "fd[x]", "value": value, "low": None, "high": None, "error": None, "n": 40, "unit": "1",
                     "better": "lower", "identity": {"name": "fd[x]", "n": 40, **self.facts, **facts}}  # fmt: skip
            self._record("generators", row, names, "measured", about, f"distance-{row}-{seed}", seed, "ok")
        return row

    def _record(
        self,
        board: str,
        row: str,
        names: Mapping[str, str],
        kind: str,
        about: Mapping[str, Any],
        key: str,
        seed: Mapping[str, int],
        status: str,
    ) -> None:
        kept = {name: value for name, value in about.items() if name != "reason"}
        self.records.append({**kept, "board": board, "row": row, "names": dict(names), "kind": kind, "key": key,
                             "seeds": dict(seed), "status": status, "warnings": []})  # fmt: skip

    def write(self) -> Path:
        """evidence.json, predictions.parquet and records.jsonl."""
        self.path.mkdir(parents=True, exist_ok=True)
        prepared = {"key": KEY, "data": self.data, "split_digest": SPLIT,
                    "tasks": [asdict(task) for task in TASKS.values()]}  # fmt: skip
        about = {"version": 1, "prepared": prepared, "predictions": self.predictions, "scores": self.scores,
                 "boards": {"rows": self.rows}}  # fmt: skip
        (self.path / "evidence.json").write_text(json.dumps(about))
        lines = "".join(json.dumps(line) + "\n" for line in self.records)
        (self.path / "records.jsonl").write_text(lines)
        if self.tables:
            pq.write_table(pa.concat_tables(self.tables).unify_dictionaries(), self.path / "predictions.parquet")
        return self.path


def pixels(results: Path, which: Images, side: int = 8) -> str:
    """Prepared images in the store beside `results`; returns the digest that identities hold."""
    store = Store(results.parent / "store")
    folder = store.attempt_folder(KEY) / "out"
    folder.mkdir(parents=True)
    drawn = np.random.default_rng(0).integers(0, 255, (len(which.ids), 3, side, side), dtype=np.uint8)
    np.save(folder / "images.npy", drawn)
    pq.write_table(pa.table({"id": list(which.ids)}), folder / "table.parquet")
    files = describe_files(folder)
    store.commit(folder, Manifest(kind="prepare", key=KEY, name="prepare/by-hand", parts=PARTS, files=files))
    return digest_of([files["images.npy"]["sha256"], SPLIT])[:16]
