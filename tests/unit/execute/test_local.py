"""Attempts on a local backend: surroundings, logs, endings, limits, signals, and what runs side by side."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from begun import FIXTURES, MODULE, PATIENCE, alive, eventually, linux, one, read_pid

from dermae_bench.execute import local
from dermae_bench.execute.local import LocalBackend

begin, backend, forked = FIXTURES


def test_an_attempt_runs_in_its_folder_with_nothing_of_the_parent_but_its_modules(backend, begin):
    folder = begin(backend, "facts")
    ended = one(backend)
    assert (ended.attempt, ended.code, ended.reason) == ("facts", 0, "exit"), (folder / "stderr.log").read_text()
    assert 0 < ended.seconds < PATIENCE
    # no upper bound: a forked child begins with the pages of its parent
    assert ended.max_rss_mb > 1
    facts = json.loads((folder / "facts").read_text())
    assert Path(facts["cwd"]) == folder
    assert facts["pid"] == facts["session"] == facts["group"] != os.getpid()
    assert facts["stdin"] == ""
    assert facts["openmp"] == "1"
    assert facts["gpus"] == os.environ.get("CUDA_VISIBLE_DEVICES")
    assert facts["interrupt"] and facts["blocked"] == []
    assert "pytest" not in facts["modules"]


@linux
def test_a_forked_attempt_has_one_thread_and_no_descriptor_of_the_server(forked, begin):
    folder = begin(forked, "facts")
    one(forked)
    facts = json.loads((folder / "facts").read_text())
    assert facts["descriptors"] == [0, 1, 2]
    assert facts["threads"] == 1


@pytest.mark.parametrize("fork", [pytest.param(True, marks=linux), False])
def test_whatever_writes_to_the_outputs_ends_up_in_the_logs(begin, monkeypatch, fork):
    # with it C would not buffer
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with LocalBackend(["json"], fork=fork) as backend:
        folder = begin(backend, "speaks")
        assert one(backend).code == 0
    output = (folder / "stdout.log").read_text(encoding="utf-8")
    for words in ("from print", "from os.write", "from C", "from a subprocess"):
        assert output.count(words) == 1
    assert "ASCII: \N{LATIN SMALL LETTER E WITH ACUTE} \\ud800" in output
    assert (folder / "stderr.log").read_text() == "to stderr\n"


@pytest.mark.parametrize(
    ("function", "code", "trace"),
    [
        ("raises", 1, "RuntimeError: the shapes do not fit"),
        ("leaves_with_number", 7, ""),
        ("leaves_with_words", 1, "no more of this"),
        ("leaves_at_once", 0, ""),
        ("segfaults", -signal.SIGSEGV, "Fatal Python error: Segmentation fault"),
        ("aborts", -signal.SIGABRT, "Fatal Python error: Aborted"),
        ("closes_its_outputs", 1, ""),
        ("closes_its_outputs_and_goes_on", 0, ""),
        ("no_such_function", 1, "AttributeError"),
        ("changes_its_surroundings", 0, ""),
    ],
)
def test_an_ending_is_told(backend, begin, function, code, trace):
    folder = begin(backend, function)
    ended = one(backend)
    assert (ended.code, ended.reason) == (code, "exit")
    assert trace in (folder / "stderr.log").read_text()
    assert not list(folder.glob("core*"))


@linux
@pytest.mark.parametrize("function", ["segfaults", "closes_its_outputs", "changes_its_surroundings", "leaves_at_once"])
def test_what_an_attempt_does_to_itself_does_not_reach_the_next(forked, begin, function):
    begin(forked, function)
    one(forked)
    after = begin(forked, "facts")
    assert one(forked).code == 0
    facts = json.loads((after / "facts").read_text())
    assert Path(facts["cwd"]) == after
    assert facts["descriptors"] == [0, 1, 2]
    assert (after / "facts").stat().st_mode & 0o600 == 0o600


def test_an_attempt_may_remove_its_folder(backend, begin):
    begin(backend, "removes_its_folder")
    assert one(backend).code == 0


def test_a_missing_folder_is_an_attempt_that_could_not_start(backend, tmp_path):
    backend.submit("nowhere", tmp_path / "nowhere", f"{MODULE}:good")
    assert one(backend).code == 71


@pytest.mark.parametrize("function", ["sleeps", "holds_the_interpreter", "ignores_termination"])
def test_a_hang_ends_at_its_limit(backend, begin, function, monkeypatch):
    monkeypatch.setattr(local, "GRACE_SECONDS", 0.3)
    begin(backend, function, wall=0.3)
    pid = backend.running[function]
    ended = one(backend)
    # what can be asked leaves at once
    assert ended.code == (-signal.SIGTERM if function != "ignores_termination" else -signal.SIGKILL)
    assert ended.reason == "wall"
    assert "limited to 0.3s" in ended.told
    assert 0.2 < ended.seconds < 10
    assert not alive(pid)


def test_a_kill_takes_the_grandchild_along(backend, begin):
    folder = begin(backend, "waits_with_a_grandchild")
    attempt, grandchild = read_pid(folder), read_pid(folder, "grandchild")
    assert backend.running == {"waits_with_a_grandchild": attempt}
    backend.kill("waits_with_a_grandchild")
    ended = one(backend)
    assert (ended.code, ended.reason) == (-signal.SIGKILL, "killed")
    assert eventually(lambda: not alive(attempt) and not alive(grandchild))
    assert backend.running == {}


def test_a_good_end_leaves_no_grandchild(backend, begin):
    folder = begin(backend, "leaves_a_grandchild")
    assert one(backend).code == 0
    assert eventually(lambda: not alive(read_pid(folder, "grandchild")))


@linux
@pytest.mark.parametrize("function", ["leaves_a_daemon", "waits_with_a_daemon"])
def test_a_daemon_ends_with_its_attempt(forked, begin, function):
    folder = begin(forked, function)
    daemon = read_pid(folder, "daemon")
    forked.kill(function)
    one(forked)
    assert eventually(lambda: not alive(daemon))


def test_a_terminated_attempt_is_told_once_and_may_save(backend, begin):
    folder = begin(backend, "saves_when_terminated")
    read_pid(folder)
    backend.terminate("saves_when_terminated")
    ended = one(backend)
    assert (ended.code, ended.reason) == (143, "exit")
    assert (folder / "saved").read_text() == "x"


def test_signals_to_ended_or_unknown_attempts_do_nothing(backend, begin):
    begin(backend, "good")
    one(backend)
    backend.kill("good")
    backend.terminate("never heard of")
    assert backend.wait(0.05) == []


def test_attempts_run_side_by_side(backend, begin):
    begin(backend, "meets_the_other", "a")
    begin(backend, "meets_the_other", "b")
    ended = backend.wait(PATIENCE)
    while len(ended) < 2:
        ended += backend.wait(PATIENCE)
    assert {e.attempt for e in ended} == {"a", "b"}
    assert {e.code for e in ended} == {0}


def test_a_running_name_cannot_be_taken_twice_but_again_later(backend, begin, tmp_path):
    folder = begin(backend, "waits_for_go")
    with pytest.raises(ValueError, match="is running"):
        backend.submit("waits_for_go", folder, f"{MODULE}:good")
    (folder / "go").touch()
    one(backend)
    backend.submit("waits_for_go", folder, f"{MODULE}:good")
    assert one(backend).code == 0


def test_waiting_returns_when_the_time_is_over_or_nothing_runs(backend, begin):
    assert backend.wait(None) == []
    folder = begin(backend, "waits_for_go")
    read_pid(folder)
    began = time.monotonic()
    assert backend.wait(0.1) == []
    assert 0.09 < time.monotonic() - began < 5
    (folder / "go").touch()
    assert one(backend).code == 0


@pytest.mark.parametrize("fork", [pytest.param(True, marks=linux), False])
def test_a_log_loses_its_middle_when_it_grows_too_long(begin, fork):
    with LocalBackend(["json"], fork=fork, log_bytes=250_000) as backend:
        folder = begin(backend, "prints_much_and_goes_on")
        read_pid(folder)
        assert backend.wait(0.01) == []
        assert (folder / "stdout.log").stat().st_size < 260_000
        (folder / "go").touch()
        assert one(backend).code == 0
    lines = (folder / "stdout.log").read_text().splitlines()
    assert lines[0] == "the first line"
    assert lines[-2:] == ["the last line", "behind the cut"]
    assert any("bytes of output were dropped here" in line for line in lines)


def test_many_attempts_leak_no_descriptors(backend, begin):
    def open_now() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    begin(backend, "good", "warm")
    one(backend)
    before = open_now()
    for number in range(5):
        begin(backend, "good", str(number))
        assert one(backend).code == 0
    assert open_now() <= before
