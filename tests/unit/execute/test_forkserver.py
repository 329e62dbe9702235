"""The server's side of the conversation, without the client."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from begun import PATIENCE, alive, eventually, read_pid

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fork server needs Linux")


class Driver:
    """Speaks to a server line by line."""

    def __init__(self, preload: list[str]) -> None:
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(PATIENCE)
        command = [sys.executable, "-m", "dermae_bench.execute.forkserver", str(theirs.fileno())]
        self.server = subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True)
        theirs.close()
        self.lines = self.channel.makefile("rb")
        self.say(preload=preload, sys_path=[str(Path(__file__).parent), *sys.path], log_bytes=1 << 20)

    def say(self, **words: Any) -> None:
        self.channel.sendall(json.dumps(words).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        return json.loads(self.lines.readline())

    def hang_up(self) -> None:
        self.lines.close()
        self.channel.close()


@pytest.fixture
def driver() -> Iterator[Driver]:
    made = Driver(["json"])
    yield made
    made.hang_up()
    made.server.kill()
    made.server.wait()


@pytest.fixture
def start(driver: Driver, tmp_path: Path) -> Callable[[str, str], Path]:
    def begin(name: str, function: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        driver.say(start=name, folder=str(folder), call=f"misbehaving:{function}")
        return folder

    return begin


def test_it_says_ready_then_started_then_ended(driver, start):
    ready = driver.hear()
    assert ready["ready"] == driver.server.pid and 0 < ready["seconds"] < PATIENCE
    folder = start("a", "good")
    started = driver.hear()
    assert started["started"] == "a" and started["pid"] not in (os.getpid(), driver.server.pid)
    ended = driver.hear()
    assert (ended["ended"], ended["code"]) == ("a", 0)
    assert set(ended) == {"ended", "code", "max_rss_mb", "seconds"}
    assert read_pid(folder, "done") == started["pid"]


def test_requests_that_come_before_it_is_ready_are_kept(driver, start):
    for name in "abc":
        start(name, "good")
    driver.say(attempt="nobody", signal=9)
    heard = [driver.hear() for _ in range(7)]
    assert "ready" in heard[0]
    assert sorted(words["ended"] for words in heard if "ended" in words) == ["a", "b", "c"]


def test_it_answers_and_a_sigcont_of_anybody_changes_nothing(driver, start):
    attempt = read_pid(start("a", "sleeps"), "pid")
    for pid in (driver.server.pid, attempt):
        os.kill(pid, signal.SIGCONT)
    driver.say(ask="a")
    while "here" not in (heard := driver.hear()):
        pass
    assert heard == {"here": "a"}
    assert alive(attempt)


@pytest.mark.parametrize("how", ["hang up", "SIGTERM"])
def test_its_end_takes_groups_and_daemons_along(driver, start, how):
    folders = {name: start(name, name) for name in ("waits_with_a_grandchild", "waits_with_a_daemon")}
    processes = [
        read_pid(folders["waits_with_a_grandchild"], "grandchild"),
        read_pid(folders["waits_with_a_daemon"], "daemon"),
        *(read_pid(folder, "pid") for folder in folders.values()),
    ]
    if how == "hang up":
        driver.hang_up()
    else:
        driver.server.send_signal(signal.SIGTERM)
    assert driver.server.wait(PATIENCE) == 0
    assert not any(alive(pid) for pid in processes)


def test_a_server_whose_driver_leaves_during_the_imports_leaves_too(driver):
    driver.hang_up()
    assert driver.server.wait(PATIENCE) == 0


def test_a_daemon_ends_with_its_attempt_though_an_older_one_goes_on(driver, start):
    mine = start("older", "waits_with_a_daemon")
    older = [read_pid(mine, "pid"), read_pid(mine, "daemon")]
    daemon = read_pid(start("younger", "leaves_a_daemon"), "daemon")
    assert eventually(lambda: not alive(daemon))
    while driver.hear().get("ended") != "younger":
        pass
    assert all(alive(pid) for pid in older)
    driver.hang_up()
    assert driver.server.wait(PATIENCE) == 0
    assert not any(alive(pid) for pid in older)


def test_a_daemon_of_an_older_attempt_ends_while_a_younger_one_goes_on(driver, start):
    older = start("older", "waits_with_a_daemon")
    daemon = read_pid(older, "daemon")
    time.sleep(0.05)
    younger = start("younger", "waits_with_a_grandchild")
    mine = [read_pid(younger, "pid"), read_pid(younger, "grandchild")]
    driver.say(attempt="older", signal=int(signal.SIGKILL))
    assert eventually(lambda: not alive(daemon))
    assert all(alive(pid) for pid in mine)


def test_a_grandchild_in_the_group_ends_with_its_attempt_while_an_older_one_goes_on(driver, start):
    older = start("older", "waits_for_go")
    read_pid(older, "pid")
    time.sleep(0.05)
    grandchild = read_pid(start("younger", "leaves_a_grandchild"), "grandchild")
    assert eventually(lambda: not alive(grandchild))
    assert alive(read_pid(older, "pid"))


def test_an_attempt_does_not_outlive_a_killed_server(driver, start):
    attempt = read_pid(start("a", "holds_the_interpreter"), "pid")
    driver.server.kill()
    assert eventually(lambda: not alive(attempt))


def test_a_signal_right_after_the_start_ends_that_attempt_alone(driver, start):
    other = read_pid(start("other", "sleeps"), "pid")
    for number in range(10):
        start(str(number), "sleeps")
        driver.say(attempt=str(number), signal=int(signal.SIGTERM))
        while (heard := driver.hear()).get("ended") is None:
            pass
        assert (heard["ended"], heard["code"]) == (str(number), -signal.SIGTERM)
    assert alive(other) and alive(driver.server.pid)


def test_gpus_are_hidden_from_imports_but_not_from_attempts(tmp_path, monkeypatch):
    asks = "import os\nif os.environ['CUDA_VISIBLE_DEVICES'] != '': raise OSError('asked CUDA')\n"
    (tmp_path / "curious.py").write_text(asks)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    driver = Driver(["curious"])
    try:
        assert "ready" in driver.hear()
        driver.say(start="a", folder=str(tmp_path), call="misbehaving:facts")
        assert read_facts(tmp_path)["gpus"] == "3"
    finally:
        driver.hang_up()
        driver.server.wait(PATIENCE)


def read_facts(folder: Path) -> dict[str, Any]:
    assert eventually((folder / "facts").exists)
    return json.loads((folder / "facts").read_text())
