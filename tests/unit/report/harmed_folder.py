"""A good results folder for each test of `verify`, ways to harm a copy of it, and what is then found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dermae_bench.commands.verifying import samples_in
from dermae_bench.durable import canonical
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.report.evidence import Evidence
from dermae_bench.report.export import tables
from dermae_bench.report.verify.digests import write_digests
from dermae_bench.report.verify.findings import Report
from dermae_bench.report.verify.metrics import Metrics
from dermae_bench.report.verify.provenance import Provenance
from dermae_bench.report.verify.rebuilt import boards_of, check_intervals
from dermae_bench.report.verify.scores import again
from dermae_bench.report.verify.verify import verify

ROW = "thumbs | train | diagnosis"


@pytest.fixture(autouse=True)
def unplanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """This folder was made by hand and is of no suite; `test_verify_plan.py` holds one to its plan."""
    monkeypatch.setattr("dermae_bench.report.verify.verify.plan_of", lambda *words: None)


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A copy that a test may harm, with its store and its published table."""
    shutil.copytree(good.parent, tmp_path / "results")
    return tmp_path / "results" / "tiny"


# pytest finds fixtures by the names in a file of tests, so each such file unpacks these under the same names
FIXTURES = (unplanned, folder)


def check(folder: Path, catalog: Catalog, *, store: bool = False, silent: bool = True) -> Report:
    """A check with the store, or as in a clone."""
    home = folder.parent
    return verify(
        folder, store=home / "store" if store else None, without_store=not store and silent, catalog=catalog,
        samples_in=lambda entries: samples_in(entries, Metrics(catalog)), results=[home],
    )  # fmt: skip


def named(report: Report, topic: str, *words: str) -> bool:
    """Whether a finding of the topic has all of the words."""
    texts = [
        f"{item.place}: {item.message} {canonical([item.stored, item.expected])}"
        for item in report.findings
        if item.topic == topic
    ]
    return any(all(word in text for word in words) for text in texts)


def text(folder: Path, name: str, old: str, new: str) -> None:
    content = (folder / name).read_text()
    assert old in content, (name, old)
    (folder / name).write_text(content.replace(old, new, 1))


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


def write_records(folder: Path, found: list[dict[str, Any]]) -> None:
    lines = [json.dumps(item, sort_keys=True, separators=(",", ":")) + "\n" for item in found]
    (folder / "records.jsonl").write_text("".join(lines))


def evidence(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "evidence.json"
    about = json.loads(path.read_text())
    change(about)
    path.write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")


def table(folder: Path, name: str, column: str, change: Callable[[list[Any]], Any]) -> None:
    """Change one column of a parquet file in place."""
    held = pq.read_table(folder / name)
    values = held.column(column).to_pylist()
    change(values)
    place = held.column_names.index(column)
    kind = held.schema.field(column).type
    pq.write_table(held.set_column(place, column, pa.array(values).cast(kind)), folder / name)


def render(folder: Path, catalog: Catalog) -> None:
    """Boards from forged records, evidence and answers, by our own code, and a new list of digests."""
    held, unused = Evidence(folder), Report(folder="")
    scores = again(held, Provenance(held.about["provenance"]), Metrics(catalog), None, unused)
    made, _ = check_intervals(scores, held, unused)
    for name, content in tables(boards_of(held, records(folder), made)).items():
        if name not in {"timings.csv", "environment.json"}:
            (folder / name).write_text(content)
    write_digests(folder)


def first(folder: Path, metric: str = "brier", row: str = ROW) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    found = records(folder)
    return found, next(item for item in found if item["metric"] == metric and item["row"] == row)


def cases(harms: dict[str, Any], often: int) -> list[Any]:
    """The names of the harms; those behind the first ones are tried with the slow tests."""
    return [pytest.param(name, marks=pytest.mark.slow if k >= often else ()) for k, name in enumerate(harms)]


def row_of(about: dict[str, Any], name: str = ROW) -> dict[str, Any]:
    return next(row for row in about["boards"]["rows"] if row["row"] == name)
