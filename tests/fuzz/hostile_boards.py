"""Boards in which every text that anybody can give is hostile."""

from __future__ import annotations

import dataclasses
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dermae_bench.report.leaderboard import Boards, Curve, Figure, Timing

EXAMPLES = runpy.run_path(str(Path(__file__).parents[1] / "unit" / "report" / "example_boards.py"))


def hostile_boards(texts: Sequence[str]) -> Boards:
    """`texts` as names, marks, reasons, warnings, classes, subgroups, identities, timings, curves, notes and facts."""
    classifier, generator, reported = EXAMPLES["classifier"], EXAMPLES["generator"], EXAMPLES["reported"]
    parts, numbers = [], []
    for index, text in enumerate(texts):
        own = {"marks": (text,), "warnings": (text,), "identity": {text: [text], "more": {text: {text: text}}}}
        parts.append(classifier(text, "t", 0.3 + index / 1000, **own))
        parts.append(classifier(text, "t", None, train="other", status="failed", reason=text))
        parts.append(generator(text, 10.0 + index, sampling=text))
        part, published = reported(text, "train", "t", 0.5, None, "accuracy")
        parts.append(part)
        numbers += [dataclasses.replace(item, source=text, note=text, metric=text) for item in published]
    made: Boards = EXAMPLES["boards"](*parts, reported=tuple(numbers))
    rows = [dataclasses.replace(info, confusions=(_matrix(info.names.get("classifier", "x")),)) for info in made.rows]
    first = texts[0]
    values = {text: (0.5 + index / 1000, 50, 40) for index, text in enumerate(texts)}
    part = classifier(first, "t", 0.5, half=None)
    inside = EXAMPLES["inside"]
    subgroups = [record for text in texts[:5] for record in inside(part, text, values)]
    subgroups += inside(part, "site", {text: (None, 50, 40) for text in texts}, reason=texts[-1])
    pairs = [{"generated": text, "training": text, "distance": 1.0, "held_out_distance": 2.0} for text in texts]
    curve = EXAMPLES["CURVE"]["fd-infinity[lite0]"]
    behind = {text: {"reach": 1.5, "expected_near_copies": 0.1, "pairs": pairs, **curve} for text in texts[:3]}
    own_row = next(info.row for info in made.rows if info.board == "generators")
    pixels = EXAMPLES["np"].zeros((1, 3, 8, 8), EXAMPLES["np"].uint8)
    more: dict[str, Any] = {
        "suite": texts[1],
        "preset": texts[2],
        "dataset": texts[3],
        "split_rule": texts[4],
        "description": first,
        "rows": tuple(rows),
        "subgroups": tuple(subgroups),
        "details": {own_row: behind},
        "contamination": (tuple(texts), tuple(texts)),
        "timings": tuple(
            Timing(key=t, kind=t, name=t, seconds=1.0, max_rss_mb=1.0, hardware=t, status=t) for t in texts
        ),
        "curves": tuple(Curve(title=text, series={text: [(0, 1.0), (1, 2.0)]}) for text in texts[:40]),
        "figures": tuple(
            Figure(name=f"f{i}", title=t, caption=t, rows=((t, pixels),)) for i, t in enumerate(texts[::20])
        ),
        "class_counts": {
            **{text: {text: {text: 3}} for text in texts[:40]},
            "all": {text: {"train": 1} for text in texts},
        },
        "facts": {text: text for text in texts},
        "environment": {text: text for text in texts},
        "warnings": tuple(texts),
    }  # fmt: skip
    return dataclasses.replace(made, **more)


def _matrix(text: str) -> dict[str, Any]:
    return {"seeds": {text: 0}, "metrics": [text], "classes": [text], "confusion": [[3]], "per_class": {text: [1.0]}}
