"""Whole runs of a small suite, begun from the zygote: what the tests kill, refuse and repeat."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
PLUGINS = HERE.parent / "e2e" / "plugins"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

SMALL: dict[str, Any] = {
    "version": 1,
    "suite": "small",
    "dataset": {"plugin": "phantom", "params": {"image_size": 32, "images": 90}},
    "tasks": ["malignancy"],
    "budgets": {"short": {"steps": 6, "batch_size": 8, "checkpoint": 2, "ema": 0.9}},
    "extractors": {"colours": {"plugin": "colours"}},
    "generators": {"pixels": {"plugin": "pixels", "budget": "short"}},
    "generator_rows": [{"samples": "pixels", "count": 12}],
    "classifiers": {"thumbs": {"plugin": "thumbnails", "budget": "short"}},
    "rows": [{"classifiers": "thumbs", "train": "train"}],
    "sample_metrics": [{"metric": "fd", "extractor": "colours"}],
    "prediction_metrics": ["accuracy"],
}
KINDS = ("prepare", "train", "sample", "extract", "predict", "score", "cost")
BOARDS = ("classifiers.csv", "classifiers.json", "classifiers.md", "generators.csv", "generators.json", "generators.md")


@dataclass(frozen=True)
class Unbroken:
    """What a run of the small suite leaves when nothing goes wrong."""

    boards: dict[str, str]
    stages: dict[str, dict[str, str]]
    """Place in the store -> file -> SHA-256."""
    names: list[str]
    """Of its stages, as they were finished one after the other."""
    points: int
    """Fault points that its processes pass."""


class Zygote:
    """The test's end of `zygote.py`."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, HERE / "zygote.py", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={
                    **os.environ,
                    **dict.fromkeys(THREADS, "1"),
                    "JE_ARROW_MALLOC_CONF": "background_thread:false",
                    "DERMAE_BENCH_PLUGINS_DIR": str(PLUGINS),
                },
                start_new_session=True,
            )
        self._heard = b""
        self._pids: dict[str, int] = {}
        self._codes: dict[str, int] = {}
        self._gone = True
        self._count = 0
        assert self._next(300.0)["ready"], "the zygote has threads, or could not import"

    def start(self, folder: Path, *words: object, environment: Mapping[str, str] | None = None) -> str:
        """Begin `dermae-bench WORDS...` in `folder`; what it says is appended to `folder/said.log`."""
        self._count += 1
        name = str(self._count)
        about = {"start": name, "words": [str(word) for word in words], "folder": str(folder)}
        rest = {"environment": dict(environment or {}), "log": str(folder / "said.log")}
        self._gone = False
        self._line.sendall(json.dumps({**about, **rest}).encode() + b"\n")
        while name not in self._pids:
            self._take(30.0)
        return name

    def pid(self, name: str) -> int:
        return self._pids[name]

    def ended(self, name: str, seconds: float) -> bool:
        """Whether it ended, waiting so long for it."""
        end = time.monotonic() + seconds
        while name not in self._codes and time.monotonic() < end:
            self._take(max(0.0, end - time.monotonic()))
        return name in self._codes

    def code(self, name: str, seconds: float = 120.0) -> int:
        """Exit code of a run, which ends meanwhile."""
        if not self.ended(name, seconds):
            os.killpg(self._pids[name], signal.SIGKILL)
            raise AssertionError(f"a run took longer than {seconds} s")
        return self._codes[name]

    def gone(self, seconds: float = 15.0) -> bool:
        """Whether every process of every run has gone, waiting so long for the last."""
        end = time.monotonic() + seconds
        while not self._gone and time.monotonic() < end:
            self._take(max(0.0, end - time.monotonic()))
        return self._gone

    def close(self) -> None:
        self._line.close()
        self._process.wait(20.0)

    def _take(self, seconds: float) -> None:
        said = self._next(seconds)
        if "started" in said:
            self._pids[said["started"]] = said["pid"]
        elif "ended" in said:
            self._codes[said["ended"]] = said["code"]
        elif "gone" in said:
            self._gone = True

    def _next(self, seconds: float) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while b"\n" not in self._heard:
            if not select.select([self._line], [], [], max(0.0, end - time.monotonic()))[0]:
                return {}
            more = self._line.recv(65536)
            assert more, "the zygote died"
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found


def write_suite(folder: Path, **changes: Any) -> Path:
    """The small suite, changed as asked, as `folder/small.yaml`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}, sort_keys=False))
    return path


def boards(folder: Path) -> dict[str, str]:
    """SHA-256 of each board of the results below `folder`."""
    results = folder / "results" / "small"
    return {name: hashlib.sha256((results / name).read_bytes()).hexdigest() for name in BOARDS}


def committed(folder: Path) -> dict[str, dict[str, str]]:
    """Every finished stage of the store below `folder`: its place, and the digest of each of its files."""
    store = folder / "results" / "store"
    found = {}
    for kind in KINDS:
        for path in store.glob(f"{kind}/*/manifest.json"):
            files = json.loads(path.read_bytes())["files"]
            found[f"{kind}/{path.parent.name}"] = {name: str(about["sha256"]) for name, about in files.items()}
    return found


def names_of(folder: Path) -> list[str]:
    """Names of the finished stages of the store below `folder`, the oldest first."""
    store = folder / "results" / "store"
    found = [path for kind in KINDS for path in store.glob(f"{kind}/*/manifest.json")]
    return [json.loads(path.read_bytes())["name"] for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]


def untidy(folder: Path) -> list[str]:
    """What a finished run should not leave: half entries, work in progress, temporary files."""
    store = folder / "results" / "store"
    entries = [entry for kind in KINDS for entry in store.glob(f"{kind}/*")]
    half = [str(entry) for entry in entries if not (entry / "manifest.json").is_file()]
    work = [str(path) for path in store.glob("attempts/*/*") if path.name not in {"lease", "fence", "working"}]
    return half + work + [str(path) for path in store.glob("quarantine/*")]


def processes_below(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for one in found:
        try:
            found += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:
            continue
    return found


def kill_all(pid: int) -> None:
    """SIGKILL to a run's driver, server and attempts, at once."""
    for one in processes_below(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def tracebacks(folder: Path) -> int:
    """Tracebacks in what a run said."""
    return (folder / "said.log").read_text(errors="replace").count("Traceback (most recent call last)")
