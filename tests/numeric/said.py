"""Predictions of made-up models, for the tests of prediction metrics."""

from __future__ import annotations

import numpy as np

from dermae_bench import api


def predictions(
    labels: np.ndarray, logits: np.ndarray, *, positive: str | None = "c1", validation: api.Predictions | None = None
) -> api.Predictions:
    """Classes are c0, c1, ...; every image is its own group."""
    names = tuple(f"c{number}" for number in range(np.shape(logits)[1]))
    ids = [str(number) for number in range(len(labels))]
    return api.Predictions(
        task=api.Task(name="t", classes=names, positive=positive),
        ids=ids,
        groups=ids,
        labels=np.asarray(labels, dtype=np.int64),
        logits=np.asarray(logits, dtype=np.float32),
        validation=validation,
    )


def binary(labels: np.ndarray, scores: np.ndarray, validation: api.Predictions | None = None) -> api.Predictions:
    """Two classes; the log-odds of the positive one, c1, are `scores`."""
    return predictions(labels, np.stack([np.zeros(len(scores)), scores], axis=1), validation=validation)


def random_case(seed: int, n: int = 200, classes: int = 5, levels: int | None = None) -> api.Predictions:
    """Every class occurs, the last ones rarely; logits in steps of 1 / `levels` tie often. With a validation set."""
    rng = np.random.default_rng(seed)
    shares = 0.6 ** np.arange(classes)
    sets: list[api.Predictions] = []
    for size in (n // 2, n):
        labels = np.r_[np.arange(classes), rng.choice(classes, size - classes, p=shares / shares.sum())]
        logits = rng.standard_normal((size, classes)) * 2
        logits[np.arange(size), labels] += 1
        if levels is not None:
            logits = np.round(logits * levels) / levels
        sets.append(predictions(labels, logits, validation=sets[0] if sets else None))
    return sets[1]


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits.astype(np.float64))
    # rounded, because rows that tie by right differ in the last bit of their sums
    return np.round(raised / raised.sum(axis=1, keepdims=True), 12)
