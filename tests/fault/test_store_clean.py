"""Cleaning a store while others work there, and being killed over it."""

from __future__ import annotations

import functools
import os
import random
import signal
import time
from pathlib import Path

import pytest
from needing import Forked, need, sweep
from stored import put

from dermae_bench.durable import digest_of
from dermae_bench.store.artifacts import Store
from dermae_bench.store.sweeping import DEAD, PARTIAL, UNUSED, candidates, remove
from tests.counting import record_count


def key_of(number: int) -> str:
    return digest_of({"kind": "train", "number": number})[:32]


def beside(root: Path, chance: random.Random, kill_after: float | None, *, start_first: bool) -> None:
    """Clean everything that nobody alive needs, while a run needs half of it; the cleaner may be killed."""
    store = Store(root)
    for number in range(6):
        put(store, number)
    put(store, 0, "score")
    (store.attempt_folder("cd" * 16) / "checkpoints").mkdir(parents=True)
    run = Forked(functools.partial(need, root, 3, 9))
    try:
        if start_first:
            assert run.line() == "ready"
        else:
            time.sleep(chance.uniform(0, 0.02))
        cleaner = Forked(functools.partial(sweep, root))
        if kill_after is not None:
            assert cleaner.line() == "began"
            time.sleep(kill_after)
            cleaner.kill()
        assert cleaner.wait() in ((0,) if kill_after is None else (0, -signal.SIGKILL))
        if not start_first:
            assert run.line() == "ready"
        run.enough()
        assert run.line().startswith("done ")
        assert run.wait() == 0
    finally:
        run.kill()
        run.wait()
    for number in range(3, 9):
        assert store.checked("train", key_of(number)), number
    # what the killed one left is swept by the next, and no announcement of a dead run holds anything back
    for item in candidates(store, needed=[key_of(n) for n in range(3, 9)], partial=True, older_than=0.0):
        remove(store, item)
    assert sorted(path.name for path in (root / "train").iterdir()) == sorted(key_of(n) for n in range(3, 9))
    assert not list((root / "score").iterdir())
    assert [path.name for path in (root / "runs").iterdir()] == ["gate"]
    assert not list((root / "attempts").iterdir())


def test_what_a_living_run_needs_stays(tmp_path: Path) -> None:
    beside(tmp_path / "store", random.Random(0), None, start_first=True)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 200, 20))
def test_two_hundred_times_and_killed(tmp_path: Path, first: int) -> None:
    for turn in range(first, first + 20):
        chance = random.Random(turn)
        kill_after = chance.choice([None, chance.uniform(0, 0.03)])
        beside(tmp_path / str(turn), chance, kill_after, start_first=turn % 2 == 0)
        record_count("cleanings beside a run", 1)


def subjects(store: Store, needed: list[str] | None = None, *, partial: bool = False) -> set[tuple[str, str]]:
    return {(item.what, item.key) for item in candidates(store, needed=needed, partial=partial, older_than=0.0)}


def test_a_stage_that_somebody_works_on_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    key = "cd" * 16
    lease = store.lease(key)
    assert lease.take()
    assert subjects(store, [], partial=True) == set()
    lease.release()
    assert subjects(store, []) == {(PARTIAL, key)}
    assert subjects(store) == set()
    assert subjects(store, partial=True) == {(PARTIAL, key)}
    (item,) = candidates(store, needed=None, partial=True, older_than=0.0)
    # somebody takes it up between the look and the removal
    assert lease.take()
    assert not remove(store, item)
    lease.release()
    assert remove(store, item)
    assert not store.attempt_folder(key).exists()
    assert not remove(store, item)


def test_a_run_that_announces_itself_between_the_look_and_the_removal_keeps_its_stages(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    kind, key = put(store, 1)
    item = next(item for item in candidates(store, needed=[], partial=False, older_than=0.0) if item.what == UNUSED)
    with store.announced("suite", [key]):
        assert (UNUSED, key) not in subjects(store, [])
        assert not remove(store, item)
        assert store.checked(kind, key)
    assert remove(store, item)
    assert not store.has(kind, key)


def test_dead_runs_hold_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    _, key = put(store, 1)
    child = os.fork()
    if not child:
        announcement = store.announced("suite", [key])
        announcement.__enter__()
        os._exit(0)
    os.waitpid(child, 0)
    assert len(list((store.root / "runs").iterdir())) == 2
    assert {what for what, _ in subjects(store, [])} >= {DEAD, UNUSED}


def test_age_counts(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    kind, key = put(store, 1)
    day = 86400.0
    old = time.time() - 10 * day
    os.utime(store.folder(kind, key), (old, old))
    assert not [i for i in candidates(store, needed=[], partial=False, older_than=11 * day) if i.key == key]
    found = [i for i in candidates(store, needed=[], partial=False, older_than=9 * day) if i.key == key]
    assert [(item.what, item.name) for item in found] == [(UNUSED, "train/1")]
    assert found[0].bytes > 600
