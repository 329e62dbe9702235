"""A suite that says all that can be said of images and rows, and how these tests change and plan it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from planning import TASKS, Planned, plan_of
from suite_files import HERE

WORDS = HERE / "good_words.yaml"
COUNTS = {
    "train": {"MEL": 20, "NV": 60, "BCC": 20},
    "val": {"MEL": 5, "NV": 15, "BCC": 5},
    "test": {"MEL": 5, "NV": 15, "BCC": 5},
}
SWEEP: Mapping[str, Any] = {"samples": "flow", "real_n": [40, "all"], "ratio": [0, 0.5]}


def tree(**changes: Any) -> dict[str, Any]:
    """The suite with top-level sections replaced; None takes one away."""
    found = {**yaml.safe_load(WORDS.read_text()), **changes}
    return {name: value for name, value in found.items() if value is not None}


def brief(**changes: Any) -> dict[str, Any]:
    """The suite with one row, one task, one seed and no other set: what such a test does not look at."""
    return tree(**{"rows": [{"classifiers": "cnn"}], "evaluate_on": None, "seeds": [0], **changes})


def swept(*rows: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """The suite with these sweeps of `cnn` as its rows."""
    return tree(rows=[{"classifiers": "cnn", "sweep": dict(sweep)} for sweep in rows], **changes)


def written(folder: Path, suite: Mapping[str, Any]) -> Path:
    path = folder / "suite.yaml"
    # the way over JSON leaves nothing that two places share, and so no alias
    path.write_text(yaml.safe_dump(json.loads(json.dumps(suite)), sort_keys=False))
    return path


def planned(folder: Path, suite: Mapping[str, Any], **options: Any) -> Planned:
    """Load and plan, with data to count and another set that has the same tasks."""
    return plan_of(written(folder, suite), folder, **{"counts": COUNTS, "others": {"other": TASKS}, **options})


def keys(found: Planned) -> set[str]:
    assert all(stage.key for stage in found.stages)
    return {stage.key for stage in found.stages}


def measured(found: Planned, board: str = "classifiers") -> list[str]:
    return [row.row for row in found.rows if row.board == board and row.kind == "measured"]
