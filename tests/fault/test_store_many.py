"""Stores of very many stages are listed in the time that people wait for an answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from many import fill

from dermae_bench.commands.stored import contents
from tests.counting import record_count

SCRIPT = """
import resource, sys, time
from dermae_bench.cli import main
try:
    main(sys.argv[1:])
finally:
    told = f"{time.process_time():.2f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}"
    print(told, file=sys.stderr)
"""


def timed(*words: object) -> tuple[str, float, int]:
    """What a command prints, its seconds on the processor (it waits for nothing) and its peak memory in MiB."""
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, words)], capture_output=True, text=True, check=False, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    seconds, memory = ran.stderr.split()[-2:]
    return ran.stdout, float(seconds), int(memory)


def quickest(*words: object) -> tuple[str, float, int]:
    """The best of three: other tests run beside this one."""
    return min((timed(*words) for _ in range(3)), key=lambda ran: ran[1])


@pytest.mark.slow
@pytest.mark.parametrize(("count", "limit"), [(10_000, 1.0), (100_000, 5.0)])
def test_listing(tmp_path: Path, count: int, limit: float) -> None:
    results = tmp_path / "results"
    fill(results / "store", count)
    found = contents(results)["store"]
    assert sum(line["stages"] for line in found) == count
    out, seconds, memory = quickest("list", "--results", results)
    assert seconds < limit
    assert memory < 500
    out, seconds, _ = quickest("list", "--stages", "--format", "csv", "--results", results)
    assert len(out.splitlines()) == count + 1
    assert seconds < 2 * limit
    key = out.splitlines()[1].split(",")[1]
    assert quickest("show", key[:12], "--results", results)[1] < limit
    assert quickest("clean", "--results", results)[1] < 12 * limit
    record_count("stages listed", count)
