"""An audit as headings, tables and statements, before anything is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dermae_bench.report.audit.audit import Audit, Checked
from dermae_bench.report.audit.averages import ACCURACY_SLACK, F1_SLACK, Average, verdict
from dermae_bench.report.audit.counts import fitting
from dermae_bench.report.audit.findings import ASSUMPTIONS, GRADES, MEANING, odds, pair_text, percent
from dermae_bench.report.audit.matrices import AVERAGES
from dermae_bench.report.audit.pairs import Implied, Matched
from dermae_bench.report.audit.printed import HOWS, Printed
from dermae_bench.report.audit.table import Cell
from dermae_bench.report.audit.testset import TestSet

COUNTED = ("A1", "A2", "A4")
"""What the counts behind printed shares assume."""
IMPLIED = ("A1", "A3", "A4")


@dataclass(frozen=True)
class Grid:
    """A table: heading of each column, and rows of as many texts."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A part of the audit: what it shows, how to read it, then a table or statements."""

    title: str
    about: str
    grid: Grid | None = None
    items: tuple[str, ...] = ()


def sections(result: Audit) -> list[Section]:
    """The parts that have something to show: sizes, cells, F1 averages, implied matrices, statements by grade."""
    parts = [_sizes(result), _cells(result), _averages(result), _implied(result)]
    found = [part for part in parts if part.grid is not None and part.grid.rows]
    for grade in GRADES:
        told = [finding for finding in result.findings if finding.grade == grade]
        items = tuple(
            finding.says + (f" [{', '.join(finding.assuming)}]" if finding.assuming else "") for finding in told
        )
        found.append(Section(f"{grade.capitalize()}: {len(items)}", MEANING[grade], items=items or ("nothing",)))
    used = {key for finding in result.findings for key in finding.assuming}
    used |= set(COUNTED) if parts[1].grid is not None and any(row[5] != "-" for row in parts[1].grid.rows) else set()
    used |= set(IMPLIED) if parts[3].grid is not None and parts[3].grid.rows else set()
    items = tuple(f"{key}: {text}" for key, text in ASSUMPTIONS.items() if key in used)
    if items:
        found.append(Section("Assumptions", "a statement holds if those behind it do", items=items))
    return found


def _behind(assumed: tuple[str, ...]) -> str:
    return f"[{', '.join(assumed)}]"


def title(result: Audit) -> str:
    """What was audited, in one line."""
    numbers = sum(len(item.entry.cells) for item in result.checked)
    systems = len({item.entry.system for item in result.checked})
    others = f"; only compared for copies: {', '.join(result.table.others)}" if result.table.others else ""
    return f"Audit of {result.table.name}: {numbers} numbers, {systems} systems{others}"


def _sizes(result: Audit) -> Section:
    rows = []
    for pool in result.pools:
        least = " / ".join(str(pool.smallest[how] or "> 100000") for how in HOWS)
        for tried in pool.tried:
            grade, text = tried.reading(len(pool.cells))
            hits = " / ".join(f"{tried.hits[how]}" for how in HOWS)
            p = " / ".join(odds(tried.p[how]) for how in HOWS)
            share = f"{tried.chance['rounded']:.1%}" if tried.chance["rounded"] >= 0.001 else "below 0.1%"
            rows.append(
                (pool.name, str(tried.n), f"{hits} of {len(pool.cells)}", share, p, f"{grade}: {text}",
                 tried.runs, least)
            )  # fmt: skip
        if not pool.tried:
            rows.append((pool.name, "-", "-", "-", "-", "cannot be told: no size to try", "-", least))
    about = (
        "is each accuracy k / n? (GRIM; rounded / cut off) chance: share of arbitrary numbers that fit; p: probability "
        "that so many or more fit by chance; runs: least number of runs whose mean explains all"
    )
    heads = ("accuracies", "n", "fit", "chance", "p", "reading", "runs", "smallest n for all")
    return Section("Test size", about, Grid(heads, tuple(rows)))


def _cells(result: Audit) -> Section:
    rows = []
    for item in result.checked:
        for cell in item.entry.cells.values():
            counts = "; ".join(counts_text(item, cell)) or "-"
            ahead = "; ".join(margins(item, cell)) or "-"
            if counts == ahead == "-":
                continue
            rows.append(
                (
                    str(cell.line),
                    item.entry.system,
                    item.entry.task or "-",
                    cell.metric,
                    cell.printed.text,
                    counts,
                    ahead,
                )
            )
    about = (
        "counts: what the number can be out of so many images if its digits are rounded, and `cut` if they are cut "
        "off, where that differs [A1, A2, A4, of one class A3]; points: its distance from the best constant answer"
    )
    return Section(
        "Numbers", about, Grid(("line", "system", "task", "metric", "printed", "counts", "points"), tuple(rows))
    )


