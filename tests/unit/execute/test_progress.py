from __future__ import annotations

import io
import os
import pty
import subprocess
import sys

import pytest

from dermae_bench.execute.progress import QUIET, VERBOSE, Progress, clock, duration, plain


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def now() -> Clock:
    return Clock()


@pytest.fixture
def screen(monkeypatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("LINES", "40")
    return Terminal()


def test_without_a_terminal_each_event_is_one_plain_line(now):
    out = io.StringIO()
    progress = Progress(12, out, now=now)
    progress.cached(2)
    progress.started("1a2b3c4d", "train ddpm")
    progress.update("1a2b3c4d", {"step": 5, "steps": 100})
    progress.finished("1a2b3c4d", "train ddpm", 12.34)
    progress.started("5e6f7a8b", "score fd")
    progress.failed("5e6f7a8b", "score fd", "diverged at step 3")
    progress.close()
    progress.note("nobody hears this")
    assert out.getvalue().splitlines() == [
        "[ 2/12] cached   2 stages",
        "[ 2/12] started  train ddpm (1a2b3c4d)",
        "[ 3/12] done     train ddpm (1a2b3c4d) in 12 s",
        "[ 3/12] started  score fd (5e6f7a8b)",
        "[ 4/12] FAILED   score fd (5e6f7a8b): diverged at step 3",
    ]


def test_stages_that_another_run_finished_are_counted_one_by_one(now):
    out = io.StringIO()
    progress = Progress(4, out, now=now)
    # at the beginning there were none, which is not worth a line
    progress.cached(0)
    progress.started("k", "train")
    progress.cached(1)
    progress.cached(1)
    progress.finished("k", "train", 1.0)
    progress.close()
    assert out.getvalue().splitlines() == [
        "[0/4] started  train (k)",
        "[1/4] cached   1 stage",
        "[2/4] cached   1 stage",
        "[3/4] done     train (k) in 1.0 s",
    ]


@pytest.mark.parametrize(
    ("cached", "done", "left"), [(1, 0, "1 cached, 1 done"), (0, 1, "2 cached, 0 done"), (2, 1, "0 cached, 0 done")]
)
def test_what_is_made_again_counts_once(now, screen, cached, done, left):
    """What was found damaged was counted too soon."""
    out = io.StringIO()
    for stream in (out, screen):
        progress = Progress(4, stream, now=now)
        progress.cached(2)
        progress.finished("a", "train a", 1.0)
        before = len(out.getvalue())
        progress.lost(cached=cached, done=done)
        # it is no event: the retry has a line of its own
        assert len(out.getvalue()) == before
        if stream is screen:
            assert f"[{3 - cached - done}/4] {left}, 0 running" in screen.getvalue().rpartition("done     train a")[2]
        for number in range(cached + done):
            progress.finished("b", f"again {number}", 1.0)
        progress.close()
        assert f"[3/4] done     again {cached + done - 1} (b) in 1.0 s" in stream.getvalue()
        assert "[4/4]" not in stream.getvalue()


def test_quiet_writes_nothing(now, screen):
    for stream in (io.StringIO(), screen):
        progress = Progress(1, stream, QUIET, now)
        progress.cached(1)
        progress.started("k", "a")
        progress.failed("k", "a", "b")
        progress.note("c")
        progress.close()
        assert stream.getvalue() == ""


def test_verbose_repeats_where_a_stage_is(now):
    out = io.StringIO()
    progress = Progress(1, out, VERBOSE, now)
    progress.started("k", "train ddpm")
    for second in range(0, 100, 5):
        now.seconds = float(second)
        progress.update("k", {"step": 2 * second, "steps": 1000, "unit": "step", "loss": 0.25, "phase": "fit"})
    running = [line for line in out.getvalue().splitlines() if "running" in line]
    assert len(running) == 3
    assert running[0] == "[0/1] running  train ddpm (k) fit  60/1,000  2 steps/s  ETA 7:50  loss 0.25"


def test_rate_and_time_left_forget_the_steps_that_a_resumed_attempt_found_done(now, screen):
    progress = Progress(1, screen, now=now)
    progress.started("k", "train ddpm")
    progress.update("k", {"step": 9000, "steps": 10000, "unit": "step"})
    now.seconds = 10.0
    progress.update("k", {"step": 9100, "steps": 10000, "unit": "step"})
    last = screen.getvalue().rpartition("train ddpm")[2]
    assert "9,100/10,000" in last and "10 steps/s" in last and "ETA 1:30" in last


def test_a_new_phase_or_a_step_back_begins_a_new_rate(now, screen):
    progress = Progress(1, screen, now=now)
    progress.started("k", "train")
    for second, step, phase in ((0, 0, "fit"), (1, 500, "fit"), (2, 3, "validate"), (4, 7, "validate")):
        now.seconds = float(second)
        progress.update("k", {"step": step, "steps": 500, "unit": "image", "phase": phase})
    assert "validate  7/500  2 images/s  ETA 4:06" in screen.getvalue().rpartition("train")[2]


def test_the_rate_follows_a_change_of_pace(now, screen):
    progress = Progress(1, screen, now=now)
    progress.started("k", "train")
    step = 0
    for second in range(200):
        now.seconds = float(second)
        step += 100 if second < 100 else 1
        progress.update("k", {"step": step, "steps": 20000})
    assert " 1 steps/s" in screen.getvalue().rpartition("train")[2]


def test_a_terminal_shows_one_line_per_running_stage_and_keeps_the_finished_ones(now, screen):
    progress = Progress(3, screen, now=now)
    progress.started("a", "train ddpm")
    progress.started("b", "train timm")
    frame = screen.getvalue().rpartition("train ddpm")[2]
    assert "train timm" in frame and "[0/3] 0 cached, 0 done, 2 running" in frame
    progress.finished("a", "train ddpm", 3.21)
    assert "[1/3] done     train ddpm (a) in 3.2 s" in screen.getvalue()
    progress.failed("b", "train timm", "killed by SIGSEGV")
    progress.close()
    end = screen.getvalue()
    assert "FAILED   train timm (b): killed by SIGSEGV" in end
    assert "1 done, 0 running" in end and "1 failed" in end
    # the cursor is given back
    assert end.rindex("\x1b[?25h") > end.rindex("\x1b[?25l")


@pytest.mark.parametrize("tty", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "\x1b]0;owned\x07",
        "\x9b31mred",
        "a\nb\rc",
        "[bold red]x[/]",
        "[/]",
        ":smile:",
        "\u202egnp.exe",
        "\udc80",
        "\u2028",
        "\x00",
    ],
)
def test_names_cannot_steer_the_terminal(now, screen, tty, name):
    stream = screen if tty else io.StringIO()
    progress = Progress(1, stream, now=now)
    before = set(stream.getvalue())
    progress.started("k", name)
    progress.update("k", {"step": 1, "steps": 2, "phase": name, "unit": name, "loss": name})
    progress.failed("k", name, name)
    progress.note(name)
    progress.close()
    said = stream.getvalue()
    for mark in ("\x07", "\x9b", "\u202e", "\udc80", "\u2028", "\x00", "\x1b]"):
        assert mark not in set(said) - before
    assert "\x1b]" not in said
    for words in ("[bold red]x[/]", ":smile:"):
        if name == words:
            assert words in said


