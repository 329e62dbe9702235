"""Printing a plan: what is cached, new or stale and why, and what it costs."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from typing import IO, Any

from dermae_bench.commands.printing import csv_row, harmless
from dermae_bench.store.artifacts import Manifest, Store
from dermae_bench.suite.stage import Stage, differences

PEAK_TFLOPS = 989.0
"""Dense bf16 peak of one H200, the yardstick of GPU-hours."""
UTILISATION = 0.3
"""Share of the peak that a training loop is taken to reach."""
BACKWARD = 3
"""A training step costs about three forward passes (forward, and twice that backward)."""
SHOWN_REASONS = 3


def print_plan(stages: Sequence[Stage], store: Store, missing: str | None, form: str, stream: IO[str]) -> None:
    """Write one line a stage and a total."""
    rows = describe(stages, store, missing)
    if form == "json":
        json.dump(rows, stream, indent=1)
        stream.write("\n")
        return
    if form == "csv":
        writer = csv.DictWriter(
            stream, ["state", "kind", "name", "key", "gmacs", "gpu_hours", "disk_bytes", "why"], lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(map(csv_row, rows))
        return
    for row in rows:
        cost = f"  {row['gmacs']:.3g} GMACs, {row['gpu_hours']:.2g} GPU-h" if row["gmacs"] is not None else ""
        why = f"  ({row['why']})" if row["why"] else ""
        stream.write(harmless(f"{row['state']:<8} {row['key'][:8]:<8} {row['name']}{cost}{why}") + "\n")
    left = [row for row in rows if row["state"] != "cached"]
    known = [row for row in left if row["gmacs"] is not None]
    disk = sum(row["disk_bytes"] for row in left)
    stream.write(f"{len(rows)} stages: {len(rows) - len(left)} cached, {len(left)} to do")
    if missing is not None:
        stream.write(f"\nkeys unknown: data missing: {harmless(missing)}\n")
        return
    hours = sum(row["gpu_hours"] for row in known)
    stream.write(f"; about {disk / 2**20:.0f} MiB of samples")
    stream.write(f"; {hours:.3g} GPU-hours at {PEAK_TFLOPS:.0f} TFLOP/s and {UTILISATION:.0%} utilisation\n")
    if any(row["gmacs"] is None and row["kind"] in {"train", "sample"} for row in left):
        stream.write("costs of some stages are not counted yet: add --costs\n")


def describe(stages: Sequence[Stage], store: Store, missing: str | None) -> list[dict[str, Any]]:
    """State, reason and cost of every stage, as plain values."""
    earlier: dict[str, dict[str, Manifest]] = {}
    passes = _passes(stages, store)
    rows = []
    for stage in stages:
        state, why = _state(stage, store, earlier)
        gmacs = _gmacs(stage, passes)
        hours = gmacs * 2e9 / (PEAK_TFLOPS * 1e12 * UTILISATION) / 3600 if gmacs is not None else None
        rows.append(
            {
                "state": state,
                "kind": stage.kind,
                "name": stage.name,
                "key": stage.key,
                "gmacs": gmacs,
                "gpu_hours": hours,
                "disk_bytes": stage.disk_bytes,
                "why": why,
            }
        )
    return rows


def _state(stage: Stage, store: Store, earlier: dict[str, dict[str, Manifest]]) -> tuple[str, str]:
    if not stage.key:
        return "unknown", "data missing"
    if store.has(stage.kind, stage.key):
        return "cached", ""
    failure = store.failure(stage.key)
    if failure is not None:
        return "failed", failure.reason.partition("\n")[0]
    if stage.kind not in earlier:
        found: dict[str, Manifest] = {}
        for manifest in store.manifests(stage.kind):
            found.setdefault(manifest.name, manifest)
        earlier[stage.kind] = found
    before = earlier[stage.kind].get(stage.name)
    if before is None:
        return (
            ("partial", "a checkpoint is there")
            if (store.attempt_folder(stage.key) / "checkpoints").is_dir()
            else ("new", "")
        )
    reasons = differences(before.parts, stage.parts)
    more = f" and {len(reasons) - SHOWN_REASONS} more" if len(reasons) > SHOWN_REASONS else ""
    return "stale", "; ".join(reasons[:SHOWN_REASONS]) + more


def _passes(stages: Sequence[Stage], store: Store) -> Mapping[str, Mapping[str, Any]]:
    """Model (as the cost stage describes it) -> its counted values."""
    found: dict[str, Mapping[str, Any]] = {}
    for stage in stages:
        if stage.kind == "cost" and stage.key and store.has(stage.kind, stage.key):
            found[_model(stage)] = store.manifest(stage.kind, stage.key).summary["values"]
    return found


def _model(stage: Stage) -> str:
    return (
        json.dumps(stage.parts["work"]["model"], sort_keys=True)
        if stage.parts and "model" in stage.parts["work"]
        else ""
    )


def _gmacs(stage: Stage, passes: Mapping[str, Mapping[str, Any]]) -> float | None:
    """GMACs of a whole stage; None where the model's cost is not counted."""
    if stage.kind not in {"train", "sample"} or not stage.key or not stage.steps:
        return None
    values = passes.get(_model(stage))
    if values is None:
        return None
    per_image = float(values["gmacs"])
    if stage.kind == "sample":
        return per_image * stage.steps
    one_pass = per_image / max(1.0, float(values.get("network-calls", 1)))
    return one_pass * BACKWARD * int(stage.work["budget"]["batch_size"]) * stage.steps
