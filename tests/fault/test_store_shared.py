"""Two to eight runs on one store: each stage is done once, nobody fails, nobody waits for ever."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from test_basic import NAMES, began, finish, start, whole

from dermae_bench.store.artifacts import Store
from dermae_bench.store.leases import is_locked
from tests.counting import record_count


def together(root: Path, count: int, seconds: float) -> None:
    root.mkdir(parents=True, exist_ok=True)
    runs = [start(root, seconds) for _ in range(count)]
    try:
        told = [finish(run) for run in runs]
    finally:
        for run in runs:
            run.kill()
    assert [about["failed"] + about["blocked"] for about in told] == [0] * count
    assert sum(about["done"] for about in told) == len(NAMES)
    assert all(about["cached"] + about["done"] == len(NAMES) for about in told)
    assert began(root) == dict.fromkeys(NAMES, 1)
    assert whole(root)
    assert not (root / "store" / "quarantine").exists()


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(50))
def test_runs_share_a_store(tmp_path: Path, turn: int) -> None:
    chance = random.Random(turn)
    count = chance.randint(2, 8)
    together(tmp_path, count, chance.choice([0.0, 0.02, 0.1]))
    record_count("concurrent runs on one store", count)


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(10))
def test_a_run_that_was_put_to_sleep_goes_on(tmp_path: Path, turn: int) -> None:
    chance = random.Random(turn)
    sleeper = start(tmp_path, 0.05)
    time.sleep(chance.uniform(0.0, 0.8))
    os.killpg(sleeper.pid, signal.SIGSTOP)
    other = start(tmp_path, 0.05)
    try:
        time.sleep(0.6)
        os.killpg(sleeper.pid, signal.SIGCONT)
        told = [finish(run) for run in (sleeper, other)]
    finally:
        for run in (sleeper, other):
            run.kill()
    assert sum(about["done"] for about in told) == len(NAMES)
    assert began(tmp_path) == dict.fromkeys(NAMES, 1)
    assert whole(tmp_path)
    record_count("runs put to sleep and woken", 1)


def test_who_waits_can_say_for_whom(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    lease = store.lease("ab" * 16, "train/classifier/x")
    assert lease.take()
    other = store.lease("ab" * 16)
    assert not other.take()
    assert is_locked(other.path)
    holder = other.holder()
    assert holder is not None
    assert str(holder).startswith(f"process {holder.pid} on host ")
    assert ", which works on train/classifier/x since 2" in str(holder)
    lease.release()
    assert not is_locked(other.path)
