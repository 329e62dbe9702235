"""The audit of one table: every number beside what its digits, the test size and the class sizes allow."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dermae_bench.errors import UserError
from dermae_bench.report.audit.averages import Average, averages, micro, of_matrix
from dermae_bench.report.audit.baselines import Baseline, baseline
from dermae_bench.report.audit.copies import copied_pairs, repeated_values
from dermae_bench.report.audit.findings import Finding, by_grade
from dermae_bench.report.audit.pairs import Matched, matched, micro_clash
from dermae_bench.report.audit.printed import Printed
from dermae_bench.report.audit.sizes import Pool, pools
from dermae_bench.report.audit.statements import (
    average_findings,
    baseline_findings,
    copy_findings,
    pair_findings,
    size_findings,
)
from dermae_bench.report.audit.table import Entry, PaperTable
from dermae_bench.report.audit.testset import TestSet

Classes = Sequence[tuple[str, tuple[int, ...]]]
"""Task or test set (empty: the only one) and images of each class, as `--classes` gives them."""


@dataclass(frozen=True)
class Checked:
    """One entry with all that was worked out for it, for each test set that it may have."""

    entry: Entry
    sets: tuple[TestSet, ...]
    averages: Mapping[TestSet, Mapping[str, Average]]
    """Only where an F1 without its average is printed beside others; without class sizes `f1-micro` alone."""
    baselines: Mapping[TestSet, Mapping[str, Baseline]]
    matched: Mapping[TestSet, Matched]


@dataclass(frozen=True)
class Audit:
    """What the audit of a table says."""

    table: PaperTable
    checked: tuple[Checked, ...]
    pools: tuple[Pool, ...]
    findings: tuple[Finding, ...]


def audit(table: PaperTable, sizes: Sequence[int] = (), classes: Classes = ()) -> Audit:
    """Audit a table.

    Args:
        table: what was published.
        sizes: candidate numbers of test images, tried for every number beside those that the table tells. Where a
            table tells some sizes and not others, the others are of unknown test sets and nothing is tried on them.
        classes: candidate class sizes by task, negative before positive; several for one task are tried in turn.

    Raises:
        UserError: class sizes for a task that the table does not have.
    """
    _known(table, classes)
    some_told = any(entry.n is not None for entry in table.entries)
    checked = tuple(
        _check(entry, () if some_told and entry.n is None else _sets(entry, sizes, classes)) for entry in table.entries
    )
    size_pools = pools([(item.entry, item.sets) for item in checked])
    copies = copied_pairs(table.entries)
    findings = [
        *size_findings(size_pools),
        *average_findings([(item.entry, item.averages, item.matched) for item in checked]),
        *pair_findings([(item.entry, item.matched) for item in checked]),
        *baseline_findings([(item.entry, item.baselines) for item in checked]),
        *copy_findings(copies, repeated_values(table.entries, copies)),
    ]
    return Audit(table, checked, size_pools, tuple(by_grade(findings)))


def _known(table: PaperTable, classes: Classes) -> None:
    tasks = list(dict.fromkeys(entry.task for entry in table.entries))
    for name, _ in classes:
        if name not in tasks:
            close = difflib.get_close_matches(name, tasks, 1)
            told = ", ".join(repr(task) for task in tasks)
            hint = f"did you mean {close[0]!r}?" if close else f"the table has {told}"
            raise UserError(f"--classes: no task or test set is called {name!r}", hint=hint)


def _sets(entry: Entry, sizes: Sequence[int], classes: Classes) -> tuple[TestSet, ...]:
    """What the table tells first, then the candidates; a size whose classes are known is not repeated without them."""
    of_task = [TestSet(sum(counts), counts) for name, counts in classes if name == entry.task]
    told = [TestSet(entry.n, entry.counts)] if entry.n is not None else []
    plain = [TestSet(n, ()) for n in sizes]
    known = {candidate.n for candidate in [*told, *of_task] if candidate.counts}
    every = [*told, *of_task, *plain]
    return tuple(dict.fromkeys(item for item in every if item.counts or item.n not in known))


def _check(entry: Entry, sets: Sequence[TestSet]) -> Checked:
    cells = {metric: cell.printed for metric, cell in entry.cells.items()}
    found: dict[TestSet, Mapping[str, Average]] = {}
    if "f1" in cells:
        for item in sets or [TestSet(None, ())]:
            pair = _averages(cells, item)
            if pair:
                found[item] = pair
    baselines = {
        item: {metric: best for metric in cells for best in [baseline(metric, item.counts)] if best is not None}
        for item in sets
        if item.counts
    }
    for item, pair in found.items():
        # an F1 without its average is compared only where one average alone is left
        fitting = [average for average, fit in pair.items() if fit.fits]
        if item.counts and len(fitting) == 1 and (best := baseline(fitting[0], item.counts)) is not None:
            baselines[item]["f1"] = best
    together = {item: matched(cells, *item.counts) for item in sets if len(item.counts) == 2}
    if not together and (clashes := micro_clash(cells)):
        together = {(*sets, TestSet(None, ()))[0]: Matched(None, clashes, skipped=False)}
    return Checked(entry, tuple(sets), found, baselines, together)


def _averages(cells: Mapping[str, Printed], item: TestSet) -> Mapping[str, Average]:
    shares, f1 = of_matrix(cells), cells["f1"]
    tried = averages(shares, f1, *item.counts) if shares and len(item.counts) == 2 else None
    if tried is not None:
        return tried
    return {"f1-micro": micro(shares["accuracy"], f1)} if "accuracy" in shares else {}
