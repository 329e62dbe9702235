"""The leaderboards of a small fixture, as committed text. `python FILE` writes them anew; read the difference."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from dermae_bench.report.export import files

HERE = Path(__file__).parent
EXAMPLE = runpy.run_path(str(HERE.parents[1] / "unit" / "report" / "example_boards.py"))["example"]
SNAPSHOTS = (
    "classifiers.csv", "classifiers.md", "generators.csv", "generators.md", "subgroups.csv", "subgroups.md",
    "contamination.csv", "contamination.md", "nearest-pairs.csv", "distance-over-n.csv",
)  # fmt: skip


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_leaderboard_is_as_committed(name: str) -> None:
    assert files(EXAMPLE())[name] == (HERE / name).read_text(encoding="utf-8"), (
        f"python {Path(__file__).name} rewrites it"
    )


if __name__ == "__main__":
    for name in SNAPSHOTS:
        (HERE / name).write_text(files(EXAMPLE())[name], encoding="utf-8")
