"""Writing what a results folder keeps as evidence: `report/evidence.py` says what stands in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermae_bench import __version__
from dermae_bench.durable import digest_file, replacing
from dermae_bench.report.data_sets import answered, answers, finished_others, scored_images, split_of, summary_of
from dermae_bench.report.escape import public
from dermae_bench.report.evidence import FILE, IMAGES, PREDICTIONS, VERSION, Score
from dermae_bench.report.listed import Written, write_changed
from dermae_bench.report.records import Boards
from dermae_bench.report.verify.provenance import described

if TYPE_CHECKING:
    import pyarrow as pa

    from dermae_bench.report.collect import Collector
    from dermae_bench.store.manifests import Manifest
    from dermae_bench.suite.stage import Stage

WORDS = (
    "suite", "preset", "description", "dataset", "image_size", "split_rule", "split_digest", "class_counts", "facts",
    "interval", "rows", "reported", "warnings", "details",
    "contamination",
)  # fmt: skip
"""Of the boards: everything but measured numbers, pictures and what depends on the machine."""


def write_evidence(collector: Collector, boards: Boards, folder: Path, written: Written | None = None) -> None:
    """Write the three files from what is finished; those that a former report wrote and this one does not are removed.

    Args:
        written: takes the digests of what was written.
    """
    scores, others = list(_scores(collector)), finished_others(collector)
    about: dict[str, Any] = {}
    tables = []
    for stage, manifest in _predictions(collector, scores):
        split = split_of(stage, manifest, others)
        tables.append(answers(collector, stage, split))
        about[stage.key] = {
            "name": stage.name, "task": answered(stage.work), "split": split, "n": manifest.summary["n"],
        }  # fmt: skip
    if tables:
        import pyarrow as pa

        _write_table(folder / PREDICTIONS, pa.concat_tables(tables).unify_dictionaries(), written)
        _write_table(folder / IMAGES, scored_images(collector, others), written)
    else:
        for name in (PREDICTIONS, IMAGES):
            (folder / name).unlink(missing_ok=True)
    text = {
        "version": VERSION,
        "dermae_bench": __version__,
        "prepared": summary_of(collector, prepared) if (prepared := collector.prepared_stage) is not None else {},
        "others": {name: summary_of(collector, stage) for name, stage in others.items()},
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


def _described(boards: Boards) -> dict[str, Any]:
    plain = {name: getattr(boards, name) for name in WORDS}
    return {**plain, **{name: [asdict(item) for item in plain[name]] for name in ("rows", "reported")}}


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
