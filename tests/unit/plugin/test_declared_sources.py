"""Data files that a plugin declares belong to its digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from dermae_bench.errors import PluginError
from dermae_bench.plugin.sources import sources_of


def _plugin(folder: Path, declared: str) -> Path:
    file = folder / "tables.py"
    file.write_text(f"sources = ({declared!r},)\n")
    return file


def test_a_changed_table_changes_the_digest(tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text("[1]")
    file = _plugin(tmp_path, "table.json")
    before = sources_of("tables", file).digest
    assert sources_of("tables", file).digest == before
    (tmp_path / "table.json").write_text("[2]")
    assert sources_of("tables", file).digest != before


@pytest.mark.parametrize("declared", ["missing.json", "../outside.json"])
def test_a_table_that_is_not_there_or_lies_outside_is_an_error(tmp_path: Path, declared: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "outside.json").write_text("[]")
    with pytest.raises(PluginError, match="sources"):
        sources_of("tables", _plugin(inner, declared))
