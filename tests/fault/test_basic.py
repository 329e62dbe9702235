"""Runs that share a store, and runs that are killed: real processes, stages that compute nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from basic_attempts import plan

from dermae_bench.execute.signals import STOPPING
from dermae_bench.store.artifacts import Store

SCRIPT = Path(__file__).with_name("basic_attempts.py")
NAMES = [stage.name for stage in plan()]


def start(root: Path, seconds: float = 0.05) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, SCRIPT, root / "store", str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "WAIT_SECONDS": "0.3"},
    )


def finish(run: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 0
    told: dict[str, Any] = json.loads(output)
    return told


def began(root: Path) -> Counter[str]:
    log = root / "began.log"
    return Counter(log.read_text().splitlines()) if log.is_file() else Counter()


def wait_for(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def whole(root: Path) -> bool:
    store = Store(root / "store")
    return all(store.checked(stage.kind, stage.key) for stage in plan()) and not list(store.root.glob("attempts/*"))


def test_two_runs_on_one_store_do_each_stage_once(tmp_path: Path) -> None:
    one, two = (finish(run) for run in [start(tmp_path), start(tmp_path)])
    assert began(tmp_path) == dict.fromkeys(NAMES, 1)
    assert one["done"] + two["done"] == len(NAMES)
    assert one["cached"] + one["done"] == two["cached"] + two["done"] == len(NAMES)
    assert whole(tmp_path)


@pytest.mark.parametrize(
    "stage", ["train/1", *(pytest.param(name, marks=pytest.mark.slow) for name in ("prepare/data", "score/all"))]
)
def test_a_run_killed_inside_any_stage_goes_on(tmp_path: Path, stage: str) -> None:
    run = start(tmp_path, 0.15)
    try:
        wait_for(lambda: began(tmp_path)[stage])
    finally:
        run.kill()
        run.communicate()
    done = finish(start(tmp_path))
    assert done["failed"] == done["blocked"] == 0
    # what was finished stays; what was begun is done again, at most as many as ran side by side
    again = began(tmp_path)
    assert 1 <= sum(again.values()) - len(NAMES) <= 2
    assert again[stage] == 2
    assert whole(tmp_path)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, *(pytest.param(n, marks=pytest.mark.slow) for n in STOPPING if n != signal.SIGTERM)]
)
def test_who_waits_says_for_whom_takes_over_and_leaves_when_asked(tmp_path: Path, number: signal.Signals) -> None:
    first = start(tmp_path, 30)
    try:
        wait_for(lambda: began(tmp_path)["prepare/data"])
        # they wait, since the first one holds the only stage that is ready
        second, third = start(tmp_path), start(tmp_path)
        notes = tmp_path / "notes.log"
        wait_for(lambda: notes.exists() and len(notes.read_text().splitlines()) == 2)
        assert began(tmp_path) == {"prepare/data": 1}
        assert second.poll() is None
        asked = time.monotonic()
        third.send_signal(number)
        left = finish(third)
        assert time.monotonic() - asked < 2
        assert (left["signal"], left["done"], left["failed"], left["blocked"]) == (number, 0, 0, len(NAMES))
    finally:
        first.kill()
        first.communicate()
    told = finish(second)
    assert told["done"] == len(NAMES)
    # it looked again and again, and said it once
    (said,) = told["notes"]
    assert said.startswith(f"waiting for process {first.pid} on host ")
    assert ", which works on prepare/data since " in said
    assert whole(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_its_attempts(tmp_path: Path, number: signal.Signals) -> None:
    run = start(tmp_path, 30)
    wait_for(lambda: began(tmp_path)["prepare/data"])
    run.send_signal(number)
    told = finish(run)
    assert (told["signal"], told["done"], told["failed"]) == (number, 0, 0)
    pids = [int(path.read_text()) for path in tmp_path.glob("store/attempts/*/pid")]
    assert pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert finish(start(tmp_path))["done"] == len(NAMES)
