"""Checks of datasets, extractors and metrics."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from dermae_bench.plugin.contracts import CostUnit
from dermae_bench.plugin.data import SPLITS, Task
from dermae_bench.plugin.images import ImageSet, Part
from dermae_bench.plugin.measures import (
    Comparison,
    CostMetric,
    Features,
    Metric,
    PredictionMetric,
    Predictions,
    SampleMetric,
)
from dermae_bench.plugin.params import build, schema_of
from dermae_bench.testing.models import Untried, fitting

TASK = Task(name="diagnosis", classes=("a", "b", "c"))
BINARY = Task(name="malignancy", classes=("benign", "malignant"), positive="malignant")


def _configured(cls: type[Any], given: dict[str, Any] | None = None) -> Any:
    given = given if given is not None else getattr(cls, "tiny", {})
    return build(cls.Config, fitting("tiny", given, cls.Config))


# -- datasets ----------------------------------------------------------------------------------------------------


def declares_tasks(cls: type[Any]) -> None:
    """tasks() starts with the root, and every map covers the classes of its parent."""
    if not cls.tiny:
        raise Untried("tiny is empty: it needs data that the kit does not have")
    tasks = list(cls.tasks(_configured(cls)))
    assert tasks[0].parent is None, "the first task must be the root"
    known: dict[str, Task] = {}
    for task in tasks:
        assert task.classes and len(set(task.classes)) == len(task.classes), (
            f"{task.name}: classes are empty or doubled"
        )
        assert task.positive is None or task.positive in task.classes, f"{task.name}: positive is no class"
        if task.parent is not None:
            assert task.parent in known, f"{task.name}: its parent must stand before it"
            assert set(task.mapping) == set(known[task.parent].classes), (
                f"{task.name}: the map does not cover its parent"
            )
            assert set(task.mapping.values()) <= set(task.classes), f"{task.name}: the map leads to no class"
        known[task.name] = task


def lists_examples(cls: type[Any]) -> None:
    """examples() is repeatable, with unique ids, known labels, and groups that no split divides."""
    if not cls.tiny:
        raise Untried("tiny is empty: it needs data that the kit does not have")
    dataset = cls(_configured(cls))
    examples = list(dataset.examples())
    root = next(iter(cls.tasks(dataset.config)))
    assert examples == list(cls(_configured(cls)).examples()), "two readings differ"
    doubled = [name for name, count in Counter(e.id for e in examples).items() if count > 1]
    assert not doubled, f"ids stand twice: {doubled[:3]}"
    splits = {e.split for e in examples}
    assert splits in (set(SPLITS), {"test"}), "a split is empty or unknown; sets for evaluation alone are all test"
    assert {e.label for e in examples} <= set(root.classes), "a label is no class of the root task"
    assert len({frozenset(e.attributes) for e in examples}) == 1, "examples differ in the names of their attributes"
    if dataset.leaky is None:
        where: dict[str, set[str]] = {}
        for e in examples:
            where.setdefault(e.group, set()).add(e.split)
        assert all(len(splits) == 1 for splits in where.values()), "a group is divided between splits"
    assert dataset.split_rule, "the split rule has no name"


def gives_pixels(cls: type[Any]) -> None:
    """Every example has a file, or is drawn as uint8 (3, S, S), the same twice."""
    if not cls.tiny:
        raise Untried("tiny is empty: it needs data that the kit does not have")
    dataset = cls(_configured(cls))
    size = int(dataset.config.image_size)
    for example in list(dataset.examples())[:5]:
        drawn = dataset.image(example, size)
        if drawn is None:
            assert example.source is not None, f"{example.id} has neither a file nor pixels"
            continue
        assert drawn.dtype == np.uint8 and drawn.shape == (3, size, size), f"{drawn.dtype} {drawn.shape}"
        assert np.array_equal(drawn, cls(_configured(cls)).image(example, size)), "two drawings differ"


# -- extractors --------------------------------------------------------------------------------------------------


def extracts(cls: type[Any]) -> None:
    """features() gives finite (B, D) that do not depend on the batch, and identity() says what it is."""
    if schema_of(cls.Config).get("required") and not cls.tiny:
        raise Untried("tiny is empty: it needs weights that the kit does not have")
    extractor = cls(_configured(cls)).eval()
    identity = extractor.identity()
    assert {"name", "stage", "dimensions", "weights", "input"} <= set(identity), (
        f"identity() lacks words: {sorted(identity)}"
    )
    images = torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = extractor.features(images)
        alone = torch.cat([extractor.features(images[i : i + 1]) for i in range(3)])
    assert together.shape == (3, identity["dimensions"]), (
        f"{tuple(together.shape)} against {identity['dimensions']} dimensions"
    )
    assert together.dtype == torch.float32, f"features are {together.dtype}, not torch.float32"
    assert bool(torch.isfinite(together).all()), "features are not finite"
    assert torch.allclose(together, alone, atol=1e-3, rtol=1e-3), "features depend on the batch"


# -- metrics -----------------------------------------------------------------------------------------------------


def _options(cls: type[Any]) -> Any:
    if schema_of(cls.Config).get("required"):
        raise Untried("its Config has no defaults")
    return _configured(cls)


def has_columns(cls: type[Any]) -> None:
    """columns() names what the metric gives, with unit and direction."""
    columns = list(cls.columns(_options(cls)))
    assert columns, "there are none"
    assert len({column.name for column in columns}) == len(columns), "names are doubled"


def measures(cls: type[Any]) -> None:
    """values() fills exactly its columns with finite numbers, and does so again."""
    metric: Metric = cls(_options(cls))
    values: Mapping[str, float | str]
    again: Mapping[str, float | str]
    names = {column.name for column in cls.columns(metric.config)}
    generator = np.random.default_rng(3)
    if isinstance(metric, PredictionMetric):
        positive = any(column.positive for column in cls.columns(metric.config))
        predictions = _predictions(generator, BINARY if positive else TASK)
        values, again = metric.values(predictions), metric.values(predictions)
        ones = metric.resampled(predictions, np.ones((2, 90), dtype=np.float32))
        for name, value in values.items():
            assert ones is None or np.allclose(ones[name], value, atol=1e-6), (
                f"{name}: equal weights give another value"
            )
    elif isinstance(metric, SampleMetric):
        comparison = _comparison(generator)
        values, again = metric.values(comparison), metric.values(comparison)
        json.dumps(dict(metric.details(comparison)), allow_nan=False)
    else:
        assert isinstance(metric, CostMetric), "it is no SampleMetric, PredictionMetric or CostMetric"
        unit = CostUnit(torch.nn.Linear(4, 3), (torch.zeros(1, 4),))
        values, again = metric.values([unit]), metric.values([unit])
    assert set(values) == names, f"values {sorted(values)} against columns {sorted(names)}"
    finite = [isinstance(value, str) or np.isfinite(value) for value in values.values()]
    assert all(finite), f"not finite: {values}"
    assert values == again, "two computations differ"


def _predictions(generator: np.random.Generator, task: Task, *, validation: bool = True) -> Predictions:
    """90 answers, and as many on `val`."""
    labels = np.arange(90) % len(task.classes)
    logits = generator.normal(size=(90, len(task.classes))).astype(np.float32)
    logits[np.arange(90), labels] += 1
    names = [f"image-{i}" for i in range(90)]
    said = _predictions(generator, task, validation=False) if validation else None
    return Predictions(task=task, ids=names, groups=names, labels=labels, logits=logits, validation=said)


def _comparison(generator: np.random.Generator) -> Comparison:
    """Features, labels and pixels of four sets of 200 images in three classes."""

    def side(name: str) -> Features:
        labels, ids = np.arange(200) % 3, [f"{name}-{i}" for i in range(200)]
        pixels = generator.integers(0, 256, (200, 3, 32, 32), dtype=np.uint8)
        return Features(
            values=generator.normal(size=(200, 8)).astype(np.float32),
            ids=ids,
            labels=labels,
            images=ImageSet(parts=[Part([pixels], np.arange(200))], ids=ids, groups=ids, task=TASK, labels=labels),
        )

    names = ("generated", "real", "training", "held_out")
    sides = {name: side(name) for name in names}
    return Comparison(**sides, classes=TASK.classes, seed=0)


DATASET_CHECKS = [declares_tasks, lists_examples, gives_pixels]
EXTRACTOR_CHECKS = [extracts]
METRIC_CHECKS = [has_columns, measures]
