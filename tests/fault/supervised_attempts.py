"""Stages that compute nothing and behave as their names say (`train/hangs-1`): run by the real supervisor.

As a process of its own: `python supervised_attempts.py STORE JOBS NAME ...`, which leaves as a run does.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dermae_bench.execute import executor
from dermae_bench.execute.executor import Executor, Options, Outcome
from dermae_bench.execute.local import LocalBackend
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import Manifest, describe_files
from dermae_bench.suite.stage import Stage, key_of

CALL = "supervised_attempts:attempt"
STEP_SECONDS = 0.02


def stage(name: str) -> Stage:
    parts = {"name": name}
    return Stage(kind="train", name=f"train/{name}", work={}, parts=parts, inputs={}, key=key_of(parts))


def attempt(folder: Path) -> None:
    """Note that it began, behave, commit."""
    spec = json.loads((folder / "spec.json").read_text())
    root = Path(spec["store"])
    behave = BEHAVIOURS[spec["name"].removeprefix("train/").partition("-")[0]]
    (folder / "pid").write_text(str(os.getpid()))
    with (root.parent / "began.log").open("a") as log:
        log.write(f"{spec['name']}\n")
    behave(folder)
    out = folder / "out"
    out.mkdir(exist_ok=True)
    (out / "result.txt").write_text(spec["name"])
    about = {name: spec[name] for name in ("kind", "key", "name", "parts")}
    Store(root).commit(out, Manifest(**about, files=describe_files(out)))
    (folder / "result.json").write_text('{"ok": true}')


def nothing(folder: Path) -> None:
    pass


def short(folder: Path) -> None:
    time.sleep(0.15)


def tell(folder: Path, step: int) -> None:
    """As the harness does."""
    about = {"phase": "fitting", "step": step, "steps": 400, "unit": "steps"}
    (folder / "status.new").write_text(json.dumps(about))
    (folder / "status.new").rename(folder / "status.json")


def slow(folder: Path) -> None:
    """Alive, and far longer than silence is allowed."""
    for step in range(8):
        tell(folder, step)
        time.sleep(0.15)


def hangs(folder: Path) -> None:
    tell(folder, 7)
    # PyDLL does not release the global lock: no handler, no thread runs
    # a pipe that nobody writes into: unlike sleep(3), read(2) goes on after a signal
    ctypes.PyDLL(None).read(os.pipe()[0], ctypes.create_string_buffer(1), 1)


def steps(folder: Path) -> None:
    """400 steps with a checkpoint on request; goes on from it."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    kept = folder / "checkpoint"
    begin = int(kept.read_text()) if kept.exists() else 0
    with (folder.parents[2] / "steps.log").open("a") as log:
        for step in range(begin, 400):
            if asked:
                kept.write_text(str(step))
                (folder / "result.json").write_text('{"ok": false, "stopped": true}')
                log.close()
                os._exit(0)
            print(step, file=log, flush=True)
            tell(folder, step)
            time.sleep(STEP_SECONDS)


def second(folder: Path) -> None:
    """Only its second attempt comes to an end."""
    if (folder / "began").exists():
        return
    (folder / "began").touch()
    time.sleep(60)


def stubborn(folder: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)


def stops(folder: Path) -> None:
    """Stops the server, with a daemon beside it, and stays."""
    begin_daemon(folder, lambda: time.sleep(60))
    os.kill(os.getppid(), signal.SIGSTOP)
    (folder / "stopped").write_text("yes")
    time.sleep(60)


def halts(folder: Path) -> None:
    """Stops the server and comes to an end, which nobody then sees."""
    os.kill(os.getppid(), signal.SIGSTOP)


def fetters(folder: Path) -> None:
    """A daemon of no known group stops the server again and again."""
    server = os.getppid()

    def stop() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            os.kill(server, signal.SIGSTOP)

    begin_daemon(folder, stop)
    time.sleep(60)


def hoards(folder: Path) -> None:
    """A daemon of no known group takes 200 MiB."""

    def take() -> None:
        block = bytearray(b"x") * (200 << 20)
        time.sleep(60)
        assert len(block)

    begin_daemon(folder, take)
    time.sleep(5)


