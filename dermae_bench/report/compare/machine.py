"""A comparison for other programs: JSON with everything, CSV with one test a line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dermae_bench.report.compare.flips import RULE, Flips
from dermae_bench.report.compare.outcome import Comparison, Line, PairResult, as_json
from dermae_bench.report.compare.procedures import ABOUT
from dermae_bench.report.compare.verdicts import Judged
from dermae_bench.report.escape import csv_text, json_ascii, public
from dermae_bench.report.numbers import exact

CSV_COLUMNS = (
    "board", "row_a", "row_b", "metric", "better", "unit", "n", "lesions", "a", "a_sd", "a_low", "a_high", "b", "b_sd",
    "b_low", "b_high", "difference", "low", "high", "error", "detectable", "test", "seeds", "p", "holm_p", "words",
    "same_as", "companions", "note",
)  # fmt: skip


def json_comparison(comparison: Comparison, judged: Judged | None, flips: Mapping[int, Flips]) -> str:
    """Every number in full; differences are B - A."""
    about = {
        "a": comparison.folders[0],
        "b": comparison.folders[1],
        "difference": "B - A: A is the reference, B the candidate",
        "test": comparison.test,
        "about_test": ABOUT[comparison.test],
        "tests": comparison.tests,
        "level": comparison.level,
        "alpha": comparison.alpha,
        "resamples": comparison.resamples,
        "seed": comparison.seed,
        "only_a": list(comparison.pairing.only_a),
        "only_b": list(comparison.pairing.only_b),
        "left_out": list(comparison.left_out),
        "absent": [
            {"row_a": one.pair.a.row, "row_b": one.pair.b.row, "metric": one.metric} for one in comparison.absent
        ],
        "pairs": [_pair(comparison, pair, flips.get(place)) for place, pair in enumerate(comparison.pairs)],
        "policy": None if judged is None else _judged(judged),
    }
    return json_ascii(json.dumps(public(about), indent=1, allow_nan=False))


def csv_comparison(comparison: Comparison) -> str:
    """One line a test, or a column without one."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, CSV_COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for found in comparison.pairs:
        for line in found.lines:
            row = _flat(found, line, comparison.alpha)
            tests = [
                {"test": test.method, "seeds": test.seeds, "p": test.p, "holm_p": test.adjusted} for test in line.tests
            ]
            for test in tests or [{}]:
                cells = {name: value for name, value in {**row, **test}.items() if value is not None}
                writer.writerow(
                    {name: csv_text(cell) if isinstance(cell, str) else cell for name, cell in cells.items()}
                )
    return stream.getvalue()


def _flat(found: PairResult, line: Line, alpha: float) -> dict[str, Any]:
    sides: dict[str, Any] = {}
    for name, side in (("a", line.a), ("b", line.b)):
        if side is not None:
            sides |= {name: side.value, f"{name}_sd": side.sd, f"{name}_low": side.low, f"{name}_high": side.high}
    return {
        "board": found.pair.a.board,
        "row_a": found.pair.a.row,
        "row_b": found.pair.b.row,
        **{name: getattr(line, name) for name in ("metric", "better", "unit", "n", "lesions")},
        **sides,
        **{name: getattr(line, name) for name in ("difference", "low", "high", "error", "detectable", "note")},
        "words": line.words(alpha),
        "same_as": line.same_as,
        "companions": "; ".join(f"{one.metric}: A {exact(one.a)}, B {exact(one.b)}" for one in line.companions),
    }


def _pair(comparison: Comparison, found: PairResult, flips: Flips | None) -> dict[str, Any]:
    return {
        "board": found.pair.a.board,
        "row_a": found.pair.a.row,
        "row_b": found.pair.b.row,
        "section": found.pair.a.section,
        "note": found.note or None,
        "metrics": [_line(line, comparison.alpha) for line in found.lines],
        "flips": None if flips is None else {"rule": RULE, **asdict(flips)},
    }


def _line(line: Line, alpha: float) -> dict[str, Any]:
    plain = {name: getattr(line, name) for name in ("metric", "unit", "better", "n", "lesions")}
    return {
        **plain,
        "a": as_json(line.a),
        "b": as_json(line.b),
        "difference": line.difference,
        "low": line.low,
        "high": line.high,
        "interval": line.form or None,
        "rough": line.rough,
        "error": line.error,
        "detectable": line.detectable,
        "tests": [asdict(test) for test in line.tests],
        "same_as": line.same_as or None,
        "companions": [{**asdict(one), "differs": one.differs} for one in line.companions],
        "words": line.words(alpha),
        "note": line.note or None,
    }


def _judged(judged: Judged) -> dict[str, Any]:
    judgements = []
    for one in judged.judgements:
        plain = {name: value for name, value in vars(one).items() if name != "pair"}
        judgements.append({"row_a": one.pair.a.row, "row_b": one.pair.b.row, **plain})
    return {"verdict": judged.verdict, "criteria": judgements, "missing": list(judged.missing)}
