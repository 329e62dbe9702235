"""Limits and what is known of an attempt: with clocks and files of ours."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dermae_bench.execute.endings import judge, read_result, tail
from dermae_bench.execute.local import Ended
from dermae_bench.execute.memory import OomKills, counters, memory_of
from dermae_bench.execute.processes import attempt_environment
from dermae_bench.execute.telling import _ended_from_outside, _out_of_memory
from dermae_bench.execute.watching import Clock, Watch, read_status, where
from dermae_bench.suite.resources import Limits


class Time:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_time_in_which_the_driver_did_not_run_does_not_count() -> None:
    time = Time()
    clock = Clock(time)
    for _ in range(10):
        time.seconds += 0.2
        clock.now()
    assert clock.now() == pytest.approx(2.0)
    # Ctrl-Z, and `fg` after an hour
    time.seconds += 3600
    assert clock.now() == pytest.approx(4.0)


def test_silence_is_broken_by_steps_and_by_words(tmp_path: Path) -> None:
    watch = Watch(tmp_path, Limits(silence=10), 0.0)
    assert watch.look(9, None) is None
    (tmp_path / "stdout.log").write_text("a word")
    assert watch.look(9.5, None) is None
    (tmp_path / "status.json").write_text("{}")
    assert watch.look(19, None) is None
    assert watch.look(28.9, None) is None
    breach = watch.look(29, None)
    assert breach is not None
    assert (breach.limit, breach.words) == (
        "silence",
        "no sign of life for 10 s, and silence is limited to 10s",
    )


def test_wall_time_is_told_with_both_numbers(tmp_path: Path) -> None:
    watch = Watch(tmp_path, Limits(wall=7200), 5.0)
    assert watch.look(7204, None) is None
    breach = watch.look(7206, None)
    assert breach is not None
    assert breach.words == "it ran for 7201 s, and its wall time is limited to 2h (7200 s)"


def test_memory_of_this_group_is_found_and_shared_pages_are_shared() -> None:
    group = os.getpgid(0)
    plain = memory_of(group, 1 << 60)
    assert plain > 10 << 20
    assert 0 < memory_of(group, 0) <= plain
    assert memory_of(2**22 + 1, 0) == 0


@pytest.mark.parametrize(
    ("groups", "files", "first"),
    [
        ("0::/a/b\n", {"sys/a/b/memory.events": "oom 3\noom_kill 2\n"}, "sys/a/b/memory.events"),
        ("0::/host/only\n", {"sys/memory.events": "oom_kill 2\n"}, "sys/memory.events"),
        (
            "4:memory:/j\n0::/\n",
            {"sys/memory/j/memory.oom_control": "under_oom 0\noom_kill 2\n"},
            "sys/memory/j/memory.oom_control",
        ),
        ("", {}, "proc/vmstat"),
    ],
)
def test_kills_are_counted_where_they_are_nearest(
    tmp_path: Path, groups: str, files: dict[str, str], first: str
) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(groups)
    (tmp_path / "proc" / "vmstat").write_text("oom_kill 7\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert counters(tmp_path / "proc", tmp_path / "sys")[0] == tmp_path / first


def test_each_kill_of_the_kernel_explains_one_death(tmp_path: Path) -> None:
    kills = OomKills()
    file = tmp_path / "memory.events"
    file.write_text("oom_kill 4\n")
    kills._files, kills._explained = [file], 4
    before = kills.count()
    assert not kills.explains(before)
    file.write_text("oom_kill 5\n")
    assert kills.explains(before)
    assert not kills.explains(before)
    assert not kills.explains(5)


class OutOfMemoryError(RuntimeError):
    """As torch's is called."""


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("the shapes do not fit in memory format"), False),
        (ValueError("not enough memory cells"), False),
        (OSError(28, "No space left on device"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, is_memory: bool) -> None:
    assert _out_of_memory(error) is is_memory
    outer = ValueError("it failed")
    outer.__cause__ = error
    assert _out_of_memory(outer) is is_memory


def test_only_a_killed_worker_is_from_outside() -> None:
    assert _ended_from_outside(RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "))
    assert not _ended_from_outside(RuntimeError("DataLoader worker (pid 12) is killed by signal: Bus error. "))


# -- what strangers write --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"phase": "fitting", "step": 3, "steps": 9, "unit": "images"}', "fitting, image 3 of 9"),
        ('{"phase": "committing"}', "committing"),
        ('{"phase": ["x"], "step": true, "steps": NaN}', ""),
        ('{"step": 1e999, "phase": "' + "x" * 500 + '"}', "x" * 80),
        ("[3]", ""),
        ("{", ""),
        ("[" * 200_000, ""),
    ],
)
def test_a_status_of_any_shape_is_survived(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "status.json").write_text(text)
    assert where(read_status(tmp_path)) == words


def test_a_result_without_end_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"ok": true}' + " " * (5 << 20))
    assert read_result(tmp_path) == {}


# -- secrets ---------------------------------------------------------------------------------------------------------

CANARY = "canary-5f0e77c1d2"


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "WANDB_API_KEY", "MY_SECRET", "PGPASSWORD", "AWS_CREDENTIALS"):
        monkeypatch.setenv(name, CANARY)


@pytest.mark.usefixtures("canary")
def test_attempts_find_no_secret_in_their_environment_but_those_that_were_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DERMAE_FAULT_COUNT", "/somewhere")
    found = attempt_environment(())
    assert CANARY not in found.values()
    assert {"PATH", "HOME", "DERMAE_FAULT_COUNT", "OMP_NUM_THREADS"} <= set(found)
    passed = attempt_environment(("HF_TOKEN",))
    assert [name for name, value in passed.items() if value == CANARY] == ["HF_TOKEN"]


@pytest.mark.usefixtures("canary")
def test_secrets_are_struck_out_of_everything_that_is_recorded(tmp_path: Path) -> None:
    said = {"ok": False, "category": "crashed", "reason": f"no {CANARY}", "phase": CANARY, "traceback": CANARY * 3}
    (tmp_path / "result.json").write_text(json.dumps(said))
    (tmp_path / "stderr.log").write_text(f"fatal: {CANARY}\n")
    (tmp_path / "status.json").write_text(json.dumps({"phase": CANARY, "step": 1}))
    ended = Ended("x", -11, 1, 1.0, "exit")
    for result in (read_result(tmp_path), {}):
        assert CANARY not in repr(judge(tmp_path, result, ended))
    assert "fatal: <" in tail(tmp_path / "stderr.log")


def test_a_tail_begins_where_this_attempt_did(tmp_path: Path) -> None:
    log = tmp_path / "stderr.log"
    log.write_text("of yesterday\n")
    before = log.stat().st_size
    with log.open("a") as stream:
        stream.write("of today\n")
    assert tail(log, before) == "of today\n"
    # the log was cut meanwhile
    assert tail(log, 1000) == "of yesterday\nof today\n"
    assert tail(tmp_path / "none") == ""
