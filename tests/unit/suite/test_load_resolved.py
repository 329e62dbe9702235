"""The resolved suite loads to the same suite and tells nothing of the machine; the schema for editors is JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from suite_files import EXAMPLE, SMALL, load

from dermae_bench.suite.load import load_suite
from dermae_bench.suite.resolved import suite_schema, suite_to_yaml


@pytest.mark.parametrize("path", [EXAMPLE, SMALL], ids=lambda path: path.stem)
def test_resolved_suite_loads_to_the_same(path: Path, tmp_path: Path) -> None:
    loaded = load(path)
    again = tmp_path / "suite.resolved.yaml"
    again.write_text(suite_to_yaml(loaded))
    assert load(again).suite == loaded.suite
    assert load(again).resolved == loaded.resolved


def test_resolved_suite_quotes_text_that_looks_like_a_number(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    odd = "description: '1e-4'\ntasks: ['0o7', 'no', 'null', '~', '1_0', \"a\\tb\\e\"]\n"
    path.write_text(SMALL.read_text().replace("tasks: [diagnosis, malignancy]\n", odd))
    loaded = load_suite(path)
    path.write_text(suite_to_yaml(loaded))
    assert load_suite(path).suite == loaded.suite


def test_derived_suite_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(SMALL.read_text().replace("resnet18}", "resnet18}, derive: diagnosis"))
    loaded = load(path)
    path.write_text(suite_to_yaml(loaded))
    assert load(path).suite == loaded.suite


def test_resolved_suite_tells_nothing_about_the_machine() -> None:
    root = "dataset.params.root="
    written = {}
    for text in ("data/x", "/home/me/HAM", "../shared/HAM/", "~/HAM", "a/../../b", "C:\\data\\HAM"):
        written[text] = yaml.safe_load(suite_to_yaml(load(EXAMPLE, sets=[root + text])))["dataset"]["params"]["root"]
    assert written == {
        "data/x": "data/x",
        "/home/me/HAM": "data/HAM",
        "../shared/HAM/": "data/HAM",
        "~/HAM": "data/HAM",
        "a/../../b": "data/b",
        "C:\\data\\HAM": "data/HAM",
    }


def test_schema_for_editors_is_plain_json() -> None:
    schema = suite_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert schema["required"] == ["version", "suite", "dataset", "tasks"]
    assert [member["type"] for member in schema["properties"]["seeds"]["anyOf"]] == ["object", "array"]
    assert schema["properties"]["classifiers"]["additionalProperties"]["properties"]["from"]["anyOf"]
