"""Files that are memory count as the memory of the attempt that holds them open."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import files_in_memory
import pytest
from files_in_memory import SHARED, SIZE, fill
from supervised_attempts import walk

from dermae_bench.execute import executor, watching
from dermae_bench.execute.executor import Options
from dermae_bench.execute.local import LocalBackend
from dermae_bench.suite.resources import Limits

pytestmark = pytest.mark.skipif(not os.path.ismount(SHARED), reason="nothing is mounted where shared memory is kept")


@pytest.mark.parametrize("which", ["nameless", "named"])
def test_files_that_are_memory_count_once_while_they_are_the_attempts_own(which: str) -> None:
    done = subprocess.run(
        [sys.executable, files_in_memory.__file__, which], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def memfd(folder: Path) -> None:
    file = os.memfd_create("hidden")
    fill(file)
    fill(file)
    time.sleep(30)


def shared(folder: Path) -> None:
    path = SHARED / f"dermae-bench-{secrets.token_hex(8)}"
    (folder.parents[2] / "name").write_text(str(path))
    with path.open("wb", buffering=0) as stream:
        fill(stream.fileno())
        fill(stream.fileno())
        time.sleep(30)


def attempt(folder: Path) -> None:
    """Behave as the stage is called; run in a process of its own."""
    {"memfd": memfd, "shared": shared}[json.loads((folder / "spec.json").read_text())["name"].rpartition("/")[2]](
        folder
    )


def test_a_row_that_hides_its_memory_in_files_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MEMORY_SECONDS", 0.1)
    monkeypatch.setattr(executor, "CALL", "test_memory_of_files:attempt")
    most = Limits(memory=SIZE + (48 << 20))
    began = time.monotonic()
    try:
        with LocalBackend(preload=("json",)) as backend:
            outcome, _ = walk(tmp_path, ["memfd", "shared"], backend, Options(jobs=1, limits={"train": most}))
    finally:
        if (tmp_path / "name").exists():
            Path((tmp_path / "name").read_text()).unlink(missing_ok=True)
    assert [(one.name, one.category) for one in outcome.failed.values()] == [
        ("train/memfd", "oom"), ("train/shared", "oom"),
    ]  # fmt: skip
    assert all("limited to 112 MiB (mem)" in one.reason for one in outcome.failed.values())
    assert time.monotonic() - began < 10
