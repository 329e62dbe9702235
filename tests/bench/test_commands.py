"""How long a person waits for the command line."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dermae_bench.commands.session import open_session
from tests.bench.conftest import Race, note
from tests.bench.finished import PLUGINS, finish, large_suite
from tests.large_store import fill

pytestmark = pytest.mark.bench

BARE = """
import argparse, pluggy
from importlib.metadata import entry_points
list(entry_points(group="dermae_bench"))
manager = pluggy.PluginManager("dermae_bench")
parser = argparse.ArgumentParser(prog="dermae-bench")
commands = parser.add_subparsers()
for name in "run plan validate list show report plugins doctor".split():
    commands.add_parser(name, help=name)
parser.format_help()
"""
"""What any command line with plugins does: argparse, pluggy and a scan of the entry points."""

WALK = """
import os, sys
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        os.stat(os.path.join(folder, name))
"""
"""What any listing without an index has to do at least: see every entry once."""


def test_help(race: Race, command: Callable[..., str]) -> None:
    race(
        lambda: command(["-m", "dermae_bench", "--help"]),
        lambda: command(["-c", BARE]),
        rounds=11,
        warm_ups=2,
        goal="ratio >= 0.4 (at most 2.5 x the time of a bare scan)",
    )


def test_finished_suite_of_200_rows_again(
    race: Race, command: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = large_suite(tmp_path / "large.yaml", rows=200)
    with monkeypatch.context() as patch:
        # a thousand made-up results need not survive a power cut
        patch.setattr("os.fsync", lambda handle: None)
        session = open_session(suite, preset=None, sets=[], results=tmp_path / "results", plugins_dir=PLUGINS)
        finish(session)
    words = ["-m", "dermae_bench", "run", suite, "--plugins-dir", PLUGINS, "-q"]

    def again() -> None:
        # a source edited meanwhile must not turn this into a run of a thousand stages
        assert f"{len(session.stages)} stages cached, 0 done" in command([*words, "--timeout", 0.1], cwd=tmp_path)

    assert sum(row.kind == "measured" for row in session.rows) == 200
    race(again, lambda: command(["-c", BARE]), rounds=9, warm_ups=2, goal="ours <= 700 ms, the whole process")


def test_planning_1000_stages(benchmark: Any, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    suite = large_suite(tmp_path / "large.yaml", rows=200)

    def plan() -> int:
        found = open_session(suite, preset=None, sets=[], results=tmp_path / "results", plugins_dir=PLUGINS)
        return len(found.stages)

    began = time.process_time()
    stages = benchmark.pedantic(plan, rounds=7, warmup_rounds=1)
    spent = (time.process_time() - began) / 8
    assert stages >= 1000
    note(benchmark, request, {"stages": stages, "cpu_ms_of_one_plan": spent * 1e3})


def test_listing_10000_stages(race: Race, command: Callable[..., str], tmp_path: Path) -> None:
    results = tmp_path / "results"
    fill(results / "store", 10_000)
    # the first look makes the index
    command(["-m", "dermae_bench", "list", "--results", results])
    race(
        lambda: command(["-m", "dermae_bench", "list", "--results", results]),
        lambda: command(["-c", WALK, results / "store"]),
        rounds=9,
        warm_ups=1,
        goal="ours <= 1000 ms, the whole process",
    )
