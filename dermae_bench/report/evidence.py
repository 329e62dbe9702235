"""What a results folder keeps so that every number in it can be computed again, without the store.

`predictions.parquet` has each set of answers once: the key of its stage, split, id, group, label, logits.
`images.parquet` has the attributes of the images that were scored. `evidence.json` says which score was made from which
answers, by which metrics, for which rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dermae_bench import __version__
from dermae_bench.bounded.tables import Kind, read_parquet
from dermae_bench.bounded.texts import read_json
from dermae_bench.durable import digest_file, digest_of, replacing
from dermae_bench.errors import DataError, UserError
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.measures import Predictions
from dermae_bench.report.escape import public
from dermae_bench.report.listed import Written, write_changed
from dermae_bench.report.records import Boards
from dermae_bench.report.verify.provenance import described
from dermae_bench.scoring.deriving import derive
from dermae_bench.scoring.labels import task_of

if TYPE_CHECKING:
    import pyarrow as pa

    from dermae_bench.report.collect import Collector
    from dermae_bench.store.manifests import Manifest
    from dermae_bench.suite.stage import Stage

VERSION = 1
FILE = "evidence.json"
PREDICTIONS = "predictions.parquet"
IMAGES = "images.parquet"
SCORED_SPLITS = ("val", "test")
GENERATED = "generated"
"""Stands for the split of answers to generated images, which a judge gave."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One finished score stage and the rows that show it."""

    key: str
    name: str
    of: str
    """predictions | samples"""
    work: Mapping[str, Any]
    """What it was asked, with digests in place of paths."""
    inputs: Mapping[str, Mapping[str, str]]
    """Role -> {kind, key} of what it read."""
    rows: tuple[Mapping[str, Any], ...]
    """{board, row, seeds} of every cell that shows it."""


# -- writing -----------------------------------------------------------------------------------------------------


