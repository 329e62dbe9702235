"""Printing a plan: what is cached, new or stale and why, and what it costs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import IO, Any

from dermae_bench.commands.costing import Costs, Yardstick
from dermae_bench.commands.printing import LONGEST_LINE, echo_csv
from dermae_bench.errors import brief
from dermae_bench.execute.choices import RESERVE, bytes_of
from dermae_bench.plugin.catalog import cache_folder
from dermae_bench.report.escape import json_ascii, visible
from dermae_bench.store.artifacts import Store, free_bytes
from dermae_bench.store.index import Index
from dermae_bench.store.manifests import Damaged, Manifest
from dermae_bench.store.refusals import size
from dermae_bench.suite.stage import Stage, differences

SHOWN_REASONS = 3
WIDTH = 120
"""Of the lines below the table."""
FIELDS: Mapping[str, str] = {
    "state": "cached, new, stale, partial, damaged, failed or unknown",
    "kind": "of stage",
    "name": "of the stage, as --only and --skip match it",
    "key": "empty while the data are missing",
    "parameters": "of its model, frozen helpers included",
    "gmacs": "10^9 multiply-adds for ONE image, backward passes included where it is trained on",
    "images": "drawn or answered for, or steps times batch size",
    "pflops": "10^15 FLOPs of the whole stage: gmacs x 2 x images",
    "gpu_hours": "pflops at --peak-tflops and --utilisation",
    "disk_bytes": "that stay in the store",
    "scratch_bytes": "beside them while it runs: checkpoints or blocks",
    "why": "stale, partial, damaged or failed",
}
"""Names in JSON and CSV, in order; a value that is not known is null (JSON) or empty (CSV)."""
GROUPS: Mapping[str, str] = {"train": "training", "sample": "sampling", "predict": "prediction"}
"""Kind of stage -> its line among the totals."""
REST = "other"


def print_plan(
    stages: Sequence[Stage], store: Store, absent: Sequence[str], form: str, stream: IO[str], yardstick: Yardstick
) -> None:
    """Write one line a stage, totals, and what they rest on."""
    rows = describe(stages, store, yardstick)
    if form == "csv":
        echo_csv(list(FIELDS), rows, stream)
        return
    if form == "json":
        about = {
            "peak_tflops": yardstick.peak_tflops,
            "utilisation": yardstick.utilisation,
            "flops_per_mac": 2,
            "missing": "; ".join(absent) or None,
            "free_bytes": free_bytes(store.root),
            "totals": totals(rows),
            "left": totals([row for row in rows if row["state"] != "cached"])["all"],
            "stages": rows,
        }
        stream.write(json_ascii(json.dumps(about, indent=1)) + "\n")
        return
    lines = [*_table(rows), "", *_totals(rows), "", *_notes(stages, rows, store, absent, yardstick)]
    stream.writelines(visible(line, LONGEST_LINE) + "\n" for line in lines)


def describe(stages: Sequence[Stage], store: Store, yardstick: Yardstick) -> list[dict[str, Any]]:
    """`FIELDS` of every stage, as plain values."""
    index = Index(store, cache_folder())
    costs = Costs(stages, store)
    rows = []
    for stage in stages:
        state, why = _state(stage, store, index)
        amount = costs.amount(stage)
        pflops = amount.pflops
        found = {
            "state": state,
            "kind": stage.kind,
            "name": stage.name,
            "key": stage.key,
            "parameters": amount.parameters,
            "gmacs": amount.gmacs,
            "images": amount.images,
            "pflops": pflops,
            "gpu_hours": None if pflops is None else yardstick.hours(pflops),
            "disk_bytes": amount.disk_bytes,
            "scratch_bytes": amount.scratch_bytes,
            "why": why,
        }
        rows.append({name: found[name] for name in FIELDS})
    index.save()
    return rows


def _state(stage: Stage, store: Store, index: Index) -> tuple[str, str]:
    if not stage.key:
        return "unknown", "data missing"
    if store.has(stage.kind, stage.key):
        damage = store.damage(stage.kind, stage.key)
        return ("cached", "") if damage is None else ("damaged", f"{damage}; `run` makes it again")
    failure = store.failure(stage.key)
    if failure is not None:
        return "failed", brief(failure.reason)
    before = _earlier(stage, store, index)
    if before is None:
        return (
            ("partial", "a checkpoint is there")
            if (store.attempt_folder(stage.key) / "checkpoints").is_dir()
            else ("new", "")
        )
    reasons = differences(before.parts, stage.parts)
    more = f" and {len(reasons) - SHOWN_REASONS} more" if len(reasons) > SHOWN_REASONS else ""
    return "stale", "; ".join(reasons[:SHOWN_REASONS]) + more


def _earlier(stage: Stage, store: Store, index: Index) -> Manifest | None:
    """The newest finished stage of that name; what is damaged tells nothing."""
    key = index.newest(stage.kind).get(stage.name)
    try:
        return store.manifest(stage.kind, key) if key is not None else None
    except Damaged:
        return None


def totals(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Sums of what is known over training, sampling, prediction, the other stages, and all of them.

    `unknown` stages are in no sum of pflops; `scratch_bytes` is the largest, since fits need not run side by side.
    """
    found = {}
    for name in (*GROUPS.values(), REST, "all"):
        chosen = [row for row in rows if name in ("all", GROUPS.get(row["kind"], REST))]
        found[name] = {
            "stages": len(chosen),
            "left": sum(row["state"] != "cached" for row in chosen),
            "unknown": sum(row["kind"] in GROUPS and row["pflops"] is None for row in chosen),
            **{field: sum(row[field] or 0 for row in chosen) for field in ("pflops", "gpu_hours", "disk_bytes")},
            "scratch_bytes": max((row["scratch_bytes"] for row in chosen), default=0),
        }
    return found


