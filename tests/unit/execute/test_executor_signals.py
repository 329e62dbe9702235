"""Walking a plan with a backend of ours: signals, space, observers, and two runs on one store."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from walks import (
    DATA,
    FIXTURES,
    GAN,
    PLAIN,
    PLAN,
    FakeBackend,
    Shown,
    fail,
    names,
    stage,
    walk,
)

from dermae_bench.errors import StorageError
from dermae_bench.execute import executor as module
from dermae_bench.execute import settling
from dermae_bench.execute.choices import RESERVE
from dermae_bench.execute.executor import Executor, Options, Outcome
from dermae_bench.execute.local import Ended
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import Manifest
from dermae_bench.suite.resources import Limits
from dermae_bench.suite.stage import Stage

store, quick = FIXTURES


# -- signals and space -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_stages_write_their_checkpoints(store: Store, number: signal.Signals) -> None:
    backend = FakeBackend()
    before = signal.getsignal(number)

    def interrupt() -> None:
        if backend.began[-1] == "train/gan" and not backend.terminated:
            os.kill(os.getpid(), number)
            backend.running.append(backend.running.pop(0))
            backend.before_wait = lambda: None
            backend.acts["train/gan"] = lambda folder, spec: (
                (folder / "result.json").write_text('{"ok": false, "stopped": true}') and 0
            )

    backend.before_wait = interrupt
    outcome, _, _ = walk(store, backend)
    assert outcome.interrupted == number
    assert names(outcome.done) == ["prepare/data"]
    assert outcome.failed == {}
    assert len(outcome.blocked) == len(PLAN) - 1
    assert store.failure(GAN.key) is None
    assert signal.getsignal(number) == before
    assert names(walk(store)[0].done) == names(PLAN[1:])


def test_a_second_signal_does_not_wait(store: Store) -> None:
    backend = FakeBackend()

    def wait(timeout: float | None) -> Sequence[Ended]:
        os.kill(os.getpid(), signal.SIGINT)
        return []

    backend.wait = wait  # type: ignore[method-assign]
    outcome, _, _ = walk(store, backend)
    assert (outcome.interrupted, outcome.hurried) == (signal.SIGINT, True)
    assert backend.terminated == [DATA.key]
    assert (backend.closed, backend.hurried) == (1, True)
    assert len(outcome.blocked) == len(PLAN)
    assert store.lease(DATA.key).take()


def test_what_does_not_leave_when_asked_is_killed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.05)
    backend = FakeBackend()

    def wait(timeout: float | None) -> Sequence[Ended]:
        if not backend.terminated:
            os.kill(os.getpid(), signal.SIGHUP)
            return []
        if not backend.killed:
            return []
        return [Ended(backend.running.pop(0)[0], -signal.SIGKILL, 1, 0.1, "stopped")]

    backend.wait = wait  # type: ignore[method-assign]
    outcome, _, lines = walk(store, backend, [DATA])
    assert (outcome.interrupted, outcome.hurried, outcome.failed) == (signal.SIGHUP, False, {})
    assert backend.killed == [DATA.key]
    assert outcome.blocked == [DATA]
    assert any("stopping (SIGHUP)" in line and "second signal leaves at once" in line for line in lines)


def test_what_nohup_asked_for_stands(store: Store) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        backend = FakeBackend()
        backend.before_wait = lambda: os.kill(os.getpid(), signal.SIGHUP)
        assert walk(store, backend, [DATA])[0].interrupted is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_plan_that_does_not_fit_is_refused_before_anything_runs(store: Store) -> None:
    with pytest.raises(StorageError, match="the plan needs about 1,048,576 TiB") as caught:
        walk(store, plan=[stage("sample/huge", disk_bytes=2**60)])
    assert caught.value.exit_code == 74


def test_the_blocks_of_an_array_need_room_beside_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = replace(stage("prepare/large", disk_bytes=2**30), scratch_bytes=2**30)
    plan = [prepare, stage("sample/large", prepare, disk_bytes=2**29)]
    monkeypatch.setattr(module, "free_bytes", lambda path: 2**31 + 2**29 + RESERVE - 1)
    with pytest.raises(StorageError, match=r"the plan needs about 2\.5 GiB"):
        walk(store, plan=plan)
    monkeypatch.setattr(module, "free_bytes", lambda path: 2**31 + 2**29 + RESERVE)
    assert len(walk(store, plan=plan)[0].done) == 2


def test_what_is_cached_needs_no_space(store: Store) -> None:
    huge = stage("sample/huge", disk_bytes=2**60)
    out = store.attempt_folder(huge.key) / "out"
    out.mkdir(parents=True)
    store.commit(out, Manifest(kind="sample", key=huge.key, name=huge.name, parts=huge.parts, files={}))
    assert walk(store, plan=[huge])[0].cached == 1


def test_a_full_disk_ends_the_run_with_one_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "store")

    full = FakeBackend({"train/gan": fail("OSError: [Errno 28] No space left on device", "storage")})
    with monkeypatch.context() as patch:
        patch.setattr(Store, "probe", refuse)
        with pytest.raises(StorageError, match=r"train/gan: .*Read-only file system"):
            walk(store, full)
    assert full.closed == 1
    with monkeypatch.context() as patch:
        patch.setattr(settling, "free_bytes", lambda path: 1000)
        with pytest.raises(StorageError, match=r"train/gan: .*No space left"):
            walk(Store(store.root.with_name("other")), FakeBackend(full.acts))
    monkeypatch.setattr(module, "write_text", refuse)
    with pytest.raises(StorageError, match="Read-only"):
        walk(store, plan=[stage("prepare/other")])


def test_a_store_that_only_the_stage_finds_full_fails_that_stage_alone(store: Store) -> None:
    full = FakeBackend({"train/gan": fail("cannot write elsewhere: No space left on device", "storage")})
    outcome, backend, _ = walk(store, full)
    (failure,) = outcome.failed.values()
    assert (failure.category, failure.attempt) == ("crashed", 2)
    assert failure.reason == "cannot write elsewhere: No space left on device; yet the store can be written"
    assert backend.began.count("train/gan") == 2
    assert PLAIN in outcome.done


# -- observers and status ----------------------------------------------------------------------------------------


def test_observers_are_told(store: Store) -> None:
    told: list[tuple[str, str]] = []
    backend = FakeBackend({"train/net": fail("no")})
    executor = Executor(
        store, lambda: backend, Shown(), Options(), lambda hook, event: told.append((hook[13:], event["name"]))
    )
    executor.run([DATA, PLAIN])
    assert told == [
        ("started", "prepare/data"), ("finished", "prepare/data"), ("started", "train/net"), ("failed", "train/net"),
    ]  # fmt: skip


def test_the_display_is_told_what_an_attempt_says(store: Store) -> None:
    backend = FakeBackend()
    waits: list[int] = []

    def wait(timeout: float | None) -> Sequence[Ended]:
        waits.append(1)
        (store.attempt_folder(DATA.key) / "status.json").write_text("{" if len(waits) == 1 else '{"step": 2}')
        return [] if len(waits) < 3 else FakeBackend.wait(backend, timeout)

    backend.wait = wait  # type: ignore[method-assign]
    assert "update {'step': 2}" in walk(store, backend, [DATA])[2]


# -- two runs on one store ---------------------------------------------------------------------------------------


def test_two_runs_side_by_side_do_each_stage_once(store: Store) -> None:
    began: Counter[str] = Counter()
    outcomes: list[Outcome] = []
    start = threading.Barrier(2)

    class Slow(FakeBackend):
        def submit(self, attempt: str, folder: Path, call: str, limits: Limits) -> None:
            super().submit(attempt, folder, call, limits)
            began[self.began[-1]] += 1

        def wait(self, timeout: float | None) -> Sequence[Ended]:
            threading.Event().wait(0.02)
            return super().wait(timeout)

    def run(plan: Sequence[Stage]) -> None:
        start.wait()
        outcomes.append(Executor(store, Slow, Shown(), Options(jobs=2)).run(plan))

    # signal handlers belong to the main thread: there the executor must be able to set them
    def no_handlers(number: int, handler: Any) -> Any:
        return handler

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signal, "signal", no_handlers)
        threads = [threading.Thread(target=run, args=(PLAN,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert began == dict.fromkeys(names(PLAN), 1)
    assert [outcome.failed for outcome in outcomes] == [{}, {}]
    assert all(outcome.cached + len(outcome.done) == len(PLAN) for outcome in outcomes)


def test_what_another_run_failed_at_is_tried_by_this_one(store: Store) -> None:
    lease = store.lease(DATA.key)
    assert lease.take()
    backend = FakeBackend()
    waited = []

    def release(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            lease.release()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.time, "sleep", release)
        outcome, _, _ = walk(store, backend, [DATA])
    assert names(outcome.done) == ["prepare/data"]
    assert len(waited) == 3
