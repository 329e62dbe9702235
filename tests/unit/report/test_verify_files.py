"""`verify` names files that were changed, added, removed, broken or replaced by links."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harmed_folder import FIXTURES, cases, check, named, text

from dermae_bench.durable import digest_file
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.report.verify.digests import SUMS, write_digests
from dermae_bench.report.verify.render import terminal_report

unplanned, folder = FIXTURES

FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "figure swapped": (lambda f: (f / "figures/grid.png").write_bytes(b"another"), "figures/grid.png"),
    "file added": (lambda f: (f / "extra.csv").write_text("a,b\n"), "extra.csv"),
    "file missing": (lambda f: (f / "timings.csv").unlink(), "timings.csv"),
    "page changed": (lambda f: (f / "report.html").write_text("<p>better</p>"), "report.html"),
    "list removed": (lambda f: (f / SUMS).unlink(), SUMS),
    "digest changed": (lambda f: text(f, SUMS, digest_file(f / "images.parquet"), "0" * 64), "images.parquet"),
    "line removed": (lambda f: (f / SUMS).write_text((f / SUMS).read_text().replace("  environment.json", "")),
                     "environment.json"),
    "path in the list": (lambda f: (f / SUMS).write_text((f / SUMS).read_text() + "0" * 64 + "  ../../secret\n"), SUMS),
    "link": (lambda f: ((f / "timings.csv").unlink(), (f / "timings.csv").symlink_to("/etc/hostname")), "timings.csv"),
    "folder link": (lambda f: (f / "more").symlink_to("/etc"), "more"),
}  # fmt: skip


@pytest.mark.parametrize("harm", cases(FILES, 3))
def test_harm_to_files_is_named(harm: str, folder: Path, catalog: Catalog) -> None:
    do, name = FILES[harm]
    do(folder)
    report = check(folder, catalog)
    assert report.exit_code == 1 and named(report, "files", name)


def test_an_absent_page_is_no_difference(folder: Path, catalog: Catalog) -> None:
    (folder / "report.html").unlink()
    assert check(folder, catalog).exit_code == 0


def test_an_added_file_is_found_though_it_is_listed(folder: Path, catalog: Catalog) -> None:
    (folder / "summary.csv").write_text("thumbs,0.99\n")
    write_digests(folder)
    assert named(check(folder, catalog), "boards", "summary.csv")


BROKEN = {
    f"{name} {how}": (name, how)
    for how in ("cut", "noise", "deep")
    for name in ("predictions.parquet", "evidence.json", "records.jsonl", "images.parquet", "classifiers.json")
}


@pytest.mark.parametrize("harm", cases(BROKEN, 2))
def test_broken_files_are_named_without_a_traceback(harm: str, folder: Path, catalog: Catalog) -> None:
    name, how = BROKEN[harm]
    whole = (folder / name).read_bytes()
    noise = bytes(np.random.default_rng(0).integers(0, 256, 500, dtype=np.uint8))
    (folder / name).write_bytes({"cut": whole[: len(whole) // 2], "noise": noise, "deep": b"[" * 100_000}[how])
    write_digests(folder)
    report = check(folder, catalog)
    assert report.exit_code == 1
    assert any(name in item.place for item in report.findings)
    assert "Traceback" not in terminal_report(report)


def test_a_huge_file_is_not_read(folder: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dermae_bench.report.verify.reading.LARGEST_TEXT", 100)
    monkeypatch.setattr("dermae_bench.bounded.tables.MOST_ROWS", 10)
    assert named(check(folder, catalog), "evidence", "evidence.json", "at most 100 are read")


def test_links_in_place_of_tables_are_not_followed(folder: Path, catalog: Catalog, tmp_path: Path) -> None:
    shutil.move(folder / "predictions.parquet", tmp_path / "elsewhere.parquet")
    (folder / "predictions.parquet").symlink_to(tmp_path / "elsewhere.parquet")
    report = check(folder, catalog)
    assert named(report, "predictions", "it is a link") and named(report, "files", "it is a link")
