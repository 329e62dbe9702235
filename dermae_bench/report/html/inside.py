"""Subgroup boards as the page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dermae_bench.report.escape import visible
from dermae_bench.report.html.grid import NONE, Entry, Grid, Head
from dermae_bench.report.leaderboard import KINDS
from dermae_bench.report.numbers import direction, exact, places_of, range_text, shown
from dermae_bench.report.records import Board, Boards
from dermae_bench.report.subgroup_words import WHOLE, counts, floor_text, gap_place, gap_text, notes, place, readable
from dermae_bench.report.subgroups import Block, Measure, Part, blocks, by_section
from dermae_bench.report.words import section_title

_FEW = "No two subgroups are large enough to be compared."
BOARDS: tuple[Board, ...] = ("classifiers", "generators")


@dataclass(frozen=True, kw_only=True)
class Inside:
    """The subgroups of one section of a board."""

    title: str
    gaps: Grid | None
    """Row, attribute and metric -> worst, best, gap; None where nothing can be compared."""
    none: str
    """Why there are no gaps."""
    blocks: tuple[tuple[str, Grid, tuple[str, ...]], ...]
    """Row and attribute -> its subgroups, and notes."""


def inside(boards: Boards) -> tuple[Inside, ...]:
    return tuple(
        Inside(
            title=visible(f"{board.capitalize()}, {section_title(board, section)}"),
            gaps=_gaps(found),
            none=WHOLE if any(block.whole for block in found) else _FEW,
            blocks=tuple((_title(block), _block(block), _notes(block)) for block in found),
        )
        for board in BOARDS
        for section, found in by_section(blocks(boards, board))
    )


def _notes(block: Block) -> tuple[str, ...]:
    return tuple(visible(text, 1000) for text in notes(block))


def _title(block: Block) -> str:
    kind = "" if block.info.kind == "measured" else f" ({block.info.kind})"
    return visible(f"{block.name}{kind}, by {block.attribute}")


def _gaps(found: Sequence[Block]) -> Grid | None:
    heads = [Head(text=name, numeric=False) for name in ("row", "attribute", "metric", "worst")]
    heads += [Head(text="value", numeric=True), Head(text="best", numeric=False)]
    heads += [Head(text="value", numeric=True), Head(text="gap", numeric=True)]
    groups = []
    for kind in KINDS:
        rows = tuple(
            _gap(block, measure)
            for block in found
            if block.info.kind == kind
            for measure in block.measures
            if measure.gap is not None
        )
        if rows:
            groups.append((kind, "Floors" if kind == "floor" else "", rows))
    return Grid(title="Worst, best and gap", heads=tuple(heads), groups=tuple(groups)) if groups else None


def _gap(block: Block, measure: Measure) -> tuple[Entry, ...]:
    gap, worst, best = measure.gap, measure.part(measure.worst), measure.part(measure.best)
    assert gap is not None
    places = places_of(part.value for part in measure.parts)
    told = gap.low is not None and gap.low > 0
    return (
        Entry(text=visible(block.name), css="name"),
        Entry(text=visible(block.attribute)),
        Entry(text=visible(measure.metric + direction(measure.unit, measure.better))),
        *_side(worst, measure, places),
        *_side(best, measure, places),
        Entry(
            text=shown(gap.value, places),
            sort=exact(gap.value),
            numeric=True,
            small=range_text(gap.low, gap.high, places),
            css="told" if told else "",
        ),
    )


def _side(part: Part | None, measure: Measure, places: int | None) -> tuple[Entry, Entry]:
    """A subgroup and its number; of equal ones none is named."""
    if part is not None:
        return Entry(text=visible(part.subgroup), small=_images(part)), _value(part, places)
    first = gap_place(measure)
    assert first is not None and first.value is not None
    value = Entry(text=shown(first.value, places), sort=exact(first.value), numeric=True)
    return Entry(text=NONE, small="all equal"), value


def _images(part: Part) -> str:
    lesions = f", {part.lesions} lesions" if part.lesions is not None else ""
    return f"{part.n} images{lesions}" if part.n is not None else ""


def _value(part: Part, places: int | None, mark: str = "") -> Entry:
    if part.value is None:
        return Entry(text=NONE, numeric=True, css="none", title=visible(part.status, 1000))
    seeds = "" if part.sd is None else f"± {shown(part.sd, places)} seeds"
    small = "\n".join(filter(None, (range_text(part.low, part.high, places), seeds, floor_text(part, places))))
    return Entry(
        text=shown(part.value, places), sort=exact(part.value), numeric=True, small=small, title=visible(part.aside),
        marks=(mark,) if mark else (), css="unlike" if part.aside else "",
    )  # fmt: skip


def _block(block: Block) -> Grid:
    measures, counted = readable(block), counts(block)
    heads = [Head(text=visible(block.attribute), numeric=False)]
    heads += [Head(text=visible(title), numeric=True) for title, _ in counted]
    heads += [Head(text=visible(m.metric + direction(m.unit, m.better)), numeric=True) for m in measures]
    places = [places_of(part.value for part in measure.parts) for measure in measures]
    rows = []
    for number, name in enumerate(block.subgroups):
        texts = [texts[number] for _, texts in counted]
        entries = [Entry(text=visible(name), css="name")]
        entries += [Entry(text=visible(text), sort=text.rpartition(" ")[2], numeric=True) for text in texts]
        for measure, its in zip(measures, places, strict=True):
            part = measure.part(name)
            entries.append(Entry(text="") if part is None else _value(part, its, place(measure, part)))
        rows.append(tuple(entries))
    groups = [("measured", "", tuple(rows))]
    gaps = [gap_text(measure, its) for measure, its in zip(measures, places, strict=True)]
    if any(gaps):
        line = [Entry(text="gap", css="name"), *(Entry(text="", numeric=True) for _ in counted)]
        for text in gaps:
            value, _, ends = text.partition(" ")
            line.append(Entry(text=value, small=ends, numeric=True))
        groups.append(("gap", "", (tuple(line),)))
    return Grid(title=_title(block), heads=tuple(heads), groups=tuple(groups))
