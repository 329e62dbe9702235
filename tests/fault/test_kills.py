"""Runs that are killed with SIGKILL, anywhere, once or again and again, and then given the same command."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from everywhere import RUN, all_is_well, committed_inodes, faults_everywhere, none_lost, run_with
from killed import Kill, recorded, recording
from runs import PLUGINS, Unbroken, Zygote, boards, committed, kill_all, tracebacks, untidy

from tests.counting import record_count

Fresh = Callable[[], Path]
PARTS = 8
"""Pieces that the long tests are cut into, so that workers share them."""


def kill_at(zygote: Zygote, folder: Path, point: int) -> int:
    """Run with a kill of all processes at a point; returns the exit code."""
    return run_with(zygote, folder, f"kill@{point}")


# one worker alone pays for the zygote
@pytest.mark.xdist_group("zygote")
def test_kills_at_three_points(zygote: Zygote, unbroken: Unbroken, fresh: Fresh) -> None:
    folder = fresh()
    for point in (3, unbroken.points // 4, unbroken.points // 3):
        # each counts from its own start, so that the later ones strike deeper
        assert kill_at(zygote, folder, point) == -9
    all_is_well(zygote, folder, unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_kill_at_every_point(zygote: Zygote, unbroken: Unbroken, fresh: Fresh, part: int) -> None:
    folder = fresh()
    survived = sum(1 for _ in faults_everywhere(zygote, folder, unbroken, "kill@K", {-9}, part, PARTS))
    all_is_well(zygote, folder, unbroken)
    record_count("kills survived: at every point", survived)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_kill_at_some_points_of_a_run_from_nothing(
    zygote: Zygote, unbroken: Unbroken, fresh: Fresh, part: int
) -> None:
    points = range(1 + 2 * part, unbroken.points + 1, 2 * PARTS * PARTS)
    for point in points:
        folder = fresh()
        assert kill_at(zygote, folder, point) in {-9, 0}
        all_is_well(zygote, folder, unbroken)
    record_count("kills survived: from nothing", len(points))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_kills_of_the_whole_group_at_random_times(zygote: Zygote, unbroken: Unbroken, fresh: Fresh, part: int) -> None:
    chance = random.Random(part)
    survived = 0
    # the time that a run takes on this machine, now
    began = time.monotonic()
    assert zygote.code(zygote.start(fresh(), *RUN)) == 0
    whole = time.monotonic() - began
    while survived < 40 // PARTS:
        folder, seconds = fresh(), chance.uniform(0.0, whole)
        name = zygote.start(folder, *RUN, environment=recording(folder))
        if zygote.ended(name, seconds):
            # it was done before its time came
            continue
        kill_all(zygote.pid(name))
        assert zygote.code(name) in {-9, 0}
        assert zygote.gone(), "processes outlived their run"
        kill = recorded(folder, seconds)
        with saying(kill):
            all_is_well(zygote, folder, unbroken)
        kill.count()
        survived += 1
    record_count("kills survived: random times", survived)


def cold(folder: Path, own_cache: Path, **more: str) -> subprocess.Popen[bytes]:
    """A run as a user begins it: processes of its own, all imports anew, and no zygote."""
    environment = {**os.environ, "DERMAE_BENCH_CACHE": str(own_cache), "DERMAE_BENCH_PLUGINS_DIR": str(PLUGINS), **more}
    with (folder / "said.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dermae_bench", *RUN],
            cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


@pytest.mark.slow
def test_five_cold_runs_that_are_killed(unbroken: Unbroken, own_cache: Path, fresh: Fresh) -> None:
    chance, began = random.Random(200), time.monotonic()
    assert cold(fresh(), own_cache).wait(300) == 0
    whole = time.monotonic() - began
    for _ in range(5):
        folder, seconds = fresh(), whole * chance.uniform(0.2, 0.95)
        run = cold(folder, own_cache, **recording(folder))
        time.sleep(seconds)
        kill_all(run.pid)
        run.wait(30)
        kill, held = recorded(folder, seconds), committed_inodes(folder)
        with saying(kill):
            assert cold(folder, own_cache).wait(300) == 0
            assert boards(folder) == unbroken.boards
            assert committed(folder) == unbroken.stages
            none_lost(held, committed_inodes(folder))
            assert not untidy(folder)
            assert tracebacks(folder) == 0
        kill.count()
    record_count("kills survived: cold", 5)


@contextlib.contextmanager
def saying(kill: Kill) -> Iterator[None]:
    """A failure inside tells which kill it was."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"after {kill}")
        raise


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_kills_during_what_follows_a_kill(zygote: Zygote, unbroken: Unbroken, fresh: Fresh, part: int) -> None:
    chance = random.Random(100 + part)
    for _ in range(5):
        folder = fresh()
        for _ in range(3):
            assert kill_at(zygote, folder, chance.randint(1, unbroken.points)) in {-9, 0}
        all_is_well(zygote, folder, unbroken)
    record_count("kills survived: three in a row", 15)
