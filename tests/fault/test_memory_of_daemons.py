"""Memory is counted over all that an attempt started, whatever group and session they went to."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from supervised_attempts import CALL, folder_of
from test_supervision_signals import gone, wait_for

from dermae_bench.execute import watching
from dermae_bench.execute.local import LocalBackend
from dermae_bench.execute.memory import memory_of
from dermae_bench.suite.resources import Limits


def test_a_daemon_over_the_memory_of_its_attempt_ends_it_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MEMORY_SECONDS", 0.1)
    limits = Limits(memory=120 << 20)
    with LocalBackend(preload=("supervised_attempts",)) as made:
        made.submit("beside", folder_of(tmp_path, "second"), CALL, limits)
        folder = folder_of(tmp_path, "hoards")
        made.submit("hoards", folder, CALL, limits)
        (ended,) = made.wait(10)
        assert (ended.attempt, ended.code, ended.reason) == ("hoards", -signal.SIGKILL, "memory")
        assert "limited to 120 MiB (mem)" in ended.told
        assert list(made.running) == ["beside"]
        # though the older attempt goes on
        wait_for(lambda: gone(int((folder / "daemon").read_text())))


def test_whoever_left_the_session_is_counted_with_its_parent() -> None:
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        block = bytearray(b"x") * (64 << 20)
        os.write(tell, b"%d" % len(block))
        os.read(told, 1)
        os._exit(0)
    try:
        wait_for(lambda: memory_of(child, 1 << 60) > 64 << 20)
        assert memory_of(os.getpid(), 1 << 60) > memory_of(child, 1 << 60)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(told)
        os.close(tell)
