"""A plugin may stop its parent, the server: limits hold, signals end the run, and nothing outlives the driver."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervised_attempts import CALL, Kept, folder_of, stage, walk
from test_supervision_signals import drive, gone, parent_of, steps_of, wait_for

from dermae_bench.execute import executor, local, processes
from dermae_bench.execute.choices import Options
from dermae_bench.execute.local import LocalBackend
from dermae_bench.execute.processes import Forked
from dermae_bench.store.artifacts import Store
from dermae_bench.suite.resources import Limits
from tests.counting import record_count


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "CALL", CALL)
    monkeypatch.setattr(executor, "TICK", 0.02)


@pytest.fixture
def backend() -> Iterator[Kept]:
    with LocalBackend(preload=("supervised_attempts",)) as made:
        yield Kept(made)


def pid_of(root: Path, name: str, what: str) -> int:
    path = Store(root / "store").attempt_folder(stage(name).key) / what
    wait_for(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def family(root: Path, name: str) -> list[int]:
    """Attempt, its daemon and the server, once that is stopped."""
    found = [pid_of(root, name, "daemon"), pid_of(root, name, "pid")]
    server = parent_of(found[1])
    wait_for(lambda: Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    return [*found, server]


def test_a_server_that_is_stopped_goes_on(tmp_path: Path, backend: Kept) -> None:
    outcome, shown = walk(tmp_path, ["halts", "short"], backend, Options(jobs=2))
    assert len(outcome.done) == 2
    assert shown.notes == []


def test_limits_hold_though_the_server_is_stopped(
    tmp_path: Path, backend: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "GRACE_SECONDS", 0.3)
    began = time.monotonic()
    outcome, _ = walk(tmp_path, ["stops", "nothing"], backend, Options(limits={"train": Limits(wall=0.3)}))
    (failure,) = outcome.failed.values()
    assert (failure.name, failure.category, failure.attempt) == ("train/stops", "timeout", 1)
    assert [found.name for found in outcome.done] == ["train/nothing"]
    assert time.monotonic() - began < 8


@pytest.mark.slow
def test_a_server_that_answers_nothing_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Forked, "_wake", lambda self: None)
    monkeypatch.setattr(local, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(processes, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(processes, "LOST_SECONDS", 0.3)
    limits = {"train": Limits(wall=0.5)}
    with LocalBackend(preload=("supervised_attempts",)) as made:
        outcome, _ = walk(tmp_path, ["stops", "short"], Kept(made), Options(jobs=1, limits=limits))
    (failure,) = outcome.failed.values()
    assert (failure.name, failure.category, failure.attempt) == ("train/stops", "timeout", 1)
    assert [found.name for found in outcome.done] == ["train/short"]
    daemon = pid_of(tmp_path, "stops", "daemon")
    wait_for(lambda: gone(daemon))


def test_who_runs_beside_a_server_that_is_lost_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Forked, "_wake", lambda self: None)
    monkeypatch.setattr(processes, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(processes, "LOST_SECONDS", 0.3)
    with LocalBackend(preload=("supervised_attempts",)) as made:
        for name in ("stops", "second"):
            made.submit(name, folder_of(tmp_path, name), CALL)
        family(tmp_path, "stops")
        made.kill("stops", "had enough")
        ended = {found.attempt: found for found in made.wait(10)}
        assert (ended["stops"].code, ended["stops"].reason) == (-signal.SIGKILL, "had enough")
        assert (ended["second"].code, ended["second"].reason) == (None, "server-died")
        made.submit("nothing", folder_of(tmp_path, "nothing"), CALL)
        assert [found.code for found in made.wait(10)] == [0]


def test_a_stopped_server_is_closed_at_once(tmp_path: Path) -> None:
    made = LocalBackend(preload=("supervised_attempts",))
    made.submit("stops", folder_of(tmp_path, "stops"), CALL)
    found = family(tmp_path, "stops")
    began = time.monotonic()
    made.close(hurry=True)
    assert time.monotonic() - began < 2
    wait_for(lambda: all(gone(pid) for pid in found), 5)


def test_nothing_outlives_a_driver_whose_server_is_stopped(tmp_path: Path) -> None:
    run = drive(tmp_path, "stops")
    wait_for((Store(tmp_path / "store").attempt_folder(stage("stops").key) / "stopped").exists)
    pids = [pid_of(tmp_path, "stops", name) for name in ("daemon", "pid")]
    server = parent_of(pids[1])
    # the driver wakes it, and so has to be stopped itself
    run.send_signal(signal.SIGSTOP)
    os.kill(server, signal.SIGSTOP)
    run.kill()
    run.communicate()
    wait_for(lambda: all(gone(pid) for pid in (*pids, server)), 5)


# -- by signals, as in `dermae-bench run` ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stops", "fetters"])
def test_one_signal_ends_it_within_thirty_seconds(tmp_path: Path, name: str) -> None:
    run = drive(tmp_path, name, "steps")
    pids = [pid_of(tmp_path, name, what) for what in ("daemon", "pid")]
    pids.append(parent_of(pids[1]))
    wait_for(lambda: steps_of(tmp_path))
    began = time.monotonic()
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=60)
    assert run.returncode == 143
    assert time.monotonic() - began < 30
    wait_for(lambda: all(gone(pid) for pid in pids), 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stops", "fetters"])
def test_two_signals_end_it_at_once(tmp_path: Path, name: str) -> None:
    run = drive(tmp_path, name, "stubborn")
    pids = [pid_of(tmp_path, name, what) for what in ("daemon", "pid")]
    pids += [parent_of(pids[1]), pid_of(tmp_path, "stubborn", "pid")]
    run.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    began = time.monotonic()
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=60)
    assert time.monotonic() - began < 3
    wait_for(lambda: all(gone(pid) for pid in pids), 5)


@pytest.mark.slow
def test_a_daemon_that_stops_the_server_again_and_again_ends_within_ten_seconds(tmp_path: Path, backend: Kept) -> None:
    outcome, _ = walk(tmp_path, ["fetters", "nothing"], backend, Options(limits={"train": Limits(wall=1)}))
    (failure,) = outcome.failed.values()
    assert (failure.name, failure.category) == ("train/fetters", "timeout")
    assert failure.seconds < 11
    assert [found.name for found in outcome.done] == ["train/nothing"]
    daemon = pid_of(tmp_path, "fetters", "daemon")
    wait_for(lambda: gone(daemon), 5)


@pytest.mark.slow
def test_nothing_outlives_twenty_killed_drivers_of_stopped_servers(tmp_path: Path) -> None:
    for number in range(20):
        root = tmp_path / str(number)
        root.mkdir()
        test_nothing_outlives_a_driver_whose_server_is_stopped(root)
    record_count("kills survived", 20)