def counts_text(item: Checked, cell: Cell) -> Iterator[str]:
    """`1151/1512` for each size that the number can be a count of, `no/2003` for each that it cannot.

    `155/189 (cut 155-156)` where digits that are cut off stand for other counts than rounded ones.
    """
    for size in dict.fromkeys(size for test_set in item.sets for size in _denominators(cell.metric, test_set)):
        rounded, cut = (_counts(fitting(cell.printed, size, how)) for how in HOWS)
        yield f"{rounded}/{size}" + (f" (cut {cut})" if cut != rounded else "")


def _denominators(metric: str, test_set: TestSet) -> tuple[int, ...]:
    if metric in ("accuracy", "f1-micro"):
        return (test_set.n,) if test_set.n is not None else ()
    two = len(test_set.counts) == 2
    place = {"specificity": 0, "sensitivity": 1}.get(metric)
    return (test_set.counts[place],) if two and place is not None else ()


def _counts(found: range) -> str:
    return f"{found[0]}{f'-{found[-1]}' if len(found) > 1 else ''}" if found else "no"


def margins(item: Checked, cell: Cell) -> Iterator[str]:
    """The best constant answer and the points above it, for each test set."""
    for baselines in item.baselines.values():
        if cell.metric in baselines:
            best = baselines[cell.metric]
            yield f"{best.name} {best.value:.3f}: {100 * (cell.printed.value - best.value):+.1f}"


def _averages(result: Audit) -> Section:
    rows = []
    for item in result.checked:
        two = [test_set for test_set in item.averages if len(test_set.counts) == 2]
        # without two class sizes every candidate says the same
        for test_set in two or list(item.averages)[:1]:
            pair, cells = item.averages[test_set], item.entry.cells
            grade, text = verdict(pair)
            fits = [_fit(pair[name], cells["f1"].printed) if name in pair else "?" for name in AVERAGES]
            sizes = "/".join(map(str, test_set.counts)) if len(test_set.counts) == 2 else str(test_set.n or "?")
            head = (str(item.entry.line), item.entry.system, item.entry.task or "-", pair_text(item.entry), sizes)
            rows.append((*head, *fits, f"{grade}: {text}"))
    about = (
        "which average the F1 can be, by every confusion matrix of these class sizes (negative/positive) near the "
        f"row's other numbers. exact: all as printed; near: within {ACCURACY_SLACK} of the accuracy and {F1_SLACK} of "
        "the F1, with the share of arbitrary numbers that would be; no: between matrices; < or >: out of the range "
        "beside the other numbers; !: no matrix is near these; ?: not tried, it needs two known class sizes and few "
        "enough matrices"
    )
    names = (name.removeprefix("f1-") for name in AVERAGES)
    heads = ("line", "system", "task", "accuracy/F1", "sizes", *names, "reading")
    return Section("F1 averages", about, Grid(heads, tuple(rows)))


def _fit(average: Average, f1: Printed) -> str:
    match average.fit:
        case "exact":
            return "exact"
        case "near":
            return f"near {percent(average.chance)}"
        case "not near":
            return "no"
        case "clash":
            return "!"
    return f"< {average.low:.3f}" if f1.value < average.low else f"> {average.high:.3f}"


def _implied(result: Audit) -> Section:
    rows = []
    for item in result.checked:
        for test_set, found in item.matched.items():
            auc = item.entry.cells.get("auc")
            for reading, known in readings(found):
                ends = "-".join(f"{end:.2f}" for end in known.sensitivity_interval)
                rows.append(
                    (
                        str(item.entry.line),
                        item.entry.system,
                        item.entry.task or "-",
                        f"{test_set.n} ({test_set.counts[1]})",
                        reading,
                        _whole(known.tp),
                        _whole(known.tn),
                        f"{_share(known.sensitivity)} ({ends})",
                        _share(known.specificity),
                        _share(known.balanced_accuracy),
                        f"{auc.printed.text} in {known.auc[0]:.3f}-{known.auc[1]:.3f}" if auc else "-",
                    )
                )
    about = (
        "the confusion matrices that give every number of the row, as ranges, if its digits are rounded or cut off "
        f"{_behind(IMPLIED)}; behind the sensitivity its 95 % interval (Wilson); AUC: the areas that curves through "
        "this operating point can have"
    )
    heads = ("line", "system", "task", "n (pos)", "digits", "TP", "TN", "sensitivity", "specificity", "balanced acc.",
             "AUC")  # fmt: skip
    return Section("Implied confusion matrices", about, Grid(heads, tuple(rows)))


def readings(found: Matched) -> list[tuple[str, Implied]]:
    """What the numbers imply by each reading of their digits that pins it down; once where all agree."""
    words = {"rounded": "rounded", "truncated": "cut off"}
    told = {how: known for how, known in found.readings.items() if known.told}
    if len({known.matrices for known in found.readings.values()}) == 1 and len(told) > 1:
        return [("either", next(iter(told.values())))]
    return [(words[how], known) for how, known in told.items()]


def _whole(ends: tuple[int, int]) -> str:
    return f"{ends[0]}" if ends[0] == ends[1] else f"{ends[0]}-{ends[1]}"


def _share(ends: tuple[float, float]) -> str:
    low, high = (f"{end:.3f}" for end in ends)
    return low if low == high else f"{low}-{high}"
