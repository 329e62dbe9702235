"""The child that reads pickled weights, forked instead of started: the same code and limits, without its imports.

A start costs seconds of importing torch. Tests that read hundreds of files use this; a few use the true child.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from dermae_bench.plugin import unpickling


class Forked:
    """Stands in for `subprocess.Popen` where `plugin.weights` starts its child."""

    def __init__(
        self, command: Sequence[str], *, stdin: int, stdout: int, stderr: IO[bytes], cwd: Path, env: Mapping[str, str],
        start_new_session: bool,
    ) -> None:  # fmt: skip
        assert command[1:3] == ["-I", "-B"] and start_new_session
        assert stdout == subprocess.DEVNULL
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._be_child(command[-1], stdin, stderr.fileno(), cwd, env)

    @staticmethod
    def _be_child(asked: str, stdin: int, said: int, cwd: Path, env: Mapping[str, str]) -> None:
        try:
            os.setsid()
            silent = os.open(os.devnull, os.O_RDWR)
            for number, source in ((0, stdin), (1, silent), (2, said)):
                os.dup2(source, number)
            os.chdir(cwd)
            os.environ.clear()
            os.environ.update(env)
            unpickling.main(asked)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
            os._exit(1)
        os._exit(0)

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            elif end is not None and time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                raise subprocess.TimeoutExpired("child", timeout or 0.0)
            else:
                time.sleep(0.001)
        return self.code


def fork_readers(monkeypatch: Any) -> None:
    """Fork the children of `plugin.weights` from this process for the rest of a test."""
    import torch

    torch.set_num_threads(1)
    monkeypatch.setattr("dermae_bench.plugin.conversions.subprocess.Popen", Forked)
