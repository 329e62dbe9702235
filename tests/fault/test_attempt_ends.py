"""Walking a plan whose attempts end in odd ways: foreign signals, results of any shape, entries that lost bytes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from stored import commit

from dermae_bench.durable import encodable
from dermae_bench.execute import executor as module
from dermae_bench.execute.endings import judge, read_result
from dermae_bench.execute.executor import Executor, Options, Outcome
from dermae_bench.execute.local import Ended
from dermae_bench.execute.telling import _reason, _trace
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import MANIFEST
from dermae_bench.suite.stage import Stage
from tests.unit.execute.walks import DATA
from tests.unit.execute.walks import PLAIN as NET


class Backend:
    """Attempts end as they are told to, one a call; the last way stands for all that follow."""

    def __init__(self, store: Store, *ways: Any) -> None:
        self.store, self.ways = store, list(ways)
        self.running: list[tuple[str, Path]] = []
        self.began: list[str] = []
        self.leased_at_close: list[bool] = []

    def warm_up(self) -> None:
        pass

    def submit(self, attempt: str, folder: Path, call: str, limits: object) -> None:
        self.running.append((attempt, folder))
        self.began.append(json.loads((folder / "spec.json").read_text())["name"])

    def wait(self, timeout: float | None) -> Sequence[Ended]:
        attempt, folder = self.running.pop(0)
        way = self.ways.pop(0) if len(self.ways) > 1 else self.ways[0]
        if way == "finish":
            commit(self.store, next(found for found in (DATA, NET) if found.key == attempt))
        else:
            (folder / "result.json").write_text(way)
        return [Ended(attempt, 0, 1, 0.1, "exit")]

    def terminate(self, attempt: str) -> None:
        pass

    def kill(self, attempt: str, reason: str = "killed") -> None:
        pass

    def close(self, *, hurry: bool = False) -> None:
        lease = self.store.lease(DATA.key)
        self.leased_at_close.append(not lease.take())
        lease.release()


class Silent:
    """A display that keeps what failed."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def started(self, key8: str, name: str) -> None: ...
    def update(self, key8: str, status: Any) -> None: ...
    def finished(self, key8: str, name: str, seconds: float) -> None: ...
    def cached(self, count: int) -> None: ...
    def note(self, text: str) -> None: ...
    def failed(self, key8: str, name: str, reason: str) -> None:
        self.failures.append(reason)


def walk(store: Store, *ways: Any, plan: Sequence[Stage] = (DATA, NET)) -> tuple[Outcome, Backend]:
    backend = Backend(store, *ways)
    return Executor(store, lambda: backend, Silent(), Options()).run(plan), backend


STOPPED = '{"ok": false, "stopped": true}'


def test_a_signal_to_one_attempt_alone_costs_one_more_try(store: Store) -> None:
    outcome, backend = walk(store, STOPPED, "finish")
    assert backend.began == ["prepare/data", "prepare/data", "train/net"]
    assert (outcome.done, outcome.blocked, outcome.interrupted) == ([DATA, NET], [], None)


def test_one_that_keeps_stopping_is_a_failure(store: Store) -> None:
    outcome, backend = walk(store, STOPPED)
    assert backend.began == ["prepare/data"] * 2
    assert outcome.failed[DATA.key].category == "lost"
    assert outcome.blocked == [NET]


@pytest.mark.parametrize(
    "text",
    [
        '{"ok": true}',
        '{"ok": "yes"}',
        '{"ok": false}',
        "[]",
        "3",
        "null",
        "{",
        "[" * 100_000,
        '{"ok": false, "category": "damaged", "reason": "x"}',
        '{"ok": false, "category": "stopped", "reason": "x"}',
        '{"ok": false, "category": ["crashed"], "reason": "x"}',
        '{"ok": false, "category": "crashed", "reason": ["x"], "damaged": true}',
        '{"ok": false, "category": "crashed", "reason": "bad \\udcff", "traceback": "\\udcff", "phase": {"a": 1}}',
    ],
)
def test_whatever_a_plugin_writes_is_a_failure_of_its_stage(store: Store, text: str) -> None:
    outcome, _ = walk(store, text)
    assert list(outcome.failed) == [DATA.key]
    assert store.failure(DATA.key) == outcome.failed[DATA.key]
    assert outcome.failed[DATA.key].reason


def test_a_status_of_any_shape_is_survived(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK", 0.0)
    backend = Backend(store, "finish")
    real = backend.wait

    def wait(timeout: float | None) -> Sequence[Ended]:
        if not (status := backend.running[0][1] / "status.json").exists():
            status.write_text("[3]")
            return []
        return real(timeout)

    backend.wait = wait  # type: ignore[method-assign]
    assert Executor(store, lambda: backend, Silent(), Options()).run([DATA]).done == [DATA]


def test_processes_end_before_their_leases_are_given_up(store: Store) -> None:
    backend = Backend(store, "finish")

    def wait(timeout: float | None) -> Sequence[Ended]:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return []

    backend.wait = wait  # type: ignore[method-assign]
    outcome = Executor(store, lambda: backend, Silent(), Options()).run([DATA])
    assert outcome.interrupted == signal.SIGINT
    assert backend.leased_at_close == [True]
    assert store.lease(DATA.key).take()


def test_cached_stages_that_lost_bytes_are_made_again(store: Store) -> None:
    walk(store, "finish")
    (store.folder(NET.kind, NET.key) / "result.txt").write_text("short")
    (store.folder(DATA.kind, DATA.key) / MANIFEST).write_text("{}")
    outcome, backend = walk(store, "finish")
    assert backend.began == ["prepare/data", "train/net"]
    assert outcome.cached == 0
    assert store.checked(NET.kind, NET.key)


def test_reasons_can_be_written_down() -> None:
    error = RuntimeError("bad \udcff name")
    assert encodable(_reason(error)) == "RuntimeError: bad \\udcff name"
    assert "\\udcff" in encodable(_trace(error)).encode().decode()
    assert encodable("Grün ✓") == "Grün ✓"


def test_what_an_attempt_says_comes_back(tmp_path: Path) -> None:
    said = {"ok": False, "category": "data", "reason": "x", "phase": "p", "traceback": "t", "damaged": True}
    (tmp_path / "result.json").write_text(json.dumps(said))
    assert read_result(tmp_path) == {**said, "outside": False}
    verdict = judge(tmp_path, read_result(tmp_path), Ended("a", 0, 1, 1.0, "exit"))
    assert (verdict.category, verdict.reason, verdict.phase, verdict.traceback) == ("data", "x", "p", "t")
