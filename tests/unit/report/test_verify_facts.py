"""`verify` names what was added around the numbers, and holds numbers from samples to all that needs no sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harmed_folder import FIXTURES, cases, check, evidence, first, named, records, render, row_of, write_records

from dermae_bench.plugin.catalog import Catalog
from dermae_bench.report.verify.digests import write_digests
from dermae_bench.report.verify.records import _share
from dermae_bench.report.verify.render import terminal_report

unplanned, folder = FIXTURES

DRAWN = "pixels | train | 12"


def _column(name: str, file: str, change: Callable[[list[Any]], pa.Array]) -> Callable[[Path], Any]:
    def harm(folder: Path) -> None:
        held = pq.read_table(folder / file)
        place = held.column_names.index(name)
        pq.write_table(held.set_column(place, name, change(held.column(name).to_pylist())), folder / file)

    return harm


def _more_columns(folder: Path) -> None:
    held = pq.read_table(folder / "predictions.parquet")
    added = held.append_column("probability", pa.array([0.99] * held.num_rows))
    pq.write_table(added, folder / "predictions.parquet")


def _evidence(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    return lambda folder: evidence(folder, change)


def _file(name: str) -> Callable[[Path], Any]:
    def harm(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")

    return harm


SWAPPED = {"test": "val", "val": "test"}
HARMS: dict[str, tuple[Callable[[Path], Any], str, tuple[str, ...]]] = {
    "no tasks": (_evidence(lambda a: a["prepared"].update(tasks=[])), "images", ("images.parquet", "StopIteration")),
    "split of answers": (_column("split", "predictions.parquet", lambda v: pa.array([SWAPPED.get(x, x) for x in v])),
                         "predictions", ("of other splits than test", "val")),
    "labels as fractions": (_column("label", "predictions.parquet", lambda v: pa.array([x + 0.9 for x in v])),
                            "predictions", ("column label", "double", "integers")),
    "a warning": (_evidence(lambda a: a["boards"]["warnings"].append("trained on test")), "facts",
                  ("nothing here gives", "trained on test")),
    "logits of float64": (_column("logits", "predictions.parquet", lambda v: pa.array(v, pa.list_(pa.float64()))),
                          "predictions", ("column logits", "double")),
    "labels of images": (_column("label", "images.parquet", lambda v: pa.array([x + 0.5 for x in v])), "images",
                         ("column label", "double")),
    "another column": (_more_columns, "predictions", ("columns are not", "probability")),
    "reason of a good row": (_evidence(lambda a: row_of(a).update(reason="no trust")), "rows", ("its reason",)),
    "failure without a reason": (_evidence(lambda a: row_of(a).update(status="failed")), "rows", ("its reason",)),
    "unknown status": (_evidence(lambda a: row_of(a).update(status="fine")), "rows", ("its status is none", "fine")),
    "another cost": (_evidence(lambda a: row_of(a)["costs"].update(speedup=9.0)), "costs", ("speedup",)),
    "reported row": (_evidence(lambda a: a["boards"]["rows"][-1].update(reason="x")), "published numbers", ("reason",)),
    "costs of a reported row": (_evidence(lambda a: a["boards"]["rows"][-1].update(costs={"gmacs": 1.0})),
                                "published numbers", ("costs",)),
    "number of images": (_evidence(lambda a: a["prepared"].update(n=9)), "facts", ("prepared.n", "90", "9")),
    "rule of the split": (_evidence(lambda a: a["prepared"].update(split_rule="official")), "facts",
                          ("prepared.split_rule", "official")),
    "folder": (_file("appendix/classifiers.csv"), "boards", ("appendix", "nothing gives such a folder")),
    "text among pictures": (_file("figures/extra.md"), "boards", ("figures/extra.md",)),
    "picture of nobody": (_file("real-images/nearest-000000.png"), "boards", ("real-images/nearest-000000.png",)),
}  # fmt: skip


@pytest.mark.parametrize("harm", cases(HARMS, 2))
def test_what_is_added_is_named_in_a_clone(harm: str, folder: Path, catalog: Catalog) -> None:
    do, topic, words = HARMS[harm]
    do(folder)
    write_digests(folder)
    report = check(folder, catalog)
    assert report.exit_code == 1 and named(report, topic, *words), terminal_report(report)


def _its(name: str, value: Any) -> Callable[[list[dict[str, Any]]], Any]:
    return lambda items: items[0].update({name: value})


def _identity(name: str, value: Any, part: int = 0) -> Callable[[list[dict[str, Any]]], Any]:
    return lambda items: items[part]["identity"].update({name: value})


def _counted(items: list[dict[str, Any]]) -> None:
    items[0].update(n=50_000)
    items[0]["identity"].update(n=50_000)


def _class_of(items: list[dict[str, Any]]) -> None:
    """One class takes the images of another."""
    for item, n in zip(items[1:3], (11, 4), strict=True):
        item.update(n=n)
        item["identity"].update(n=n)


SAMPLES: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], str]] = {
    "names": (_its("names", {"generator": "ours"}), "names"),
    "images": (_counted, "identity.n"),
    "a class is missing": (lambda items: items[1].update(metric="gone"), "the record is missing"),
    "kind": (_its("kind", "floor"), "kind"),
    "interval": (_its("low", 0.0), "low"),
    "standard error": (_its("error", 0.1), "error"),
    "a warning": (_its("warnings", ["trust me"]), "a warning that the boards do not have"),
    "real images": (_identity("n_real", 5), "identity.n_real"),
    "real images of a class": (_identity("n_real", 5, 1), "identity.n_real"),
    "images of classes": (_class_of, "of all its subgroups together"),
    "protocol of a class": (_identity("protocol", "mine", 1), "identity.protocol"),
    "unit of a class": (lambda items: items[1].update(unit="cm"), "unit"),
    "another class": (lambda items: items[1]["identity"]["subgroup"].update(value="scc"), "no score gives"),
    "another subgroup": (lambda items: items[1]["identity"]["subgroup"].update(attribute="sex"), "no score gives"),
    "extractor": (_identity("extractor", {"name": "better"}, 1), "identity.extractor"),
    "more facts": (_identity("audited", "yes"), "identity.audited"),
    "n beside identity": (_its("n", 13), "n is not that of its identity"),
}  # fmt: skip


@pytest.mark.parametrize("harm", cases(SAMPLES, 2))
def test_records_of_samples_are_held_to_their_facts_in_a_clone(harm: str, folder: Path, catalog: Catalog) -> None:
    change, word = SAMPLES[harm]
    found = records(folder)
    items = [item for item in found if item["metric"] == "kid[hand]"]
    assert items[0]["identity"].get("subgroup") is None and len(items) == 4
    change(items)
    write_records(folder, found)
    render(folder, catalog)
    report = check(folder, catalog)
    assert report.exit_code == 1 and named(report, "records", word), terminal_report(report)


def test_a_floor_says_how_many_images_it_has(folder: Path, catalog: Catalog) -> None:
    def floor(about: dict[str, Any]) -> None:
        row_of(about, DRAWN).update(kind="floor")
        row_of(about, DRAWN)["names"]["n"] = "3"

    evidence(folder, floor)
    assert named(check(folder, catalog), "rows", DRAWN, "names.n", "3", "12")


def test_shares_are_known_from_distances() -> None:
    class Held:
        prepared = {"n": 90}

    def meant(value: float | None) -> dict[str, Any]:
        return {"value": value, "n": 384, "identity": {"n_real": 1870}}

    assert all(_share(meant(value), Held()) for value in (0.0, 1.0, 462 / 730, 1 / 3))  # type: ignore[arg-type]
    assert not any(_share(meant(value), Held()) for value in (None, 0.9738, 248.5, -1e-9))  # type: ignore[arg-type]


def test_a_share_of_zero_is_nothing_else(folder: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    found, item = first(folder, "kid[hand]", DRAWN)
    item["value"] += 9.5e-10
    write_records(folder, found)
    write_digests(folder)
    assert not named(check(folder, catalog, store=True), "records", DRAWN, "value")
    monkeypatch.setattr("dermae_bench.report.verify.records._share", lambda meant, evidence: True)
    assert named(check(folder, catalog, store=True), "records", DRAWN, "value")
