"""`verify` names what was changed in the records and in the boards made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harmed_folder import FIXTURES, ROW, cases, check, first, named, records, render, text, write_records

from dermae_bench.plugin.catalog import Catalog
from dermae_bench.report.verify.digests import write_digests
from dermae_bench.report.verify.render import terminal_report

unplanned, folder = FIXTURES


def shown_value(folder: Path, name: str) -> tuple[str, str]:
    """A number of `ROW` as this file spells it, and another one."""
    board = json.loads((folder / "classifiers.json").read_text())
    value = next(row for row in board["rows"] if row["row"] == ROW)["metrics"]["brier"]["value"]
    if name.endswith("csv"):
        old = format(value, ".6g")
    elif name.endswith("md"):
        old = format(value, ".3f")
    else:
        old = repr(value) if name.endswith("json") else repr(first(folder)[1]["value"])
    return old, old[:4] + str((int(old[4]) + 1) % 10) + old[5:]


@pytest.mark.parametrize("name", ["classifiers.csv", "classifiers.md", "classifiers.json", "records.jsonl"])
def test_a_changed_digit_is_named_with_row_column_and_both_values(name: str, folder: Path, catalog: Catalog) -> None:
    old, new = shown_value(folder, name)
    text(folder, name, old, new)
    report = check(folder, catalog)
    assert report.exit_code == 1
    assert named(report, "files", name)
    topic = "records" if name == "records.jsonl" else "boards"
    assert named(report, topic, name, new[:5], old[:5], *(["brier"] if not name.endswith("md") else []))
    where = "thumbs" if name.endswith("md") else "thumbs | train | diagnosis"
    assert named(report, topic, where)


def test_a_digit_changed_everywhere_is_found_by_computing(folder: Path, catalog: Catalog) -> None:
    found, item = first(folder)
    item["value"] -= 0.01
    write_records(folder, found)
    render(folder, catalog)
    report = check(folder, catalog)
    assert not named(report, "files", "") and named(report, "records", ROW, "brier", "value")
    assert named(report, "boards", "classifiers.csv", ROW, "column brier")


def test_a_rank_is_found_though_nothing_else_changed(folder: Path, catalog: Catalog) -> None:
    board = json.loads((folder / "classifiers.json").read_text())
    cells = {row["row"]: row["metrics"]["brier"] for row in board["rows"] if row["row"].endswith("diagnosis")}
    assert cells[ROW]["rank"] == 2
    cells[ROW]["rank"] = 1
    (folder / "classifiers.json").write_text(json.dumps(board, indent=1, sort_keys=True) + "\n")
    write_digests(folder)
    assert named(check(folder, catalog), "boards", "classifiers.json", ROW, "brier.rank", "[1,2]")


def _more(name: str, value: Any) -> Callable[[list[dict[str, Any]], dict[str, Any]], Any]:
    return lambda found, item: item.update({name: value})


def _identity(name: str, value: Any) -> Callable[[list[dict[str, Any]], dict[str, Any]], Any]:
    return lambda found, item: item["identity"].update({name: value})


RECORDS: dict[str, tuple[str, Callable[[list[dict[str, Any]], dict[str, Any]], Any], str]] = {
    "interval": ("brier", _more("low", 0.0), "low"),
    "leaky removed": ("brier", lambda found, item: item["identity"].pop("leaky"), "records.jsonl"),
    "deleted": ("brier", lambda found, item: found.remove(item), "the record is missing"),
    "another seed": ("brier", lambda found, item: item["seeds"].update(classifier=7), "no score gives"),
    "forged metric": ("brier", lambda found, item: found.append({**item, "metric": "accuracy", "value": 0.99}),
                      "no score gives"),
    "standard error": ("brier", _more("error", 1e-6), "error"),
    "n": ("brier", _more("n", 480), "n"),
    "n in the identity": ("brier", _identity("n", 480), "identity.n"),
    "split digest": ("brier", _identity("split_digest", "0" * 64), "identity.split_digest"),
    "direction": ("brier", _more("better", "higher"), "better"),
    "another key": ("brier", _more("key", "0" * 32), "key"),
    "twice": ("brier", lambda found, item: found.append(dict(item)), "a second record"),
    "not finite": ("brier", _more("value", float("nan")), "records.jsonl line"),
    "of a failure": ("brier", _more("status", "failed: no"), "records.jsonl line"),
    "a warning": ("brier", _more("warnings", ["trust me"]), "warnings"),
    "subgroup": ("brier", lambda found, item: next(
        one for one in found if one["identity"].get("subgroup")).update(value=0.001), "subgroup"),
    "published": ("accuracy", _more("value", 0.5), "value"),
    "samples: another metric": ("kid[hand]", lambda found, item: found.append({**item, "metric": "fd[hand]"}),
                                "no score gives"),
    "samples: facts": ("kid[hand]", _identity("against", "test"), "identity.against"),
    "samples: data": ("kid[hand]", _identity("data", "0" * 16), "identity.data"),
    "samples: deleted": ("kid[hand]", lambda found, item: found.remove(item), "the record is missing"),
}  # fmt: skip


@pytest.mark.parametrize("harm", cases(RECORDS, 5))
def test_harm_to_records_is_named_in_a_clone(harm: str, folder: Path, catalog: Catalog) -> None:
    metric, do, word = RECORDS[harm]
    found = records(folder)
    do(found, next(item for item in found if item["metric"] == metric))
    write_records(folder, found)
    write_digests(folder)
    report = check(folder, catalog)
    assert report.exit_code == 1 and named(report, "records", word), terminal_report(report)
