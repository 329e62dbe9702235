"""Differences between pairs of rows of a results folder, with intervals: what the README says of DerMAE's claims.

Usage: python docs/make_claims.py results/ham10000-cpu

Both rows of a pair answer for the same test images, so a difference is paired: lesions are drawn with replacement, the
same ones for both rows and all seeds, and the difference is that of the means over seeds. Seeds are not resampled: an
interval says what another test set might have given; how far the seeds lie apart stands beside it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.stats import rankdata

MALIGNANT = ("akiec", "bcc", "mel")
RESAMPLES = 2000
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
"""(what, row with it, row without it); rows of the task diagnosis."""


def predictions(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Row -> one table a seed: labels (N,), groups (N,), probabilities (N, C), classes."""
    table = pq.read_table(folder / "predictions.parquet", filters=[("split", "=", "test")]).to_pandas()
    found: dict[str, list[dict[str, Any]]] = {}
    for (row, _), one in table.groupby(["row", "seeds"], observed=True, sort=True):
        name, _, task = str(row).rpartition(" | ")
        if task != "diagnosis":
            continue
        logits = np.stack(one["logits"].to_numpy()).astype(np.float64)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        found.setdefault(name, []).append(
            {
                "id": one["id"].to_numpy(),
                "label": one["label"].to_numpy(),
                "group": one["group"].to_numpy(),
                "p": odds / odds.sum(axis=1, keepdims=True),
                "classes": one["classes"].iloc[0].split(","),
            }
        )
    return found


def balanced_accuracy(one: dict[str, Any], weights: NDArray[np.float64]) -> float:
    """Mean recall over the classes that the resample holds."""
    hits = (one["p"].argmax(axis=1) == one["label"]) * weights
    count = len(one["classes"])
    present = np.bincount(one["label"], weights, count)
    recall = np.bincount(one["label"], hits, count)[present > 0] / present[present > 0]
    return float(recall.mean())


def malignancy_auc(one: dict[str, Any], weights: NDArray[np.float64]) -> float:
    """Area under the ROC of the summed probability of malignant classes; whole weights repeat images."""
    columns = [one["classes"].index(name) for name in MALIGNANT]
    times = weights.astype(int)
    score = np.repeat(one["p"][:, columns].sum(axis=1), times)
    malignant = np.repeat(np.isin(one["label"], columns), times)
    positives, negatives = malignant.sum(), (~malignant).sum()
    return float((rankdata(score)[malignant].sum() - positives * (positives + 1) / 2) / (positives * negatives))


METRICS = {"balanced accuracy": balanced_accuracy, "malignancy AUC": malignancy_auc}


def main() -> int:
    """Print a Markdown table, one line a claim."""
    rows = predictions(Path(sys.argv[1]))
    groups = next(iter(rows.values()))[0]["group"]
    lesions, member = np.unique(groups, return_inverse=True)
    draws = np.random.default_rng(0).multinomial(len(lesions), [1 / len(lesions)] * len(lesions), RESAMPLES)
    everyone = np.ones(len(groups))
    lines = ["| difference made by | " + " | ".join(METRICS) + " |", "| --- |" + " ---: |" * len(METRICS)]
    for what, with_it, without in CLAIMS:
        cells = []
        for metric in METRICS.values():
            ours, theirs = rows[with_it], rows[without]
            seeds = [metric(a, everyone) - metric(b, everyone) for a, b in zip(ours, theirs, strict=True)]
            drawn = [
                np.mean([metric(a, weights) - metric(b, weights) for a, b in zip(ours, theirs, strict=True)])
                for weights in (draw[member].astype(np.float64) for draw in draws)
            ]
            low, high = np.percentile(drawn, [2.5, 97.5])
            apart = f"{min(seeds):+.3f} to {max(seeds):+.3f}"
            cells.append(f"{np.mean(seeds):+.3f} [{low:+.3f}, {high:+.3f}], seeds {apart}")
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
