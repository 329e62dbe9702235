"""Runs that are killed with SIGKILL, anywhere, once or again and again, and then given the same command."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import Unbroken, Zygote, boards, committed, kill_all, tracebacks, untidy

from tests.counting import record_count

Fresh = Callable[[], Path]
PARTS = 8
"""Pieces that the long tests are cut into, so that workers share them."""
RUN = ("run", "small.yaml")


def kill_at(zygote: Zygote, folder: Path, point: int) -> int | None:
    """Run with a kill of all processes at a point; returns the exit code."""
    (folder / "count").unlink(missing_ok=True)
    faults = {"DERMAE_FAULT": f"kill@{point}", "DERMAE_FAULT_COUNT": str(folder / "count")}
    return zygote.code(zygote.start(folder, *RUN, environment=faults))


def goes_on(zygote: Zygote, folder: Path, unbroken: Unbroken) -> None:
    """The same command again: what was finished stays as it is, and all is as if nothing had happened."""
    assert zygote.gone(), "processes outlived their run"
    before = committed(folder)
    for place, files in before.items():
        assert unbroken.stages[place] == files
    places = {place: (folder / "results/store" / place / "manifest.json").stat().st_ino for place in before}
    assert zygote.code(zygote.start(folder, *RUN)) == 0, (folder / "said.log").read_text()
    assert boards(folder) == unbroken.boards
    assert committed(folder) == unbroken.stages
    for place, number in places.items():
        assert (folder / "results/store" / place / "manifest.json").stat().st_ino == number, f"{place} was done again"
    assert not untidy(folder)
    assert tracebacks(folder) == 0


# one worker alone pays for the zygote
@pytest.mark.xdist_group("zygote")
def test_kills_at_three_points(zygote: Zygote, unbroken: Unbroken, fresh: Fresh) -> None:
    folder = fresh()
    for point in (3, unbroken.points // 4, unbroken.points // 3):
        # each counts from its own start, so that the later ones strike deeper
        assert kill_at(zygote, folder, point) == -9
        assert zygote.gone()
    goes_on(zygote, folder, unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_kill_at_every_point(zygote: Zygote, unbroken: Unbroken, fresh: Fresh, part: int) -> None:
    survived = 0
    for point in range(1 + part, unbroken.points + 1, PARTS):
        folder = fresh()
        assert kill_at(zygote, folder, point) in {-9, 0}
        goes_on(zygote, folder, unbroken)
        survived += 1
    record_count("kills survived: at every point", survived)
    record_count("finished stages lost", 0)


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
        goes_on(zygote, folder, unbroken)
    record_count("kills survived: random times", survived)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_kills_during_what_follows_a_kill(zygote: Zygote, unbroken: Unbroken, fresh: Fresh, part: int) -> None:
    chance = random.Random(100 + part)
    for _ in range(5):
        folder = fresh()
        for _ in range(3):
            assert kill_at(zygote, folder, chance.randint(1, unbroken.points)) in {-9, 0}
            assert zygote.gone()
        goes_on(zygote, folder, unbroken)
    record_count("kills survived: three in a row", 15)
