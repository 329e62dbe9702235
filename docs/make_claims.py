"""Differences between pairs of rows of a results folder: what the README says of DerMAE's claims.

Usage: python docs/make_claims.py results/ham10000-cpu

Each pair goes through `dermae-bench compare`: the same images, whole lesions, means over seeds. Holm's correction is
over all tests of the table.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dermae_bench.statistics.decisions import holm

CLAIMS = (
    ("synthetic images, ViT-B", "vit-b | balanced", "vit-b | train"),
    ("synthetic images, MAE ViT-L", "vit-l-mae | balanced", "vit-l-mae | train"),
    ("MAE pretraining, ViT-L", "vit-l-mae | train", "vit-l | train"),
    ("MAE and synthetic images, ViT-L", "vit-l-mae | balanced", "vit-l | train"),
    ("distillation, ViT-B, real images", "vit-b-distilled | train", "vit-b | train"),
    ("distillation, ViT-B, balanced images", "vit-b-distilled | balanced", "vit-b | balanced"),
    ("distillation and synthetic images, CNN", "efficientnet-b0-distilled | balanced", "efficientnet-b0 | train"),
    ("conditioning against teacher's labels", "vit-b-distilled | balanced", "vit-b-distilled | unconditional"),
    ("student against its teacher", "vit-b-distilled | balanced", "vit-h-mae | balanced"),
)
"""(what, row with it, row without it)."""
COLUMNS = (("balanced accuracy", "balanced-accuracy", "diagnosis"), ("malignancy AUC", "auc-binary", "malignancy"))
"""(heading, metric, task)."""


def compared(folder: Path, with_it: str, without: str) -> list[dict[str, Any]]:
    """What `compare` says of each of `COLUMNS`, the row without it as the reference.

    Raises:
        subprocess.CalledProcessError: the rows may not be compared, or are not there; its `stderr` says why.
    """
    asked = [word for _, metric, _ in COLUMNS for word in ("--metric", metric)]
    command = [sys.executable, "-m", "dermae_bench", "compare", str(folder), without, with_it, *asked]
    told = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=True).stdout
    by = {(pair["section"], item["metric"]): item for pair in json.loads(told)["pairs"] for item in pair["metrics"]}
    return [by[task, metric] for _, metric, task in COLUMNS]


def cell(item: dict[str, Any], adjusted: float) -> str:
    """Difference, interval, corrected p, and how far the seeds lie apart."""
    ours, theirs = ([seed["value"] for seed in item[side]["seeds"]] for side in ("b", "a"))
    seeds = [one - other for one, other in zip(ours, theirs, strict=True)]
    told = f"{item['difference']:+.3f} [{item['low']:+.3f}, {item['high']:+.3f}], p {adjusted:.3f}"
    return f"{told}, seeds {min(seeds):+.3f} to {max(seeds):+.3f}"


def table(folder: Path, claims: Sequence[tuple[str, str, str]] = CLAIMS) -> Iterator[str]:
    """Lines of a Markdown table, one a claim."""
    found = [compared(folder, with_it, without) for _, with_it, without in claims]
    adjusted = iter(holm([item["tests"][0]["p"] for items in found for item in items]))
    yield "| difference made by | " + " | ".join(heading for heading, _, _ in COLUMNS) + " |"
    yield "| --- |" + " ---: |" * len(COLUMNS)
    for (what, _, _), items in zip(claims, found, strict=True):
        yield f"| {what} | " + " | ".join(cell(item, float(next(adjusted))) for item in items) + " |"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in table(Path(sys.argv[1])))
