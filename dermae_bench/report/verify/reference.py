"""Published numbers beside the table that they were read from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dermae_bench.durable import digest_file
from dermae_bench.report.escape import public
from dermae_bench.report.evidence import Evidence
from dermae_bench.report.records import RowInfo
from dermae_bench.report.reference import reference_rows
from dermae_bench.report.verify.findings import ANSWERS, Report, parts
from dermae_bench.report.verify.provenance import Provenance

FOLDER = "reference"
TOPIC = "published numbers"


BARE: Mapping[str, Any] = {"status": "ok", "reason": None, "seeds": [{}], "costs": {}, "confusions": []}
"""Of every published row."""

UNTOLD: Mapping[str, Any] = {"protocol": "", "started_from": ""}
"""What rows of older folders do not have."""


def check_reference(evidence: Evidence, provenance: Provenance, results: Sequence[Path], report: Report) -> None:
    """The table has the digest of the run, and the boards show its numbers, all of them and no others.

    Args:
        results: where a folder `reference` may lie with the table in it.
    """
    about, shown = provenance.about["reference"], evidence.about["boards"]["reported"]
    rows = [row for row in evidence.about["boards"]["rows"] if row["kind"] == "reported"]
    if about is None:
        if shown or rows:
            report.differs(TOPIC, "evidence.json", "there are published numbers, and no table they are from")
        return
    for row in rows:
        for what, value in BARE.items():
            if row[what] != value:
                place = f"evidence.json: row {row['row']}"
                report.differs(TOPIC, place, f"{what}: a published row has", row[what], value)
    name = str(about["file"])
    if name != Path(name).name or name in {"", ".", ".."}:
        report.differs(TOPIC, "evidence.json: reference", "it names no file in results/reference/", name[:80])
        return
    path = next((folder / FOLDER / name for folder in results if (folder / FOLDER / name).is_file()), None)
    if path is None:
        report.skip(f"published numbers: {FOLDER}/{name} is not beside the results folder", "file", len(shown))
        return
    digest = digest_file(path)
    if digest != about["sha256"]:
        report.differs(TOPIC, f"{FOLDER}/{name}", "it is not the table of the run", digest[:16], about["sha256"][:16])
    infos, _, numbers = reference_rows(path)
    report.count(TOPIC, len(numbers))
    for at, one, two in parts(list(shown), [public(asdict(item)) for item in numbers], ANSWERS):
        report.differs(TOPIC, f"evidence.json: reported{at}", f"{FOLDER}/{name} says", one, two)
    meant = [_plain(info) for info in infos]
    # older folders do not say how a row was made: a publication says nothing of it
    for at, one, two in parts([{**UNTOLD, **row} for row in rows], meant, ANSWERS):
        report.differs(TOPIC, f"evidence.json: rows{at}", f"{FOLDER}/{name} says", one, two)


def _plain(info: RowInfo) -> dict[str, Any]:
    """As it would be read back: no tuples."""
    found: dict[str, Any] = json.loads(json.dumps(public(asdict(info))))
    return found
