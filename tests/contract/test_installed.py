"""Every plugin that can be found here keeps every promise: a new one needs no new test file."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from dermae_bench.plugin.catalog import Catalog
from dermae_bench.testing import run_checks

TESTS = Path(__file__).parents[1]
FOLDERS = (TESTS / "plugins", TESTS / "e2e" / "plugins")
ON_PURPOSE = {"misbehaving"}
"""Breaks its promises, since other tests need somebody who does."""


results_of = functools.cache(run_checks)


def found() -> list[tuple[str, Path | None]]:
    """(name, plugins folder) of every installed plugin and of those that lie among the tests as single files."""
    names: list[tuple[str, Path | None]] = [(name, None) for name in Catalog().names()]
    for folder in FOLDERS:
        places = Catalog(folder).references
        names += [(name, folder) for name, where in places.items() if where[-1].file is not None]
    return [(name, folder) for name, folder in names if name not in ON_PURPOSE]


@pytest.mark.parametrize(("name", "folder"), found(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_plugin_keeps_its_promises(name: str, folder: Path | None) -> None:
    kind, results = results_of(name, folder)
    broken = [f"{result.name}: {result.reason}" for result in results if result.reason is not None]
    assert not broken, "\n".join([f"{kind} {name}", *broken])
    assert any(result.skipped is None for result in results), f"nothing of {kind} {name} could be tried"


def test_whoever_needs_data_or_weights_is_skipped_where_they_are_needed_and_only_there() -> None:
    for name in ("ham10000", "image-folder", "inception-v3-tf"):
        _, results = results_of(name, None)
        skipped = [result for result in results if result.skipped is not None]
        assert all("tiny is empty" in str(result.skipped) for result in skipped)
        assert 0 < len(skipped) < len(results)
    for name in ("phantom", "tf-efficientnet-lite0", "kid", "ddpm", "timm"):
        assert not [result for result in results_of(name, None)[1] if result.skipped is not None]


def test_every_kind_of_plugin_is_among_them() -> None:
    kinds = {results_of(name, folder)[0] for name, folder in found()}
    assert kinds == {"dataset", "metric", "extractor", "generator", "pretrainer", "classifier"}
    names = {name for name, _ in found()}
    assert {"tiny-gan", "tiny-joint", "tiny-mae", "tiny-distilled", "pixels", "pixels-by-class", "thumbnails"} <= names
