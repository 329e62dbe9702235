"""Running the command line in this process, on one warm server."""

from __future__ import annotations

from collections.abc import Callable
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
    "dataset": {"plugin": "phantom", "params": {"image_size": 16, "images": 600}},
    "tasks": ["diagnosis", "malignancy"],
    "budgets": {"short": {"steps": 12, "batch_size": 16, "ema": 0.9}, "fine": {"steps": 30, "batch_size": 32}},
    "extractors": {"lite0": {"plugin": "tf-efficientnet-lite0", "params": {"stage": "blocks0", "input_size": 32}}},
    "generators": {
        "pixels": {"plugin": "pixels", "budget": "short"},
        "by-class": {"plugin": "pixels-by-class", "budget": "short", "task": "diagnosis"},
    },
    "image_sets": {"balanced": ["train", {"samples": "by-class", "per_class": 6}]},
    "generator_rows": [{"samples": ["pixels", "by-class"], "count": 40}],
    "classifiers": {"thumbs": {"plugin": "thumbnails", "budget": "fine"}},
    "rows": [{"classifiers": "thumbs", "train": "train"}, {"classifiers": "thumbs", "train": "balanced"}],
    "sample_metrics": [
        {"metric": "fd", "extractor": "lite0"},
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


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], warm_backend: Any
) -> Callable[..., Ran]:
    """Run `dermae-bench WORDS...` in `tmp_path`, with the plugins of these tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERMAE_BENCH_PLUGINS_DIR", str(PLUGINS))

    class Borrowed:
        """The session's backend; closing it is not for a run."""

        def __getattr__(self, name: str) -> Any:
            return getattr(warm_backend, name)

        def close(self) -> None:
            for attempt in list(warm_backend.running):
                warm_backend.kill(attempt)

    monkeypatch.setattr("dermae_bench.execute.local.LocalBackend", Borrowed)

    def call(*words: object) -> Ran:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        captured = capfd.readouterr()
        return Ran(int(left.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def suite(tmp_path: Path) -> Callable[..., Path]:
    """Write the tiny suite, changed as asked, and give its path."""

    def write(name: str = "tiny.yaml", **changes: Any) -> Path:
        path = tmp_path / name
        path.write_text(yaml.safe_dump({**TINY, **changes}, sort_keys=False))
        return path

    return write
