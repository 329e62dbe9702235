"""`doctor`: one line a check, and an exit code that says whether all is well."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from asking import ask

from dermae_bench.commands import doctor


@pytest.mark.slow
def test_it_tries_everything_for_real_and_says_what_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text("def broken(:\n")
    answer = ask(capsys, "doctor", "--results", tmp_path / "results", "--plugins-dir", tmp_path)
    lines = {line[6:16].strip(): line for line in answer.out.splitlines()}
    assert list(lines) == ["system", "libraries", "torch", "processes", "store", "cache", "plugins"]
    assert answer.code == 1
    assert [name for name, line in lines.items() if line.startswith("FAIL")] == ["plugins"]
    assert "broken: broken.py, line 1: invalid syntax" in lines["plugins"]
    assert "FLOP counter right" in lines["torch"]
    assert "GiB free" in lines["store"]
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("name", "stand_in", "words"),
    [
        ("_torch", subprocess.TimeoutExpired(["python"], 300), "timed out"),
        ("_processes", OSError(12, "Cannot allocate memory"), "Cannot allocate memory"),
        ("_store", ValueError("odd\x1b[2J"), "odd\\x1b[2J"),
    ],
)
def test_a_check_that_raises_is_a_line_that_fails(
    name: str, stand_in: Exception, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any) -> str:
        raise stand_in

    for other in ("_torch", "_processes", "_store", "_plugins"):
        monkeypatch.setattr(doctor, other, fails if other == name else lambda *_: "fine")
    answer = ask(capsys, "doctor")
    assert answer.code == 1
    (line,) = [line for line in answer.out.splitlines() if line.startswith("FAIL")]
    assert words in line


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(lease: doctor.Lease) -> bool:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(lease.path))

    assert "can be written and locked" in doctor._store(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as patch:
        patch.setattr(doctor.Lease, "take", refuse)
        with pytest.raises(doctor.BenchError, match=r"cannot write .*Read-only file system"):
            doctor._store(tmp_path)
    # as a file system would that keeps no locks
    monkeypatch.setattr(doctor.Lease, "is_held", lambda lease: False)
    with pytest.raises(doctor.BenchError, match="locks do not hold"):
        doctor._store(tmp_path)
    (tmp_path / "plain").write_text("")
    with pytest.raises(doctor.BenchError, match="is no folder"):
        doctor._store(tmp_path / "plain")
