"""Stores of very many stages are listed from an index, in little memory; `make bench` says in what time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dermae_bench.commands.stored import contents
from tests.counting import record_count
from tests.large_store import fill

SCRIPT = """
import pathlib, sys
from dermae_bench.cli import main
opened = 0
def count(event, about):
    global opened
    opened += event == "open" and str(about[0]).endswith("manifest.json")
sys.addaudithook(count)
try:
    main(sys.argv[1:])
finally:
    # not `getrusage`: that begins with the peak of the process that started this one
    status = pathlib.Path("/proc/self/status").read_text()
    print(opened, int(status.partition("VmHWM:")[2].split()[0]) // 1024, file=sys.stderr)
"""


def ran(*words: object) -> tuple[str, int, int]:
    """What a command prints, how many manifests it opened, and its peak memory in MiB."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, words)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    opened, memory = done.stderr.split()[-2:]
    return done.stdout, int(opened), int(memory)


@pytest.mark.slow
@pytest.mark.parametrize("count", [10_000, 100_000])
def test_listing(tmp_path: Path, count: int) -> None:
    results = tmp_path / "results"
    fill(results / "store", count)
    found = contents(results)["store"]
    assert sum(line["stages"] for line in found) == count
    # once known, a stage is not read again
    _, opened, memory = ran("list", "--results", results)
    assert opened == 0
    assert memory < 500
    out, opened, memory = ran("list", "--stages", "--format", "csv", "--results", results)
    assert len(out.splitlines()) == count + 1
    assert opened == 0
    assert memory < 500
    key = out.splitlines()[1].split(",")[1]
    assert ran("show", key[:12], "--results", results)[1] <= 1
    ran("clean", "--results", results)
    record_count("stages listed", count)
