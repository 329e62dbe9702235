"""The conformance kit on datasets and metrics: each fault breaks the promise about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from subjects import broken, results

METRIC = '''
from dataclasses import dataclass
import random
from dermae_bench import api

class Subject(api.PredictionMetric):
    """A metric."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        pass

    @classmethod
    def columns(cls, config):
        return [api.Column(name="share", better="higher")]

    def values(self, predictions):
        right = float((predictions.logits.argmax(1) == predictions.labels).mean())
        return {values}

    def resampled(self, predictions, weights):
        return {resampled}

@api.hookimpl
def dermae_metrics():
    return {{"subject": Subject}}
'''


@pytest.mark.parametrize(
    ("values", "resampled", "reason"),
    [
        ('{"share": right}', "None", None),
        ('{"other": right}', "None", "against columns"),
        ('{"share": right * float("nan")}', "None", "not finite"),
        ('{"share": right + random.random()}', "None", "two computations differ"),
        ('{"share": right}', '{"share": weights.mean(1) * 0}', "equal weights give another value"),
    ],
)
def test_metrics_with_a_fault_are_found(tmp_path: Path, values: str, resampled: str, reason: str | None) -> None:
    found = broken(tmp_path, METRIC.format(values=values, resampled=resampled))
    name = "values() fills exactly its columns with finite numbers, and does so again"
    assert set(found) == (set() if reason is None else {name})
    assert reason is None or reason in found[name]


DATASET = '''
from dataclasses import dataclass
import numpy as np
from dermae_bench import api

class Subject(api.Dataset):
    """A dataset."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        image_size: int = 8
        """Side in pixels."""

    tiny = {{"image_size": 8}}

    @classmethod
    def tasks(cls, config):
        root = api.Task(name="diagnosis", classes=("a", "b"))
        return [root, api.Task(name="second", classes=("x",), parent="diagnosis", mapping={mapping})]

    def examples(self):
        splits = ("train", "val", "test")
        return [api.Example(id={id}, group={group}, split=splits[i % 3], label={label}) for i in range(9)]

    @property
    def split_rule(self):
        return "by position"

    def image(self, example, size):
        return np.zeros((3, size, size), dtype={dtype})

@api.hookimpl
def dermae_datasets():
    return {{"subject": Subject}}
'''
RIGHT_DATASET = {
    "mapping": '{"a": "x", "b": "x"}',
    "id": "str(i)",
    "group": "str(i)",
    "label": '"a"',
    "dtype": "np.uint8",
}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({}, None),
        ({"mapping": '{"a": "x"}'}, "does not cover its parent"),
        ({"id": '"same"'}, "ids stand twice"),
        ({"group": '"one lesion"'}, "divided between splits"),
        ({"label": '"c"'}, "no class of the root task"),
        ({"dtype": "np.float32"}, "float32"),
    ],
)
def test_datasets_with_a_fault_are_found(tmp_path: Path, fault: dict[str, str], reason: str | None) -> None:
    found = broken(tmp_path, DATASET.format(**{**RIGHT_DATASET, **fault}))
    assert len(found) == (reason is not None)
    assert all(str(reason) in why for why in found.values())


def test_an_empty_tiny_is_neither_kept_nor_broken(tmp_path: Path) -> None:
    source = DATASET.format(**RIGHT_DATASET).replace('tiny = {"image_size": 8}', "tiny = {}")
    found = results(tmp_path, source)
    assert [result.skipped is not None for result in found] == [False, True, True, True, False]
    assert all(result.reason is None for result in found)