def begin_daemon(folder: Path, act: Callable[[], None]) -> None:
    """Fork twice with a session in between, and note who was born."""
    middle = os.fork()
    if middle == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            (folder / "daemon.new").write_text(str(os.getpid()))
            (folder / "daemon.new").rename(folder / "daemon")
            act()
        os._exit(0)
    os.waitpid(middle, 0)
    while not (folder / "daemon").exists():
        time.sleep(0.002)


def grows(folder: Path) -> None:
    """Takes 200 MiB, and keeps them for a while."""
    block = bytearray(b"x") * (200 << 20)
    time.sleep(5)
    assert len(block)


def once(folder: Path) -> None:
    """Runs out of memory when another one has come; the second time it comes to an end if it is alone."""
    again = (folder / "here").exists()
    (folder / ("again" if again else "here")).touch()
    end = time.monotonic() + (0.1 if again else 20)
    while time.monotonic() < end and len(list(folder.parent.glob("*/again" if again else "*/here"))) < 2:
        time.sleep(0.005)
    if time.monotonic() < end:
        words = {"ok": False, "category": "oom", "reason": "MemoryError: 7 GiB", "phase": "fitting"}
        (folder / "result.json").write_text(json.dumps(words))
        os._exit(0)


def prints(folder: Path) -> None:
    """1 GB as fast as it can."""
    block = b"x" * 999_999 + b"\n"
    for _ in range(1000):
        os.write(1, block)


def meddles(folder: Path) -> None:
    """Cuts, removes and replaces its logs while it prints."""
    for number in range(300):
        os.write(1, b"y" * 9_999 + b"\n")
        if number % 30 == 0:
            (folder / "stdout.log").write_text("")
        if number % 70 == 0:
            (folder / "stdout.log").unlink()
        if number == 200:
            (folder / "stderr.log").unlink()
            (folder / "stderr.log").mkdir()


BEHAVIOURS: Mapping[str, Any] = {
    function.__name__: function
    for function in (
        nothing, short, slow, hangs, steps, second, stubborn, grows, once, prints, meddles,
        stops, halts, fetters, hoards,
    )
}  # fmt: skip


def folder_of(root: Path, name: str) -> Path:
    """As the executor leaves it to an attempt."""
    found = stage(name)
    store = Store(root / "store")
    folder = store.attempt_folder(found.key)
    folder.mkdir(parents=True, exist_ok=True)
    about = {"kind": found.kind, "key": found.key, "name": found.name, "parts": found.parts, "store": str(store.root)}
    (folder / "spec.json").write_text(json.dumps(about))
    return folder


class Shown:
    """Keeps what a display was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.failures: list[str] = []

    def started(self, key8: str, name: str) -> None: ...
    def update(self, key8: str, status: Mapping[str, Any]) -> None: ...
    def finished(self, key8: str, name: str, seconds: float) -> None: ...
    def cached(self, count: int) -> None: ...
    def failed(self, key8: str, name: str, reason: str) -> None:
        self.failures.append(reason)

    def note(self, text: str) -> None:
        self.notes.append(text)


class Kept:
    """A backend that outlives the runs which borrow it."""

    def __init__(self, backend: LocalBackend) -> None:
        self.backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def close(self, *, hurry: bool = False) -> None:
        for attempt in list(self.backend.running):
            self.backend.kill(attempt)
        while self.backend.running:
            self.backend.wait(0.1)


def walk(root: Path, names: Sequence[str], backend: Any, options: Options) -> tuple[Outcome, Shown]:
    """Run the stages with these names in this process."""
    shown = Shown()
    outcome = Executor(Store(root / "store"), lambda: backend, shown, options).run([stage(name) for name in names])
    return outcome, shown


def main(root: str, jobs: str, *names: str) -> int:
    """Walk the plan, print what became of it, and leave with 128 + the signal that ended it."""
    executor.CALL = CALL
    began = time.monotonic()
    outcome, shown = walk(Path(root), names, LocalBackend(preload=("supervised_attempts",)), Options(jobs=int(jobs)))
    done = {"done": len(outcome.done), "failed": len(outcome.failed), "notes": shown.notes}
    print(json.dumps({**done, "seconds": time.monotonic() - began}))
    return 128 + outcome.interrupted if outcome.interrupted is not None else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
