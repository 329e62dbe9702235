"""Two rows of hand-made answers, and how tests compare them."""

from __future__ import annotations

from pathlib import Path

from dermae_bench.report.compare.comparison import compare
from dermae_bench.report.compare.outcome import Comparison, Line
from dermae_bench.report.compare.procedures import Test
from dermae_bench.report.compare.recorded import Results
from dermae_bench.report.compare.sides import paired
from tests.result_folders import answers, images, metric_of

WHICH = images()
"""90 images of 60 lesions."""
OLD = [answers(WHICH, 0.75, seed) for seed in (1, 2, 3)]
NEW = [answers(WHICH, 0.9, seed) for seed in (4, 5)]


def compared(folder: Path, a: str, b: str, test: Test = "sign-flip", *metrics: str, seed: int = 0) -> Comparison:
    results = Results(folder)
    pairing = paired(results, results, a, b)
    return compare(results, results, pairing, metric_of=metric_of, metrics=metrics, test=test, seed=seed)


def line(comparison: Comparison, metric: str) -> Line:
    return next(line for pair in comparison.pairs for line in pair.lines if line.metric == metric)
