"""`plugins check` with plugins that hang, end their process or are interrupted: what ran and where is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from test_kit import CLASSIFIER, RIGHT, SPENDS, UNCHANGED

from dermae_bench.commands.plugin_check import check_plugins

PASSED = "ok    classifier subject: Config (and Sampling) are documented, frozen dataclasses with a schema"
HANGS = "while run.step_index == 1: pass"
HOLDS_THE_LOCK = "import re; re.match('(a+)+b', 'a' * 60)"


def subject(folder: Path, before: str = "pass", **more: str) -> Path:
    (folder / "subject.py").write_text(CLASSIFIER.format(**{**RIGHT, "before": before, **more}))
    return folder


def line_of(folder: Path, text: str) -> int:
    lines = (folder / "subject.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


@pytest.mark.parametrize(
    ("before", "why"),
    [
        pytest.param(HANGS, "it took more than 1.5 s", marks=pytest.mark.slow),
        (HOLDS_THE_LOCK, "it took more than 1.5 s"),
        ("import ctypes; ctypes.string_at(0)", "it ended the process (killed by SIGSEGV)"),
    ],
    ids=["hangs", "holds-the-lock", "segfault"],
)
def test_a_check_that_does_not_end_fails_with_its_place(
    tmp_path: Path, warm_backend: Any, capsys: pytest.CaptureFixture[str], before: str, why: str
) -> None:
    folder = subject(tmp_path, f"print('out of', 'words'); {before}" if "while" not in before else before)
    assert check_plugins(["subject", "accuracy"], folder, 1.5, warm_backend) == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == PASSED
    place = f", at subject.py, line {line_of(folder, before)}, in fit"
    assert lines[1] == f"FAIL  classifier subject: {SPENDS}: {why}{place}"
    skipped = [line for line in lines if line.endswith("not tried: the process had been ended")]
    assert len(skipped) == 9
    assert skipped[-1].startswith(f"skip  classifier subject: {UNCHANGED}")
    # the others are checked nevertheless
    assert sum(line.startswith("ok    metric accuracy: ") for line in lines) == 4
    assert ("      | out of words" in captured.err.splitlines()) == ("while" not in before)
    assert "most recent call first" not in captured.err


def test_a_process_that_leaves_has_failed(
    tmp_path: Path, warm_backend: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_plugins(["subject"], subject(tmp_path, "os._exit(0)"), 60, warm_backend) == 1
    assert f"FAIL  classifier subject: {SPENDS}: it ended the process (exit code 0)\n" in capsys.readouterr().out


def test_an_import_that_hangs_is_given_up(
    tmp_path: Path, warm_backend: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = subject(tmp_path)
    with (folder / "subject.py").open("a") as file:
        file.write("\nwhile True: pass\n")
    assert check_plugins(["subject"], folder, 0.5, warm_backend) == 1
    place = f"at subject.py, line {line_of(folder, 'while True')}, in <module>"
    said = f"FAIL  subject: plugin 'subject' cannot be imported: it took more than 0.5 s, {place}\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("hangs", [pytest.param(HANGS, marks=pytest.mark.slow), HOLDS_THE_LOCK], ids=["python", "lock"])
def test_an_interrupted_check_names_what_ran_and_where(
    tmp_path: Path, warm_backend: Any, capsys: pytest.CaptureFixture[str], hangs: str
) -> None:
    mark = tmp_path / "mark"
    folder = subject(tmp_path, f"open({str(mark)!r}, 'w'); {hangs}" if "while" not in hangs else hangs,
                     optimizers=f"open({str(mark)!r}, 'w'); run.optimizers(optimizer)")  # fmt: skip

    def interrupt() -> None:
        while not mark.exists():
            time.sleep(0.02)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    assert check_plugins(["subject"], folder, 60, warm_backend) == 130
    captured = capsys.readouterr()
    assert captured.out == f"{PASSED}\n"
    assert captured.err == (
        f"stopped by SIGINT while this was running: classifier subject: {SPENDS}, "
        f"at subject.py, line {line_of(folder, hangs)}, in fit\n"
    )
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_command_line_needs_no_torch() -> None:
    code = "import sys, dermae_bench.commands.plugin_check; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_a_terminal_is_told_what_runs_and_a_reader_gets_each_line_at_once(tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dermae_bench", "plugins", "check", "subject", "--plugins-dir", str(tmp_path)]
    subject(tmp_path, HANGS)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        assert process.stdout is not None
        # though the next check never ends
        assert process.stdout.readline() == f"{PASSED}\n"
        said = b""
        while SPENDS.encode() not in said:
            said += os.read(ours, 4096)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    while b"stopped by SIGTERM" not in said:
        said += os.read(ours, 4096)
    assert b"\r\x1b[K...   subject: starting\r\x1b[K...   subject: importing it" in said
