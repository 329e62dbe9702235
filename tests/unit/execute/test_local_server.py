"""The server and the driver of a local backend: they die, are interrupted or closed, and some cannot be used."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from begun import FIXTURES, MODULE, PATIENCE, alive, eventually, linux, one, read_pid

from dermae_bench.errors import BenchError
from dermae_bench.execute.local import PRELOAD, LocalBackend

begin, backend, forked = FIXTURES


@linux
def test_the_death_of_the_server_ends_its_attempts_and_the_next_one_finds_a_new_server(forked, begin):
    folder = begin(forked, "waits_with_a_grandchild")
    attempt, grandchild = read_pid(folder), read_pid(folder, "grandchild")
    assert forked.running == {"waits_with_a_grandchild": attempt}
    server = int(Path(f"/proc/{attempt}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(server, signal.SIGKILL)
    ended = one(forked)
    assert (ended.attempt, ended.code, ended.reason) == ("waits_with_a_grandchild", None, "server-died")
    assert eventually(lambda: not alive(attempt) and not alive(grandchild))
    begin(forked, "good")
    assert one(forked).code == 0


@linux
def test_a_server_that_died_unnoticed_is_replaced_at_the_next_submit(forked, begin):
    folder = begin(forked, "sleeps")
    attempt = read_pid(folder)
    assert forked.running
    server = int(Path(f"/proc/{attempt}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(server, signal.SIGKILL)
    assert eventually(lambda: not alive(server))
    begin(forked, "good")
    ended = forked.wait(PATIENCE)
    while len(ended) < 2:
        ended += forked.wait(PATIENCE)
    assert {(e.attempt, e.reason) for e in ended} == {("sleeps", "server-died"), ("good", "exit")}


DRIVER = """
import os, signal, sys, time
from pathlib import Path
from dermae_bench.execute.local import LocalBackend
# a shell's background job inherits that SIGINT is ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
backend = LocalBackend(["json"], fork=sys.argv[2] != "alone")
for name in sys.argv[3:]:
    backend.submit(name, Path(sys.argv[1], name), "misbehaving:" + name)
if sys.argv[2] == "leak" and os.fork() == 0:
    Path(sys.argv[1], "leak").write_text(str(os.getpid()))
    time.sleep(60)
backend.wait(60)
"""


@pytest.mark.parametrize("way", [pytest.param("fork", marks=linux), "alone"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_driver(tmp_path, number, way):
    names = ["waits_with_a_grandchild", "ignores_termination"]
    # what holds the interpreter or is a daemon can only be ended from outside
    names += ["holds_the_interpreter", "waits_with_a_daemon"] if way == "fork" else []
    for name in names:
        (tmp_path / name).mkdir()
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path), way, *names],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        stderr=subprocess.DEVNULL,
    )
    processes = [read_pid(tmp_path / name) for name in names]
    processes.append(read_pid(tmp_path / "waits_with_a_grandchild", "grandchild"))
    if way == "fork":
        processes.append(read_pid(tmp_path / "waits_with_a_daemon", "daemon"))
        processes.append(int(Path(f"/proc/{processes[0]}/stat").read_text().rpartition(")")[2].split()[1]))
    assert all(alive(pid) for pid in processes)
    driver.send_signal(number)
    driver.wait(PATIENCE)
    assert eventually(lambda: not any(alive(pid) for pid in processes))


@linux
def test_nothing_outlives_a_driver_whose_channel_somebody_else_holds_open(tmp_path):
    (tmp_path / "waits_with_a_grandchild").mkdir()
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path), "leak", "waits_with_a_grandchild"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )
    processes = [read_pid(tmp_path / "waits_with_a_grandchild", name) for name in ("pid", "grandchild")]
    assert eventually((tmp_path / "leak").exists)
    driver.kill()
    driver.wait(PATIENCE)
    try:
        assert eventually(lambda: not any(alive(pid) for pid in processes))
    finally:
        os.kill(int((tmp_path / "leak").read_text()), signal.SIGKILL)


@linux
def test_an_interrupt_from_the_terminal_reaches_the_driver_alone(forked, begin):
    folder = begin(forked, "waits_for_go")
    attempt = read_pid(folder)
    server = int(Path(f"/proc/{attempt}/stat").read_text().rpartition(")")[2].split()[1])
    assert os.getpgid(server) != os.getpgid(0) != os.getpgid(attempt)
    os.kill(server, signal.SIGINT)
    (folder / "go").touch()
    assert one(forked).code == 0


@linux
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise OSError('libcuda is too old')", "importing culprit failed: OSError: libcuda is too old"),
        (
            "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
            "culprit \\(1\\)",
        ),
        ("import os; os._exit(3)", "exit code 3"),
        ("import os; os.write(2, b'cannot open shared object'); os.abort()", "signal 6\ncannot open shared object"),
    ],
)
def test_a_server_that_cannot_be_used_says_why(tmp_path, begin, monkeypatch, source, words):
    (tmp_path / "culprit.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with LocalBackend(["json", "culprit"], fork=True) as backend, pytest.raises(BenchError, match=words):
        for number in range(2):
            begin(backend, "good", str(number))
            assert one(backend).reason == "server-died"


def test_closing_ends_what_runs_and_is_final(begin, tmp_path):
    backend = LocalBackend(["json"])
    folder = begin(backend, "waits_with_a_grandchild")
    processes = [read_pid(folder), read_pid(folder, "grandchild")]
    backend.close()
    backend.close()
    assert eventually(lambda: not any(alive(pid) for pid in processes))
    assert backend.wait(None) == []
    with pytest.raises(BenchError, match="closed"):
        backend.submit("late", tmp_path, f"{MODULE}:good")


def test_a_file_of_the_working_folder_does_not_shadow_a_library(tmp_path, begin, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    with LocalBackend(["json"]) as backend:
        begin(backend, "good")
        assert one(backend).code == 0


@linux
@pytest.mark.slow
def test_the_real_server_has_one_thread_leaves_the_gpu_alone_and_its_children_may_use_threads(begin):
    with LocalBackend() as backend:
        began = time.monotonic()
        backend.warm_up()
        assert time.monotonic() - began < 1
        folder = begin(backend, "trains", wall=60)
        (ended,) = backend.wait(120)
        assert ended.code == 0, (folder / "stderr.log").read_text()
        assert (folder / "fork").read_text() == "False"
        folder = begin(backend, "facts")
        assert one(backend).code == 0
        facts = json.loads((folder / "facts").read_text())
        assert facts["threads"] == 1
        assert set(PRELOAD) <= set(facts["modules"])
