"""Subgroup boards as `subgroups.csv`, `subgroups.md` and `subgroups.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dermae_bench.report.escape import markdown as safe
from dermae_bench.report.leaderboard import NAMES, Value
from dermae_bench.report.numbers import direction, places_of
from dermae_bench.report.records import Board, Boards
from dermae_bench.report.subgroup_words import (
    HOW_TO_READ,
    classes_text,
    counts,
    gap_place,
    gap_text,
    notes,
    part_text,
    place,
    readable,
)
from dermae_bench.report.subgroups import Block, Measure, by_section, identities
from dermae_bench.report.words import section_title

BOARDS: tuple[Board, ...] = ("classifiers", "generators")


Inside = Mapping[Board, tuple[Block, ...]]
"""Board -> its blocks."""


def cells(inside: Inside) -> Iterator[list[Value]]:
    """Header and one line for each row, metric and subgroup; the gap stands beside the worst, or the first
    that is compared where all are equal.
    """
    found = [block for board in BOARDS for block in inside[board]]
    own = [name for board in BOARDS for name in NAMES[board]]
    names = [*own, *sorted({name for block in found for name in block.info.names} - set(own))]
    yield [
        "board", *names, "kind", "metric", "unit", "better", "attribute", "subgroup", "images", "lesions",
        "real images", "classes", "value", "low", "high", "error", "sd", "floor", "place", "not compared",
        "gap", "gap low", "gap high", "status", "identity",
    ]  # fmt: skip
    for block in found:
        info = block.info
        named = [info.names.get(name, "") for name in names]
        for measure in block.measures:
            beside = gap_place(measure)
            for part in measure.parts:
                gap = measure.gap if part is beside else None
                yield [
                    info.board, *named, info.kind, measure.metric, measure.unit, measure.better, block.attribute,
                    part.subgroup, part.n, part.lesions, part.real,
                    classes_text(block.classes.get(part.subgroup, {})), part.value, part.low, part.high, part.error,
                    part.sd, part.floor, place(measure, part), part.aside,
                    *([gap.value, gap.low, gap.high] if gap else [None] * 3), part.status, part.identity,
                ]  # fmt: skip


def document(boards: Boards, inside: Inside) -> dict[str, Any]:
    """Everything with full numbers, and the whole identity behind each digest."""
    return {
        "suite": boards.suite,
        "preset": boards.preset,
        "interval": boards.interval,
        "how_to_read": list(HOW_TO_READ),
        "identities": {board: identities(boards, board) for board in BOARDS},
        "rows": [
            {
                "board": board, "row": block.info.row, "names": dict(block.info.names), "kind": block.info.kind,
                "attribute": block.attribute, "metrics": [asdict(measure) for measure in block.measures],
                "classes": {subgroup: dict(mix) for subgroup, mix in block.classes.items()},
            }
            for board in BOARDS
            for block in inside[board]
        ],
    }  # fmt: skip


def markdown(boards: Boards, inside: Inside) -> str:
    """How to read it; then for each row and attribute a line a subgroup, the worst of them and the gap."""
    out = [f"# {safe(boards.title)}: subgroups", "", *(f"- {safe(text)}" for text in HOW_TO_READ), ""]
    for board in BOARDS:
        for section, found in by_section(inside[board]):
            out += [f"## {safe(board.capitalize())}, {safe(section_title(board, section))}", ""]
            for block in found:
                kind = "" if block.info.kind == "measured" else f" ({block.info.kind})"
                out += [f"### {safe(block.name)}{kind}, by {safe(block.attribute)}", "", *_table(block)]
    return "\n".join(out)


def _table(block: Block) -> Iterator[str]:
    counted, measures = counts(block), readable(block)
    places = [places_of(part.value for part in measure.parts) for measure in measures]
    heads = [block.attribute, *(title for title, _ in counted)]
    heads += [f"{measure.metric}{direction(measure.unit, measure.better)}" for measure in measures]
    yield _line([safe(head) for head in heads])
    yield _line(["---", *["---:"] * (len(heads) - 1)])
    for number, name in enumerate(block.subgroups):
        values = [_cell(measure, name, its) for measure, its in zip(measures, places, strict=True)]
        yield _line([safe(name), *(safe(texts[number]) for _, texts in counted), *values])
    gaps = [gap_text(measure, its) for measure, its in zip(measures, places, strict=True)]
    if any(gaps):
        yield _line(["**gap**", *[""] * len(counted), *gaps])
    yield ""
    told = [f"- {safe(text)}" for text in notes(block)]
    yield from [*told, ""] if told else []


def _cell(measure: Measure, subgroup: str, places: int | None) -> str:
    part = measure.part(subgroup)
    if part is None:
        return ""
    text, mark = part_text(part, places), place(measure, part)
    return f"{text} *{mark}*" if mark else text


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"
