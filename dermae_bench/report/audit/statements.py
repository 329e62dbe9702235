"""From what was worked out to sentences with a grade."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dermae_bench.report.audit.averages import ACCURACY_SLACK, F1_SLACK, Average
from dermae_bench.report.audit.baselines import Baseline
from dermae_bench.report.audit.copies import Copied, Repeated
from dermae_bench.report.audit.counts import fitting, wilson
from dermae_bench.report.audit.findings import RARE, Finding, Grade, listed, odds, pair_text, percent
from dermae_bench.report.audit.matrices import OF_MATRIX
from dermae_bench.report.audit.pairs import Matched
from dermae_bench.report.audit.printed import HOWS
from dermae_bench.report.audit.sizes import Pool
from dermae_bench.report.audit.table import Cell, Entry
from dermae_bench.report.audit.testset import TestSet

Named = tuple[Entry, Cell]


def size_findings(pools: Iterable[Pool]) -> list[Finding]:
    found = []
    for pool in pools:
        for tried in pool.tried:
            if not tried.refuted:
                continue
            ways = ", ".join(f"{tried.hits[how]} of {len(pool.cells)} fit {how}" for how in HOWS)
            least = " and ".join(f"{pool.smallest[how] or 'none below 100000'} {how}" for how in HOWS)
            says = (
                f"not all accuracies ({pool.name}) are counts out of {tried.n} images: {ways}; by chance "
                f"{percent(tried.chance['rounded'])} of such numbers fit, so they are means over runs, folds or "
                f"batches, averaged over classes, from other images, mixed, or hold errors; the smallest size that "
                f"explains all is {least}; impossible both ways: {_numbers(tried.impossible)}"
            )
            found.append(Finding("proved", "size", says, ("A1", "A2", "A4"), tried.impossible or pool.cells))
    return found


def average_findings(
    entries: Sequence[tuple[Entry, Mapping[TestSet, Mapping[str, Average]], Mapping[TestSet, Matched]]],
) -> list[Finding]:
    """What the readings of F1 without its average say, column by column."""
    found: list[Finding] = []
    columns: dict[tuple[str, TestSet], list[tuple[Entry, Mapping[str, Average]]]] = {}
    told: set[tuple[int, TestSet]] = set()
    for entry, fits, together in entries:
        for item, pair in fits.items():
            if len(pair) > 1:
                columns.setdefault((entry.task, item), []).append((entry, pair))
        told |= {(id(entry), item) for item, result in together.items() for clash in result.clashes
                 if "f1" in clash.metrics}  # fmt: skip
    for (task, item), rows in columns.items():
        where = f"{task}, " if task else ""
        # with more numbers beside the F1 it is told row by row which of them cannot stand together
        alone, beside = ([row for row in rows if _accuracy_alone(row[0]) == wanted] for wanted in (True, False))
        inexact = [entry for entry, pair in alone if not any(fit.fit == "exact" for fit in pair.values())]
        if inexact:
            says = (
                f"{where}{item}: no confusion matrix gives accuracy and F1 to the printed digits, whatever the "
                f"average, in {len(inexact)} of {len(alone)} pairs: {_pairs(inexact)}"
            )
            found.append(Finding("proved", "impossible", says, ("A1", "A3", "A4", "A5"), _both(inexact)))
        found += _far(where, item, alone, f"within {ACCURACY_SLACK} of the accuracy and")
        untold = [row for row in beside if (id(row[0]), item) not in told]
        found += _far(where, item, untold, "near the row's other numbers and within")
        found += _mixed(where, item, rows)
    return found


def _accuracy_alone(entry: Entry) -> bool:
    return {metric for metric in entry.cells if metric in OF_MATRIX} == {"accuracy"}


def _far(where: str, item: TestSet, rows: Sequence[tuple[Entry, Mapping[str, Average]]], beside: str) -> list[Finding]:
    """F1s that no matrix near the other numbers has; proved where they are beyond all of them."""
    hopeless = [entry for entry, pair in rows if all(fit.fit == "out of range" for fit in pair.values())]
    far = [entry for entry, pair in rows if not any(fit.fits or fit.fit == "clash" for fit in pair.values())]
    graded: list[tuple[Grade, list[Entry]]] = [
        ("proved", hopeless),
        ("likely", [entry for entry in far if entry not in hopeless]),
    ]
    found = []
    for grade, those in graded:
        if those:
            says = (
                f"{where}{item}: the pair belongs to another test set, another average or holds an error: no "
                f"matrix {beside} {F1_SLACK} of the F1: {_pairs(those)}"
            )
            found.append(Finding(grade, "average", says, ("A1", "A3", "A4", "A5"), _both(those)))
    return found


def _mixed(where: str, item: TestSet, rows: Sequence[tuple[Entry, Mapping[str, Average]]]) -> list[Finding]:
    """One F1 column, one average: refuted where ranges leave none in common, doubtful where nearness leaves none.

    A row that fits no average at all holds another fault and says nothing about the column.
    """
    rows = [(entry, pair) for entry, pair in rows if any(fit.fit != "out of range" for fit in pair.values())]
    possible = [{name for name, fit in pair.items() if fit.fit != "out of range"} for _, pair in rows]
    near = [{name for name, fit in pair.items() if fit.fits} for _, pair in rows]
    explaining = [names for names in near if names]
    if len(rows) < 2 or len(explaining) < 2:
        return []
    by_fit: dict[str, list[Entry]] = {}
    for (entry, _), names in zip(rows, near, strict=True):
        by_fit.setdefault(" or ".join(sorted(name.removeprefix("f1-") for name in names)) or "none", []).append(entry)
    groups = "; ".join(f"{names} ({_pairs(group)})" for names, group in by_fit.items())
    cells = _both([entry for entry, _ in rows])
    if not set.intersection(*possible):
        says = (
            f"{where}{item}: the F1 column mixes averages: none is in the range of every pair; "
            f"near each pair lies: {groups}"
        )
        return [Finding("proved", "average", says, ("A1", "A3", "A4", "A5"), cells)]
    if not set.intersection(*explaining):
        says = f"{where}{item}: the F1 column mixes averages, test sets or errors; near each pair lies: {groups}"
        return [Finding("likely", "average", says, ("A1", "A3", "A4", "A5"), cells)]
    shared = sorted(set.intersection(*explaining))
    if len(explaining) == len(rows) and len(shared) == 1:
        return [Finding("likely", "average", f"{where}{item}: the F1 column is {shared[0]}", ("A1", "A3", "A5"), cells)]
    says = f"{where}{item}: the F1 column can be {' or '.join(shared)}"
    return [Finding("cannot be told", "average", says, ("A1", "A3", "A5"), cells)]


def pair_findings(entries: Sequence[tuple[Entry, Mapping[TestSet, Matched]]]) -> list[Finding]:
    found = []
    for entry, by_set in entries:
        for item, result in by_set.items():
            for clash in result.clashes:
                if clash.metrics == ("accuracy",):
                    continue  # told once for all accuracies, by size
                cells = tuple((entry, entry.cells[metric]) for metric in clash.metrics if metric in entry.cells)
                assuming = _assumed(clash.metrics, item)
                says = f"{entry.name}: {clash.why}" + (f" ({item})" if item.n is not None else "")
                found.append(Finding("proved", "impossible", says, assuming, cells))
            if result.skipped:
                says = f"{entry.name}: too many confusion matrices of {item} to try"
                named = tuple((entry, cell) for cell in entry.cells.values())
                found.append(Finding("cannot be told", "impossible", says, (), named))
    return found


def _assumed(metrics: Sequence[str], item: TestSet) -> tuple[str, ...]:
    if len(item.counts) != 2:
        return ("A1", "A9")  # accuracy and F1-micro are the same share of any images
    stated = ("A5",) if "f1" in metrics else ()
    return ("A1", "A3", "A4", *stated, *(("A6",) if "auc" in metrics and len(metrics) > 1 else ()))


def baseline_findings(entries: Sequence[tuple[Entry, Mapping[TestSet, Mapping[str, Baseline]]]]) -> list[Finding]:
    """One statement a metric, grade and place among the candidate test sets."""
    rows: dict[tuple[Grade, str, int], list[tuple[Named, Baseline]]] = {}
    totals: dict[tuple[str, int], int] = {}
    for entry, by_set in entries:
        for place, (item, baselines) in enumerate(by_set.items()):
            for metric, best in baselines.items():
                totals[metric, place] = totals.get((metric, place), 0) + 1
                cell = entry.cells[metric]
                value = cell.printed.value
                near = metric == "accuracy" and item.n and wilson(value, item.n)[0] < best.value
                grade: Grade
                if _most(cell, item) <= best.value:
                    grade = "proved"
                elif near or value <= best.value:
                    grade = "cannot be told"
                else:
                    continue
                rows.setdefault((grade, metric, place), []).append(((entry, cell), best))
    found = []
    for (grade, metric, place), items in rows.items():
        verb = "not above" if grade == "proved" else "not clearly (95 %) above"
        which = f"on candidate test set {place + 1}, " if place else ""
        says = f"{metric}: {which}{len(items)} of {totals[metric, place]} are {verb} the best constant answer"
        assuming = ("A3",) if grade == "proved" else ("A3", "A8")
        found.append(Finding(grade, "baseline", f"{says}: {_against(items)}", assuming, tuple(c for c, _ in items)))
    return found


def _most(cell: Cell, item: TestSet) -> float:
    """The most that can have been printed so: the greatest count of the images, or the end of the last digit."""
    if cell.metric in ("accuracy", "f1-micro") and item.n:
        counts = [k for how in HOWS for k in fitting(cell.printed, item.n, how)[-1:]]
        if counts:
            return max(counts) / item.n
    return max(cell.printed.reach(how)[1] for how in HOWS)


def _against(items: Sequence[tuple[Named, Baseline]]) -> str:
    """`malignancy against 0.797: 0.7612 (line 4), 0.7225 (line 8)`, task by task."""
    groups: dict[str, list[str]] = {}
    for (entry, cell), best in items:
        head = f"{entry.task} against {best.value:.3f}".strip()
        groups.setdefault(head, []).append(f"{cell.printed.text} (line {cell.line})")
    return "; ".join(f"{head}: {listed(texts, 40)}" for head, texts in groups.items())


def copy_findings(copies: Sequence[Copied], repeated: Repeated | None) -> list[Finding]:
    found = []
    for pair in copies:
        equal = ", ".join(f"{metric} {pair.first.cells[metric].printed.text}" for metric in pair.metrics)
        lines = f"lines {pair.first.line} and {pair.second.line}"
        differing = f", while {listed(pair.differing)} differ" if pair.differing else ""
        by_chance = "too few rows for a chance"
        if pair.chance is not None:
            by_chance = f"probability by chance {odds(pair.chance, 1)}"
        says = f"{pair.first.name} and {pair.second.name} ({lines}) have equal {equal}{differing}: {by_chance}"
        grade: Grade = "likely" if pair.chance is not None and pair.chance < RARE else "cannot be told"
        cells = tuple((entry, entry.cells[metric]) for entry in (pair.first, pair.second) for metric in pair.metrics)
        says += "; a copied cell is the likely cause" if grade == "likely" else "; a copied cell is possible"
        found.append(Finding(grade, "copy", says, ("A7",), cells))
    if repeated is not None:
        texts = [f"{group[0].printed.text} (lines {', '.join(map(str, sorted({cell.line for cell in group})))})"
                 for group in repeated.values]  # fmt: skip
        grade = "likely" if repeated.chance < RARE else "cannot be told"
        says = (
            f"single numbers that stand more than once: {listed(texts)}; {repeated.expected:.1f} coincidences are "
            f"expected, as many or more have probability {odds(repeated.chance)}"
        )
        found.append(Finding(grade, "copy", says, ("A7",), ()))
    return found


def _numbers(cells: Sequence[Named]) -> str:
    return listed([cell.printed.text for _, cell in cells], 40) or "none alone"


def _pairs(entries: Sequence[Entry]) -> str:
    return listed([pair_text(entry) for entry in entries], 40)


def _both(entries: Sequence[Entry]) -> tuple[Named, ...]:
    return tuple((entry, entry.cells[metric]) for entry in entries for metric in ("accuracy", "f1")
                 if metric in entry.cells)  # fmt: skip
