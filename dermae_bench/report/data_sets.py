"""The data sets of a results folder: the suite's own, and those beside it on which classifiers were scored.

Image ids may coincide between them. So a split of another set is called `NAME:test`, and its attributes stand in
columns of their own: `attribute:NAME/age`, where those of the suite's own data are `attribute.age`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dermae_bench.durable import digest_of
from dermae_bench.plugin.data import Task
from dermae_bench.report.ranking import TEST
from dermae_bench.scoring.labels import task_of

if TYPE_CHECKING:
    import pyarrow as pa

    from dermae_bench.report.collect import Collector
    from dermae_bench.store.manifests import Manifest
    from dermae_bench.suite.stage import Stage

SCORED_SPLITS = ("val", "test")
OTHER_SPLITS = ("test",)
"""Of a set under `evaluate_on`."""
GENERATED = "generated"
"""Stands for the split of answers to generated images, which a judge gave."""
ATTRIBUTE = "attribute"
"""How the columns of all attributes begin."""
OWN = f"{ATTRIBUTE}."
"""How those of the suite's own data begin, also in the store."""


@dataclass(frozen=True)
class DataSet:
    """One prepared data set of a results folder."""

    name: str
    """Under `evaluate_on`; "" for the suite's own."""
    about: Mapping[str, Any]
    """The summary of its stage, with `key`, and `data`: the digest of pixels and splits that identities hold."""

    @property
    def key(self) -> str:
        return str(self.about["key"])

    @property
    def splits(self) -> tuple[str, ...]:
        """Those whose images are scored, as the data set calls them."""
        return OTHER_SPLITS if self.name else SCORED_SPLITS

    def label(self, split: str) -> str:
        """What the files of the folder call one of its splits."""
        return label(self.name, split)

    @property
    def prefix(self) -> str:
        """How the columns of its attributes begin."""
        return f"{ATTRIBUTE}:{self.name}/" if self.name else OWN

    @property
    def place(self) -> str:
        """Where `evidence.json` describes it."""
        return f"others.{self.name}" if self.name else "prepared"

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Its tasks by name; the first is the root."""
        return {about["name"]: task_of(about) for about in self.about["tasks"]}


def label(name: str, split: str) -> str:
    """What the files of a results folder call a split of a set; `name` is "" for the suite's own data."""
    return f"{name}:{split}" if name else split


# -- writing -----------------------------------------------------------------------------------------------------


def finished_others(collector: Collector) -> dict[str, Stage]:
    """Name under `evaluate_on` -> the finished stage that prepared it, names in their order."""
    found = {row.names[TEST]: row.prepare for row in collector.rows if row.prepare is not None}
    return {name: found[name] for name in sorted(found) if collector.manifest(found[name]) is not None}


def split_of(stage: Stage, manifest: Manifest, others: Mapping[str, Stage]) -> str:
    """Whose images a predict stage was asked about, as the files of the folder call it.

    Args:
        others: of two names for one set the first is told.
    """
    split = manifest.summary["images"][0].get("split", GENERATED)
    prepared = stage.inputs["prepare"].key
    return label(next((name for name, its in others.items() if its.key == prepared), ""), split)


def summary_of(collector: Collector, stage: Stage) -> dict[str, Any]:
    """The summary of a prepared data set, with the digest that identities hold."""
    manifest = collector.manifest(stage)
    assert manifest is not None
    pixels, split = manifest.files["images.npy"]["sha256"], manifest.summary["split_digest"]
    return {"key": stage.key, "data": digest_of([pixels, split])[:16], **manifest.summary}


def scored_images(collector: Collector, others: Mapping[str, Stage]) -> pa.Table:
    """Ids, splits and attributes of the images that scores were taken on."""
    import pyarrow as pa

    own = collector.prepared_stage
    assert own is not None
    named = {stage.key: name for name, stage in reversed([*others.items()])}
    tables = [_scored(collector, own, "")]
    tables += [_scored(collector, stage, name) for name, stage in others.items() if named[stage.key] == name]
    return pa.concat_tables(tables, promote_options="default")


def _scored(collector: Collector, stage: Stage, name: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    its = DataSet(name, {})
    table = pq.read_table(collector.store.file(stage.kind, stage.key, "table.parquet"))
    kept = ["id", "group", "split", "label", *(one for one in table.column_names if one.startswith(OWN))]
    table = table.select(kept).filter(pc.is_in(table.column("split"), value_set=pa.array(list(its.splits))))
    if name:
        labels = pa.array([its.label(split) for split in table.column("split").to_pylist()], type=pa.string())
        table = table.set_column(kept.index("split"), "split", labels)
    return table.rename_columns([one.replace(OWN, its.prefix, 1) if one.startswith(OWN) else one for one in kept])


def answered(work: Mapping[str, Any]) -> Mapping[str, Any]:
    """The task whose classes a predict stage answers in: of another data set the one that is scored."""
    task: Mapping[str, Any] = work["answers"] if "answers" in work else work["model"]["task"]
    return task


def answers(collector: Collector, stage: Stage, split: str) -> pa.Table:
    """One set of answers as `predictions.parquet` holds it; `split` as `split_of` calls it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(collector.store.file(stage.kind, stage.key, "predictions.parquet"))
    values = np.stack([table.column(f"logit.{name}").to_numpy() for name in answered(stage.work)["classes"]], 1)
    count = table.num_rows
    return pa.table(
        {
            "predictions": pa.array([stage.key] * count).dictionary_encode(),
            "split": pa.array([split] * count).dictionary_encode(),
            "id": table.column("id").combine_chunks().dictionary_encode(),
            "group": table.column("group").combine_chunks().dictionary_encode(),
            "label": table.column("label"),
            "logits": pa.array(list(values.astype(np.float32)), type=pa.list_(pa.float32())),
        }
    )
