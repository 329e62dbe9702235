"""Modes of files: a store may be shared, and the umask says with whom."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from dermae_bench.durable import let_others_read, write_text

UMASKS = [(0o077, 0o600), (0o027, 0o640), (0o022, 0o644), (0o002, 0o664), (0o000, 0o666)]


@pytest.fixture(params=UMASKS, ids=lambda pair: f"{pair[0]:03o}")
def expected(request: pytest.FixtureRequest) -> Iterator[int]:
    """The mode that a new file gets; meanwhile the umask is the one that gives it."""
    umask, mode = request.param
    before = os.umask(umask)
    yield mode
    # looking at it has not changed it
    assert os.umask(before) == umask


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("was", [0o600, 0o400, 0o755, 0o666])
def test_a_file_gets_the_mode_of_a_new_one(tmp_path: Path, expected: int, was: int) -> None:
    (tmp_path / "new").open("w").close()
    path = tmp_path / "weights"
    path.touch()
    path.chmod(was)
    let_others_read(path)
    assert mode_of(path) == mode_of(tmp_path / "new") == expected


def test_a_replaced_file_has_it_too(tmp_path: Path, expected: int) -> None:
    path = tmp_path / "told.json"
    path.touch()
    path.chmod(0o640)
    write_text(path, "{}")
    assert mode_of(path) == expected
