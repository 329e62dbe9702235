"""Runs that are killed with SIGKILL, anywhere, once or again and again, and then given the same command."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from everywhere import RUN, all_is_well, faults_everywhere, run_with
from runs import Unbroken, Zygote, kill_all

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
    points = range(1 + part, unbroken.points + 1, 5 * PARTS)
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
        folder = fresh()
        name = zygote.start(folder, *RUN)
        if not zygote.ended(name, chance.uniform(0.0, whole)):
            kill_all(zygote.pid(name))
            survived += 1
        assert zygote.code(name) in {-9, 0}
        assert zygote.gone(), "processes outlived their run"
        all_is_well(zygote, folder, unbroken)
    record_count("kills survived: random times", survived)


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