# -- for people --------------------------------------------------------------------------------------------------


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    cells = [["state", "key", "params M", "GMACs/image", "PFLOPs", "GPU-hours", "disk", "stage"]]
    for row in rows:
        # blank where there is nothing to count, a question mark where it is not known
        unknown = "?" if row["kind"] in GROUPS else ""
        millions = None if row["parameters"] is None else row["parameters"] / 1e6
        disk = row["disk_bytes"]
        cells.append(
            [
                row["state"],
                row["key"][:8],
                *(number(value, unknown) for value in (millions, row["gmacs"])),
                *(number(value, unknown) for value in (row["pflops"], row["gpu_hours"])),
                size(disk) if disk else "" if disk == 0 else "?",
                row["name"] + (f"  ({row['why']})" if row["why"] and row["state"] != "unknown" else ""),
            ]
        )
    return _aligned(cells, left=(0, 1, 7))


def _totals(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    cells = [["", "stages", "to do", "PFLOPs", "GPU-hours", "disk"]]
    for name, total in totals(rows).items():
        worked = name != REST
        cells.append(
            [
                name,
                str(total["stages"]),
                str(total["left"]),
                _sum(total, "pflops") if worked else "",
                _sum(total, "gpu_hours") if worked else "",
                size(total["disk_bytes"]) if total["disk_bytes"] else "",
            ]
        )
    return _aligned(cells, left=(0,))


def _sum(total: Mapping[str, Any], field: str) -> str:
    """A sum in words, which says when something is missing from it."""
    if not total["unknown"]:
        return number(total[field], "")
    return f"> {number(total[field], '')}" if total[field] else "?"


def _aligned(cells: Sequence[Sequence[str]], left: Sequence[int]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    # the last column may be long and is not padded
    widths[-1] = 0 if len(widths) - 1 in left else widths[-1]
    return [
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def _notes(
    stages: Sequence[Stage],
    rows: Sequence[Mapping[str, Any]],
    store: Store,
    absent: Sequence[str],
    yardstick: Yardstick,
) -> list[str]:
    left = [row for row in rows if row["state"] != "cached"]
    sums = totals(left)["all"]
    todo = (
        f"{_sum(sums, 'pflops')} PFLOPs, {_sum(sums, 'gpu_hours')} GPU-hours, {size(sums['disk_bytes'])} of disk",
        f"and {size(sums['scratch_bytes'])} more while the largest fit runs or the data are prepared",
    )
    assumed = (
        "1 MAC = 2 FLOPs. GMACs are of one image: all passes to draw it or to answer for it, or one training step with "
        f"its backward passes. GPU-hours at {yardstick.words}. Not counted: a teacher's passes during a fit, "
        "validation, features, scores."
    )
    lines = [f"{len(rows)} stages: {len(rows) - len(left)} cached, {len(left)} to do: {' '.join(todo)}", assumed]
    uncounted = sum(row["kind"] in GROUPS and row["gmacs"] is None for row in rows)
    if uncounted:
        countable = any(row["kind"] == "cost" and row["state"] not in ("cached", "failed", "unknown") for row in rows)
        way = ": --costs counts them" if countable else ""
        lines.append(f"the costs of {uncounted} stages are not counted, and not in the sums{way}")
    unsized = sum(row["kind"] in GROUPS and row["images"] is None for row in rows)
    if unsized:
        lines.append(
            f"{unsized} stages read as many images as the data hold: not in the sums while the data are missing"
        )
    lines += _space(stages, rows, store)
    if absent:
        waiting = sum(row["state"] == "unknown" for row in rows)
        lines.append(f"keys unknown, of {waiting} stages: what they need is not there")
        lines += [f"data missing: {line}" for line in absent]
    return [part for line in lines for part in _wrapped(line)]


def _wrapped(line: str) -> list[str]:
    # a path must stay whole, so that it can be copied
    return textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False)


def _space(stages: Sequence[Stage], rows: Sequence[Mapping[str, Any]], store: Store) -> list[str]:
    """A warning where the disk is too small."""
    left = [(stage, row) for stage, row in zip(stages, rows, strict=True) if row["state"] != "cached"]
    sums = totals([row for _, row in left])["all"]
    needed, free = sums["disk_bytes"] + sums["scratch_bytes"], free_bytes(store.root)
    if needed + RESERVE <= free:
        return []
    refused = bytes_of([stage for stage, _ in left]) > free
    then = "`run` refuses to start" if refused else "a run would stop when the disk is full"
    spare = f"{size(needed)} are needed in {store.root} and {size(RESERVE)} to spare"
    return [f"warning: about {spare}, but {size(free)} are free: {then}"]


def number(value: float | None, unknown: str) -> str:
    """Three or four figures that mean something, thousands apart."""
    if value is None:
        return unknown
    if abs(value) >= 1000:
        return f"{float(f'{value:.4g}'):,.0f}"
    return f"{value:.3g}"
