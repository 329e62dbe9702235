"""Coverage-guided fuzzing of the readers of suites, CSV and JSON; not part of the test run.

    pip install atheris
    mkdir -p corpus && cp tests/unit/suite/*.yaml tests/unit/suite/broken/*.yaml corpus
    python tests/fuzz/atheris_suites.py corpus -max_total_time=300 -timeout=2 -rss_limit_mb=500

It stops at the first input that raises what no reader may raise, takes 2 seconds or 500 MiB, and keeps it as a file.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports():
    import yaml  # noqa: F401

    from dermae_bench.bounded.texts import parse_json, read_csv
    from dermae_bench.errors import DataError, SuiteError
    from dermae_bench.suite.load import load_suite

PLACE = Path(tempfile.mkdtemp(prefix="atheris-")) / "input"


def one(data: bytes) -> None:
    """The same bytes as a suite, a table and a JSON text."""
    PLACE.write_bytes(data)
    try:
        load_suite(PLACE, preset="smoke", sets=["threads=2"])
    except SuiteError as error:
        assert error.problems
        assert "\x1b" not in str(error)
    try:
        read_csv(PLACE)
    except DataError as error:
        assert "\n" not in error.message
    try:
        parse_json(data.decode("utf-8", "replace"))
    except ValueError as error:
        assert str(error)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
