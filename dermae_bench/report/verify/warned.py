"""Warnings of the boards: each is given by something, and nothing that was given is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dermae_bench.report.escape import public
from dermae_bench.report.evidence import Evidence
from dermae_bench.report.verify.findings import Report
from dermae_bench.report.verify.planned import Plan
from dermae_bench.report.verify.provenance import Provenance
from dermae_bench.report.verify.scores import Again
from dermae_bench.report.verify.stored import Entries

TOPIC = "facts"
PLACE = "evidence.json: boards.warnings"


def check_warnings(
    scores: Sequence[Again],
    records: Sequence[Mapping[str, Any]],
    plan: Plan | None,
    evidence: Evidence,
    provenance: Provenance,
    entries: Entries | None,
    report: Report,
) -> None:
    """Compare in both directions; what only lints and costs give is left unchecked without the store.

    Args:
        records: as they should be; those of scores that were not computed again carry the warnings of their scores.
    """
    shown = [str(text) for text in evidence.about["boards"]["warnings"]]
    given = dict.fromkeys(map(str, public([*_known(scores, evidence), *_floors(plan, evidence)])))
    loose = {score.score.key for score in scores if score.summary is None}
    claimed = {text for item in records if item["key"] in loose for text in item["warnings"]}
    blind = []
    for key, stage in provenance.stages.items():
        if stage["kind"] != "cost" and stage["parts"]["work"].get("of") != "leakage":
            continue
        manifest = entries.whole(stage["kind"], key) if entries is not None else None
        if manifest is None:
            blind.append(str(stage["name"]))
        else:
            given |= dict.fromkeys(map(str, public(list(manifest.summary.get("warnings", ())))))
    report.count(TOPIC, len(given) + len(shown))
    for text in given:
        if text not in shown:
            report.differs(TOPIC, PLACE, "a warning is missing", None, text)
    if len(set(shown)) != len(shown):
        report.differs(TOPIC, PLACE, "a warning stands twice", shown)
    for text in shown:
        if text in given or text in claimed:
            continue
        if any(text.startswith(_begins(name)) for name in blind):
            report.skip(f"warning {text}", "store" if entries is None else "entry")
        else:
            report.differs(TOPIC, PLACE, "nothing here gives this warning", text)


def _begins(name: str) -> tuple[str, str]:
    """How warnings of a stage begin that is no score of a row."""
    return f"{name}: ", f"data ({name.removeprefix('score/leakage/')}): "


def _known(scores: Sequence[Again], evidence: Evidence) -> Iterator[str]:
    yield from evidence.prepared["warnings"]
    yield from (f"skipped: {name}" for name in evidence.prepared["skipped"])
    for other, about in evidence.others.items():
        yield from (f"{other}: {text}" for text in about["warnings"])
        yield from (f"{other}: skipped: {name}" for name in about["skipped"])
    for score in scores:
        if score.summary is not None:
            yield from score.summary["warnings"]


def _floors(plan: Plan | None, evidence: Evidence) -> Iterator[str]:
    """Of floors over fewer images than the samples that they stand beside, which the plan tells.

    Without a plan such a warning is taken as it stands, if its floor is there.
    """
    rows = [row for row in evidence.about["boards"]["rows"] if row["kind"] == "floor" and "n" in row["names"]]
    beside = {(row.board, str(public(row.row))): str(row.names.get("n")) for row in plan.rows} if plan else {}
    for row in rows:
        names = row["names"]
        head = f"{names['generator']} ({names['sampling']}): {names['n']} images against samples of "
        many = beside.get((row["board"], row["row"]))
        if many is not None and int(names["n"]) < int(many):
            yield f"{head}{many}; its distance is biased upwards beside theirs"
        elif plan is None:
            yield from (text for text in evidence.about["boards"]["warnings"] if text.startswith(head))
