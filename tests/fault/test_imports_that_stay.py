"""Importing a plugin for its card: nothing that it begins outlives it, and whoever waits is told for what."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dermae_bench.plugin import asking

linux = pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux alone")
PATIENCE = 15.0
BEGIN = """
import os, subprocess, sys
def note(pid):
    with open({pids!r}, "a") as stream:
        stream.write(f"{{pid}}\\n")
note(os.getpid())
"""
DAEMON = "note(subprocess.Popen(['sleep', '987'], start_new_session=True).pid)\n"
# the import goes on when the second process is noted: else that one may end before it could write its name
TWICE = """
begun, begin = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        note(os.getpid())
        os.write(begin, b"1")
        os.execvp("sleep", ["sleep", "987"])
    os._exit(0)
os.wait()
assert os.read(begun, 1) == b"1"
"""
HANG = "import time; time.sleep(987)\n"
HOOK = "def dermae_metrics():\n    return {}\n"
DRIVER = """
import json, sys
from dermae_bench.plugin import asking
asking.NEWS_SECONDS = .1
asking._LOOK_SECONDS = .1
asking.ask(json.loads(sys.argv[1]))
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str], dict[str, object]]:
    """Writes a module and gives the question for its card; the module notes its process and those it begins."""

    def write(source: str) -> dict[str, object]:
        file = tmp_path / "strange.py"
        file.write_text(BEGIN.format(pids=str(tmp_path / "pids")) + source + HOOK)
        return {"card": {"name": "odd\x1b", "module": "strange", "file": str(file), "origin": ""}}

    return write


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Callable[[int], list[int]]]:
    def read(count: int) -> list[int]:
        end = time.monotonic() + PATIENCE
        while True:
            lines = (tmp_path / "pids").read_text().split("\n")[:-1] if (tmp_path / "pids").exists() else []
            if len(lines) >= count:
                return [int(line) for line in lines]
            assert time.monotonic() < end, "it never began"
            time.sleep(0.005)

    yield read
    for pid in read(0):
        # only a failed test leaves any
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pids: list[int]) -> bool:
    end = time.monotonic() + PATIENCE
    while any(alive(pid) for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


@linux
@pytest.mark.parametrize(
    ("source", "count"),
    [(DAEMON, 2), (TWICE, 2), (DAEMON + "os._exit(0)\n", 2), (DAEMON + "os.kill(os.getpid(), 9)\n", 2)],
    ids=["daemon", "forked-twice", "leaves", "dies"],
)
def test_what_an_import_begins_ends_with_it(
    plugin: Callable[[str], dict[str, object]], pids: Callable[[int], list[int]], source: str, count: int
) -> None:
    (answer,) = asking.ask([plugin(source)])
    assert "error" in answer
    # at once: nothing may be left when the answer is there
    assert [pid for pid in pids(count) if alive(pid)] == []


@linux
def test_a_hanging_import_is_named_and_given_up_with_all_that_it_began(
    plugin: Callable[[str], dict[str, object]],
    pids: Callable[[int], list[int]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for name, seconds in (("CARD_SECONDS", 1.0), ("NEWS_SECONDS", 0.2), ("_LOOK_SECONDS", 0.1)):
        monkeypatch.setattr(asking, name, seconds)
    # it holds up the process that would end it, too
    (answer,) = asking.ask([plugin(DAEMON + "os.kill(os.getppid(), 19)\n" + HANG)])
    assert f"importing {tmp_path / 'strange.py'} took too long, more than 1 s: do slow work" in answer["error"]
    assert [pid for pid in pids(2) if alive(pid)] == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"making the card of odd\\x1b ({tmp_path / 'strange.py'}): its module is still being imported"
    )


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_who_waits_is_stopped_and_nothing_is_left(
    plugin: Callable[[str], dict[str, object]], pids: Callable[[int], list[int]], tmp_path: Path, number: int
) -> None:
    # stopped, its warden learns of the driver's end from the kernel alone
    stop = "os.kill(os.getppid(), 19)\n" if number == signal.SIGKILL else ""
    question = json.dumps([plugin(DAEMON + stop + HANG)])
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, question],
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    try:
        assert driver.stderr is not None
        assert select.select([driver.stderr], [], [], PATIENCE)[0], "nobody was told"
        known = pids(2)
        driver.send_signal(number)
        assert driver.wait(PATIENCE) == -number
        assert gone(known)
    finally:
        driver.kill()
        driver.wait()
        if driver.stderr is not None:
            driver.stderr.close()


def test_ctrl_c_leaves_without_a_traceback(
    plugin: Callable[[str], dict[str, object]], pids: Callable[[int], list[int]], tmp_path: Path
) -> None:
    plugin(HANG)
    source = (tmp_path / "strange.py").read_text()
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "strange.py").write_text(source.replace("return {}", "return {'strange': None}"))
    command = [sys.executable, "-m", "dermae_bench", "plugins", "show", "strange", "--plugins-dir"]
    shown = subprocess.Popen([*command, str(tmp_path / "plugins")], stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    known = pids(1)
    shown.send_signal(signal.SIGINT)
    out, err = shown.communicate(timeout=PATIENCE)
    assert (shown.returncode, out, err.strip()) == (130, b"", b"")
    assert gone(known)


@linux
def test_a_plugin_that_forks_while_it_is_imported_answers_once(tmp_path: Path) -> None:
    questions = []
    for name, top in (("first", "import os\nos.fork()\n"), ("second", "")):
        (tmp_path / f"{name}.py").write_text(top + "def dermae_metrics():\n    return {}\n")
        questions.append({"card": {"name": name, "module": name, "file": str(tmp_path / f"{name}.py"), "origin": ""}})
    first, second = asking.ask(questions)
    assert "'first'" in first["error"]
    assert "'second'" in second["error"]


def test_nobody_to_tell_is_no_reason_to_stop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    question = {"tasks": {"name": "lines", "module": "lines", "file": None}, "params": {}}
    asking._tell(question)
    assert capsys.readouterr().err.startswith("reading the tasks of lines (lines): still at it; it is given up")
    monkeypatch.setattr(sys, "stderr", None)
    asking._tell(question)
    with (tmp_path / "closed").open("w") as closed:
        pass
    monkeypatch.setattr(sys, "stderr", closed)
    asking._tell(question)
    assert capsys.readouterr().out == ""