def test_plain_keeps_words_and_cuts_what_is_endless():
    assert plain("Fréchet  distance\t[lite0]") == "Fréchet distance [lite0]"
    assert plain("皮膚鏡") == "皮膚鏡"
    assert len(plain("x" * 100_000)) == 120


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"step": "three", "steps": None, "loss": [1]},
        {"step": float("nan"), "steps": float("inf"), "loss": float("nan")},
        {"step": 10**400, "steps": -5, "loss": 10**400, "phase": {"a": 1}, "unit": 3},
        {"step": True},
    ],
)
def test_a_status_that_makes_no_sense_does_no_harm(now, screen, status):
    progress = Progress(1, screen, now=now)
    progress.started("k", "train")
    for second in range(3):
        now.seconds = float(second)
        progress.update("k", status)
    progress.update("unknown", status)
    progress.close()
    if isinstance(status.get("loss"), float):
        assert "loss nan" in screen.getvalue()


def test_a_pipe_that_nobody_reads_does_not_end_the_run(now):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        progress = Progress(1, stream, now=now)
        progress.started("k", "train")
        progress.finished("k", "train", 1.0)
        progress.close()
        with pytest.raises(BrokenPipeError):
            stream.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), write)


def test_letters_that_the_stream_cannot_write_are_spelled_out(now):
    raw = io.BytesIO()
    progress = Progress(1, io.TextIOWrapper(raw, encoding="ascii", write_through=True), now=now)
    progress.started("k", "Fréchet")
    assert b"Fr\\xe9chet" in raw.getvalue()


def test_rich_is_imported_for_a_terminal_alone():
    program = """
import sys
from dermae_bench.execute.progress import Progress
progress = Progress(1)
progress.started("k", "train")
progress.close()
print("rich" in sys.modules)
"""
    plain_run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert plain_run.stdout == "False\n"
    ours, theirs = pty.openpty()
    live_run = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        check=True,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    os.close(ours)
    assert live_run.stdout == "True\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0:00"), (59.9, "0:59"), (3661, "1:01:01"), (90_061, "1 day 1:01:01"), (float("inf"), "?")],
)
def test_clock(seconds, words):
    assert clock(seconds) == words


@pytest.mark.parametrize(("seconds", "words"), [(0.04, "0.0 s"), (3.21, "3.2 s"), (47.2, "47 s"), (125, "2:05")])
def test_duration(seconds, words):
    assert duration(seconds) == words
