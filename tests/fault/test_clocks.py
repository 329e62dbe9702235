"""Clocks that are wrong, differ between runs, or jump while one runs: nothing is computed twice, and nobody waits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from everywhere import RUN, all_is_well
from runs import Unbroken, Zygote, boards, committed, tracebacks

from tests.counting import record_count

Fresh = Callable[[], Path]
HOUR, YEAR = 3600, 365 * 24 * 3600
CLOCKS: dict[str, list[int]] = {
    "an hour ahead": [HOUR],
    "an hour behind": [-HOUR],
    "ten years ahead": [10 * YEAR],
    "ten years behind": [-10 * YEAR],
    "back by an hour, again and again": [0, -HOUR],
    "back by ten years while it runs": [10 * YEAR, 0],
    "ahead by ten years while it runs": [0, 10 * YEAR],
    "there and back": [0, HOUR, -HOUR, YEAR, -YEAR],
    "summer time begins": [0, HOUR],
    "before 1970": [-60 * YEAR],
}


def environment(clock: str, zone: str = "UTC") -> dict[str, str]:
    return {"TEST_CLOCK": json.dumps(CLOCKS[clock]), "TZ": zone}


def right_under(zygote: Zygote, folder: Path, unbroken: Unbroken, clock: str) -> None:
    """Half a run under this clock, the rest under a right one, then every command that looks at times under it."""
    wrong = environment(clock, "Australia/Lord_Howe")
    half = unbroken.names[: len(unbroken.names) // 2]
    only = [word for name in half for word in ("--only", name)]
    assert zygote.code(zygote.start(folder, *RUN, *only, environment=wrong)) == 0, (folder / "said.log").read_text()
    done = committed(folder)
    assert len(done) >= len(half)
    # nothing of it is done again: `all_is_well` looks at what was there
    all_is_well(zygote, folder, unbroken)
    for words in (("list",), ("list", "--stages"), ("clean",), ("plan", "small.yaml"), RUN):
        assert zygote.code(zygote.start(folder, *words, environment=wrong)) == 0, (folder / "said.log").read_text()
    assert committed(folder) == unbroken.stages
    assert boards(folder) == unbroken.boards
    assert tracebacks(folder) == 0


@pytest.mark.slow
@pytest.mark.parametrize("clock", sorted(CLOCKS))
def test_a_wrong_clock(zygote: Zygote, unbroken: Unbroken, fresh: Fresh, clock: str) -> None:
    right_under(zygote, fresh(), unbroken, clock)
    record_count("wrong clocks", 1)


@pytest.mark.slow
def test_two_runs_whose_clocks_differ_share_a_store(zygote: Zygote, unbroken: Unbroken, fresh: Fresh) -> None:
    folder = fresh()
    names = [
        zygote.start(folder, *RUN, environment=environment(clock)) for clock in ("ten years ahead", "ten years behind")
    ]
    assert [zygote.code(name) for name in names] == [0, 0], (folder / "said.log").read_text()
    assert committed(folder) == unbroken.stages
    said = (folder / "said.log").read_text()
    assert [name for name in unbroken.names if said.count(f" done     {name} (") != 1] == []
    assert boards(folder) == unbroken.boards
    all_is_well(zygote, folder, unbroken)
