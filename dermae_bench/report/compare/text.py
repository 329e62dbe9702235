"""A comparison as plain text, as wide as the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dermae_bench.report.compare.drawing import fits, grid, in_two, wrapped
from dermae_bench.report.compare.flips import RULE, Flip, Flips
from dermae_bench.report.compare.outcome import Comparison, Line, Number, PairResult
from dermae_bench.report.compare.procedures import ABOUT, ONLY, PER_SEED
from dermae_bench.report.compare.sides import RowPair
from dermae_bench.report.compare.verdicts import MOST_LESIONS, Judged, Judgement
from dermae_bench.report.numbers import ARROWS, places_of, shown, signed

VERDICTS = (
    "policy: GO, the whole interval meets what is asked; NO-GO, none of it does; else INCONCLUSIVE, with about how "
    "many more lesions would settle it if the estimate stayed as it is."
)
OPERATING = (
    "points differ: A and B stand at unlike operating points. Thresholds are frozen on val, and on test they reached "
    "what stands below the metric, not what was aimed at; a row that reached less of it may have bought its number "
    "with that."
)
UNKNOWN = "cannot be told"
SAME = "the same number in every draw, tested once"
DISTANCES = (
    "without pairs of images (a distance between sets, answers to generated images) no test tells A and B apart: "
    "values and their spread over seeds stand side by side."
)


def terminal_comparison(
    comparison: Comparison, judged: Judged | None, flips: Mapping[int, Flips], listed: int, width: int
) -> str:
    """Plain text of `width` columns; ends without a newline.

    Args:
        judged: what a policy says, told last.
        flips: of pairs by their place.
        listed: flips of each direction that are written out; 0 gives only their numbers.
    """
    paragraphs = [_head(comparison, width)]
    for place, pair in enumerate(comparison.pairs):
        paragraphs.append("\n".join(_pair(comparison, pair, width)))
        if place in flips:
            paragraphs.append("\n".join(_flips(flips[place], pair, listed, width)))
    paragraphs.append("\n".join(_reading(comparison, any(pair.answers for pair in comparison.pairs), listed, width)))
    if judged is not None:
        paragraphs[-1] = "\n".join([paragraphs[-1], *wrapped([VERDICTS], width)])
        paragraphs.append("\n".join(_judged(judged, width)))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def pair_name(pair: RowPair) -> str:
    """``ROW`` or ``ROW -> ROW``."""
    return pair.a.row if pair.a.row == pair.b.row else f"{pair.a.row}  ->  {pair.b.row}"


def p_text(p: float) -> str:
    """Three decimals, four below 0.01."""
    return "<0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def _head(comparison: Comparison, width: int) -> str:
    a, b = comparison.folders
    lines = [f"A, the reference: {a}", f"B, the candidate: {b}"] if a != b else [f"A and B: two rows of {a}"]
    lines.append("Every difference is B - A: A is the reference (old), B the candidate (new).")
    for which, rows in (("A", comparison.pairing.only_a), ("B", comparison.pairing.only_b)):
        if rows:
            lines.append(f"only in {which}, not compared: {'; '.join(rows)}")
    lines += [f"not compared: {text}" for text in comparison.left_out]
    return "\n".join(wrapped(lines, width))


def _pair(comparison: Comparison, found: PairResult, width: int) -> Iterator[str]:
    pair = found.pair
    yield from wrapped([pair_name(pair)], width)
    if found.note:
        yield from wrapped([found.note], width)
    if not found.lines:
        return
    yield from wrapped([_facts(found.lines)], width)
    for which, row in (("A", pair.a), ("B", pair.b)):
        yield from wrapped([f"{which} is marked: {mark}" for mark in row.marks], width)
    percent = f"{100 * comparison.level:g}"
    heads = ["", "A", "B", f"B - A [{percent} %]", "p", "Holm p", "detects", ""]
    rows = [row for line in found.lines for row in _rows(line, comparison.alpha)]
    yield from grid([heads, *rows], width)
    same: dict[str, list[str]] = {}
    for line in found.lines:
        if line.same_as:
            same.setdefault(line.same_as, []).append(line.metric)
    yield from wrapped([f"{name} is {' and '.join(names)} here: {SAME}" for name, names in same.items()], width)
    notes: dict[str, list[str]] = {}
    for line in found.lines:
        if line.note:
            notes.setdefault(line.note, []).append(line.metric)
    yield from wrapped([f"{', '.join(names)}: {note}" for note, names in notes.items()], width)


def _facts(lines: Sequence[Line]) -> str:
    images = {(line.n, line.lesions) for line in lines if line.lesions is not None}
    told = [f"{n:,} images of {lesions:,} lesions" for n, lesions in sorted(images, key=str)]
    told = told or [f"{n:,} images" for n in sorted({line.n for line in lines if line.n is not None})]
    seeds = [{len(side.by_seed) for line in lines if (side := getattr(line, name)) is not None} for name in "ab"]
    counts = [f"{max(counts)} of {which}" for which, counts in zip("AB", seeds, strict=True) if counts]
    return "; ".join([" / ".join(told), *([f"seeds: {', '.join(counts)}"] if counts else [])])


def _rows(line: Line, alpha: float) -> Iterator[list[str]]:
    sides = [side for side in (line.a, line.b) if side is not None]
    places = places_of([side.value for side in sides])
    name = f"{ARROWS.get(line.better, ' ')} {line.metric}"
    if line.a is None or line.b is None or line.difference is None:
        yield [name, "-", "-", "-", "-", "-", "-", line.words(alpha)]
        return
    once = line.tests[0] if len(line.tests) == 1 else None
    yield [
        name,
        _value(line.a, places),
        _value(line.b, places),
        _difference(line, places),
        p_text(once.p) if once else "-",
        p_text(once.adjusted) if once else "-",
        _detects(line, places),
        line.words(alpha) if once is not None or not line.tests else "",
    ]
    if once is None:
        for test in line.tests:
            word = "told apart" if test.adjusted <= alpha else "not told apart"
            yield [f"    {test.seeds}", "", "", "", p_text(test.p), p_text(test.adjusted), "", word]
    for one in line.companions:
        places = places_of([one.a, one.b])
        word = "points differ" if one.differs else "equal points"
        values = [shown(one.a, places), shown(one.b, places), signed(one.b - one.a, places)]
        yield [f"    {one.metric}", *values, "", "", "", word]


def _detects(line: Line, places: int | None) -> str:
    if line.detectable is not None:
        return shown(line.detectable, places)
    # without pairs of images, and where images do not matter, there is nothing to tell
    return UNKNOWN if line.tests or line.low is not None else "-"


def _value(number: Number, places: int | None) -> str:
    return shown(number.value, places) + (f"±{shown(number.sd, places)}" if number.sd is not None else "")


def _difference(line: Line, places: int | None) -> str:
    assert line.difference is not None
    text = signed(line.difference, places)
    return text if line.low is None or line.high is None else f"{text} {_interval(line.low, line.high, places)}"


def _interval(low: float, high: float, places: int | None) -> str:
    return f"[{signed(low, places)}, {signed(high, places)}]"


def _reading(comparison: Comparison, classifiers: bool, listed: int, width: int) -> Iterator[str]:
    """How to read it, once."""
    percent, alpha = f"{100 * comparison.level:g} %", f"{100 * comparison.alpha:.3g} %"
    interval = (
        f"interval: {percent}, from {comparison.resamples:,} paired draws of whole lesions (BCa), of the means over "
        "seeds: what other test images would give. ±: standard deviation over seeds: what another training would give. "
        "Neither holds the other."
    )
    apart = (
        f"told apart: A (or B): Holm's p over all {comparison.tests} tests of this call is at most "
        f"{comparison.alpha:.3g}, and A (or B) is the better one. Not told apart never means equal: a true difference "
        f"as large as 'detects', which a single test at {alpha} finds with 80 % power, may well be there."
    )
    told = [f"test: {ABOUT[comparison.test]}.", interval, apart] if comparison.tests else []
    if comparison.test in ONLY and any(len(line.tests) > 1 for pair in comparison.pairs for line in pair.lines):
        told.insert(1, f"seeds: {PER_SEED}.")
    if not all(line.lesions for pair in comparison.pairs for line in pair.lines):
        told.append(DISTANCES)
    if any(one.differs for pair in comparison.pairs for line in pair.lines for one in line.companions):
        told.append(OPERATING)
    if classifiers and listed:
        told.append(f"flips: {RULE}.")
    return iter(wrapped(told, width))


# -- flips -------------------------------------------------------------------------------------------------------


def _flips(found: Flips, pair: PairResult, listed: int, width: int) -> Iterator[str]:
    ways = [("A right and B wrong", found.lost), ("B right and A wrong", found.won)]
    ways += [("undecided (seeds tie)", found.undecided)] if found.undecided else []
    told = "; ".join(f"{title}: {_count(flips)}" for title, flips in ways)
    yield from wrapped([f"flips of {pair_name(pair.pair)}: {told}"], width)
    for title, flips in ways:
        if not listed or not flips:
            continue
        more = f", {listed} of {len(flips)}" if len(flips) > listed else ""
        heads = [title + more, "lesion", "is", "A says", "B says", "p of label", "change"]
        yield from grid([heads, *map(_flip, flips[:listed])], width, names=6)


def _flip(flip: Flip) -> list[str]:
    change = f"{flip.confidence_a:.2f} > {flip.confidence_b:.2f}"
    return [flip.id, flip.group, flip.label, flip.a, flip.b, change, signed(flip.change, 2)]


def _count(flips: Sequence[Flip]) -> str:
    if not flips:
        return "none"
    lesions = len({flip.group for flip in flips})
    return f"{len(flips)} image{'s' * (len(flips) > 1)} of {lesions} lesion{'s' * (lesions > 1)}"


# -- policy ------------------------------------------------------------------------------------------------------


def _judged(judged: Judged, width: int) -> Iterator[str]:
    yield f"policy: {judged.verdict}"
    pairs = {one.pair.b.row: one.pair.b.section for one in judged.judgements}
    once = len(set(pairs.values())) == len(pairs)
    rows = []
    for one in judged.judgements:
        asks, found, note = _criterion(one)
        where = one.pair.b.section if once else one.pair.b.row
        rows.append([one.verdict, one.metric, where, asks, found, note])
    if rows:
        yield from grid(rows, width, names=4) if fits(rows, width) else in_two(rows, width, first=3)
    yield from wrapped([f"INCONCLUSIVE  {text}" for text in judged.missing], width)


def _criterion(one: Judgement) -> tuple[str, str, str]:
    """What is asked, what was found, and what would settle it."""
    sign = ">=" if one.side == "higher" else "<="
    difference = one.of == "difference"
    spell = signed if difference else shown
    places = places_of([one.estimate, one.threshold])
    # as the policy says it, not rounded to the places of the estimate
    asks = f"{one.word}: {'B - A' if difference else 'B'} {sign} {one.threshold + 0:{'+' if difference else ''}.12g}"
    if one.estimate is None:
        return asks, "-", one.note
    if one.low is None or one.high is None:
        return asks, spell(one.estimate, places), one.note
    found = f"{spell(one.estimate, places)} [{spell(one.low, places)}, {spell(one.high, places)}]"
    if one.verdict != "INCONCLUSIVE" or one.note:
        return asks, found, one.note
    if one.more_lesions is None:
        return asks, found, "no number of lesions settles it"
    if one.more_lesions >= MOST_LESIONS:
        return asks, found, "would take over ten million lesions"
    return asks, found, f"about {one.more_lesions:,} more lesions"
