"""Writes that take less than asked, and calls that a signal interrupts, leave no trace in any result."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from runs import PLUGINS, Unbroken, boards, committed, tracebacks, write_suite
from short_writes import build, met

from dermae_bench.execute.logs import write_whole
from tests.counting import record_count


def test_a_whole_log_line_is_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = tmp_path / "log", os.write
    monkeypatch.setattr(os, "write", lambda file, words: real(file, words[:3]))
    with path.open("wb") as stream:
        assert write_whole(stream.fileno(), b"epoch 3: loss 0.25") == 18
    assert path.read_bytes() == b"epoch 3: loss 0.25"


@pytest.mark.slow
def test_short_and_interrupted_writes_change_nothing(tmp_path: Path, own_cache: Path, unbroken: Unbroken) -> None:
    folder, counts = tmp_path / "run", tmp_path / "counts"
    write_suite(folder)
    environment = {
        **os.environ,
        "LD_PRELOAD": str(build(tmp_path / "library")),
        "SHORT_WRITES_MET": str(counts),
        "DERMAE_BENCH_CACHE": str(own_cache),
        "DERMAE_BENCH_PLUGINS_DIR": str(PLUGINS),
    }
    with (folder / "said.log").open("wb") as log:
        ran = subprocess.run(
            [sys.executable, "-m", "dermae_bench", "run", "small.yaml"],
            cwd=folder, env=environment, stdout=log, stderr=log, timeout=300, check=False,
        )  # fmt: skip
    assert ran.returncode == 0, (folder / "said.log").read_text()
    assert boards(folder) == unbroken.boards
    assert committed(folder) == unbroken.stages
    assert tracebacks(folder) == 0
    interrupted, shortened = met(counts)
    assert interrupted > 50
    assert shortened > 50
    record_count("faults injected: interrupted calls", interrupted)
    record_count("faults injected: short writes", shortened)
