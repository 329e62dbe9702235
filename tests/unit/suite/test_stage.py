"""Keys of stages, and why two of them differ, in words."""

from __future__ import annotations

from typing import Any

import pytest

from dermae_bench.suite.stage import differences, key_of

PARTS: dict[str, Any] = {
    "kind": "train",
    "work": {"model": {"params": {"lr": 0.02, "arch": "vit"}}, "seed": 0},
    "plugins": {"timm": "0123"},
    "libraries": {"torch": "2.10"},
    "harness": {"execute/run.py": "abcd"},
    "inputs": {"prepare": "f00"},
}


def test_a_key_is_32_hex_digits_of_the_canonical_parts() -> None:
    assert len(key_of(PARTS)) == 32
    assert set(key_of(PARTS)) <= set("0123456789abcdef")
    assert key_of(dict(reversed(PARTS.items()))) == key_of(PARTS)
    assert key_of({**PARTS, "kind": "sample"}) != key_of(PARTS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"work": {**PARTS["work"], "seed": 1}}, ["seed: 0 -> 1"]),
        ({"work": {"model": {"params": {"lr": 0.5, "arch": "vit"}}, "seed": 0}}, ["model.params.lr: 0.02 -> 0.5"]),
        ({"work": {"model": {"params": {"lr": 0.02}}, "seed": 0}}, ["model.params.arch: vit -> None"]),
        ({"plugins": {"timm": "9999"}}, ["source of plugin timm changed"]),
        ({"plugins": {"timm": "0123", "f1": "1"}}, ["plugin f1 added"]),
        ({"plugins": {}}, ["plugin timm left out"]),
        ({"libraries": {"torch": "2.11"}}, ["torch 2.10 -> 2.11"]),
        ({"harness": {"execute/run.py": "ffff"}}, ["execute/run.py of dermae-bench changed"]),
        ({"inputs": {"prepare": "bad"}}, ["input prepare changed"]),
        (
            {"inputs": {"prepare": "bad"}, "libraries": {"torch": "3.0"}, "work": {**PARTS["work"], "seed": 1}},
            ["seed: 0 -> 1", "torch 2.10 -> 3.0", "input prepare changed"],
        ),
        ({"work": {**PARTS["work"], "sampling": {"steps": 5}}}, ["sampling.steps: None -> 5"]),
        ({"libraries": None}, ["torch 2.10 -> None"]),
    ],
)
def test_differences_are_told_in_words(change: dict[str, Any], words: list[str]) -> None:
    assert differences(PARTS, {**PARTS, **change}) == words


def test_metrics_are_told_by_name() -> None:
    old, new = ([{"metric": name, "params": {}} for name in names] for names in (("accuracy", "ece"), ("accuracy",)))
    assert differences({"work": {"metrics": old}}, {"work": {"metrics": new}}) == ["metrics: accuracy, ece -> accuracy"]


def test_long_values_are_cut() -> None:
    (told,) = differences({"work": {"images": "x" * 100}}, {"work": {"images": "y"}})
    assert told == f"images: {'x' * 37}... -> y"
