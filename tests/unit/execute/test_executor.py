"""Walking a plan with a backend of ours: order, limits, failures, damage, signals, and two runs on one store."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dermae_bench.errors import NothingMatched, StorageError
from dermae_bench.execute import executor as module
from dermae_bench.execute.choices import RESERVE
from dermae_bench.execute.executor import Executor, Options, Outcome, select
from dermae_bench.execute.local import Ended
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import Damaged, Manifest, describe_files
from dermae_bench.suite.resources import Limits
from dermae_bench.suite.stage import Stage, key_of

Act = Callable[[Path, Mapping[str, Any]], int | None]


def stage(name: str, *inputs: Stage, disk_bytes: int = 0) -> Stage:
    parts = {"name": name, "inputs": {i.name: i.key for i in inputs}}
    kind = name.partition("/")[0]
    return Stage(
        kind=kind,
        name=name,
        work={},
        parts=parts,
        inputs={i.name: i for i in inputs},
        key=key_of(parts),
        disk_bytes=disk_bytes,
    )


DATA = stage("prepare/data")
GAN = stage("train/gan", DATA)
DRAWN = stage("sample/gan", GAN, DATA)
PLAIN = stage("train/net", DATA)
MIXED = stage("train/net-mixed", DATA, DRAWN)
SCORED = stage("score/net", PLAIN)
SCORED_MIXED = stage("score/net-mixed", MIXED)
PLAN = [DATA, GAN, DRAWN, PLAIN, MIXED, SCORED, SCORED_MIXED]


def finish(folder: Path, spec: Mapping[str, Any]) -> int | None:
    """What an attempt does when all goes well: look at its inputs, commit."""
    store = Store(Path(spec["store"]))
    try:
        for about in spec["inputs"].values():
            store.checked(about["kind"], about["key"])
    except Damaged as error:
        return tell(folder, category="crashed", reason=str(error), damaged=True)
    out = folder / "out"
    out.mkdir(exist_ok=True)
    (out / "result.txt").write_text(spec["name"])
    files = describe_files(out)
    store.commit(out, Manifest(kind=spec["kind"], key=spec["key"], name=spec["name"], parts=spec["parts"], files=files))
    return tell(folder, ok=True)


def tell(folder: Path, **result: Any) -> int:
    (folder / "result.json").write_text(json.dumps({"ok": False, **result}))
    return 0


def fail(reason: str, category: str = "crashed") -> Act:
    return lambda folder, spec: tell(
        folder, category=category, reason=reason, phase="fitting", traceback="Traceback: x"
    )


class FakeBackend:
    """Ends one attempt a call, in the order in which they began, as the acts say."""

    def __init__(self, acts: Mapping[str, Act] | None = None) -> None:
        self.acts = dict(acts or {})
        self.running: list[tuple[str, Path]] = []
        self.began: list[str] = []
        self.most = 0
        self.terminated: list[str] = []
        self.closed = 0
        self.hurried = False
        self.killed: list[str] = []
        self.limits: list[Limits] = []
        self.before_wait: Callable[[], None] = lambda: None

    def warm_up(self) -> None:
        pass

    def submit(self, attempt: str, folder: Path, call: str, limits: Limits) -> None:
        assert call == "dermae_bench.execute.attempt:attempt"
        spec = json.loads((folder / "spec.json").read_text())
        self.began.append(spec["name"])
        self.limits.append(limits)
        self.running.append((attempt, folder))
        self.most = max(self.most, len(self.running))

    def wait(self, timeout: float | None) -> Sequence[Ended]:
        self.before_wait()
        if not self.running:
            return []
        attempt, folder = self.running.pop(0)
        if attempt in self.terminated:
            return [Ended(attempt, -signal.SIGTERM, 1, 0.1, "exit")]
        spec = json.loads((folder / "spec.json").read_text())
        code = self.acts.get(spec["name"], finish)(folder, spec)
        return [Ended(attempt, code, 7, 0.1, "exit")]

    def terminate(self, attempt: str) -> None:
        self.terminated.append(attempt)

    def kill(self, attempt: str, reason: str = "killed") -> None:
        self.killed.append(attempt)

    def close(self, *, hurry: bool = False) -> None:
        self.closed += 1
        self.hurried = hurry


class Shown:
    """What a display was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def started(self, key8: str, name: str) -> None:
        self.lines.append(f"started {name}")

    def update(self, key8: str, status: Mapping[str, Any]) -> None:
        self.lines.append(f"update {status}")

    def finished(self, key8: str, name: str, seconds: float) -> None:
        self.lines.append(f"finished {name}")

    def cached(self, count: int) -> None:
        self.lines.append(f"cached {count}")

    def failed(self, key8: str, name: str, reason: str) -> None:
        self.lines.append(f"failed {name}: {reason}")

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK", 0.01)


