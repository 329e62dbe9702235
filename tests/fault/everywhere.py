"""One fault at every point of a run, first to last: each run goes on where the one before was broken off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runs import Unbroken, Zygote, boards, committed, names_of, tracebacks, untidy

from tests.counting import record_count

RUN = ("run", "small.yaml")
MOST_POINTS = 400
"""Of one stage, start and publication of its run included; more means that a stage never gets done."""


def run_with(zygote: Zygote, folder: Path, fault: str, *words: str) -> int:
    """Run with a fault at a point, counted over all processes of this run; returns the exit code."""
    (folder / "count").unlink(missing_ok=True)
    faults = {"DERMAE_FAULT": fault, "DERMAE_FAULT_COUNT": str(folder / "count")}
    code = zygote.code(zygote.start(folder, *RUN, *words, environment=faults))
    assert zygote.gone(), "processes outlived their run"
    return code


def share(unbroken: Unbroken, part: int, parts: int) -> tuple[list[str], list[str]]:
    """Stages that are finished before this part begins, and those that it is about."""
    ends = [len(unbroken.names) * number // parts for number in (part, part + 1)]
    return unbroken.names[: ends[0]], unbroken.names[ends[0] : ends[1]]


def faults_everywhere(
    zygote: Zygote, folder: Path, unbroken: Unbroken, fault: str, codes: set[int], part: int, parts: int
) -> Iterator[int]:
    """Yield each point at which this fault (``kill``, ``enospc``) struck; the part's stages are finished at the end.

    After each strike what was finished has to be there as it was.
    """
    before, mine = share(unbroken, part, parts)
    if before:
        assert zygote.code(zygote.start(folder, *RUN, *(word for name in before for word in ("--only", name)))) == 0
    # the last part goes on to the end of a whole run: the boards are written, too
    for words in [*(("--only", name) for name in mine), *([()] if part == parts - 1 else [])]:
        yield from _one(zygote, folder, unbroken, fault, codes, words)


def _one(
    zygote: Zygote, folder: Path, unbroken: Unbroken, fault: str, codes: set[int], words: tuple[str, ...]
) -> Iterator[int]:
    for point in range(1, MOST_POINTS):
        held = committed_inodes(folder)
        code = run_with(zygote, folder, fault.replace("K", str(point)), *words)
        assert code in codes | {0}, (folder / "said.log").read_text()
        now = committed_inodes(folder)
        none_lost(held, now)
        assert all(unbroken.stages[place] == files for place, files in committed(folder).items())
        if code == 0:
            return
        yield point
        if words and words[1] in names_of(folder) and not untidy(folder):
            # what follows in such a run is its publication, which is tried at the end of all
            return
    raise AssertionError(f"{words} did not get done in {MOST_POINTS} runs")


def committed_inodes(folder: Path) -> dict[str, int]:
    """Finished stages and the inodes of their manifests: a stage that is done again has another."""
    store = folder / "results" / "store"
    return {place: (store / place / "manifest.json").stat().st_ino for place in committed(folder)}


def none_lost(before: dict[str, int], now: dict[str, int]) -> None:
    """What was finished is there as it was; counted, so that the session prints that it was looked at."""
    lost = before.items() - now.items()
    record_count("finished stages lost or done again", len(lost))
    assert not lost


def all_is_well(zygote: Zygote, folder: Path, unbroken: Unbroken) -> None:
    """The same command again, without a fault: as if nothing had ever happened."""
    held = committed_inodes(folder)
    assert zygote.code(zygote.start(folder, *RUN)) == 0, (folder / "said.log").read_text()
    assert boards(folder) == unbroken.boards
    assert committed(folder) == unbroken.stages
    none_lost(held, committed_inodes(folder))
    assert not untidy(folder)
    assert tracebacks(folder) == 0, (folder / "said.log").read_text()
