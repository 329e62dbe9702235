"""Every figure is a ratio of two things that take turns in one run, so that it holds on a busy machine too."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

FIGURES = pytest.StashKey[dict[str, dict[str, Any]]]()
Call = Callable[[], Any]
Race = Callable[..., dict[str, float]]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Speeds on one core: what an attempt gets by default."""
    torch.set_num_threads(1)


@pytest.fixture
def race(benchmark: Any, request: pytest.FixtureRequest) -> Race:
    """`race(ours, peer)`: the two in turns; gives and records medians and how many times faster ours is.

    A call may return the seconds of its pieces; else it is timed whole. `cpu` is the processor time of this process
    and of those it waited for, which a busy machine disturbs less.
    """

    def run(ours: Call, peer: Call, *, rounds: int, warm_ups: int = 1, goal: str) -> dict[str, float]:
        walls: dict[str, list[float]] = {"ours": [], "peer": []}
        cpus: dict[str, list[float]] = {"ours": [], "peer": []}

        def timed(who: str, call: Call) -> None:
            cpu, wall = _processor_seconds(), time.perf_counter()
            pieces = call()
            walls[who] += pieces if isinstance(pieces, list) else [time.perf_counter() - wall]
            cpus[who].append(_processor_seconds() - cpu)

        for _ in range(warm_ups):
            peer()
            ours()
        benchmark.pedantic(
            lambda: timed("ours", ours), setup=lambda: timed("peer", peer), rounds=rounds, iterations=1, warmup_rounds=0
        )
        wall = {who: statistics.median(seconds) for who, seconds in walls.items()}
        cpu = {who: statistics.median(seconds) for who, seconds in cpus.items()}
        figures = {
            "ratio": wall["peer"] / wall["ours"],
            "ratio_cpu": cpu["peer"] / cpu["ours"],
            "ours_ms": wall["ours"] * 1e3,
            "peer_ms": wall["peer"] * 1e3,
            "ours_cpu_ms": cpu["ours"] * 1e3,
        }
        note(benchmark, request, {**figures, "goal": goal})
        return figures

    return run


def note(benchmark: Any, request: pytest.FixtureRequest, figures: dict[str, Any]) -> None:
    """Keep figures in the benchmark's file and for the summary in the terminal."""
    benchmark.extra_info.update(figures)
    request.config.stash.setdefault(FIGURES, {})[request.node.name] = dict(benchmark.extra_info)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    found = config.stash.get(FIGURES, {})
    if found:
        terminalreporter.section("figures (ratio: how many times faster than the peer of the same run)")
    for name, figures in found.items():
        words = [f"{key} {v:.3g}" if isinstance(v, float) else f"{key} {v}" for key, v in figures.items()]
        terminalreporter.write_line(f"{name}: {', '.join(words)}")


def _processor_seconds() -> float:
    """Processor time of this process and of its children that ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Run `python WORDS...` to its end and give its output, with compiled modules kept as on any user's machine."""
    compiled = tmp_path_factory.mktemp("compiled")
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(compiled)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run(words: Sequence[object], cwd: Path | None = None) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout + done.stderr

    return run
