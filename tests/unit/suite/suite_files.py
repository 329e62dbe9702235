"""The two good suites that these tests load and change, and how they load them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_catalog import FakeCatalog, tasks_of

from dermae_bench.errors import SuiteError
from dermae_bench.suite.load import LoadedSuite, load_suite

HERE = Path(__file__).parent


EXAMPLE = HERE / "design_example.yaml"


SMALL = HERE / "good_small.yaml"


def load(path: Path, **options: Any) -> LoadedSuite:
    return load_suite(path, catalog=FakeCatalog(), tasks_of=tasks_of, **options)


def problems(path: Path, **options: Any) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load(path, **options)
    assert caught.value.exit_code == 2
    assert "Traceback" not in str(caught.value)
    return [f"{p.place}: {p.message}" for p in caught.value.problems]
