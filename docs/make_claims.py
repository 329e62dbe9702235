"""Differences between pairs of rows of a results folder: what the README says of DerMAE's claims.

Usage: python docs/make_claims.py results/ham10000-cpu (or another of the suites in `OF`)

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

Columns = Sequence[tuple[str, str, str]]
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
FAMILIES = (
    ("fastgan samples, ViT", "vit-b | with-fastgan", "vit-b | train"),
    ("ddpm samples, ViT", "vit-b | with-ddpm", "vit-b | train"),
    ("flow samples, ViT", "vit-b | with-flow", "vit-b | train"),
    ("balanced draws of real images, ViT", "vit-b-balanced | train", "vit-b | train"),
    ("flow samples against balanced draws, ViT", "vit-b | with-flow", "vit-b-balanced | train"),
    ("flow against ddpm, ViT", "vit-b | with-flow", "vit-b | with-ddpm"),
    ("fastgan samples, CNN", "resnet-50 | with-fastgan", "resnet-50 | train"),
    ("ddpm samples, CNN", "resnet-50 | with-ddpm", "resnet-50 | train"),
    ("flow samples, CNN", "resnet-50 | with-flow", "resnet-50 | train"),
    ("balanced draws of real images, CNN", "resnet-50-balanced | train", "resnet-50 | train"),
    ("flow samples against balanced draws, CNN", "resnet-50 | with-flow", "resnet-50-balanced | train"),
)
JOINT = tuple(
    (f"setting {number} against the classifier alone", f"setting-{number} | train", "resnet-101 | train")
    for number in (2, 3, 4, 5)
)
COLUMNS = (("balanced accuracy", "balanced-accuracy", "diagnosis"), ("malignancy AUC", "auc-binary", "malignancy"))
"""(heading, metric, task)."""
BINARY = (("balanced accuracy", "balanced-accuracy", "malignancy"), ("AUC", "auc-binary", "malignancy"))
OF = {
    "ham10000": (CLAIMS, COLUMNS), "generator_families": (FAMILIES, COLUMNS), "class_n_diff": (JOINT, BINARY),
}  # fmt: skip
"""Suite -> its claims and their columns."""


def compared(folder: Path, with_it: str, without: str, columns: Columns = COLUMNS) -> list[dict[str, Any]]:
    """What `compare` says of each of `columns`, the row without it as the reference.

    Raises:
        subprocess.CalledProcessError: the rows may not be compared, or are not there; its `stderr` says why.
    """
    asked = [word for _, metric, _ in columns for word in ("--metric", metric)]
    command = [sys.executable, "-m", "dermae_bench", "compare", str(folder), without, with_it, *asked]
    told = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=True).stdout
    by = {(pair["section"], item["metric"]): item for pair in json.loads(told)["pairs"] for item in pair["metrics"]}
    return [by[task, metric] for _, metric, task in columns]


def cell(item: dict[str, Any], adjusted: float) -> str:
    """Difference, interval, corrected p, and how far the seeds lie apart."""
    ours, theirs = ([seed["value"] for seed in item[side]["seeds"]] for side in ("b", "a"))
    seeds = [one - other for one, other in zip(ours, theirs, strict=True)]
    told = f"{item['difference']:+.3f} [{item['low']:+.3f}, {item['high']:+.3f}], p {adjusted:.3f}"
    return f"{told}, seeds {min(seeds):+.3f} to {max(seeds):+.3f}"


def table(folder: Path, claims: Sequence[tuple[str, str, str]] = CLAIMS, columns: Columns = COLUMNS) -> Iterator[str]:
    """Lines of a Markdown table, one a claim."""
    found = [compared(folder, with_it, without, columns) for _, with_it, without in claims]
    adjusted = iter(holm([item["tests"][0]["p"] for items in found for item in items]))
    yield "| difference made by | " + " | ".join(heading for heading, _, _ in columns) + " |"
    yield "| --- |" + " ---: |" * len(columns)
    for (what, _, _), items in zip(claims, found, strict=True):
        yield f"| {what} | " + " | ".join(cell(item, float(next(adjusted))) for item in items) + " |"


if __name__ == "__main__":
    given = Path(sys.argv[1])
    suite = next((name for name in OF if given.name.startswith(name)), "ham10000")
    sys.stdout.writelines(f"{line}\n" for line in table(given, *OF[suite]))
