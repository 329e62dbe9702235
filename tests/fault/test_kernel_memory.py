"""The kernel kills an attempt, because a control group has no more memory: it is said so, and other rows go on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import PLUGINS, tracebacks
from test_misbehaving import failures, rows, suite

from tests.counting import record_count

GROUPS = Path("/sys/fs/cgroup")
LIMIT = 2 << 30
"""Bytes for the whole run; the plugin's habit `hog` takes 3 GiB."""


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group whose members share 2 GiB; whoever may not make one skips the test."""
    old = (GROUPS / "memory").is_dir()
    made = (GROUPS / "memory" if old else GROUPS) / f"dermae-bench-{os.getpid()}"
    try:
        made.mkdir()
        (made / ("memory.limit_in_bytes" if old else "memory.max")).write_text(str(LIMIT))
    except OSError as error:
        with contextlib.suppress(OSError):
            made.rmdir()
        pytest.skip(f"no control group can be made: {error}")
    yield made
    made.rmdir()


@pytest.mark.slow
def test_a_fit_that_the_kernel_killed(tmp_path: Path, own_cache: Path, group: Path) -> None:
    # our own limit is above what the machine has here: the kernel has to notice
    suite(tmp_path, "hog", wall="300s", mem="8GiB")
    (tmp_path / "notes").mkdir()
    environment = {
        **os.environ, "DERMAE_BENCH_CACHE": str(own_cache), "DERMAE_BENCH_PLUGINS_DIR": str(PLUGINS),
        "STRANGE_NOTES": str(tmp_path / "notes"),
    }  # fmt: skip
    with (tmp_path / "said.log").open("wb") as log:
        # the shell joins the group before it becomes the run, so that all of it is inside
        ran = subprocess.run(
            ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', group, sys.executable, "-m", "dermae_bench",
             "run", "small.yaml"],
            cwd=tmp_path, env=environment, stdout=log, stderr=log, timeout=300, check=False,
        )  # fmt: skip
    assert ran.returncode == 1, (tmp_path / "said.log").read_text()
    why = failures(tmp_path)["hog"]
    assert why["category"] == "oom"
    assert "killed by the kernel, which was out of memory" in why["reason"]
    assert rows(tmp_path)["hog"]["status"] == "failed"
    assert rows(tmp_path)["good"]["status"] == "ok"
    assert tracebacks(tmp_path) == 0
    record_count("attempts killed by the kernel for their memory", 1)
