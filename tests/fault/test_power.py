"""Runs whose machine loses power: what was not flushed is gone, and the same command finishes as ever."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from everywhere import RUN, all_is_well
from power import Flushed, cut
from runs import Unbroken, Zygote, committed

from tests.counting import record_count

Fresh = Callable[[], Path]
PARTS = 4


def lose_power(zygote: Zygote, folder: Path, point: int, chance: random.Random) -> list[str]:
    """Run until a point, and take away what a disk may lose there; what was told to be finished has to stay."""
    log = folder / f"points-{time.monotonic_ns()}"
    count = folder / f"count-{log.name}"
    since = time.time_ns()
    faults = {"DERMAE_FAULT": f"kill@{point}", "DERMAE_FAULT_COUNT": str(count), "DERMAE_FAULT_LOG": str(log)}
    assert zygote.code(zygote.start(folder, *RUN, environment=faults)) == -9
    assert zygote.gone(), "processes outlived their run"
    flushed = Flushed(log, point)
    # a stage is finished once its folder's name is flushed: others read it, and its attempt is removed
    finished = {
        place
        for place in committed(folder)
        if (entry := str(folder / "results" / "store" / place)) in flushed.named
        and flushed.syncs.get(str(Path(entry).parent), 0) >= flushed.named[entry]
    }
    lost = cut(folder / "results", flushed, since, chance)
    assert finished <= committed(folder).keys(), lost
    return lost


# one worker alone pays for the zygote
@pytest.mark.xdist_group("zygote")
def test_a_power_cut(zygote: Zygote, unbroken: Unbroken, fresh: Fresh) -> None:
    folder = fresh()
    assert lose_power(zygote, folder, unbroken.points // 2, random.Random(0))
    all_is_well(zygote, folder, unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_power_cuts_at_random_points(zygote: Zygote, unbroken: Unbroken, fresh: Fresh, part: int) -> None:
    chance = random.Random(part)
    lost = 0
    for _ in range(20 // PARTS):
        folder = fresh()
        # twice: what the first one left is on the disk when the second one comes
        lost += len(lose_power(zygote, folder, chance.randint(1, unbroken.points // 2), chance))
        lost += len(lose_power(zygote, folder, chance.randint(1, unbroken.points // 3), chance))
        all_is_well(zygote, folder, unbroken)
    assert lost
    record_count("power cuts survived", 2 * (20 // PARTS))
    record_count("unflushed files and names lost in them", lost)
