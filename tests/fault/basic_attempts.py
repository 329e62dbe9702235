"""A run of a plan whose stages compute nothing, as a process of its own: `python basic_attempts.py STORE SECONDS`."""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermae_bench.execute import executor, waiting
from dermae_bench.execute.executor import Executor, Options
from dermae_bench.execute.local import LocalBackend
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import Manifest, describe_files
from dermae_bench.suite.stage import Stage, key_of


def stage(name: str, *inputs: Stage) -> Stage:
    parts = {"name": name, "inputs": {source.name: source.key for source in inputs}}
    sources = {source.name: source for source in inputs}
    return Stage(kind=name.partition("/")[0], name=name, work={}, parts=parts, inputs=sources, key=key_of(parts))


def plan() -> list[Stage]:
    """One stage that all others read, six side by side, and one that reads them."""
    first = stage("prepare/data")
    fitted = [stage(f"train/{i}", first) for i in range(6)]
    return [first, *fitted, stage("score/all", *fitted)]


def attempt(folder: Path) -> None:
    """Take some time, note that it was done, commit."""
    spec = json.loads((folder / "spec.json").read_text())
    root = Path(spec["store"])
    (folder / "pid").write_text(str(os.getpid()))
    with (root.parent / "began.log").open("a") as log:
        log.write(spec["name"] + "\n")
    time.sleep(float(os.environ["STAGE_SECONDS"]))
    out = folder / "out"
    out.mkdir(exist_ok=True)
    (out / "result.txt").write_text(spec["name"])
    about = {name: spec[name] for name in ("kind", "key", "name", "parts")}
    Store(root).commit(out, Manifest(**about, files=describe_files(out)))
    (folder / "result.json").write_text('{"ok": true}')


class Silent:
    """A display that shows nothing and keeps the notes, also in a file."""

    def __init__(self, file: Path) -> None:
        self.notes: list[str] = []
        self.file = file

    def started(self, key8: str, name: str) -> None: ...
    def update(self, key8: str, status: Mapping[str, Any]) -> None: ...
    def finished(self, key8: str, name: str, seconds: float) -> None: ...
    def cached(self, count: int) -> None: ...
    def failed(self, key8: str, name: str, reason: str) -> None: ...
    def note(self, text: str) -> None:
        self.notes.append(text)
        with self.file.open("a") as notes:
            notes.write(text + "\n")


def main(root: str, seconds: str) -> None:
    """Walk the plan and print what became of it."""
    os.environ["STAGE_SECONDS"] = seconds
    executor.CALL = "basic_attempts:attempt"
    waiting.WAIT_SECONDS = float(os.environ.get("WAIT_SECONDS", waiting.WAIT_SECONDS))
    shown = Silent(Path(root).with_name("notes.log"))
    backend = functools.partial(LocalBackend, preload=("basic_attempts",))
    outcome = Executor(Store(Path(root)), backend, shown, Options(jobs=2)).run(plan())
    words = {"cached": outcome.cached, "done": len(outcome.done), "failed": len(outcome.failed)}
    print(json.dumps({**words, "blocked": len(outcome.blocked), "signal": outcome.interrupted, "notes": shown.notes}))


if __name__ == "__main__":
    main(*sys.argv[1:])
