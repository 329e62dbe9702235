"""Who asks a plugin for its card or its rules waits for whatever stands at the top of its files."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from dermae_bench.plugin.catalog import Catalog

SLOW = {
    "torchvision",
    "timm",
    "diffusers",
    "transformers",
    "peft",
    "torch_fidelity",
    "torchmetrics",
    "scipy",
    "sklearn",
}
"""Seconds each, or parts of seconds that add up; most bring torch's compiler with them."""
CHILD = """
import importlib, json, sys
slow, brought = set(json.loads(sys.argv[1])), {}
for module in json.loads(sys.argv[2]):
    importlib.import_module(module)
    for name in slow & set(sys.modules):
        brought[name] = module
        slow.discard(name)
print(json.dumps([len(sys.modules), brought]))
"""


@pytest.fixture(scope="module")
def modules() -> list[str]:
    places = Catalog().references.values()
    own = {where[-1].module for where in places if where[-1].module.startswith(("dermae_plugins.", "dermae_bench."))}
    assert {name.rpartition(".")[0] for name in own} >= {"dermae_plugins.generators", "dermae_plugins.classifiers"}
    return sorted(own)


def test_our_plugins_import_slow_libraries_where_they_use_them(modules: list[str]) -> None:
    words = [sys.executable, "-c", CHILD, json.dumps(sorted(SLOW)), json.dumps(modules)]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    count, brought = json.loads(ran.stdout)
    assert count > 100
    assert brought == {}
