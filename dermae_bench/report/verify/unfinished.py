"""Rows that are shown as pending or failed: the store tells whether they are, and nobody else can."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dermae_bench.report.collect import Collector
from dermae_bench.report.escape import public
from dermae_bench.report.evidence import PREDICTIONS, Evidence
from dermae_bench.report.verify.findings import UNUSABLE, Report, why
from dermae_bench.report.verify.planned import Plan, unknown
from dermae_bench.report.verify.provenance import Provenance
from dermae_bench.report.verify.stored import Entries
from dermae_bench.suite.stage import Stage

TOPIC = "rows without numbers"
Name = tuple[str, str]
"""Board and row."""
Lacking = Mapping[Name, Sequence[Stage]]
"""Row -> scores that the suite asks for and the folder does not have; only rows that lack some."""


def check_unfinished(
    plan: Plan | None,
    lacking: Lacking | None,
    evidence: Evidence,
    provenance: Provenance,
    entries: Entries | None,
    report: Report,
) -> None:
    """Whether rows without numbers are what the store says of them; without store or plan each is named as unchecked.

    Args:
        plan: None where the suite cannot be planned here.
        lacking: as the plan gives it; None without a plan.
    """
    rows = [row for row in evidence.about["boards"]["rows"] if row["kind"] != "reported"]
    unfinished = [row for row in rows if row["status"] != "ok"]
    stored = _Stored(plan, provenance, entries) if plan is not None and entries is not None else None
    for row in unfinished:
        stages = (lacking or {}).get((row["board"], row["row"]), ())
        report.count(TOPIC)
        if stored is None or not stages:
            report.skip(_told(row), "row", max(1, len(stages)))
            continue
        try:
            stored.check(row, stages, report)
        except UNUSABLE as error:
            report.differs(TOPIC, f"evidence.json: row {row['row']}", f"the store cannot tell: {why(error)}")
    waiting = {(row["board"], row["row"]) for row in unfinished}
    _unread(evidence, lacking, waiting, report)


class _Stored:
    """What the store knows of scores that a folder lacks.

    Args:
        plan: its keys are those of the store, unless a path or another version is in them.
        provenance: tells which version planned what is there.
    """

    def __init__(self, plan: Plan, provenance: Provenance, entries: Entries) -> None:
        self.store = entries.store
        self.collector = Collector(plan.suite, None, plan.stages, plan.rows, self.store)
        self.harness = provenance.harness
        self.plugins: dict[str, set[str]] = {}
        for stage in provenance.stages.values():
            for name, digest in stage["parts"]["plugins"].items():
                self.plugins.setdefault(name, set()).add(digest)
        self._names: set[str] | None = None

    def check(self, row: Mapping[str, Any], stages: Sequence[Stage], report: Report) -> None:
        place = f"evidence.json: row {row['row']}"
        finished = [stage for stage in stages if self.store.has(stage.kind, stage.key)]
        if finished:
            for stage in finished:
                told = (
                    f"it is shown as {row['status']}, and the store has its score {public(stage.name)}: it was hidden"
                )
                report.differs(TOPIC, place, told, row["status"], f"{stage.kind}/{stage.key}")
            return
        reasons = [reason for reason in map(self.collector.why, stages) if reason is not None]
        reason = public("; ".join(dict.fromkeys(reasons))) or None
        meant = {"status": "failed" if reasons else "pending", "reason": reason}
        if not reasons and any(self._unsure(stage) for stage in stages):
            # its key in the store cannot be known here
            report.skip(_told(row), "row", len(stages))
            return
        for name, value in meant.items():
            if row[name] != value:
                report.differs(TOPIC, place, f"{name}: the store has", row[name], value)
        report.note(f"{_told(row)}, as in the store")

    def _unsure(self, stage: Stage) -> bool:
        """Whether the store may hold this score under another key than the plan gives it."""
        if any(map(self._otherwise, _chain(stage))):
            return True
        if self._names is None:
            self._names = {manifest.name for manifest in self.store.manifests("score")}
        return stage.name in self._names

    def _otherwise(self, stage: Stage) -> bool:
        known = self.harness.get(stage.kind)
        return (
            unknown(stage.parts["work"])
            or (known is not None and known != stage.parts["harness"])
            or any(
                name in self.plugins and self.plugins[name] != {digest}
                for name, digest in stage.parts["plugins"].items()
            )
        )


def _chain(stage: Stage) -> Iterator[Stage]:
    yield stage
    for source in stage.inputs.values():
        yield from _chain(source)


def _told(row: Mapping[str, Any]) -> str:
    return f"row {row['row']} is shown as {row['status']}{': ' + str(row['reason']) if row.get('reason') else ''}"


def _unread(evidence: Evidence, lacking: Lacking | None, waiting: set[Name], report: Report) -> None:
    """Answers to the test set that no score reads, and no row without numbers waits for: a score was taken out."""
    read = {about["key"] for score in evidence.scores for about in score.inputs.values()}
    awaited = {
        public(source.name)
        for row, stages in (lacking or {}).items()
        if row in waiting
        for stage in stages
        for source in stage.inputs.values()
        if source.kind == "predict"
    }
    for key, about in evidence.about["predictions"].items():
        name = about["name"]
        if (
            str(about["split"]).rpartition(":")[2] == "test"
            and key not in read
            and not (name in awaited or (lacking is None and waiting))
        ):
            report.differs("predictions", f"{PREDICTIONS}: {str(name)[:120]}", "no score is of these answers")
