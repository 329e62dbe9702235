"""What the supervisor does about attempts that die, hang, grow or shout; real processes that compute nothing."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from supervised_attempts import CALL, Kept, stage, walk

from dermae_bench.execute import executor, watching
from dermae_bench.execute.choices import Options
from dermae_bench.execute.local import LocalBackend
from dermae_bench.store.artifacts import Store
from dermae_bench.suite.resources import Limits
from tests.counting import record_count


@pytest.fixture(scope="module")
def backend() -> Iterator[Kept]:
    with LocalBackend(preload=("supervised_attempts",)) as made:
        yield Kept(made)


@pytest.fixture(autouse=True)
def call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "CALL", CALL)
    monkeypatch.setattr(executor, "TICK", 0.02)


def began(root: Path) -> Counter[str]:
    log = root / "began.log"
    return Counter(line.removeprefix("train/") for line in log.read_text().splitlines()) if log.is_file() else Counter()


def limited(jobs: int = 2, **limits: Any) -> Options:
    return Options(jobs=jobs, limits={"train": Limits(**limits)})


def meanwhile(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def pid_of(root: Path, name: str) -> int:
    path = Store(root / "store").attempt_folder(stage(name).key) / "pid"
    end = time.monotonic() + 20
    while not path.exists() or not path.read_text():
        assert time.monotonic() < end
        time.sleep(0.002)
    return int(path.read_text())


# -- F4: the worker alone is killed ----------------------------------------------------------------------------------


def kill_one(root: Path, backend: Kept, seed: int) -> None:
    """Kill one of four short attempts at a random time."""
    chance = random.Random(seed)
    names = [f"short-{number}" for number in range(4)]
    victim, wait = chance.choice(names), chance.uniform(0, 0.1)
    number = chance.choice([signal.SIGKILL, signal.SIGTERM])

    def kill() -> None:
        pid = pid_of(root, victim)
        time.sleep(wait)
        os.kill(pid, number)

    thread = meanwhile(kill)
    outcome, shown = walk(root, names, backend, Options(jobs=2))
    thread.join()
    assert len(outcome.done) == 4 and not outcome.failed
    assert began(root) == {**dict.fromkeys(names, 1), victim: 2}
    assert [note for note in shown.notes if f"killed by {number.name}" in note and "once more" in note] == shown.notes
    assert len(shown.notes) == 1


@pytest.mark.parametrize("seed", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_attempt_is_tried_once_more_beside_the_others(tmp_path: Path, backend: Kept, seed: int) -> None:
    kill_one(tmp_path, backend, seed)


@pytest.mark.slow
def test_twenty_killed_attempts(tmp_path: Path, backend: Kept) -> None:
    for seed in range(100, 120):
        kill_one(tmp_path / str(seed), backend, seed)
    record_count("kills survived", 20)


def test_one_that_is_always_killed_fails_after_the_second(tmp_path: Path, backend: Kept) -> None:
    def kill() -> None:
        first = pid_of(tmp_path, "stubborn")
        os.kill(first, signal.SIGKILL)
        while (second := pid_of(tmp_path, "stubborn")) == first:
            time.sleep(0.002)
        os.kill(second, signal.SIGKILL)

    thread = meanwhile(kill)
    outcome, shown = walk(tmp_path, ["stubborn"], backend, Options())
    thread.join()
    (failure,) = outcome.failed.values()
    assert (failure.category, failure.attempt) == ("crashed", 2)
    assert "SIGKILL" in failure.reason
    assert shown.failures == [f"{failure.reason} (attempt 2)"]


def test_those_that_died_with_the_server_are_tried_again_one_by_one(tmp_path: Path) -> None:
    names = ["second-a", "second-b"]

    def kill() -> None:
        pids = [pid_of(tmp_path, name) for name in names]
        while len(list(tmp_path.glob("store/attempts/*/began"))) < 2:
            time.sleep(0.002)
        server = int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(server, signal.SIGKILL)

    thread = meanwhile(kill)
    outcome, shown = walk(tmp_path, names, LocalBackend(preload=("supervised_attempts",)), Options(jobs=2))
    thread.join()
    assert len(outcome.done) == 2
    assert began(tmp_path) == {"second-a": 2, "second-b": 2}
    assert all("server died" in note and note.endswith("once more, alone") for note in shown.notes)


# -- C2: memory ------------------------------------------------------------------------------------------------------


def test_what_ran_out_of_memory_beside_others_is_tried_alone(tmp_path: Path, backend: Kept) -> None:
    names = ["once-a", "once-b"]
    outcome, shown = walk(tmp_path, names, backend, Options(jobs=2))
    assert len(outcome.done) == 2, outcome.failed
    assert began(tmp_path).total() == 4
    assert all(note.endswith("once more, alone") for note in shown.notes)


def test_a_group_over_its_memory_is_killed_and_siblings_go_on(
    tmp_path: Path, backend: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MEMORY_SECONDS", 0.1)
    outcome, _ = walk(tmp_path, ["grows", "short"], backend, limited(jobs=1, memory=120 << 20))
    (failure,) = outcome.failed.values()
    assert (failure.name, failure.category, failure.attempt) == ("train/grows", "oom", 1)
    assert "limited to 120 MiB (mem)" in failure.reason
    assert [found.name for found in outcome.done] == ["train/short"]


# -- C4: hang or slow ------------------------------------------------------------------------------------------------


def test_a_hang_is_killed_and_slow_is_not(tmp_path: Path, backend: Kept) -> None:
    outcome, _ = walk(tmp_path, ["hangs", "slow"], backend, limited(silence=0.8))
    (failure,) = outcome.failed.values()
    assert (failure.name, failure.category, failure.phase) == ("train/hangs", "timeout", "fitting")
    assert "silence is limited to 0.8s; its last sign: fitting, step 7 of 400" in failure.reason
    assert failure.seconds < 10
    # where it hung, though the interpreter's lock was held
    assert "(most recent call first)" in failure.traceback
    assert " in hangs" in failure.traceback
    assert [found.name for found in outcome.done] == ["train/slow"]
    assert began(tmp_path) == {"hangs": 1, "slow": 1}


def test_over_its_wall_time_an_attempt_may_keep_what_it_has(tmp_path: Path, backend: Kept) -> None:
    outcome, _ = walk(tmp_path, ["steps"], backend, limited(wall=0.6))
    (failure,) = outcome.failed.values()
    assert (failure.category, failure.attempt) == ("timeout", 1)
    assert "wall time is limited to 0.6s; its last sign: fitting, step" in failure.reason
    kept = int((Store(tmp_path / "store").attempt_folder(failure.key) / "checkpoint").read_text())
    assert kept > 0


@pytest.mark.slow
def test_a_hang_that_ignores_everything_ends_within_ten_seconds(tmp_path: Path, backend: Kept) -> None:
    outcome, _ = walk(tmp_path, ["stubborn"], backend, limited(wall=1))
    (failure,) = outcome.failed.values()
    assert failure.category == "timeout"
    assert 6 <= failure.seconds < 11


# -- logs and hygiene ------------------------------------------------------------------------------------------------


def test_an_attempt_may_do_what_it_likes_to_its_logs(tmp_path: Path, backend: Kept) -> None:
    assert len(walk(tmp_path, ["meddles"], backend, Options())[0].done) == 1


@pytest.mark.slow
def test_a_gigabyte_of_output_never_fills_the_disk(tmp_path: Path, backend: Kept) -> None:
    log = Store(tmp_path / "store").attempt_folder(stage("prints").key) / "stdout.log"
    most = 0
    over = threading.Event()

    def look() -> None:
        nonlocal most
        while not over.is_set():
            if log.exists():
                most = max(most, log.stat().st_blocks * 512)
            time.sleep(0.001)

    thread = meanwhile(look)
    began_at = time.monotonic()
    outcome, _ = walk(tmp_path, ["prints"], backend, Options())
    over.set()
    thread.join()
    assert len(outcome.done) == 1
    assert 4_000_000 < most < 60_000_000
    print(f"peak {most / 1e6:.0f} MB in {time.monotonic() - began_at:.1f} s")


def children(pid: int) -> list[tuple[int, str]]:
    """(process id, state) of all children."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(words[1]) == pid:
                found.append((int(entry.name), words[0]))
    return found


@pytest.mark.slow
def test_three_hundred_stages_leave_nothing_behind(tmp_path: Path) -> None:
    def descriptors(pid: int) -> int:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))

    def resident(pid: int) -> int:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])

    others = {pid for pid, _ in children(os.getpid())}
    with LocalBackend(preload=("supervised_attempts",)) as made:
        walk(tmp_path / "warm", [f"nothing-{number}" for number in range(10)], Kept(made), Options(jobs=2))
        (server,) = {pid for pid, _ in children(os.getpid())} - others
        before = [descriptors(os.getpid()), descriptors(server)]
        memory = resident(server)
        outcome, _ = walk(tmp_path, [f"nothing-{number}" for number in range(300)], Kept(made), Options(jobs=2))
        assert len(outcome.done) == 300
        assert [descriptors(os.getpid()), descriptors(server)] == before
        assert children(server) == []
        assert resident(server) < 1.05 * memory
    assert {pid for pid, _ in children(os.getpid())} == others
