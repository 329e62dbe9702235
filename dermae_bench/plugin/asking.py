"""Questions about plugins, answered by a child process: this one imports none of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dermae_bench.bounded.files import read_bytes
from dermae_bench.errors import DataError
from dermae_bench.plugin.strays import kill_children
from dermae_bench.plugin.warden import FAREWELL_SECONDS
from dermae_bench.secrets import scrubbed

CARD_SECONDS = 300.0
"""How long a plugin's card may take: its module is imported, and libraries on a cold network disk are slow."""
TASKS_SECONDS = 600.0
"""How long a dataset's tasks may take: its tables are read."""
NEWS_SECONDS = 5.0
"""Time after which it is told what is waited for."""
LARGEST = 64 << 20
"""Bytes of the answers of one child."""
_LOOK_SECONDS = 1.0


def ask(questions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Answers of a fresh child process that may import plugins.

    Whatever the plugins begin ends with it. One that takes longer than `NEWS_SECONDS` is named on stderr.

    Returns:
        One answer for each question, up to the first that ended the child or took too long; that one's answer is
        ``{"error": reason}``. At least one.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, path = Path(folder, "ask.json"), Path(folder, "answers.jsonl")
        asked.write_text(json.dumps(list(questions)))
        with _warden(asked, path) as process:
            in_time = _wait(process, path, questions)
        answers = _answers(path)[: len(questions)]
    if len(answers) < len(questions):
        question = questions[len(answers)]
        answers.append({"error": _ended(question) if in_time else _too_long(question)})
    return answers


@contextlib.contextmanager
def _warden(asked: Path, answers: Path) -> Iterator[subprocess.Popen[bytes]]:
    # -P: a file in the user's folder that is called like a library must not be imported in its place
    command = [sys.executable, "-P", "-W", "ignore", "-m", "dermae_bench.plugin.warden"]
    process = subprocess.Popen(
        [*command, str(asked), str(answers), str(os.getpid())],
        # strangers' code: what it raises stands on cards and in messages
        env=scrubbed(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # a group, so that Ctrl-C is for this process; no session, so that the kernel wakes it, should it be stopped
        # when this process dies
        process_group=0,
    )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the warden, which ends all others; where it does not, do it here."""
    if process.poll() is not None:
        return
    process.terminate()
    # a plugin may have stopped it
    process.send_signal(signal.SIGCONT)
    try:
        process.wait(FAREWELL_SECONDS + 1)
    except subprocess.TimeoutExpired:
        kill_children(process.pid, FAREWELL_SECONDS)
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], path: Path, questions: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the child came to an end before one of its questions took too long."""
    answered, size, told = 0, 0, False
    since = time.monotonic()
    while True:
        seconds, limit = time.monotonic() - since, _limit(questions[answered])
        if seconds >= limit:
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(min(_LOOK_SECONDS, limit - seconds))
            return True
        grown = _size(path)
        if grown != size:
            size = grown
            # all may be answered while the child still ends what was begun
            count = min(len(_answers(path)), len(questions) - 1)
            if count > answered:
                answered, since, told = count, time.monotonic(), False
        if not told and time.monotonic() - since >= NEWS_SECONDS:
            _tell(questions[answered])
            told = True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _limit(question: Mapping[str, Any]) -> float:
    return TASKS_SECONDS if "tasks" in question else CARD_SECONDS


def _place(question: Mapping[str, Any]) -> tuple[str, str]:
    """Name of the plugin that is asked about, and its file, or its module where it is installed."""
    reference = next(question[name] for name in ("card", "tasks", "rules") if name in question)
    return reference["name"], reference["file"] or reference["module"]


def _tell(question: Mapping[str, Any]) -> None:
    name, place = _place(question)
    if "card" in question:
        text = f"making the card of {name} ({place}): its module is still being imported"
    elif "tasks" in question:
        text = f"reading the tasks of {name} ({place}): still at it"
    else:
        text = f"asking {name} ({place}) about its parameters: its module is still being imported"
    text += f"; it is given up after {_limit(question):.0f} s, Ctrl-C ends it now"
    # names of strangers must not steer a terminal
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    if sys.stderr is not None:
        # nobody to tell is no reason to stop
        with contextlib.suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)  # noqa: T201 (there is no printing below the commands)


def _ended(question: Mapping[str, Any]) -> str:
    doing = {"card": "importing it", "tasks": "reading its tasks", "rules": "asking it about its parameters"}
    return f"{next(words for name, words in doing.items() if name in question)} ended the process"


def _too_long(question: Mapping[str, Any]) -> str:
    _, place = _place(question)
    if "tasks" not in question:
        return (
            f"importing {place} took too long, more than {_limit(question):.0f} s: do slow work in its methods, not "
            "while its module is imported; or try again, if a cold disk was slow"
        )
    return (
        f"reading its tasks in {place} took too long, more than {_limit(question):.0f} s: let `tasks` and `examples` "
        "read tables alone; or try again, if a cold disk was slow"
    )


def _answers(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a child in which strangers' code ran, up to the first that is no answer."""
    try:
        lines = read_bytes(path, LARGEST).split(b"\n")
    except DataError:
        return []
    found: list[dict[str, Any]] = []
    # behind the last newline there is nothing, or half a line
    for line in lines[:-1]:
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(answer, dict):
            break
        found.append(answer)
    return found
