"""The matrix of what models have seen, and the marks beside rows, made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dermae_bench.report.collect import labels_of_teacher
from dermae_bench.report.contamination import CLEAN, LINTED, UNCHECKED, Contamination, contamination
from dermae_bench.report.escape import public
from dermae_bench.report.evidence import Evidence
from dermae_bench.report.starts import started_from
from dermae_bench.report.verify.chains import Chains
from dermae_bench.report.verify.findings import ABSENT, Needs, Report
from dermae_bench.report.verify.planned import Plan
from dermae_bench.report.verify.stored import Entries
from dermae_bench.suite.given import TRAINED
from dermae_bench.suite.parts import RowPlan
from dermae_bench.suite.stage import Stage
from dermae_bench.suite.weights import declared_corpora

TOPIC = "contamination and marks"
AND = "; "
"""Between the statements of a cell."""
TAUGHT = "teacher's labels"
"""How a mark begins that only the store tells."""


def check_marks(
    plan: Plan,
    evidence: Evidence,
    chains: Chains,
    entries: Entries | None,
    planned: Mapping[tuple[str, str], RowPlan],
    stored: Mapping[tuple[str, str], Mapping[str, Any]],
    report: Report,
) -> None:
    """What models have learnt from, line by line; what lints found in it only the store tells.

    Without the store, or where the entry of a lint is missing or damaged, the cells of the test sets are taken as they
    stand, and the marks are held to them.
    """
    lost: set[str] = set()

    def summary(stage: Stage) -> Mapping[str, Any] | None:
        # lints of another version are those that the run had
        key = chains.behind.get(stage.key)
        if key is None:
            return None
        manifest = entries.whole(stage.kind, key) if entries is not None else None
        if manifest is None:
            lost.add(stage.key)
        return manifest.summary if manifest is not None else None

    seen = contamination(plan.resolved, plan.catalog, plan.stages, summary, evidence.prepared)
    table = [list(line) for line in evidence.about["boards"]["contamination"]]
    meant: list[list[str]] = public(seen.rows())
    report.count(TOPIC, len(meant))
    width, tests = len(meant[0]), seen.tests
    if [len(line) for line in table] != [width] * len(meant):
        report.differs(TOPIC, "evidence.json: boards.contamination", "its lines", len(table), len(meant))
        return
    linted = entries is not None and not lost
    compared = width if linted else width - len(tests)
    for line, own in zip(table, meant, strict=True):
        for column, one, two in list(zip(meant[0], line, own, strict=True))[:compared]:
            if one != two:
                place = f"evidence.json: boards.contamination: {' '.join(own[:3])}: {column}"
                report.differs(TOPIC, place, "suite and lints give", one, two)
    needs: Needs = "store" if entries is None else "entry"
    if not linted:
        report.skip("what lints found in the training data", needs, len(meant) - 1)
        _declared(seen, table, report)
        seen = _as_told(seen, table)
    _how_made(plan, planned, stored, report)
    for name, row in planned.items():
        if name in stored:
            taught = list(labels_of_teacher(row, summary))
            if entries is None or (row.cells and row.cells[0].models and row.cells[0].models[0].key in lost):
                taught = [text for text in stored[name]["marks"] if text.startswith(TAUGHT)]
                if taught:
                    report.skip(f"{row.row}: the labels that its teacher gave", needs, len(taught))
            _marks(row, stored[name], seen, evidence, taught, report)


def _how_made(
    plan: Plan,
    planned: Mapping[tuple[str, str], RowPlan],
    stored: Mapping[tuple[str, str], Mapping[str, Any]],
    report: Report,
) -> None:
    """How each row came to its task, and where its weights began.

    Older folders tell neither: all that they have was trained, and the matrix tells what external weights there are.
    """
    declared = declared_corpora(plan.resolved, plan.catalog)
    older = not any("protocol" in shown or "started_from" in shown for shown in stored.values())
    for name, row in planned.items():
        if name not in stored:
            continue
        started = str(public(started_from(plan.resolved, declared, row)))
        meant = {"protocol": row.protocol, "started_from": started}
        told = {what: stored[name].get(what, ABSENT) for what in meant}
        if older:
            usual = TRAINED if row.protocol else ""
            told = {"protocol": usual, "started_from": started}
        for what, value in meant.items():
            report.count(TOPIC)
            if told[what] != value:
                place = f"evidence.json: row {stored[name]['row']}: {what}"
                report.differs(TOPIC, place, "suite and plugins give", told[what], value)


def _declared(seen: Contamination, table: list[list[str]], report: Report) -> None:
    """Statements that need no lint: what is declared, what is not, and overlaps of splits."""
    tests = seen.tests
    for line, told in zip(seen.table, table[1:], strict=True):
        for test, text in zip(tests, told[-len(tests) :], strict=True):
            shown = [one for one in text.split(AND) if one not in (CLEAN, UNCHECKED) and not one.startswith(LINTED)]
            meant = [str(public(one)) for one in line.cells[test] if one not in (CLEAN, UNCHECKED)]
            if sorted(shown) != sorted(AND.join(meant).split(AND) if meant else []):
                place = f"evidence.json: boards.contamination: {line.kind} {line.name} {line.train}: {test}"
                report.differs(TOPIC, place, "the suite and its plugins give", shown, meant)


def _as_told(seen: Contamination, table: list[list[str]]) -> Contamination:
    """The same lines, with the cells of the folder."""
    tests = seen.tests
    lines = []
    for line, told in zip(seen.table, table[1:], strict=True):
        cells = dict(zip(tests, told[-len(tests) :], strict=True))
        lines.append(replace(line, cells={test: tuple(text.split(AND)) for test, text in cells.items()}))
    return replace(seen, table=tuple(lines))


def _marks(
    row: RowPlan,
    shown: Mapping[str, Any],
    seen: Contamination,
    evidence: Evidence,
    taught: Sequence[str],
    report: Report,
) -> None:
    leaky = evidence.prepared["leaky"]
    meant = public([*row.marks, *taught, *([f"leaky: {leaky}"] if leaky else []), *seen.marks_of(row)])
    report.count(TOPIC)
    if sorted(shown["marks"]) != sorted(meant):
        place = f"evidence.json: row {shown['row']}"
        report.differs(TOPIC, place, "its marks are not those that suite, data and lints give", shown["marks"], meant)
