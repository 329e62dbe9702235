"""Processes beside each other on one store: one that needs some stages, one that cleans."""

from __future__ import annotations

import os
import select
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

from stored import put

from dermae_bench.durable import digest_of
from dermae_bench.store.artifacts import Store
from dermae_bench.store.sweeping import candidates, remove


class Forked:
    """A process that does `work(heard, told)`: the descriptors that it is told by and tells by.

    Forked, not begun anew: two hundred times an interpreter's start would be most of what is measured.
    """

    def __init__(self, work: Callable[[int, int], None]) -> None:
        heard, self._say = os.pipe()
        self._hear, told = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(self._say)
                os.close(self._hear)
                work(heard, told)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(heard)
        os.close(told)
        self.code: int | None = None

    def line(self) -> str:
        """What it tells next; empty when it is gone."""
        said = b""
        while not said.endswith(b"\n") and (more := os.read(self._hear, 1)):
            said += more
        return said.decode().strip()

    def enough(self) -> None:
        """Tell it to come to an end."""
        os.close(self._say)
        self._say = -1

    def kill(self) -> None:
        """End it, unless it has ended."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """How it ended; a signal as a negative number."""
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._hear)
            if self._say >= 0:
                self.enough()
        return self.code


def need(root: Path, first: int, last: int, heard: int, told: int) -> None:
    """Announce, do what is not there, read all of it until somebody says that it is enough."""
    store = Store(root)
    keys = {number: digest_of({"kind": "train", "number": number})[:32] for number in range(first, last)}
    done = 0
    with store.announced("needing", list(keys.values())):
        for number, key in keys.items():
            if not store.has("train", key):
                put(store, number)
                store.settle(key)
                done += 1
        os.write(told, b"ready\n")
        enough = False
        while not enough:
            enough = bool(select.select([heard], [], [], 0)[0])
            for key in keys.values():
                # a new store each time: what was remembered of a good look must not count
                Store(root).checked("train", key)
    os.write(told, b"done %d\n" % done)


def sweep(root: Path, heard: int, told: int) -> None:
    """Remove everything that nobody alive needs."""
    store = Store(root)
    os.write(told, b"began\n")
    for item in candidates(store, needed=(), partial=True, older_than=0.0):
        remove(store, item)
