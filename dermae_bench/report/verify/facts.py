"""What boards say around their numbers: the data set, its classes, warnings and marks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dermae_bench.report.collect import class_counts
from dermae_bench.report.evidence import Evidence
from dermae_bench.report.verify.findings import ANSWERS, Report, parts
from dermae_bench.report.verify.scores import Again

TOPIC = "facts"


def check_facts(scores: Sequence[Again], evidence: Evidence, report: Report) -> None:
    """Facts of the boards are those of the prepared data set, and no warning or mark of theirs was taken out."""
    prepared, boards = evidence.prepared, evidence.about["boards"]
    if not prepared:
        return
    meant = {
        "image_size": prepared["size"], "split_rule": prepared["split_rule"], "split_digest": prepared["split_digest"],
        "facts": {**boards["facts"], "images": str(prepared["n"])},
        "class_counts": class_counts(prepared),
    }  # fmt: skip
    for name, value in meant.items():
        report.count(TOPIC)
        for at, one, two in parts(boards[name], value, ANSWERS):
            report.differs(
                TOPIC, f"evidence.json: boards.{'.'.join(filter(None, (name, at)))}", "of the data", one, two
            )
    for text in dict.fromkeys(_warnings(scores, prepared)):
        report.count(TOPIC)
        if text not in boards["warnings"]:
            report.differs(TOPIC, "evidence.json: boards.warnings", "a warning is missing", None, text)
    if prepared["leaky"]:
        mark = f"leaky: {prepared['leaky']}"
        for row in boards["rows"]:
            if row["kind"] != "reported" and mark not in row["marks"]:
                report.differs(TOPIC, f"evidence.json: row {row['row']}", "a mark is missing", row["marks"], mark)


def _warnings(scores: Sequence[Again], prepared: Mapping[str, Any]) -> Iterator[str]:
    yield from prepared["warnings"]
    yield from (f"skipped: {name}" for name in prepared["skipped"])
    for score in scores:
        if score.summary is not None:
            yield from score.summary["warnings"]
