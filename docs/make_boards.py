"""Bring the boards and charts of a committed results folder to what this version writes of the same numbers.

Usage: python docs/make_boards.py results/ham10000-cpu

Everything is made from the folder's own evidence, and only where `verify` finds no number that differs: what a board
says and how it looks may change with a version, its numbers not. Grids and `environment.json` stay as they are.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dermae_bench.plugin.catalog import Catalog
from dermae_bench.report.export import tables
from dermae_bench.report.html import chart_files
from dermae_bench.report.listed import write_changed
from dermae_bench.report.records import Boards
from dermae_bench.report.verify.digests import write_digests
from dermae_bench.report.verify.rebuilt import ELSEWHERE
from dermae_bench.report.verify.render import terminal_report
from dermae_bench.report.verify.verify import verify


def main(folder: Path) -> int:
    """The exit code of the check."""
    changed: list[str] = []

    def write(boards: Boards) -> None:
        made = {name: text.encode() for name, text in tables(boards).items() if name not in ELSEWHERE}
        for name, data in {**made, **chart_files(boards)}.items():
            if write_changed(folder / name, data):
                changed.append(name)
        write_digests(folder)

    report = verify(folder, store=None, without_store=True, catalog=Catalog(), agreed=write)
    sys.stdout.write(terminal_report(report) + "\n")
    sys.stdout.write(f"written: {', '.join(changed) or 'nothing'}\n")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
