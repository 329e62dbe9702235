"""Running the command line in this process, on one warm server."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from dermae_bench.cli import main

PLUGINS = Path(__file__).parent / "plugins"

TINY: dict[str, Any] = {
    "version": 1,
    "suite": "tiny",
    "dataset": {"plugin": "phantom", "params": {"image_size": 16, "images": 300}},
    "tasks": ["diagnosis", "malignancy"],
    "budgets": {"short": {"steps": 12, "batch_size": 16, "ema": 0.9}, "fine": {"steps": 30, "batch_size": 32}},
    "extractors": {"colours": {"plugin": "colours"}},
    "generators": {
        "pixels": {"plugin": "pixels", "budget": "short"},
        "by-class": {"plugin": "pixels-by-class", "budget": "short", "task": "diagnosis"},
    },
    "image_sets": {"balanced": ["train", {"samples": "by-class", "per_class": 6}]},
    "generator_rows": [{"samples": ["pixels", "by-class"], "count": 40}],
    "classifiers": {"thumbs": {"plugin": "thumbnails", "budget": "fine"}},
    "rows": [{"classifiers": "thumbs", "train": "train"}, {"classifiers": "thumbs", "train": "balanced"}],
    "sample_metrics": [
        {"metric": "fd", "extractor": "colours"},
        {"metric": "class-agreement", "judge": {"classifier": "thumbs", "train": "train"}},
    ],
    "prediction_metrics": ["accuracy", "f1-weighted"],
}


@dataclass
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str


Bench = Callable[..., Ran]
Suite = Callable[..., Path]


def call(*words: object) -> int:
    """`dermae-bench WORDS...` in this process; returns the exit code."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0)


def written(path: Path, changes: Mapping[str, Any]) -> Path:
    """The tiny suite, changed as asked, at `path`."""
    path.write_text(yaml.safe_dump({**TINY, **changes}, sort_keys=False))
    return path


@contextlib.contextmanager
def lent(backend: Any, folder: Path) -> Iterator[None]:
    """Inside, commands start in `folder`, know the plugins of these tests, and run their stages on `backend`."""

    class Borrowed:
        """The session's backend; closing it is not for a run. One with secrets of its own is really made."""

        def __init__(self, *, pass_env: Collection[str] = ()) -> None:
            self._own = type(backend)(pass_env=pass_env) if pass_env else None

        def __getattr__(self, name: str) -> Any:
            return getattr(self._own or backend, name)

        def close(self, *, hurry: bool = False) -> None:
            if self._own is not None:
                self._own.close(hurry=hurry)
                return
            for attempt in list(backend.running):
                backend.kill(attempt)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DERMAE_BENCH_PLUGINS_DIR", str(PLUGINS))
        # boards are made for a width, and made again for another: here, in what is shared, and in children
        patch.setenv("COLUMNS", "160")
        patch.setattr("dermae_bench.execute.local.LocalBackend", Borrowed)
        yield


def made_once(folder: Path, backend: Any, suite: Mapping[str, Any]) -> Path:
    """A folder with `tiny.yaml`, run to its end: by the first worker that asks, while the others wait."""
    folder.mkdir(exist_ok=True)
    told = folder / "told.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            path = written(folder / "tiny.yaml", suite)
            out, err = io.StringIO(), io.StringIO()
            with lent(backend, folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = call("run", path.name)
            assert code == 0, err.getvalue()
            told.write_text(json.dumps([code, out.getvalue(), err.getvalue()]))
    return folder


def copied(made: Path, to: Path) -> Ran:
    """Copy what `made_once` made, to be changed there; returns what the run told."""
    shutil.copytree(made, to, dirs_exist_ok=True)
    return Ran(*json.loads((made / "told.json").read_text()))


@pytest.fixture(scope="session")
def tiny(shared: Path, warm_backend: Any) -> Path:
    """A folder with the tiny suite and its finished results; only for reading."""
    return made_once(shared / "tiny", warm_backend, {})


@pytest.fixture
def finished(tiny: Path, tmp_path: Path) -> Ran:
    """The finished tiny suite in `tmp_path`, as if it had been run there."""
    return copied(tiny, tmp_path)


@pytest.fixture
def prepared(tiny: Path, tmp_path: Path) -> Path:
    """A store in `tmp_path` that holds the prepared data of the tiny suite alone."""
    kind = Path("results", "store", "prepare")
    shutil.copytree(tiny / kind, tmp_path / kind)
    return tmp_path / kind


@pytest.fixture
def bench(tmp_path: Path, capfd: pytest.CaptureFixture[str], warm_backend: Any) -> Iterator[Bench]:
    """Run `dermae-bench WORDS...` in `tmp_path`, with the plugins of these tests."""

    def run(*words: object) -> Ran:
        capfd.readouterr()
        code = call(*words)
        return Ran(code, *capfd.readouterr())

    with lent(warm_backend, tmp_path):
        yield run


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Write the tiny suite, changed as asked, and give its path."""

    def write(name: str = "tiny.yaml", **changes: Any) -> Path:
        return written(tmp_path / name, changes)

    return write
