"""Rows and facts of the boards beside what the suite asks for: which scores belong to which row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dermae_bench.durable import canonical
from dermae_bench.report.escape import public
from dermae_bench.report.evidence import Evidence, Score
from dermae_bench.report.ranking import TEST
from dermae_bench.report.uncertainty import INTERVAL
from dermae_bench.report.verify.chains import Chains
from dermae_bench.report.verify.findings import Report
from dermae_bench.report.verify.marks import check_marks
from dermae_bench.report.verify.planned import FILE, TOPIC, Plan
from dermae_bench.report.verify.provenance import Provenance
from dermae_bench.report.verify.stored import Entries
from dermae_bench.suite.parts import Cell, RowPlan
from dermae_bench.suite.stage import Stage

Name = tuple[str, str]
"""Board and row."""


def check_plan(
    plan: Plan, evidence: Evidence, provenance: Provenance, entries: Entries | None, report: Report
) -> dict[Name, list[Stage]]:
    """Every row is one of the suite, and shows the scores of the models, seeds and images that the suite gives it.

    Returns:
        the scores that the suite asks for and the folder does not have, of each row that lacks some.
    """
    chains = Chains(plan, provenance, report)
    _words(plan, evidence, provenance, report)
    stored: dict[Name, Mapping[str, Any]] = {
        (row["board"], row["row"]): row for row in evidence.about["boards"]["rows"] if row["kind"] != "reported"
    }
    claims: dict[tuple[Name, str], list[Score]] = {}
    for score in evidence.scores:
        for shown in score.rows:
            claims.setdefault(((shown["board"], shown["row"]), canonical(shown["seeds"])), []).append(score)
    planned: dict[Name, RowPlan] = {(row.board, str(public(row.row))): row for row in plan.rows}
    for name in planned.keys() - stored.keys():
        report.differs(TOPIC, f"evidence.json: row {name[1]}", f"{FILE} asks for this row, and it is missing")
    for name in stored.keys() - planned.keys():
        report.differs(TOPIC, f"evidence.json: row {name[1]}", f"{FILE} asks for no such row")
    missing: dict[Name, list[Stage]] = {}
    for name, row in planned.items():
        if name in stored and (lacking := _row(row, stored[name], name, claims, chains, report)):
            missing[name] = lacking
    if stored.keys() == planned.keys() and list(stored) != list(planned):
        report.differs(TOPIC, "evidence.json: rows", f"they are not in the order of {FILE}", list(stored))
    _costs(planned, provenance, chains, report)
    _uncounted(planned, stored, provenance, entries, chains.aged, report)
    _others(plan, evidence, provenance, chains, report)
    if chains.aged:
        _exchanged(planned, claims, chains, report)
    chains.names()
    check_marks(plan, evidence, chains, entries, planned, stored, report)
    return missing


def _words(plan: Plan, evidence: Evidence, provenance: Provenance, report: Report) -> None:
    """Facts of the boards that are the suite's. The preset's name is in no suite that it was merged into."""
    boards, suite = evidence.about["boards"], plan.suite
    facts = {"precision": suite.precision, "threads": str(suite.threads), "images": str(evidence.prepared["n"])}
    meant = {
        "suite": suite.suite, "description": suite.description, "dataset": suite.dataset.plugin, "facts": facts,
        "interval": INTERVAL, "image_size": int(suite.dataset.params["image_size"]),
    }  # fmt: skip
    for name, value in meant.items():
        report.count(TOPIC)
        if boards[name] != public(value):
            place = f"evidence.json: boards.{name}"
            report.differs(TOPIC, place, f"it is not that of {FILE}", boards[name], public(value))
    published = (provenance.about["reference"] is not None, suite.reference is not None)
    if published[0] != published[1]:
        report.differs(TOPIC, "evidence.json: reference", f"published numbers are shown, and {FILE}", *published)
    elif suite.reference is not None:
        name, own = provenance.about["reference"].get("file"), public(Path(suite.reference).name)
        if name != own:
            report.differs(TOPIC, "evidence.json: reference", f"it is not the table of {FILE}", name, own)
    preset = boards["preset"]
    if preset is not None:
        report.note(f"the boards say that preset {preset!r} was run; nothing here can check the name")


def _row(
    row: RowPlan,
    shown: Mapping[str, Any],
    name: Name,
    claims: Mapping[tuple[Name, str], Sequence[Score]],
    chains: Chains,
    report: Report,
) -> list[Stage]:
    place = f"evidence.json: row {name[1]}"
    meant = {"names": _names(row, shown), "kind": row.kind, "seeds": [dict(cell.seeds) for cell in row.cells]}
    for what, value in meant.items():
        report.count(TOPIC)
        if shown[what] != public(value):
            report.differs(TOPIC, place, f"{what}: not as in {FILE}", shown[what], public(value))
    lacking: list[Stage] = []
    for cell in row.cells:
        seeds = canonical(public(cell.seeds))
        lacking += _cell(cell, claims.get((name, seeds), ()), f"{place}, seeds {seeds}", chains, report)
    if (shown["status"] == "ok") == bool(lacking):
        told = f"{len(lacking)} scores that {FILE} asks for are not here, and its status is"
        report.differs(TOPIC, place, told, shown["status"], "pending or failed" if lacking else "ok")
    return lacking


def _names(row: RowPlan, shown: Mapping[str, Any]) -> Mapping[str, Any]:
    """Its names. A floor may have fewer images than the samples that it stands beside, and says so."""
    told = str(shown["names"].get("n", ""))
    fewer = row.kind == "floor" and told.isdecimal() and int(told) <= int(row.names.get("n", 0))
    return {**row.names, "n": told} if fewer else row.names


def _cell(cell: Cell, scores: Sequence[Score], place: str, chains: Chains, report: Report) -> list[Stage]:
    """Compare the scores of a row under one choice of seeds; returns those that are not here."""
    left = list(scores)
    lacking = []
    for stage in cell.scores:
        own = next((score for score in left if score.name == public(stage.name)), None)
        if own is None:
            lacking.append(stage)
            continue
        left.remove(own)
        chains.compare(stage, own.key, place)
    # a score under another name is held to what is asked for, too: names are in no key
    for stage, score in zip(list(lacking), list(left), strict=False):
        chains.compare(stage, score.key, place)
        lacking.remove(stage)
        left.remove(score)
    for score in left:
        report.differs(TOPIC, place, f"{FILE} asks for no such score of this row", score.name)
    return lacking


def _exchanged(
    planned: Mapping[Name, RowPlan], claims: Mapping[tuple[Name, str], Sequence[Score]], chains: Chains, report: Report
) -> None:
    """Scores that are another row's, also where another version planned both otherwise than this one.

    What the versions do otherwise differs for the right row, too. So a score belongs elsewhere where it differs from
    what another row asks for in a part of the same places, and in no others.
    """
    wanted = [
        (name, canonical(public(cell.seeds)), stage)
        for name, row in planned.items()
        for cell in row.cells
        for stage in cell.scores
    ]
    for name, seeds, stage in wanted:
        for score in claims.get((name, seeds), ()):
            if score.name != public(stage.name):
                continue
            own = chains.fields(stage, score.key)
            other = next((its for its, _, one in wanted if own and chains.fields(one, score.key) < own), None)
            if other is not None:
                place = f"evidence.json: row {name[1]}, seeds {seeds}: {score.name}"
                report.differs(TOPIC, place, "it is rather what this row asks for", name[1], other[1])


def _costs(planned: Mapping[Name, RowPlan], provenance: Provenance, chains: Chains, report: Report) -> None:
    for item in provenance.about["costs"]:
        row = planned.get((item["board"], item["row"]))
        if row is not None and row.cost is not None:
            chains.compare(row.cost, item["key"], f"costs of {item['row']}")
        elif row is not None:
            report.differs(TOPIC, f"costs of {item['row']}", f"{FILE} counts no costs of this row", item["key"])


def _uncounted(
    planned: Mapping[Name, RowPlan],
    stored: Mapping[Name, Mapping[str, Any]],
    provenance: Provenance,
    entries: Entries | None,
    aged: bool,
    report: Report,
) -> None:
    """Costs that the suite counts and the folder does not have.

    A run that was cut short may lack some, and its rows say so; in a finished one they were taken out. With the store
    it is known which.
    """
    counted = {(item["board"], item["row"]) for item in provenance.about["costs"]}
    finished = all(row["status"] == "ok" for row in stored.values())
    for name, row in planned.items():
        if row.cost is None or name in counted or name not in stored:
            continue
        report.count(TOPIC)
        place, told = (
            f"evidence.json: row {name[1]}: costs",
            f"{FILE} counts the costs of this row, and they are missing",
        )
        if entries is not None and entries.store.has(row.cost.kind, row.cost.key):
            report.differs(TOPIC, place, f"{told}; the store has them", None, f"{row.cost.kind}/{row.cost.key}")
        elif aged:
            report.skip(f"{place}: they are not here", "version")
        elif (entries is None or entries.store.failure(row.cost.key) is None) and finished:
            report.differs(TOPIC, place, told)
        else:
            report.skip(f"{place}: they are not here", "row")


def _others(plan: Plan, evidence: Evidence, provenance: Provenance, chains: Chains, report: Report) -> None:
    """Stages that no score of a row reads: lints, grids of samples, costs of encoders; and the data sets."""
    by_name: dict[tuple[str, str], list[str]] = {}
    for key, stage in provenance.stages.items():
        by_name.setdefault((stage["kind"], stage["name"]), []).append(key)
    prepared = _data_sets(plan, evidence, chains, report)
    for planned in plan.stages:
        if planned.key in prepared:
            continue
        keys = by_name.get((planned.kind, str(public(planned.name))), [])
        if planned.key not in chains.found and keys:
            nearest = min(keys, key=lambda key: len(chains.fields(planned, key)))
            chains.compare(planned, nearest, f"evidence.json: stage {planned.name}")


def _data_sets(plan: Plan, evidence: Evidence, chains: Chains, report: Report) -> set[str]:
    """Hold each data set to the stage that prepares it; returns the keys of these in the plan."""
    own = next(stage for stage in plan.stages if stage.kind == "prepare" and "only" not in stage.work)
    chains.compare(own, str(evidence.prepared["key"]), "the prepared data set")
    found = {own.key}
    stages = {row.names[TEST]: row.prepare for row in plan.rows if row.prepare is not None}
    for name, stage in stages.items():
        found.add(stage.key)
        if name in evidence.others:
            chains.compare(stage, str(evidence.others[name]["key"]), f"the prepared data set {name}")
    for name in evidence.others.keys() - stages.keys():
        place = f"evidence.json: others.{str(name)[:80]}"
        report.differs(TOPIC, place, f"{FILE} scores nothing on such a data set")
    return found
