"""`records.jsonl` beside the scores: every number has a score behind it, and every score has left its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from fractions import Fraction
from typing import Any

from dermae_bench.durable import canonical
from dermae_bench.report.escape import public
from dermae_bench.report.evidence import Evidence
from dermae_bench.report.records import Record, Reported, record_of
from dermae_bench.report.reference import record_of_reported
from dermae_bench.report.verify.findings import ANSWERS, COUNTS, UNUSABLE, Report, parts, same, why
from dermae_bench.report.verify.loose import Loose
from dermae_bench.report.verify.scores import Again

FILE = "records.jsonl"
TOPIC = "records"
NAMES = tuple(entry.name for entry in fields(Record))

Place = tuple[str, str, str, str, str]
"""Board, row, metric, seeds, subgroup: what a record is of."""


def place_of(item: Mapping[str, Any]) -> Place:
    """What a record is of."""
    its = item["identity"].get("subgroup")
    return item["board"], item["row"], item["metric"], canonical(item["seeds"]), canonical(its)


def told(place: Place) -> str:
    """The place of a record in words."""
    board, row, metric, seeds, its = place
    inside = f", subgroup {its}" if its != "null" else ""
    return f"{FILE}: {board}: {row}: {metric}, seeds {seeds}{inside}"


def read_records(lines: Iterator[tuple[int, Any]], report: Report) -> dict[Place, dict[str, Any]]:
    """Every record of the folder by what it is of; lines that are none become findings."""
    found: dict[Place, dict[str, Any]] = {}
    for number, item in lines:
        try:
            Record(**{**item, "warnings": tuple(item["warnings"])})
            if set(item) != set(NAMES):
                raise ValueError("it has not the fields of a record")
            place = place_of(item)
        except UNUSABLE as error:
            report.differs(TOPIC, f"{FILE} line {number}", f"it is no record: {why(error)}")
            continue
        if place in found:
            report.differs(TOPIC, f"{FILE} line {number}", f"a second record of {told(place)}", item["value"])
            continue
        found[place] = item
    return found


def check_records(
    stored: Mapping[Place, dict[str, Any]], scores: Sequence[Again], evidence: Evidence, report: Report
) -> list[dict[str, Any]]:
    """Compare in both directions; returns the records as they should be, in the order of the folder."""
    expected: dict[Place, tuple[Mapping[str, Any], Again | None]] = {}
    loose = Loose([score for score in scores if score.summary is None], evidence, FILE, report)
    for score in scores:
        for item in _of(score, evidence):
            expected[place_of(item)] = (item, score)
    for item in _published(evidence):
        expected[place_of(item)] = (item, None)
    kept = []
    for place, item in stored.items():
        if place not in expected:
            if loose.take(item):
                kept.append(item)
            else:
                report.differs(TOPIC, told(place), "no score gives such a record", item["value"])
            continue
        meant, source = expected.pop(place)
        kept.append(_compared(place, item, meant, source, evidence, report))
    for place, (meant, _) in expected.items():
        report.differs(TOPIC, told(place), "the record is missing", None, meant["value"])
        kept.append(dict(meant))
    loose.finish()
    return kept


def _of(score: Again, evidence: Evidence) -> Iterator[dict[str, Any]]:
    """The records that a score leaves, one for each row that shows it."""
    rows = {(row["board"], row["row"]): row for row in evidence.about["boards"]["rows"]}
    for shown in score.score.rows:
        info = rows.get((shown["board"], shown["row"]))
        if info is None:
            # named where the rows are checked
            continue
        about = {name: info[name] for name in ("board", "row", "names", "kind")}
        warnings = score.summary["warnings"] if score.summary is not None else ()
        for item in score.items:
            meant = record_of(item, **about, key=score.score.key, seeds=shown["seeds"], warnings=warnings)
            yield public({**vars(meant), "warnings": list(meant.warnings)})


def _published(evidence: Evidence) -> Iterator[dict[str, Any]]:
    """The records of published numbers, which have no score."""
    for item in evidence.about["boards"]["reported"]:
        meant = record_of_reported(Reported(**{entry.name: item[entry.name] for entry in fields(Reported)}))
        yield {**vars(meant), "warnings": list(meant.warnings)}


def _compared(
    place: Place,
    item: dict[str, Any],
    meant: Mapping[str, Any],
    score: Again | None,
    evidence: Evidence,
    report: Report,
) -> dict[str, Any]:
    """The record as it stands where it agrees, else with what should stand there."""
    report.count(TOPIC)
    tolerance = score.tolerance if score is not None else ANSWERS
    tolerances = dict.fromkeys(NAMES, tolerance)
    if score is not None and score.score.of == "samples" and _share(meant, evidence):
        tolerances["value"] = COUNTS
    differing = [name for name in NAMES if not same(item[name], meant[name], tolerances[name])]
    for name in differing:
        for inner, one, two in parts(item[name], meant[name], tolerances[name]):
            report.differs(TOPIC, told(place), ".".join(filter(None, (name, inner))), one, two)
    return {name: meant[name] if name in differing else item[name] for name in NAMES}


def _share(meant: Mapping[str, Any], evidence: Evidence) -> bool:
    """Whether a number is a count of images over another; hardly any distance looks like one by chance."""
    value = meant["value"]
    if value is None or not 0 <= value <= 1:
        return False
    most = max(int(meant["n"]), int(meant["identity"].get("n_real") or 0), int(evidence.prepared["n"]))
    return bool(float(Fraction(value).limit_denominator(most)) == value)
