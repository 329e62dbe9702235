"""Subgroups in words: what Markdown and the page share."""

from __future__ import annotations

from collections.abc import Mapping

from dermae_bench.report.footnotes import why
from dermae_bench.report.numbers import range_text, shown
from dermae_bench.report.subgroups import LEAST_IMAGES, LEAST_LESIONS, LEAST_OF_A_CLASS, Block, Measure, Part, equal
from dermae_bench.report.words import WITHOUT

HOW_TO_READ = (
    (
        "A line is a subgroup: its images alone (generators by attribute: all generated images beside its real "
        "ones), the mean over seeds, [95 % interval over other test sets], ± standard deviation over seeds. "
        f"There is no interval {WITHOUT}."
    ),
    (
        "Gap: best minus worst. Its interval is gap ± z √(e1² + e2²) with e1, e2 the standard errors of both over test "
        "sets, taken as independent; z is Bonferroni's over all pairs of subgroups, because best and worst are chosen "
        "by the same numbers. For the same reason the gap itself is too large on average: equal subgroups have one, "
        "too."
    ),
    (
        f"Unknown values and subgroups below {LEAST_IMAGES} images or {LEAST_LESIONS} lesions are shown, but are "
        f"neither worst nor best; nor are those with fewer than {LEAST_OF_A_CLASS} images of a class, where the metric "
        "averages over classes or the task has two. Where all have the same number, none is named."
    ),
    (
        "Subgroups differ in their mix of classes: metrics that depend on it (accuracy, F1, precision, Brier) differ "
        "by that alone, and ECE is larger over few images. Metrics of which neither more nor less is better are in "
        "subgroups.csv."
    ),
)


FEW_CLASSES = 2
"""Classes of which each has a column of its own."""
WHOLE = (
    "A number compares all images of this row with the real ones of one subgroup: it tells which real images they lie "
    "nearest to. Held-out real images (the floor) differ in the same way, so there is no worst, best or gap of the "
    "generator's doing."
)


def readable(block: Block) -> tuple[Measure, ...]:
    """The metrics worth a column: those with a direction that some subgroup has."""
    return tuple(
        measure
        for measure in block.measures
        if measure.better in ("higher", "lower") and any(part.value is not None for part in measure.parts)
    )


def place(measure: Measure, part: Part) -> str:
    """worst, best or nothing."""
    worst, best = measure.part(measure.worst), measure.part(measure.best)
    if worst is None or best is None or part.aside:
        return ""
    # several may share the least or the greatest number
    return "worst" if equal(part, worst) else "best" if equal(part, best) else ""


def gap_place(measure: Measure) -> Part | None:
    """Beside which subgroup the gap stands: the worst, or the first that is compared where all are equal."""
    return measure.part(measure.worst) or next((part for part in measure.parts if not part.aside), None)


def counts(block: Block) -> list[tuple[str, list[str]]]:
    """Heading, and the text of each subgroup, of the counts that the subgroups of this row have."""
    parts = [next(part for m in block.measures if (part := m.part(name)) is not None) for name in block.subgroups]
    found = []
    for title, name in (("images", "n"), ("lesions", "lesions"), ("real images", "real")):
        numbers = [getattr(part, name) for part in parts]
        if any(number is not None for number in numbers):
            found.append((title, ["" if number is None else str(number) for number in numbers]))
    return found + _classes(block)


def _classes(block: Block) -> list[tuple[str, list[str]]]:
    """Images of each of two classes; of more the rarest, which decides whether a subgroup may be compared."""
    mixes = [block.classes.get(name, {}) for name in block.subgroups]
    names = list(dict.fromkeys(name for mix in mixes for name in mix))
    if len(names) <= FEW_CLASSES:
        return [(name, [str(mix.get(name, "")) for mix in mixes]) for name in names]
    rarest = [min(mix.items(), key=lambda item: item[1]) if mix else ("", "") for mix in mixes]
    return [("rarest class", [f"{name} {count}".strip() for name, count in rarest])]


def classes_text(mix: Mapping[str, int]) -> str:
    """``nv 120; mel 7``."""
    return "; ".join(f"{name} {count}" for name, count in mix.items())


def gap_text(measure: Measure, places: int | None) -> str:
    """``0.102 [-0.031, 0.235]``, empty without a gap."""
    gap = measure.gap
    if gap is None:
        return ""
    return " ".join(filter(None, (shown(gap.value, places), range_text(gap.low, gap.high, places))))


def part_text(part: Part, places: int | None) -> str:
    """``0.812 [0.780, 0.840] ± 0.010 seeds (real images 0.9)``; a dash where there is no number: notes tell why."""
    if part.value is None:
        return "-"
    seeds = "" if part.sd is None else f"± {shown(part.sd, places)} seeds"
    numbers = (shown(part.value, places), range_text(part.low, part.high, places), seeds)
    return " ".join(filter(None, (*numbers, f"({floor})" if (floor := floor_text(part, places)) else "")))


def floor_text(part: Part, places: int | None) -> str:
    """``real images 0.9``, empty where none stand beside."""
    return "" if part.floor is None else f"real images {shown(part.floor, places)}"


def notes(block: Block) -> list[str]:
    """Why numbers are missing and why subgroups are not compared; each reason once, with what it is about."""
    missing: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    aside: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for measure in block.measures:
        for part in measure.parts:
            if part.value is None:
                metrics, names = missing.setdefault(why(measure.metric, part.status), ({}, {}))
                metrics[measure.metric], names[part.subgroup] = None, None
            elif part.aside:
                metrics, names = aside.setdefault(part.aside, ({}, {}))
                metrics[measure.metric], names[part.subgroup] = None, None
    found = [WHOLE] if block.whole else []
    placed = "to be read with care" if block.whole else "neither worst nor best"
    for reason, (metrics, names) in aside.items():
        known = {
            measure.metric
            for measure in block.measures
            for part in measure.parts
            if part.subgroup in names and part.value is not None
        }
        where = "" if set(metrics) == known else f" in {', '.join(metrics)}"
        found.append(f"{placed}{where}: {', '.join(names)} ({reason})")
    found += [f"no {', '.join(m)} of {', '.join(names)}: {reason}" for reason, (m, names) in missing.items()]
    return found
