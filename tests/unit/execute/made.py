"""Artifacts written by hand: prepared data with known pixels, labels, attributes and captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attempts import SIZE, Bench

from dermae_bench.durable import digest_of
from dermae_bench.execute.stages.common import StageContext, Table
from dermae_bench.store.manifests import Manifest, describe_files
from dermae_bench.suite.stage import key_of

ROOT = {"name": "diagnosis", "classes": ["MEL", "NV", "BCC"], "positive": None, "parent": None, "mapping": {}}
UPPER = {
    "name": "malignancy",
    "classes": ["benign", "malignant"],
    "positive": "malignant",
    "parent": "diagnosis",
    "mapping": {"MEL": "malignant", "NV": "benign", "BCC": "malignant"},
}
TASKS = (ROOT, UPPER)


def asked(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task as the plan hands it to models."""
    return {**task, "image_size": SIZE}


def made(
    bench: Bench,
    labels: Sequence[int],
    *,
    splits: Sequence[str] | None = None,
    tasks: Sequence[Mapping[str, Any]] = TASKS,
    pixels: Any = None,
    captions: Sequence[str] | None = None,
    names: str = "image",
    **attributes: Sequence[Any],
) -> Manifest:
    """Prepared data with these labels of the first task; image i is grey i unless `pixels` says more."""
    count = len(labels)
    own = splits if splits is not None else ["train"] * count
    columns: dict[str, Any] = {
        "id": [f"{names}-{i}" for i in range(count)],
        "group": [f"{names}-lesion-{i // 2}" for i in range(count)],
        "split": list(own),
        "label": list(labels),
        **({"caption": list(captions)} if captions is not None else {}),
        **{f"attribute.{name}": list(values) for name, values in attributes.items()},
    }
    grey = np.arange(count, dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(grey, (count, 3, SIZE, SIZE)) if pixels is None else pixels
    about = [dict(task) for task in tasks]
    parts = {"made": digest_of([columns, about, images.tolist()])}
    key = key_of(parts)
    out = bench.store.attempt_folder(key) / "out"
    out.mkdir(parents=True)
    np.save(out / "images.npy", np.ascontiguousarray(images, dtype=np.uint8))
    Table.write(out / "table.parquet", columns)
    counts = {
        split: {name: sum(o == split and labels[i] == c for i, o in enumerate(own))
                for c, name in enumerate(tasks[0]["classes"])}
        for split in ("train", "val", "test")
    }  # fmt: skip
    summary = {
        "tasks": about, "n": count, "counts": counts, "dataset": names, "split_rule": "made up", "split_digest": key,
        "leaky": None, "size": SIZE, "resize": "drawn at size",
    }  # fmt: skip
    found = Manifest(
        kind="prepare", key=key, name=f"prepare/{names}", parts=parts, files=describe_files(out), summary=summary
    )
    bench.store.commit(out, found)
    return found


def context(bench: Bench, work: Mapping[str, Any], **inputs: Manifest) -> StageContext:
    """A stage that reads these artifacts."""
    about = {role: {"kind": found.kind, "key": found.key} for role, found in inputs.items()}
    spec = {"store": str(bench.store.root), "inputs": about, "work": dict(work), "key": "k" * 32}
    return StageContext(folder=bench.store.root, spec=spec, out=Path())
