"""A long run leaves nothing behind: memory, open files and processes stay as they were after the first stages."""

from __future__ import annotations

import gc
import os
import resource
from pathlib import Path
from typing import Any

import pytest
from runs import processes_below

from dermae_bench.execute.executor import Executor, Options
from dermae_bench.store.artifacts import Store
from dermae_bench.suite.stage import Stage, key_of
from tests.bench.noop import KIND
from tests.bench.test_attempts import Kept, Silent
from tests.counting import record_count

WARM, MANY = 100, 1000


def held(pid: int) -> tuple[int, int]:
    """Bytes of memory, and open files, of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize(), len(list(Path(f"/proc/{pid}/fd").iterdir()))


def stages(first: int, last: int) -> list[Stage]:
    parts = [{"kind": KIND, "number": number} for number in range(first, last)]
    return [Stage(kind=KIND, name=f"{KIND}/{one['number']}", work={}, parts=one, key=key_of(one)) for one in parts]


@pytest.mark.slow
def test_a_thousand_stages_leave_nothing_behind(
    warm_backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dermae_bench.execute.executor.CALL", "tests.bench.noop:attempt")
    store = Store(tmp_path / "store")

    def run(first: int, last: int) -> None:
        outcome = Executor(store, lambda: Kept(warm_backend), Silent(), Options(jobs=2)).run(stages(first, last))
        assert len(outcome.done) == last - first
        gc.collect()

    run(0, WARM)
    family = processes_below(os.getpid())
    before = {pid: held(pid) for pid in family}
    run(WARM, WARM + MANY)
    # no zombie, no daemon: the same processes as before
    assert sorted(processes_below(os.getpid())) == sorted(family)
    for pid in family:
        (memory, files), (had, had_files) = held(pid), before[pid]
        assert files == had_files, f"process {pid} has {files} open files, and had {had_files}"
        assert memory <= 1.05 * had, f"process {pid} has {memory >> 20} MiB, and had {had >> 20} MiB"
    assert list((tmp_path / "store" / "attempts").iterdir()) == []
    record_count("stages in a row that left nothing behind", MANY)
