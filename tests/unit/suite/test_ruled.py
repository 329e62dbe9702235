"""Values that every schema allows and a plugin's own rules refuse: told with their places, before anything runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from suite_files import load, problems

SMALL = Path(__file__).with_name("good_small.yaml")
LOSSES = "'ruled' refuses these params: two losses are perceptual"
STEPS = "'ruled' refuses these sampling: ddpm takes 1000 steps, not 50"


@pytest.fixture
def suite(tmp_path: Path) -> Any:
    """Write the small suite with a generator that has rules."""

    def write(generator: dict[str, Any] | None = None, **changes: Any) -> Path:
        words = yaml.safe_load(SMALL.read_text())
        (budget,) = {one["budget"] for one in words["generators"].values()}
        words["generators"]["strict"] = {"plugin": "ruled", "budget": budget, **(generator or {})}
        words.update(changes)
        path = tmp_path / "suite.yaml"
        path.write_text(yaml.safe_dump(words, sort_keys=False))
        return path

    return write


def test_what_the_rules_allow_is_loaded(suite: Any) -> None:
    loaded = load(suite({"params": {"weight": 0.5}, "sampling": {"sampler": "ddim", "steps": 50}}))
    assert loaded.resolved["generators"]["strict"]["sampling"]["steps"] == 50


def test_all_that_they_refuse_is_told_at_once(suite: Any) -> None:
    path = suite(
        {"params": {"weight": 0.5, "perceptual_weight": 0.1}, "sampling": {"steps": 50}},
        image_sets={"more": ["train", {"samples": "strict", "count": 4, "sampling": {"steps": 50}}]},
        generator_rows=[{"samples": ["strict", "ddpm"], "count": 8, "sampling": [{"steps": 1000}, {"steps": 50}]}],
    )
    lines = path.read_text().splitlines()
    told = [re.fullmatch(r".*:(\d+):(\d+): (.*)", line) for line in problems(path)]
    # the place is that of the values themselves
    assert [
        (lines[int(found[1]) - 1][int(found[2]) - 1 :].split(":")[0], found[3])
        for found in told
        if found and "refuses" in found[3]
    ] == [
        ("weight", LOSSES),
        ("steps", STEPS),
        ("steps", STEPS),
        ("steps", STEPS),
    ]


def test_what_the_schema_refuses_is_not_asked(suite: Any) -> None:
    (told,) = problems(suite({"params": {"weight": -1.0, "perceptual_weight": 0.1}}))
    assert "-1.0 is out of range" in told
    assert "perceptual" not in told