def walk(
    store: Store, backend: FakeBackend | None = None, plan: Sequence[Stage] = PLAN, **options: Any
) -> tuple[Outcome, FakeBackend, list[str]]:
    backend = backend or FakeBackend()
    shown = Shown()
    chosen = Options(**options)
    outcome = Executor(store, lambda: backend, shown, chosen).run(select(plan, chosen))
    return outcome, backend, shown.lines


def names(stages: Sequence[Stage]) -> list[str]:
    return [found.name for found in stages]


def test_stages_run_after_their_inputs_and_are_served_from_the_store_afterwards(store: Store) -> None:
    outcome, backend, lines = walk(store)
    assert backend.began == names(PLAN)
    assert (names(outcome.done), outcome.failed, outcome.blocked) == (names(PLAN), {}, [])
    assert backend.most == 1
    assert backend.closed == 1
    assert lines[0] == "cached 0"
    assert lines.count("finished train/gan") == 1
    assert not store.attempt_folder(GAN.key).exists()

    def never() -> FakeBackend:
        raise AssertionError("a finished plan starts no process")

    again = Executor(store, never, Shown(), Options()).run(PLAN)
    assert (again.cached, again.done) == (len(PLAN), [])


@pytest.mark.parametrize("jobs", [1, 2, 3, 8])
def test_at_most_so_many_stages_side_by_side(store: Store, jobs: int) -> None:
    fan = [DATA, *(stage(f"train/{i}", DATA) for i in range(6))]
    outcome, backend, _ = walk(store, plan=fan, jobs=jobs)
    assert backend.most == min(jobs, 6)
    assert sorted(names(outcome.done)) == sorted(names(fan))
    assert backend.began[0] == "prepare/data"


def test_a_stage_never_begins_before_its_inputs_are_done(store: Store) -> None:
    backend = FakeBackend()
    seen: list[tuple[str, bool]] = []
    by_name = {found.name: found for found in PLAN}
    submit = backend.submit

    def watched(attempt: str, folder: Path, call: str, limits: Limits) -> None:
        submit(attempt, folder, call, limits)
        inputs = by_name[backend.began[-1]].inputs.values()
        seen.append((backend.began[-1], all(store.has(i.kind, i.key) for i in inputs)))

    backend.submit = watched  # type: ignore[method-assign]
    walk(store, backend, jobs=5)
    assert dict(seen) == dict.fromkeys(names(PLAN), True)


def test_a_failure_blocks_what_reads_it_and_nothing_else(store: Store) -> None:
    outcome, backend, lines = walk(store, FakeBackend({"train/gan": fail("diverged at step 3", "diverged")}))
    assert names(outcome.blocked) == ["sample/gan", "train/net-mixed", "score/net-mixed"]
    assert names(outcome.done) == ["prepare/data", "train/net", "score/net"]
    assert "sample/gan" not in backend.began
    failure = outcome.failed[GAN.key]
    assert (failure.reason, failure.category, failure.phase) == ("diverged at step 3", "diverged", "fitting")
    assert failure.max_rss_mb == 7
    assert store.failure(GAN.key) == failure
    assert "failed train/gan: diverged at step 3" in lines
    # tried again by the same command, and forgotten when it succeeds
    again, _, _ = walk(store)
    assert (again.cached, len(again.done)) == (3, 4)
    assert store.failure(GAN.key) is None


def test_fail_fast_stops_at_the_first_failure(store: Store) -> None:
    outcome, backend, _ = walk(store, FakeBackend({"train/gan": fail("no")}), fail_fast=True)
    assert backend.began == ["prepare/data", "train/gan"]
    assert list(outcome.failed) == [GAN.key]
    assert len(outcome.blocked) == 5
    assert outcome.interrupted is None


