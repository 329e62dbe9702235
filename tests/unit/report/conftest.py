"""What several files of tests here share: made once a session."""

from __future__ import annotations

from pathlib import Path

import other_set_folder
import pytest
from verified_folder import results_folder

from dermae_bench.plugin.catalog import Catalog


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog()


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder, made by hand, in which `verify` finds nothing; only for reading."""
    return results_folder(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="session")
def scored_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a classifier that is scored on other data sets, too; only for reading."""
    return other_set_folder.results_folder(tmp_path_factory.mktemp("others"))
