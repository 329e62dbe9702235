"""What `DERMAE_FAULT` may say, who is told where it says nothing, and whose process a kill reaches."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dermae_bench import faults
from dermae_bench.errors import USAGE, UserError
from tests.unit.commands.asking import ask

GARBAGE = ["garbage", "kill", "kill@", "kill@0", "kill@-1", "kill@1.5", "kill@3++", "kill@3 ", "kill@\u00b2", "@3"]
GARBAGE += ["KILL@3", "count@3", "count+", " ", "kill@" + "9" * 5000, "enospc@" + "9" * 30, "\udcff@1", "\x1b[2J"]
ATTEMPT = """
import os, time
from dermae_bench import faults
faults.lead()
if os.fork() == 0:
    os.setpgid(0, 0)
    started = os.fork()
    if started:
        for name, pid in (("attempt", os.getpid()), ("what it started", started)):
            with open(name, "w") as file:
                file.write(str(pid))
        faults.point("write", "x")
time.sleep(20)
"""


@pytest.fixture
def arm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Reads the environment with such a `DERMAE_FAULT`; afterwards there is none."""
    monkeypatch.delenv("DERMAE_FAULT_DRIVER", raising=False)

    def read(asked: str) -> None:
        monkeypatch.setenv("DERMAE_FAULT", asked)
        faults.arm()

    yield read
    monkeypatch.undo()
    faults.arm()


@pytest.mark.parametrize("asked", GARBAGE, ids=lambda asked: asked[:12])
def test_what_asks_for_nothing_that_there_is_is_one_line(
    arm: Callable[[str], None], capsys: pytest.CaptureFixture[str], asked: str
) -> None:
    arm(asked)
    answer = ask(capsys, "list")
    assert (answer.code, answer.out) == (USAGE, "")
    assert answer.err.startswith("DERMAE_FAULT=") and answer.err.count("\n") == 1 and len(answer.err) < 300
    assert "it is `count`, or one of kill, stop, enospc" in answer.err and answer.err.strip("\n").isprintable()


def test_a_command_that_begins_with_it_says_no_more() -> None:
    """Reading it is the first thing that an import does."""
    told = subprocess.run(
        [sys.executable, "-m", "dermae_bench", "--version"],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "DERMAE_FAULT": "garbage"},
    )  # fmt: skip
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (USAGE, "", 1)
    assert told.stderr.startswith("DERMAE_FAULT='garbage': it is `count`, or one of kill, ")


def test_what_writes_without_a_command_is_told_as_well(arm: Callable[[str], None], tmp_path: Path) -> None:
    arm("garbage")
    with pytest.raises(UserError, match="DERMAE_FAULT='garbage'"):
        faults.point("write", tmp_path)


@pytest.mark.parametrize(
    ("asked", "refused"), [("eio@2", [2]), ("eio@2+", [2, 3, 4]), ("count", []), ("eio@999999999999999999", [])]
)
def test_what_there_is_acts_where_it_says(
    arm: Callable[[str], None], tmp_path: Path, asked: str, refused: list[int]
) -> None:
    arm(asked)
    found = []
    for number in range(1, 5):
        try:
            faults.point("write", tmp_path)
        except OSError as error:
            assert (error.errno, error.filename) == (errno.EIO, str(tmp_path))
            found.append(number)
    assert found == refused


def test_a_command_that_begins_is_the_driver_where_there_are_faults(
    arm: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    arm("")
    faults.lead()
    assert "DERMAE_FAULT_DRIVER" not in os.environ
    arm("kill@1000")
    # of another command, which began this one
    monkeypatch.setenv("DERMAE_FAULT_DRIVER", "1")
    faults.lead()
    assert os.environ["DERMAE_FAULT_DRIVER"] == str(os.getpid())


def test_a_kill_reaches_the_driver_and_its_own_group(tmp_path: Path) -> None:
    """An attempt has a group of its own, with whatever it started."""
    ended = subprocess.run(
        [sys.executable, "-c", ATTEMPT], cwd=tmp_path, start_new_session=True, timeout=20, check=False,
        env={**os.environ, "DERMAE_FAULT": "kill@1"},
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL
    pids = {path.name: int(path.read_text()) for path in tmp_path.iterdir()}
    assert set(pids) == {"attempt", "what it started"}
    end = time.monotonic() + 10.0
    while any(alive(pid) for pid in pids.values()):
        assert time.monotonic() < end
        time.sleep(0.005)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