def test_fail_fast_asks_what_runs_to_stop(store: Store) -> None:
    outcome, backend, _ = walk(store, FakeBackend({"train/gan": fail("no")}), fail_fast=True, jobs=2)
    assert backend.terminated == [PLAIN.key]
    assert names(outcome.blocked)[0] == "train/net"
    assert len(outcome.done) + len(outcome.failed) + len(outcome.blocked) == len(PLAN)


@pytest.mark.parametrize(
    ("ended", "category", "reason"),
    [
        ({"code": -signal.SIGKILL, "reason": "exit"}, "crashed", "SIGKILL; its last sign: fitting, step 3 of 9"),
        ({"code": -signal.SIGKILL, "reason": "oom-killer"}, "oom", "out of memory"),
        ({"code": -signal.SIGSEGV, "reason": "exit"}, "crashed", "killed by SIGSEGV"),
        ({"code": -signal.SIGKILL, "reason": "wall", "told": "it ran for 3 s"}, "timeout", "it ran for 3 s"),
        ({"code": 0, "reason": "silence", "told": "no sign"}, "timeout", "no sign; its last sign: fitting, step 3"),
        ({"code": -signal.SIGKILL, "reason": "memory", "told": "it took 2 GiB"}, "oom", "it took 2 GiB"),
        ({"code": None, "reason": "server-died"}, "lost", "fork server died"),
        ({"code": 0, "reason": "exit"}, "crashed", "without a result"),
        ({"code": 3, "reason": "exit"}, "crashed", "left with 3"),
    ],
)
def test_an_attempt_without_a_result_is_told_by_its_end(
    store: Store, ended: dict[str, Any], category: str, reason: str
) -> None:
    backend = FakeBackend()

    def wait(timeout: float | None) -> Sequence[Ended]:
        attempt, folder = backend.running.pop(0)
        with (folder / "stderr.log").open("a") as log:
            log.write("the last words")
        (folder / "status.json").write_text('{"phase": "fitting", "step": 3, "steps": 9, "unit": "steps"}')
        return [Ended(attempt=attempt, max_rss_mb=1, seconds=2.0, **ended)]

    backend.wait = wait  # type: ignore[method-assign]
    outcome, _, _ = walk(store, backend, [DATA])
    failure = outcome.failed[DATA.key]
    assert failure.category == category
    assert reason in failure.reason
    assert (failure.traceback, failure.phase) == ("the last words", "fitting")


def test_a_result_without_an_entry_is_no_success(store: Store) -> None:
    def lies(folder: Path, spec: Mapping[str, Any]) -> int | None:
        (folder / "result.json").write_text('{"ok": true}')
        return 0

    outcome, _, _ = walk(store, FakeBackend({"prepare/data": lies}), [DATA])
    assert outcome.failed[DATA.key].category == "lost"


def test_the_result_of_an_earlier_attempt_is_not_taken_for_this_one(store: Store) -> None:
    folder = store.attempt_folder(DATA.key)
    folder.mkdir(parents=True)
    tell(folder, category="crashed", reason="of yesterday")
    outcome, _, _ = walk(store, FakeBackend({"prepare/data": lambda folder, spec: 1}), [DATA])
    assert "left with 1" in outcome.failed[DATA.key].reason


def test_a_time_limit_is_handed_on(store: Store) -> None:
    prepare = Limits(wall=60, silence=10, memory=2**30)
    backend = walk(store, plan=[DATA, GAN], timeout=3.5, limits={"prepare": prepare})[1]
    assert backend.limits == [replace(prepare, wall=3.5), Limits(wall=3.5)]
    store.quarantine(DATA.kind, DATA.key)
    assert walk(store, plan=[DATA], limits={"prepare": prepare})[1].limits == [prepare]


# -- damage ------------------------------------------------------------------------------------------------------


def damage(store: Store, *stages: Stage) -> None:
    for found in stages:
        # of the same length: only its digest tells
        path = store.folder(found.kind, found.key) / "result.txt"
        path.write_text("x" * path.stat().st_size)


