"""Signals to the driver, and its death: attempts keep what they have, leave, and never outlive it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from supervised_attempts import CALL, Kept, stage, walk

from dermae_bench.execute import executor
from dermae_bench.execute.choices import Options
from dermae_bench.execute.local import LocalBackend
from dermae_bench.execute.signals import STOPPING
from dermae_bench.store.artifacts import Store
from tests.counting import record_count

SCRIPT = Path(__file__).with_name("supervised_attempts.py")


@pytest.fixture(scope="module")
def backend() -> Iterator[Kept]:
    with LocalBackend(preload=("supervised_attempts",)) as made:
        yield Kept(made)


def drive(root: Path, *names: str, jobs: int = 2) -> subprocess.Popen[str]:
    command = [sys.executable, SCRIPT, root, str(jobs), *names]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def steps_of(root: Path) -> list[int]:
    log = root / "steps.log"
    return [int(line) for line in log.read_text().splitlines()] if log.exists() else []


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# -- F6: once --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [STOPPING[0], *(pytest.param(n, marks=pytest.mark.slow) for n in STOPPING[1:])])
def test_a_signal_keeps_a_checkpoint_and_the_next_run_goes_on_from_it(
    tmp_path: Path, backend: Kept, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "CALL", CALL)
    monkeypatch.setattr(executor, "TICK", 0.02)

    def interrupt() -> None:
        wait_for(lambda: len(steps_of(tmp_path)) > 2)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    outcome, shown = walk(tmp_path, ["steps"], backend, Options())
    thread.join()
    assert outcome.interrupted == number
    assert [found.name for found in outcome.blocked] == ["train/steps"]
    assert shown.notes[0].startswith(f"stopping ({number.name}): ")
    kept = int((Store(tmp_path / "store").attempt_folder(stage("steps").key) / "checkpoint").read_text())
    assert steps_of(tmp_path) == list(range(kept))


def interrupt_once(root: Path, number: signal.Signals, seed: int) -> None:
    root.mkdir()
    run = drive(root, "steps")
    wait_for(lambda: steps_of(root))
    time.sleep(random.Random(seed).uniform(0, 0.5))
    began = time.monotonic()
    run.send_signal(number)
    output, errors = run.communicate(timeout=60)
    assert (run.returncode, errors) == (128 + number, "")
    assert time.monotonic() - began < 30
    assert json.loads(output)["done"] == 0
    kept = len(steps_of(root))
    assert 0 < kept < 400
    again = drive(root, "steps")
    wait_for(lambda: len(steps_of(root)) > kept + 3)
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=60)
    # no step twice, none left out
    assert steps_of(root) == list(range(len(steps_of(root))))


@pytest.mark.slow
@pytest.mark.parametrize("number", STOPPING)
def test_ten_signals_at_random_times(tmp_path: Path, number: signal.Signals) -> None:
    for seed in range(10):
        interrupt_once(tmp_path / str(seed), number, seed)
    record_count("signals survived", 10)


# -- F6: twice -------------------------------------------------------------------------------------------------------


def interrupt_twice(root: Path, number: signal.Signals) -> None:
    root.mkdir()
    run = drive(root, "stubborn-1", "stubborn-2")
    pids = [root / "store" / "attempts" / stage(name).key / "pid" for name in ("stubborn-1", "stubborn-2")]
    wait_for(lambda: all(path.exists() and path.read_text() for path in pids))
    run.send_signal(number)
    time.sleep(0.4)
    assert run.poll() is None
    began = time.monotonic()
    run.send_signal(number)
    run.communicate(timeout=60)
    assert run.returncode == 128 + number
    assert time.monotonic() - began < 2
    wait_for(lambda: all(gone(int(path.read_text())) for path in pids), 10)


@pytest.mark.slow
@pytest.mark.parametrize("number", STOPPING)
def test_a_second_signal_leaves_at_once(tmp_path: Path, number: signal.Signals) -> None:
    for time_ in range(10):
        interrupt_twice(tmp_path / str(time_), number)
    record_count("signals survived", 20)


@pytest.mark.slow
def test_what_does_not_leave_is_killed_and_the_driver_leaves_within_thirty_seconds(tmp_path: Path) -> None:
    run = drive(tmp_path, "stubborn", "steps")
    wait_for(lambda: steps_of(tmp_path))
    wait_for((Store(tmp_path / "store").attempt_folder(stage("stubborn").key) / "pid").exists)
    began = time.monotonic()
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=60)
    assert run.returncode == 143
    assert 19 < time.monotonic() - began < 30


@pytest.mark.slow
def test_a_stopped_driver_goes_on_where_it_was(tmp_path: Path) -> None:
    """As by Ctrl-Z and `fg`: attempts work on meanwhile, and the run takes in what they did."""
    run = drive(tmp_path, "slow", "short-1", "short-2", jobs=1)
    wait_for((Store(tmp_path / "store").attempt_folder(stage("slow").key) / "pid").exists)
    # not SIGTSTP: the kernel ignores it outside of a terminal's session
    run.send_signal(signal.SIGSTOP)
    time.sleep(3)
    assert run.poll() is None
    run.send_signal(signal.SIGCONT)
    output, _ = run.communicate(timeout=30)
    assert run.returncode == 0
    told = json.loads(output)
    assert (told["done"], told["failed"], told["notes"]) == (3, 0, [])


# -- F5: the driver alone is killed ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_nothing_outlives_twenty_killed_drivers(tmp_path: Path) -> None:
    chance = random.Random(5)
    for number in range(20):
        root = tmp_path / str(number)
        root.mkdir()
        run = drive(root, "stubborn", "steps")
        pids = [Store(root / "store").attempt_folder(stage(name).key) / "pid" for name in ("stubborn", "steps")]
        wait_for(lambda pids=pids: all(path.exists() and path.read_text() for path in pids))
        processes = [int(path.read_text()) for path in pids]
        processes.append(parent_of(processes[0]))
        time.sleep(chance.uniform(0, 0.3))
        run.kill()
        run.communicate()
        wait_for(lambda found=processes: all(gone(pid) for pid in found), 5)
    record_count("kills survived", 20)


# -- outside of the executor -----------------------------------------------------------------------------------------

ELSEWHERE = """
import sys, time
from dermae_bench.commands import session
def waits(*words, **more):
    print("here", flush=True)
    time.sleep(60)
session.open_session = waits
from dermae_bench.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("command", "number"),
    [
        pytest.param("run", signal.SIGTERM),
        *(
            pytest.param(command, number, marks=pytest.mark.slow)
            for command in ("run", "validate", "plan", "report")
            for number in STOPPING
        ),
    ],
)
def test_a_signal_while_no_stage_runs_is_one_line(tmp_path: Path, command: str, number: signal.Signals) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, command, "suite.yaml"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "here\n"
    run.send_signal(number)
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 128 + number
    assert errors == f"stopped by {number.name}: nothing finished is lost\n"
