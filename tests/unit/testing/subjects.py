"""A plugin with one fault, written to a file of its own, and the promises that it breaks."""

from __future__ import annotations

from pathlib import Path

from dermae_bench.testing import Check, run_checks


def results(folder: Path, source: str) -> list[Check]:
    # sources are read once a file
    folder = folder / str(len(list(folder.iterdir())))
    folder.mkdir()
    (folder / "subject.py").write_text(source)
    kind, found = run_checks("subject", folder)
    assert kind in source
    return list(found)


def broken(folder: Path, source: str) -> dict[str, str]:
    return {result.name: result.reason for result in results(folder, source) if result.reason is not None}
