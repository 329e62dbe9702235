"""Sections of measurements that are no lists are mistakes of the user like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from dermae_bench.errors import UserError
from dermae_bench.suite.load import load_suite


@pytest.mark.parametrize("section", ["subgroups", "prediction_metrics", "sample_metrics", "rows", "generator_rows"])
@pytest.mark.parametrize("value", ["{train: }", "{sex: {attribute: sex}}", "sex", "3", "[[sex]]", "[{}]", "[3]"])
def test_what_is_no_list_of_entries_is_told_with_its_place(tmp_path: Path, section: str, value: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"version: 1\nsuite: s\ndataset: {{plugin: phantom}}\ntasks: [malignancy]\n{section}: {value}\n")
    with pytest.raises(UserError) as caught:
        load_suite(path)
    assert "s.yaml:5" in str(caught.value)
