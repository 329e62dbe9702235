"""Walking a plan with a backend of ours: order, limits, failures, damage and choices."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from walks import (
    DATA,
    DRAWN,
    FIXTURES,
    GAN,
    MIXED,
    PLAIN,
    PLAN,
    SCORED,
    FakeBackend,
    Shown,
    fail,
    finish,
    names,
    stage,
    tell,
    walk,
)

from dermae_bench.errors import NothingMatched
from dermae_bench.execute.executor import Executor, Options, select
from dermae_bench.execute.local import Ended
from dermae_bench.store.artifacts import Store
from dermae_bench.suite.resources import Limits
from dermae_bench.suite.stage import Stage

store, quick = FIXTURES


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
    # what was counted as cached and made again counts once
    assert outcome.cached + len(outcome.done) == len(PLAN)
    assert store.checked(DRAWN.kind, DRAWN.key)


def test_the_display_counts_what_is_made_again_once(store: Store) -> None:
    walk(store)
    damage(store, DATA, DRAWN)
    store.quarantine(MIXED.kind, MIXED.key)
    _, _, lines = walk(store)
    # one after the other: each is read, and found damaged, by what is made from it
    assert [line for line in lines if line.startswith(("cached", "lost"))] == [
        f"cached {len(PLAN) - 1}", "lost 1 cached, 0 done", "lost 1 cached, 0 done",
    ]  # fmt: skip
    # what this run itself has made goes from what is done
    for found in (DATA, GAN, DRAWN):
        store.quarantine(found.kind, found.key)

    def spoil(folder: Path, spec: Mapping[str, Any]) -> int | None:
        damage(store, DATA)
        return finish(folder, spec)

    _, _, lines = walk(store, FakeBackend({"train/gan": spoil}), only=["sample/gan"])
    assert [line for line in lines if line.startswith(("cached", "lost"))] == ["cached 0", "lost 0 cached, 1 done"]


def test_what_another_run_finished_meanwhile_is_counted_as_cached(store: Store) -> None:
    def both(folder: Path, spec: Mapping[str, Any]) -> int | None:
        # another run makes the next one while this one runs
        walk(Store(store.root), plan=[DATA, PLAIN])
        return finish(folder, spec)

    walk(store, plan=[DATA])
    outcome, backend, lines = walk(store, FakeBackend({"train/gan": both}), plan=[DATA, GAN, PLAIN])
    assert [line for line in lines if line.startswith("cached")] == ["cached 1", "cached 1"]
    assert (outcome.cached, names(outcome.done), backend.began) == (2, ["train/gan"], ["train/gan"])


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


def test_a_result_that_was_spoiled_is_made_again_and_then_is_a_failure(store: Store) -> None:
    def spoil(folder: Path, spec: Mapping[str, Any]) -> int | None:
        code = finish(folder, spec)
        result = store.folder(spec["kind"], spec["key"]) / "result.txt"
        result.write_bytes(b"x" * result.stat().st_size)
        return code

    outcome, backend, _ = walk(store, FakeBackend({"train/gan": spoil}))
    (failure,) = outcome.failed.values()
    assert (failure.category, failure.phase, failure.attempt) == ("invalid-output", "committing", 2)
    assert failure.reason.startswith("its result was spoiled: result.txt of store entry train/")
    assert backend.began.count("train/gan") == 2
    assert PLAIN in outcome.done
