"""A folder of plugins with files that are none: each is named with its reason, and the others work."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dermae_bench.plugin.catalog import Catalog
from tests.unit.commands.asking import ask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipe, an endless file, one of 5 GB and one with a mistake."""
    made = tmp_path / "plugins"
    made.mkdir()
    os.mkfifo(made / "pipe.py")
    (made / "zeros.py").symlink_to("/dev/zero")
    with (made / "sparse.py").open("wb") as stream:
        stream.truncate(5 << 30)
    (made / "wrong.py").write_text("def f(:\n")
    return made


REASONS = {
    "pipe": "pipe.py cannot be read: it is a pipe",
    "zeros": "zeros.py cannot be read: it is a device",
    "sparse": "sparse.py cannot be read: it has 5,368,709,120 bytes; at most 4,194,304 are read",
    "wrong": "wrong.py, line 1: invalid syntax",
}


def test_files_that_are_no_source_break_nothing_else(folder: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    catalog = Catalog(folder, tmp_path / "cache")
    cards = catalog.cards([catalog.reference(name) for name in REASONS])
    assert dict(zip(REASONS, (card.error for card in cards), strict=True)) == REASONS
    assert time.monotonic() - begun < 2
    assert catalog.card("metric", "accuracy").error is None


def test_they_are_listed_with_a_line_each(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: ())
    monkeypatch.setenv("DERMAE_BENCH_CACHE", str(tmp_path / "cache"))
    # a table fits its terminal, and the folder's name may be long
    monkeypatch.setenv("COLUMNS", "500")
    answer = ask(capsys, "plugins", "list", "--plugins-dir", folder)
    for reason in REASONS.values():
        assert len([line for line in (answer.out + answer.err).splitlines() if reason in line]) == 1
