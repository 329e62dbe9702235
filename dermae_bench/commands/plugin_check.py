"""`dermae-bench plugins check`: the conformance kit from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dermae_bench.commands.printing import echo
from dermae_bench.errors import FAILED, OK, BenchError
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.testing import run_checks


def check_plugins(names: Sequence[str], plugins_dir: Path | None) -> int:
    """Print every promise of every plugin, kept or broken; exit code 1 if one is broken."""
    code = OK
    for name in names or Catalog(plugins_dir).names():
        try:
            kind, results = run_checks(name, plugins_dir)
        except BenchError as error:
            echo(f"FAIL  {name}: {error}")
            code = FAILED
            continue
        for result in results:
            state = "FAIL" if result.reason is not None else "skip" if result.skipped is not None else "ok  "
            why = result.reason if result.reason is not None else result.skipped
            echo(f"{state}  {kind} {name}: {result.name}" + (f": {why}" if why else ""))
            code = code if result.reason is None else FAILED
    return code
