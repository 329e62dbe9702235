"""An audit drawn: for a terminal, as Markdown, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dermae_bench.report.audit.audit import Audit, Checked
from dermae_bench.report.audit.averages import verdict
from dermae_bench.report.audit.counts import fitting
from dermae_bench.report.audit.document import Grid, counts_text, margins, readings, sections, title
from dermae_bench.report.audit.findings import ASSUMPTIONS, GRADES, MEANING
from dermae_bench.report.audit.printed import HOWS
from dermae_bench.report.audit.table import Cell
from dermae_bench.report.audit.testset import TestSet
from dermae_bench.report.escape import csv_text, fitted, json_ascii, visible, width_of
from dermae_bench.report.escape import markdown as safe

WIDEST_CELL = 44
CSV_COLUMNS = ("line", "system", "task", "metric", "printed", "counts", "f1_average", "points_to_baseline",
               "implied", *GRADES)  # fmt: skip


def terminal_audit(result: Audit, width: int) -> str:
    """Plain text of `width` columns where names allow it; ends without a newline."""
    out = [visible(title(result))]
    for section in sections(result):
        out += ["", section.title.upper(), *textwrap.wrap(section.about, width), ""]
        if section.grid is not None:
            out += _lines(section.grid)
        for item in section.items:
            out += textwrap.wrap(visible(item, 10_000), width, initial_indent="- ", subsequent_indent="  ")
    return "\n".join(out)


def markdown_audit(result: Audit) -> str:
    """The same for a pull request or a review."""
    out = [f"# {safe(title(result))}", ""]
    for section in sections(result):
        out += [f"## {safe(section.title)}", "", f"{safe(section.about)}.", ""]
        if section.grid is not None:
            heads = [safe(head) for head in section.grid.heads]
            out += [_row(heads), _row(["---"] * len(heads))]
            out += [_row([safe(text) for text in row]) for row in section.grid.rows] + [""]
        if section.items:
            # the limit of a cell would cut statements that name many numbers
            out += [*("- " + _safe(item) for item in section.items), ""]
    return "\n".join(out)


def _safe(text: str) -> str:
    return " ".join(safe(part) for part in text.split(" "))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _lines(grid: Grid) -> list[str]:
    rows = [tuple(visible(text) for text in row) for row in (grid.heads, *grid.rows)]
    # the last column is never cut: it holds the verdict
    widths = [min(WIDEST_CELL, max(width_of(row[i]) for row in rows)) for i in range(len(grid.heads))]
    return ["  ".join([*map(fitted, row[:-1], widths[:-1]), row[-1]]).rstrip() for row in rows]


def json_audit(result: Audit) -> str:
    """Everything, in ASCII, with sorted keys."""
    about: dict[str, Any] = {
        "table": result.table.name,
        "grades": MEANING,
        "assumptions": ASSUMPTIONS,
        "sizes": [
            {
                "accuracies": pool.name,
                "count": len(pool.cells),
                "lines": [cell.line for _, cell in pool.cells],
                "smallest_n": dict(pool.smallest),
                "tried": [
                    {
                        "n": tried.n,
                        "fit": dict(tried.hits),
                        "chance": dict(tried.chance),
                        "p": dict(tried.p),
                        "impossible_lines": [cell.line for _, cell in tried.impossible],
                        "runs": tried.runs,
                        "grade": tried.reading(len(pool.cells))[0],
                        "reading": tried.reading(len(pool.cells))[1],
                    }
                    for tried in pool.tried
                ],
            }
            for pool in result.pools
        ],
        "entries": [_entry(item) for item in result.checked],
        "findings": [
            {
                "grade": finding.grade,
                "kind": finding.kind,
                "says": finding.says,
                "assuming": list(finding.assuming),
                "lines": list(finding.lines),
            }
            for finding in result.findings
        ],
    }
    return json_ascii(json.dumps(about, indent=1, sort_keys=True, allow_nan=False))


def _entry(item: Checked) -> Mapping[str, Any]:
    return {
        "system": item.entry.system,
        "task": item.entry.task,
        "numbers": [
            {
                "line": cell.line,
                "metric": cell.metric,
                "printed": cell.printed.text,
                "value": cell.printed.value,
                "counts": {
                    str(test_set.n): {how: list(fitting(cell.printed, test_set.n, how)) for how in HOWS}
                    for test_set in item.sets
                    if test_set.n is not None and cell.metric in ("accuracy", "f1-micro")
                },
            }
            for cell in item.entry.cells.values()
        ],
        "test_sets": [
            {
                "n": test_set.n,
                "classes": list(test_set.counts),
                "baselines": {name: asdict(best) for name, best in item.baselines.get(test_set, {}).items()},
                "f1_averages": {
                    name: {key: value if value == value else None for key, value in asdict(fit).items()}
                    for name, fit in item.averages.get(test_set, {}).items()
                },
                "implied": _implied_json(item, test_set),
                "implied_by_reading": _readings_json(item, test_set),
            }
            for test_set in item.sets or tuple(item.averages)
        ],
    }


def _implied_json(item: Checked, test_set: TestSet) -> Mapping[str, Any] | None:
    found = item.matched.get(test_set)
    return asdict(found.implied) if found is not None and found.implied is not None else None


def _readings_json(item: Checked, test_set: TestSet) -> Mapping[str, Any]:
    found = item.matched.get(test_set)
    return {how: asdict(known) for how, known in found.readings.items()} if found is not None else {}


def csv_audit(result: Audit) -> str:
    """One line a number, with the statements about it by grade; ends with a newline."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    said: dict[tuple[int, str, str], dict[str, list[str]]] = {}
    for finding in result.findings:
        for entry, cell in finding.cells:
            by_grade = said.setdefault((cell.line, entry.task, cell.metric), {})
            by_grade.setdefault(finding.grade, []).append(finding.says)
    for item in result.checked:
        for cell in item.entry.cells.values():
            texts = said.get((cell.line, item.entry.task, cell.metric), {})
            row: dict[str, str | int] = {
                "line": cell.line,
                "system": item.entry.system,
                "task": item.entry.task,
                "metric": cell.metric,
                "printed": cell.printed.text,
                "counts": "; ".join(counts_text(item, cell)),
                "f1_average": "; ".join(_verdicts(item, cell)),
                "points_to_baseline": "; ".join(margins(item, cell)),
                "implied": "; ".join(_implied(item)),
                **{grade: " // ".join(dict.fromkeys(texts.get(grade, []))) for grade in GRADES},
            }
            writer.writerow({name: _guarded(text) if isinstance(text, str) else text for name, text in row.items()})
    return stream.getvalue()


def _guarded(text: str) -> str:
    """No formula, as `csv_text`, but statements that name many numbers are not cut."""
    return ("'" if csv_text(text[:80]) != visible(text[:80]) else "") + visible(text, 100_000)


def _verdicts(item: Checked, cell: Cell) -> list[str]:
    if cell.metric != "f1":
        return []
    return [f"{test_set}: {': '.join(verdict(pair))}" for test_set, pair in item.averages.items()]


def _implied(item: Checked) -> list[str]:
    texts = []
    for test_set, found in item.matched.items():
        for reading, known in readings(found):
            ends = " to ".join(f"{end:.4f}" for end in dict.fromkeys(known.balanced_accuracy))
            tp = " to ".join(str(end) for end in dict.fromkeys(known.tp))
            how = "rounded or cut off" if reading == "either" else reading
            texts.append(f"{test_set}, {how}: TP {tp}, balanced accuracy {ends}")
    return texts
