"""Disks that are full, broken or read-only from some point on: one clear line, exit 74, and nothing is lost."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from everywhere import RUN, all_is_well, faults_everywhere, run_with
from runs import Unbroken, Zygote, write_suite

from dermae_bench.faults import REFUSALS
from tests.counting import record_count

Fresh = Callable[[], Path]
PARTS = 8
STORAGE = 74


def is_told(folder: Path, code: int) -> None:
    """One clear line at the end, with the place, and the free bytes where there are too few."""
    said = (folder / "said.log").read_text(errors="replace")
    assert code in {0, STORAGE}, said
    if code == STORAGE:
        last = said.strip().splitlines()[-3:]
        assert any("cannot" in line for line in last), said
        full = any("No space left" in line or "quota" in line for line in last)
        assert not full or any("MiB free" in line or "GiB" in line for line in last), said


def is_told_and_mended(zygote: Zygote, folder: Path, unbroken: Unbroken, code: int) -> None:
    is_told(folder, code)
    all_is_well(zygote, folder, unbroken)


# one worker alone pays for the zygote
@pytest.mark.xdist_group("zygote")
def test_a_full_disk_in_the_middle_of_a_run(zygote: Zygote, unbroken: Unbroken, fresh: Fresh) -> None:
    folder = fresh()
    code = run_with(zygote, folder, f"enospc@{unbroken.points // 2}+")
    assert code == STORAGE
    is_told_and_mended(zygote, folder, unbroken, code)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_full_disk_from_every_point_on(zygote: Zygote, unbroken: Unbroken, fresh: Fresh, part: int) -> None:
    folder = fresh()
    injected = 0
    for _ in faults_everywhere(zygote, folder, unbroken, "enospc@K+", {STORAGE}, part, PARTS):
        is_told(folder, STORAGE)
        injected += 1
    all_is_well(zygote, folder, unbroken)
    record_count("faults injected: disk full", injected)


@pytest.mark.slow
@pytest.mark.parametrize("refusal", sorted(REFUSALS))
@pytest.mark.parametrize("onwards", ["", "+"])
def test_other_refusals_at_random_points(
    zygote: Zygote, unbroken: Unbroken, fresh: Fresh, refusal: str, onwards: str
) -> None:
    chance = random.Random(f"{refusal}{onwards}")
    for point in chance.sample(range(1, unbroken.points + 1), 8):
        folder = fresh()
        code = run_with(zygote, folder, f"{refusal}@{point}{onwards}")
        if refusal == "emfile" and code == 1:
            # a process that holds too many files is told off itself: that is no matter of the disk
            assert "Too many open files" in (folder / "said.log").read_text()
            all_is_well(zygote, folder, unbroken)
        else:
            is_told_and_mended(zygote, folder, unbroken, code)
    record_count("faults injected: other refusals", 8)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a file system of so many KiB at `tmp_path/disk`."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = []

    def mount(size: int) -> Path:
        option = f"size={size}k{',remount' if mounted else ''}"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", option, "none", disk], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"only root can mount a file system: {done.stderr.strip()}")
        mounted.append(size)
        return disk

    yield mount
    if mounted:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 300, 500, 800, 1000])
def test_a_really_full_disk(zygote: Zygote, unbroken: Unbroken, small_disk: Callable[[int], Path], size: int) -> None:
    folder = small_disk(size)
    write_suite(folder)
    code = zygote.code(zygote.start(folder, *RUN, environment={"TEST_RESERVE": str(-(2**20))}))
    said = (folder / "said.log").read_text(errors="replace")
    assert code == STORAGE, said
    small_disk(1024 * 1024)
    is_told_and_mended(zygote, folder, unbroken, code)
    record_count("faults injected: really full disk", 1)
