"""What stands beside the names of rows, in a reader's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dermae_bench.report.records import RowInfo
from dermae_bench.report.swept import CONTROL, controls

NOT_DECLARED = ": not declared: "
"""Between a test set and external weights or images of which nobody says what they were made from."""


def with_marks(infos: Iterable[RowInfo]) -> dict[str, RowInfo]:
    """Row -> the same row of a board with its marks in words, controls of sweeps among them."""
    found = {info.row: info for info in infos}
    held_against = controls(found.values())
    return {
        row: replace(info, marks=(*([CONTROL] if row in held_against else []), *in_words(info.marks)))
        for row, info in found.items()
    }


def in_words(marks: Sequence[str]) -> tuple[str, ...]:
    """What nobody declares is told once for all test sets, and as a sentence."""
    tests: dict[str, list[str]] = {}
    for mark in marks:
        test, between, source = mark.partition(NOT_DECLARED)
        if between:
            tests.setdefault(source, []).append(test)
    told: dict[str, None] = {}
    for mark in marks:
        _, between, source = mark.partition(NOT_DECLARED)
        said = f"{', '.join(tests[source])}: nobody says what {source} was trained on" if between else mark
        told[said] = None
    return tuple(told)
