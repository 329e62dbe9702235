"""Sample grids and loss curves of a results folder."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dermae_bench.report.records import Curve, Figure
from dermae_bench.store.manifests import Manifest
from dermae_bench.suite.rows import RowPlan
from dermae_bench.suite.stage import Stage

if TYPE_CHECKING:
    from dermae_bench.report.collect import Collector

SHOWN = 14
"""Images of a row of a sample grid."""


def samples(collector: Collector) -> Iterator[Figure]:
    """One picture: real images where they are drawings, then a strip for each generator row."""
    prepared = collector.prepared()
    strips, asked = [], dict[str, str]()
    for row in collector.rows:
        for cell in row.cells[:1]:
            manifest = collector.manifest(cell.samples) if cell.samples is not None else None
            if cell.samples is not None and manifest is not None:
                strips.append(_strip(collector, row, cell.samples, manifest))
                classes = cell.samples.work["model"]["task"]["classes"]
                if classes:
                    asked[row.names["generator"]] = ", ".join(classes)
    caption = "The first images of each set."
    for classes in dict.fromkeys(asked.values()):
        names = ", ".join(name for name, found in asked.items() if found == classes)
        caption += f" {names}: by class asked for, in the order {classes}."
    # photographs of people's skin never leave the store; drawings may
    if strips and prepared.get("resize") == "drawn at size":
        strips.insert(0, ("real", _drawn(collector)))
        task = prepared["tasks"][0]
        caption += f" real: by {task['name']}, in the order {', '.join(task['classes'])}."
    if strips:
        yield Figure(name="samples", title="Samples", caption=caption, rows=tuple(strips))


def _strip(collector: Collector, row: RowPlan, stage: Stage, manifest: Manifest) -> tuple[str, Any]:
    import pyarrow.parquet as pq

    folder, _ = collector.store.checked(stage.kind, stage.key, ("table.parquet", "images-00000.npy"))
    table = pq.read_table(folder / "table.parquet")
    positions = list(range(min(SHOWN, table.num_rows)))
    if "label" in table.column_names:
        labels = np.array(table.column("label"))
        each = max(1, SHOWN // max(1, len(manifest.summary["counts"])))
        positions = [int(i) for c in range(len(manifest.summary["counts"])) for i in np.flatnonzero(labels == c)[:each]]
    shard = np.load(folder / "images-00000.npy", mmap_mode="r")
    positions = [i for i in positions if i < len(shard)]
    sampling = row.names["sampling"]
    name = row.names["generator"] + (f" ({sampling})" if sampling else "")
    return name, np.ascontiguousarray(shard[positions])


def _drawn(collector: Collector) -> Any:
    import pyarrow.parquet as pq

    stage = next(stage for stage in collector.stages if stage.kind == "prepare")
    folder, _ = collector.store.checked(stage.kind, stage.key, ("table.parquet", "images.npy"))
    table = pq.read_table(folder / "table.parquet", columns=["split", "label"])
    labels, splits = np.array(table.column("label")), np.array(table.column("split").to_pylist())
    classes = int(labels.max()) + 1
    chosen = [
        int(i) for c in range(classes) for i in np.flatnonzero((labels == c) & (splits == "train"))[: SHOWN // classes]
    ]
    return np.ascontiguousarray(np.load(folder / "images.npy", mmap_mode="r")[chosen])


def curves(collector: Collector) -> Iterator[Curve]:
    """Training losses, one chart for each role."""
    seen: set[str] = set()
    groups: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for row in collector.rows:
        for cell in row.cells:
            for model in cell.models:
                if model.key in seen or collector.manifest(model) is None:
                    continue
                seen.add(model.key)
                role = model.name.split("/")[1]
                title = f"Training loss of {role}s"
                groups.setdefault(title, {})[model.name.split("/", 2)[2]] = _losses(
                    collector.store.file("train", model.key, "curves.csv")
                )
    for title, series in groups.items():
        yield Curve(title=title, series=series)


def _losses(path: Path) -> list[tuple[int, float]]:
    with path.open(newline="") as stream:
        return [(int(line["step"]), float(line["loss"])) for line in csv.DictReader(stream) if line.get("loss")]
