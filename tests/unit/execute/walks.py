"""A plan of seven stages, a backend that runs them in this process, and what a walk over them shows."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dermae_bench.execute import executor as module
from dermae_bench.execute.executor import Executor, Options, Outcome, select
from dermae_bench.execute.local import Ended
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import Damaged, Manifest, describe_files
from dermae_bench.suite.resources import Limits
from dermae_bench.suite.stage import Stage, key_of

Act = Callable[[Path, Mapping[str, Any]], int | None]


def stage(name: str, *inputs: Stage, disk_bytes: int = 0) -> Stage:
    parts = {"name": name, "inputs": {i.name: i.key for i in inputs}}
    kind = name.partition("/")[0]
    return Stage(
        kind=kind,
        name=name,
        work={},
        parts=parts,
        inputs={i.name: i for i in inputs},
        key=key_of(parts),
        disk_bytes=disk_bytes,
    )


DATA = stage("prepare/data")
GAN = stage("train/gan", DATA)
DRAWN = stage("sample/gan", GAN, DATA)
PLAIN = stage("train/net", DATA)
MIXED = stage("train/net-mixed", DATA, DRAWN)
SCORED = stage("score/net", PLAIN)
SCORED_MIXED = stage("score/net-mixed", MIXED)
PLAN = [DATA, GAN, DRAWN, PLAIN, MIXED, SCORED, SCORED_MIXED]


def finish(folder: Path, spec: Mapping[str, Any]) -> int | None:
    """What an attempt does when all goes well: look at its inputs, commit."""
    store = Store(Path(spec["store"]))
    try:
        for about in spec["inputs"].values():
            store.checked(about["kind"], about["key"])
    except Damaged as error:
        return tell(folder, category="crashed", reason=str(error), damaged=True)
    out = folder / "out"
    out.mkdir(exist_ok=True)
    (out / "result.txt").write_text(spec["name"])
    files = describe_files(out)
    store.commit(out, Manifest(kind=spec["kind"], key=spec["key"], name=spec["name"], parts=spec["parts"], files=files))
    return tell(folder, ok=True)


def tell(folder: Path, **result: Any) -> int:
    (folder / "result.json").write_text(json.dumps({"ok": False, **result}))
    return 0


def fail(reason: str, category: str = "crashed") -> Act:
    return lambda folder, spec: tell(
        folder, category=category, reason=reason, phase="fitting", traceback="Traceback: x"
    )


class FakeBackend:
    """Ends one attempt a call, in the order in which they began, as the acts say."""

    def __init__(self, acts: Mapping[str, Act] | None = None) -> None:
        self.acts = dict(acts or {})
        self.running: list[tuple[str, Path]] = []
        self.began: list[str] = []
        self.most = 0
        self.terminated: list[str] = []
        self.closed = 0
        self.hurried = False
        self.killed: list[str] = []
        self.limits: list[Limits] = []
        self.before_wait: Callable[[], None] = lambda: None

    def warm_up(self) -> None:
        pass

    def submit(self, attempt: str, folder: Path, call: str, limits: Limits) -> None:
        assert call == "dermae_bench.execute.attempt:attempt"
        spec = json.loads((folder / "spec.json").read_text())
        self.began.append(spec["name"])
        self.limits.append(limits)
        self.running.append((attempt, folder))
        self.most = max(self.most, len(self.running))

    def wait(self, timeout: float | None) -> Sequence[Ended]:
        self.before_wait()
        if not self.running:
            return []
        attempt, folder = self.running.pop(0)
        if attempt in self.terminated:
            return [Ended(attempt, -signal.SIGTERM, 1, 0.1, "exit")]
        spec = json.loads((folder / "spec.json").read_text())
        code = self.acts.get(spec["name"], finish)(folder, spec)
        return [Ended(attempt, code, 7, 0.1, "exit")]

    def terminate(self, attempt: str) -> None:
        self.terminated.append(attempt)

    def kill(self, attempt: str, reason: str = "killed") -> None:
        self.killed.append(attempt)

    def close(self, *, hurry: bool = False) -> None:
        self.closed += 1
        self.hurried = hurry


class Shown:
    """What a display was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def started(self, key8: str, name: str) -> None:
        self.lines.append(f"started {name}")

    def update(self, key8: str, status: Mapping[str, Any]) -> None:
        self.lines.append(f"update {status}")

    def finished(self, key8: str, name: str, seconds: float) -> None:
        self.lines.append(f"finished {name}")

    def cached(self, count: int) -> None:
        self.lines.append(f"cached {count}")

    def lost(self, *, cached: int, done: int) -> None:
        self.lines.append(f"lost {cached} cached, {done} done")

    def failed(self, key8: str, name: str, reason: str) -> None:
        self.lines.append(f"failed {name}: {reason}")

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK", 0.01)


def walk(
    store: Store, backend: FakeBackend | None = None, plan: Sequence[Stage] = PLAN, **options: Any
) -> tuple[Outcome, FakeBackend, list[str]]:
    backend = backend or FakeBackend()
    shown = Shown()
    chosen = Options(**options)
    outcome = Executor(store, lambda: backend, shown, chosen).run(select(plan, chosen))
    return outcome, backend, shown.lines


def names(stages: Sequence[Stage]) -> list[str]:
    return [found.name for found in stages]


# pytest finds fixtures by the names in a file of tests, so each such file unpacks these under the same names
FIXTURES = (store, quick)
