"""One results folder from its digests to its boards: what is checked, in which order, and with what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dermae_bench.errors import UserError
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.report.evidence import FILE, IMAGES, PREDICTIONS, VERSION, Evidence
from dermae_bench.report.records import Boards
from dermae_bench.report.verify.answers import check_answers, check_images
from dermae_bench.report.verify.asked import check_plan
from dermae_bench.report.verify.digests import check_digests
from dermae_bench.report.verify.facts import check_facts
from dermae_bench.report.verify.findings import FEATURES, UNUSABLE, Report, parts, why
from dermae_bench.report.verify.mending import tell_mending
from dermae_bench.report.verify.metrics import Metrics
from dermae_bench.report.verify.planned import Plan, plan_of
from dermae_bench.report.verify.provenance import Provenance, check_keys
from dermae_bench.report.verify.reading import read_json, read_lines, read_table
from dermae_bench.report.verify.rebuilt import boards_of, check_boards, check_intervals, check_rows
from dermae_bench.report.verify.records import FILE as RECORDS
from dermae_bench.report.verify.records import check_records, read_records
from dermae_bench.report.verify.reference import check_reference
from dermae_bench.report.verify.scores import Again, ScoreSamples, Tell, again
from dermae_bench.report.verify.stored import Entries, check_costs, check_store, check_tables
from dermae_bench.report.verify.unfinished import check_unfinished
from dermae_bench.report.verify.warned import check_warnings
from dermae_bench.store.artifacts import Store

SHAPE: Mapping[str, type] = {
    "boards": dict, "intervals": list, "predictions": dict, "prepared": dict, "provenance": dict, "scores": list,
}  # fmt: skip


def verify(
    folder: Path,
    *,
    store: Path | None,
    without_store: bool,
    catalog: Catalog,
    samples_in: Callable[[Entries], ScoreSamples] | None = None,
    results: Sequence[Path] = (),
    named: str | None = None,
    tell: Tell = lambda done, total: None,
    agreed: Callable[[Boards], None] | None = None,
) -> Report:
    """Compute every number of a results folder again and name what differs.

    Args:
        store: the store of the run; None where it is not here.
        without_store: the reader knows that it is not here, so that what needs it does not count.
        catalog: where metric plugins are found.
        samples_in: gives, for store entries, what computes a score of samples (`ScoreSamples`).
        results: where a folder `reference` with published tables may lie.
        named: how the folder is called in what is told; None: by its path.
        tell: is told how many of the scores are done.
        agreed: is given the boards that evidence and records describe, before the folder's own are compared with them;
            only where nothing differed so far.

    Raises:
        UserError: `folder` is no results folder.
    """
    place = str(folder)
    called = place if named is None else named
    if not folder.is_dir() or not (folder / FILE).exists():
        raise UserError(
            f"{called} is no results folder: it holds no {FILE}",
            hint="`dermae-bench list` shows those that are there; `dermae-bench report SUITE` makes one again",
        )
    told = str(store) if store is not None else None
    lies_at = place if place != called else None
    report = Report(folder=called, lies_at=lies_at, store=told, without_store=without_store)
    check_digests(folder, report)
    evidence = _evidence(folder, report)
    if evidence is None:
        return report
    try:
        provenance = Provenance(evidence.about["provenance"])
        check_keys(provenance, evidence.scores, report, stored=store is not None)
        entries = Entries(Store(store), report) if store is not None else None
        plan = plan_of(folder, evidence, catalog, report)
        lacking = check_plan(plan, evidence, provenance, entries, report) if plan is not None else None
        check_unfinished(plan, lacking, evidence, provenance, entries, report)
        _tables(folder, evidence, provenance, entries, report)
        samples: ScoreSamples | None = samples_in(entries) if entries is not None and samples_in is not None else None
        scores = again(evidence, provenance, Metrics(catalog), samples, report, tell)
        _numbers(folder, scores, plan, evidence, provenance, entries, report, agreed)
        check_costs(entries, evidence, provenance, report)
        check_reference(evidence, provenance, results, report)
        if entries is not None:
            tell_mending(entries, plan, provenance, report)
    except UNUSABLE as error:
        report.differs("evidence", FILE, f"it cannot be used: {why(error)}")
    return report


def _evidence(folder: Path, report: Report) -> Evidence | None:
    about = read_json(folder, FILE, report, "evidence")
    if about is None:
        return None
    if about.get("version") != VERSION:
        report.differs("evidence", f"{FILE}: version", "another version of dermae-bench wrote it", about.get("version"))
        return None
    # folders of older versions have no other data sets
    for name, kind in {**SHAPE, **({"others": dict} if "others" in about else {})}.items():
        if not isinstance(about.get(name), kind):
            report.differs("evidence", f"{FILE}: {name}", "it is missing, or not what it should be")
            return None
    try:
        found = Evidence(folder)
        report.count("evidence", len(found.scores))
        if not found.scores:
            report.skip("this folder holds no number yet", "run")
    except UNUSABLE as error:
        report.differs("evidence", FILE, f"it cannot be used: {why(error)}")
        return None
    return found


def _tables(folder: Path, evidence: Evidence, provenance: Provenance, entries: Entries | None, report: Report) -> None:
    """Answers and images; with a store, the whole chain behind them, too."""
    needed = bool(evidence.about["predictions"])
    answers = read_table(folder, PREDICTIONS, report, "predictions") if needed else None
    images = read_table(folder, IMAGES, report, "images") if needed else None
    found = check_images(images, evidence, report) if images is not None else None
    if answers is not None:
        try:
            check_answers(answers, evidence, provenance, found, report)
        except UNUSABLE as error:
            report.differs("predictions", PREDICTIONS, f"it cannot be used: {why(error)}")
    if entries is not None:
        check_store(entries, provenance, report)
        check_tables(entries, evidence, provenance, answers, images, report)


def _numbers(
    folder: Path,
    scores: Sequence[Again],
    plan: Plan | None,
    evidence: Evidence,
    provenance: Provenance,
    entries: Entries | None,
    report: Report,
    agreed: Callable[[Boards], None] | None,
) -> None:
    """Records, rows, intervals, and the boards that are made of them."""
    stored = read_records(read_lines(folder, RECORDS, report, "records"), report)
    records = check_records(stored, scores, evidence, report)
    check_rows(scores, evidence, plan, report)
    check_facts(evidence, report)
    if evidence.prepared:
        check_warnings(scores, records, plan, evidence, provenance, entries, report)
    _details(scores, evidence, report)
    intervals, blind = check_intervals(scores, evidence, report)
    drawn = set(plan.suite.figures) if plan is not None else None
    boards = boards_of(evidence, records, intervals)
    if agreed is not None and not report.counts:
        agreed(boards)
    check_boards(folder, boards, drawn, blind, report)


def _details(scores: Sequence[Again], evidence: Evidence, report: Report) -> None:
    """Curves and nearest pairs that stand behind numbers from samples: those of the first seed that has any."""
    first: dict[tuple[str, str], dict[str, Any]] = {}
    known = {row["row"]: row for row in evidence.about["boards"]["rows"]}
    lost = {row["row"] for score in scores if score.summary is None for row in score.score.rows}
    for score in scores:
        for row in score.score.rows:
            details = dict((score.summary or {}).get("details", {}))
            if details:
                seeds = str(known[row["row"]]["seeds"].index(row["seeds"])).zfill(6)
                first.setdefault((row["row"], seeds), {}).update(details)
    meant: dict[str, dict[str, Any]] = {}
    for (name, _), details in sorted(first.items()):
        meant.setdefault(name, details)
    stored = evidence.about["boards"]["details"]
    for name in {*meant, *stored} - lost:
        report.count("details")
        for at, one, two in parts(stored.get(name), meant.get(name), FEATURES):
            report.differs("details", f"evidence.json: details of {name}: {at}", "the samples give", one, two)