def write_evidence(collector: Collector, boards: Boards, folder: Path, written: Written | None = None) -> None:
    """Write the three files from what is finished; those that a former report wrote and this one does not are removed.

    Args:
        written: takes the digests of what was written.
    """
    scores = list(_scores(collector))
    about: dict[str, Any] = {}
    tables = []
    for stage, manifest in _predictions(collector, scores):
        tables.append(_table(collector, stage, manifest))
        about[stage.key] = {
            "name": stage.name,
            "task": stage.work["model"]["task"],
            "split": manifest.summary["images"][0].get("split", GENERATED),
            "n": manifest.summary["n"],
        }
    if tables:
        import pyarrow as pa

        _write_table(folder / PREDICTIONS, pa.concat_tables(tables).unify_dictionaries(), written)
        _write_table(folder / IMAGES, _images(collector), written)
    else:
        for name in (PREDICTIONS, IMAGES):
            (folder / name).unlink(missing_ok=True)
    text = {
        "version": VERSION,
        "dermae_bench": __version__,
        "prepared": _prepared(collector),
        "predictions": about,
        "scores": [asdict(score) for score in scores],
        "intervals": [
            {"row": row, "metric": metric, "low": found.low, "high": found.high, "error": found.error}
            for (row, metric), found in sorted(boards.uncertainty.items())
        ],
        "boards": _described(boards),
        "provenance": described(collector),
    }
    data = json.dumps(public(text), indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_changed(folder / FILE, data.encode(), written)


def _write_table(path: Path, table: pa.Table, written: Written | None) -> None:
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
        if written is not None:
            # before it gets a name that others know
            written[path] = digest_file(temporary)


WORDS = (
    "suite", "preset", "description", "dataset", "image_size", "split_rule", "split_digest", "class_counts", "facts",
    "interval", "rows", "reported", "warnings", "details",
    "contamination",
)  # fmt: skip
"""Of the boards: everything but measured numbers, pictures and what depends on the machine."""


def _described(boards: Boards) -> dict[str, Any]:
    plain = {name: getattr(boards, name) for name in WORDS}
    return {**plain, **{name: [asdict(item) for item in plain[name]] for name in ("rows", "reported")}}


def _prepared(collector: Collector) -> dict[str, Any]:
    """The summary of the prepared data set, with the digest that identities hold."""
    stage = collector.prepared_stage
    if stage is None:
        return {}
    manifest = collector.manifest(stage)
    assert manifest is not None
    pixels, split = manifest.files["images.npy"]["sha256"], manifest.summary["split_digest"]
    return {"key": stage.key, "data": digest_of([pixels, split])[:16], **manifest.summary}


def _scores(collector: Collector) -> Iterator[Score]:
    shown: dict[str, tuple[Stage, list[dict[str, Any]]]] = {}
    for row in collector.rows:
        for cell in row.cells:
            for stage in cell.scores:
                if collector.manifest(stage) is not None:
                    _, rows = shown.setdefault(stage.key, (stage, []))
                    rows.append({"board": row.board, "row": row.row, "seeds": dict(cell.seeds)})
    for key, (stage, rows) in shown.items():
        yield Score(
            key=key,
            name=stage.name,
            of=stage.work["of"],
            work=stage.parts["work"],
            inputs={role: {"kind": source.kind, "key": source.key} for role, source in stage.inputs.items()},
            rows=tuple(rows),
        )


def _predictions(collector: Collector, scores: list[Score]) -> Iterator[tuple[Stage, Manifest]]:
    """Every set of answers that a score read or a row has, once."""
    wanted = {about["key"] for score in scores for about in score.inputs.values() if about["kind"] == "predict"} | {
        stage.key for row in collector.rows for cell in row.cells for stage in cell.predictions.values()
    }
    for stage in collector.stages:
        manifest = collector.manifest(stage) if stage.kind == "predict" and stage.key in wanted else None
        if manifest is not None:
            yield stage, manifest


def _table(collector: Collector, stage: Stage, manifest: Manifest) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(collector.store.file(stage.kind, stage.key, PREDICTIONS))
    values = np.stack([table.column(f"logit.{name}").to_numpy() for name in stage.work["model"]["task"]["classes"]], 1)
    count = table.num_rows
    return pa.table(
        {
            "predictions": pa.array([stage.key] * count).dictionary_encode(),
            "split": pa.array([manifest.summary["images"][0].get("split", GENERATED)] * count).dictionary_encode(),
            "id": table.column("id").combine_chunks().dictionary_encode(),
            "group": table.column("group").combine_chunks().dictionary_encode(),
            "label": table.column("label"),
            "logits": pa.array(list(values.astype(np.float32)), type=pa.list_(pa.float32())),
        }
    )


def _images(collector: Collector) -> pa.Table:
    """Ids, splits and attributes of the images that scores were taken on."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    stage = collector.prepared_stage
    assert stage is not None
    table = pq.read_table(collector.store.file(stage.kind, stage.key, "table.parquet"))
    kept = ["id", "group", "split", "label", *(name for name in table.column_names if name.startswith("attribute."))]
    scored = pc.is_in(table.column("split"), value_set=_array(SCORED_SPLITS))
    return table.select(kept).filter(scored)


def _array(values: Any) -> Any:
    import pyarrow as pa

    return pa.array(list(values))


ANSWER_COLUMNS: Mapping[str, Kind] = {
    "predictions": "text", "id": "text", "group": "text", "label": "whole", "logits": "numbers",
}  # fmt: skip
VERIFY = "`dermae-bench verify` names all that differs"


# -- reading -----------------------------------------------------------------------------------------------------


class Evidence:
    """A results folder as something to compute from.

    Raises:
        UserError: there is no evidence in the folder, or it is of another version, or no JSON.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / FILE
        if not folder.is_dir():
            raise UserError(
                f"there is no results folder {folder}", hint="`dermae-bench list` shows those that are there"
            )
        if not path.is_file():
            raise UserError(
                f"{folder} holds no {FILE}", hint="it is half a folder, or an older version wrote it: report it again"
            )
        about = read_json(path)
        if not isinstance(about, dict) or about.get("version") != VERSION:
            raise UserError(f"{path} is of another version of dermae-bench", hint="make the folder again with `report`")
        self.about: Mapping[str, Any] = about

    @cached_property
    def scores(self) -> tuple[Score, ...]:
        """Every finished score."""
        return tuple(Score(**{**item, "rows": tuple(item["rows"])}) for item in self.about["scores"])

    @property
    def prepared(self) -> Mapping[str, Any]:
        """The summary of the prepared data set."""
        found: Mapping[str, Any] = self.about["prepared"]
        return found

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Tasks of the data set by name."""
        return {about["name"]: task_of(about) for about in self.prepared["tasks"]}

    @cached_property
    def _table(self) -> Mapping[str, Any]:
        path = self.folder / PREDICTIONS
        if not path.is_file():
            raise UserError(f"{self.folder} holds no {PREDICTIONS}: nothing can be computed from it")
        table = read_parquet(path, ANSWER_COLUMNS)
        return {name: table.column(name).combine_chunks() for name in table.column_names}

    @cached_property
    def _rows_of(self) -> Mapping[str, np.ndarray[Any, np.dtype[np.int64]]]:
        column = self._table["predictions"]
        codes = column.indices.to_numpy()
        order = np.argsort(codes, kind="stable")
        ends = np.searchsorted(codes[order], np.arange(len(column.dictionary)), side="right")
        rows = zip(column.dictionary.to_pylist(), np.split(order, ends)[:-1], strict=True)
        return {str(key): its for key, its in rows if len(its)}

    @cached_property
    def attributes(self) -> Mapping[str, Mapping[str, str | float | None]]:
        """Attribute -> image id -> value, of the images that were scored."""
        path = self.folder / IMAGES
        if not path.is_file():
            return {}
        table = read_parquet(path, {"id": "text"}, beginning="attribute.")
        ids = table.column("id").to_pylist()
        names = [name for name in table.column_names if name.startswith("attribute.")]
        return {
            name.removeprefix("attribute."): dict(zip(ids, table.column(name).to_pylist(), strict=True))
            for name in names
        }

    def has(self, key: str) -> bool:
        """Whether the answers of this predict stage are here."""
        return key in self._rows_of

    def predictions(self, key: str) -> Predictions:
        """One set of answers, in the task that was predicted, with the images' attributes.

        Raises:
            UserError: these answers are not in the folder, or are not what they should be.
        """
        if not self.has(key):
            raise UserError(f"{self.folder / PREDICTIONS} holds no answers of {key}")
        rows = self._rows_of[key]
        columns = {name: self._table[name].take(_array(rows)).to_pylist() for name in ("id", "group", "label")}
        logits = self._table["logits"].take(_array(rows))
        ids = columns["id"]
        task = task_of(self.about["predictions"][key]["task"])
        classes = len(task.classes)
        # looked at before the numbers are taken out: a single row may hold a hundred million
        uniform = set(logits.value_lengths().unique().to_pylist()) == {classes}
        if not uniform or not all(0 <= label < classes for label in columns["label"]):
            told = f"answers of {key[:40]} are not to {classes} classes"
            raise DataError(f"{self.folder / PREDICTIONS}: {told}", hint=VERIFY)
        return Predictions(
            task=task,
            ids=ids,
            groups=columns["group"],
            labels=np.asarray(columns["label"], dtype=np.int64),
            logits=logits.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(ids), classes),
            attributes={name: [values.get(image) for image in ids] for name, values in self.attributes.items()},
        )

    def scored(self, score: Score) -> Predictions:
        """What a score of predictions was taken on: of its task, with what the same model said of `val`."""
        found = self.predictions(score.inputs["predictions"]["key"])
        if "validation" in score.inputs:
            found = replace(found, validation=self.predictions(score.inputs["validation"]["key"]))
        task = task_of(score.work["task"])
        return found if task.name == found.task.name else derive(found, task, self.tasks)