def test_damaged_inputs_are_made_again_each_once(store: Store) -> None:
    walk(store)
    damage(store, DATA, DRAWN)
    store.quarantine(MIXED.kind, MIXED.key)
    outcome, backend, lines = walk(store)
    assert outcome.failed == {}
    assert sorted(names(outcome.done)) == ["prepare/data", "sample/gan", "train/net-mixed"]
    assert Counter(backend.began) == {"train/net-mixed": 3, "prepare/data": 1, "sample/gan": 1}
    assert sum("is damaged" in line for line in lines) == 2
    assert store.checked(DRAWN.kind, DRAWN.key)


def test_damage_two_steps_up_is_mended_too(store: Store) -> None:
    walk(store)
    damage(store, GAN, DRAWN)
    store.quarantine(MIXED.kind, MIXED.key)
    outcome, _, _ = walk(store)
    assert sorted(names(outcome.done)) == ["sample/gan", "train/gan", "train/net-mixed"]
    assert outcome.failed == {}


def test_damage_that_comes_back_is_a_failure_not_a_loop(store: Store) -> None:
    walk(store)
    store.quarantine(SCORED.kind, SCORED.key)

    def broken(folder: Path, spec: Mapping[str, Any]) -> int:
        return tell(folder, category="crashed", reason="result.txt is damaged", damaged=True)

    outcome, backend, _ = walk(store, FakeBackend({"score/net": broken}))
    assert list(outcome.failed) == [SCORED.key]
    assert backend.began == ["score/net", "score/net"]


# -- choices -----------------------------------------------------------------------------------------------------


def test_only_takes_what_is_needed_along(store: Store) -> None:
    outcome, _, _ = walk(store, only=["score/net"], skip=["mixed"])
    assert names(outcome.done) == ["prepare/data", "train/net", "score/net"]
    assert names(select(PLAN, Options(only=["train/*mixed"]))) == names([DATA, GAN, DRAWN, MIXED])
    with pytest.raises(NothingMatched) as caught:
        select(PLAN, Options(only=["nothing"]))
    assert caught.value.exit_code == 3
    with pytest.raises(NothingMatched):
        select(PLAN, Options(skip=["*"]))


def test_what_reads_a_skipped_stage_is_not_tried(store: Store) -> None:
    outcome, backend, _ = walk(store, skip=["train/gan"])
    assert "train/gan" not in backend.began
    assert names(outcome.blocked) == ["sample/gan", "train/net-mixed", "score/net-mixed"]
    assert outcome.failed == {}
    # done before, it may be skipped without harm
    walk(store)
    for found in (DRAWN, MIXED):
        store.quarantine(found.kind, found.key)
    assert names(walk(store, skip=["train/gan"])[0].done) == ["sample/gan", "train/net-mixed"]


def test_force_does_it_again_with_all_that_reads_it(store: Store) -> None:
    walk(store)
    outcome, _, _ = walk(store, force=["sample/gan"])
    assert names(outcome.done) == ["sample/gan", "train/net-mixed", "score/net-mixed"]
    assert outcome.cached == 4


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
    with pytest.raises(StorageError, match=r"the plan needs about \d+\.\d GiB") as caught:
        walk(store, plan=[stage("sample/huge", disk_bytes=2**60)])
    assert caught.value.exit_code == 74


def test_the_blocks_of_an_array_need_room_beside_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = replace(stage("prepare/large", disk_bytes=2**30), scratch_bytes=2**30)
    plan = [prepare, stage("sample/large", prepare, disk_bytes=2**29)]
    monkeypatch.setattr(module, "free_bytes", lambda path: 2**31 + 2**29 + RESERVE - 1)
    with pytest.raises(StorageError, match=r"the plan needs about 2\.8 GiB"):
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
    full = FakeBackend({"train/gan": fail("OSError: [Errno 28] No space left on device", "storage")})
    with pytest.raises(StorageError, match=r"train/gan: .*No space left"):
        walk(store, full)
    assert full.closed == 1

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "store")

    monkeypatch.setattr(module, "write_text", refuse)
    with pytest.raises(StorageError, match="Read-only"):
        walk(store, plan=[stage("prepare/other")])


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
