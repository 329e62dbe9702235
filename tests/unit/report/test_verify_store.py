"""`verify` with the store names what was changed in it, and forgeries that only it can show."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from harmed_folder import FIXTURES, cases, check, evidence, named, records, render, row_of, table, write_records

from dermae_bench.durable import canonical, digest_file, digest_of
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.report.evidence import Evidence
from dermae_bench.report.verify.digests import write_digests
from dermae_bench.report.verify.findings import Report
from dermae_bench.report.verify.metrics import Metrics
from dermae_bench.report.verify.provenance import Provenance
from dermae_bench.report.verify.rebuilt import check_intervals
from dermae_bench.report.verify.render import terminal_report
from dermae_bench.report.verify.scores import again

unplanned, folder = FIXTURES


def entry(folder: Path, kind: str, word: str) -> Path:
    for path in sorted((folder.parent / "store" / kind).iterdir()):
        if word in (path / "manifest.json").read_text():
            return path
    raise AssertionError(word)


def manifest(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a manifest and give it the digest of what it then is."""
    about = json.loads((path / "manifest.json").read_text())
    del about["sha256"]
    change(about)
    (path / "manifest.json").write_text(canonical({**about, "sha256": digest_of(about)}))


def _swap_features(folder: Path) -> None:
    one, two = entry(folder, "extract", "extract/pixels"), entry(folder, "extract", "extract/train")
    shutil.copy(two / "features.npy", one / "features.npy")


def _forge_features(folder: Path) -> None:
    place = entry(folder, "extract", "extract/pixels")
    np.save(place / "features.npy", np.load(place / "features.npy") * 0.5)
    size = (place / "features.npy").stat().st_size
    about = {"features.npy": {"sha256": digest_file(place / "features.npy"), "bytes": size}}
    manifest(place, lambda a: a.update(files=about))


def _swap_answers(folder: Path) -> None:
    """The store's own answers are replaced, manifest and all, but the folder's are not."""
    place = entry(folder, "predict", "predict/thumbs/seed=0/test")
    table(place, "predictions.parquet", "logit.nv", lambda v: v.__setitem__(0, 9.0))
    path = place / "predictions.parquet"
    about = {path.name: {"sha256": digest_file(path), "bytes": path.stat().st_size}}
    manifest(place, lambda a: a.update(files=about))


def _evidence_too(folder: Path) -> None:
    evidence(folder, lambda a: row_of(a)["costs"].update(gmacs=0.001))
    write_digests(folder)


STORE: dict[str, tuple[Callable[[Path], Any], str, tuple[str, ...]]] = {
    "file swapped": (_swap_features, "store", ("features.npy", "not those of its manifest")),
    "features forged": (_forge_features, "records", ("kid[hand]", "value")),
    "answers forged": (_swap_answers, "predictions", ("1 logits", "thumbs/seed=0/test")),
    "file added": (lambda f: (entry(f, "sample", "pixels") / "x.npy").write_bytes(b"x"), "store", ("x.npy",)),
    "file missing": (lambda f: (entry(f, "sample", "pixels") / "table.parquet").unlink(), "store", ("missing",)),
    "parts forged": (lambda f: manifest(entry(f, "sample", "pixels"), lambda a: a["parts"]["work"].update(count=1)),
                     "store", ("not what its key says",)),
    "manifest swapped": (lambda f: shutil.copy(entry(f, "extract", "extract/train") / "manifest.json",
                                               entry(f, "extract", "extract/pixels") / "manifest.json"),
                         "store", ("holds the manifest",)),
    "manifest cut": (lambda f: (entry(f, "cost", "thumbs") / "manifest.json").write_text("{"), "store", ("readable",)),
    "link": (lambda f: ((p := entry(f, "sample", "pixels") / "table.parquet").unlink(), p.symlink_to("/etc/hostname")),
             "store", ("it is a link",)),
    "costs": (_evidence_too, "costs", ("gmacs", "0.001", "0.125")),
}  # fmt: skip


@pytest.mark.parametrize("harm", cases(STORE, 3))
def test_harm_to_the_store_is_named_and_moves_nothing(harm: str, folder: Path, catalog: Catalog) -> None:
    do, topic, words = STORE[harm]
    do(folder)
    before = sorted((folder.parent / "store").rglob("*"))
    report = check(folder, catalog, store=True)
    assert report.exit_code == 1 and named(report, topic, *words), terminal_report(report)
    assert sorted((folder.parent / "store").rglob("*")) == before


def test_a_whole_forgery_is_found_by_the_store_alone(folder: Path, catalog: Catalog) -> None:
    """Answers changed, then everything made again of them: consistent in itself, and not what the model said."""

    def better(values: list[Any]) -> None:
        labels = pq.read_table(folder / "predictions.parquet").column("label").to_pylist()
        for row in range(len(values)):
            values[row] = [value + 3.0 * (k == labels[row]) for k, value in enumerate(values[row])]

    table(folder, "predictions.parquet", "logits", better)
    held = Evidence(folder)
    scores = again(held, Provenance(held.about["provenance"]), Metrics(catalog), None, Report(folder=""))
    made = {
        (item["metric"], canonical(item["identity"].get("subgroup")), score.score.key): item
        for score in scores
        for item in score.items
    }
    found = records(folder)
    for item in found:
        new = made.get((item["metric"], canonical(item["identity"].get("subgroup")), item["key"]))
        item.update({name: new[name] for name in ("value", "low", "high", "error")} if new else {})
    write_records(folder, found)
    intervals, _ = check_intervals(scores, held, Report(folder=""))

    def follow(about: dict[str, Any]) -> None:
        for item in about["intervals"]:
            one = intervals[item["row"], item["metric"]]
            item.update(low=one.low, high=one.high, error=one.error)
        summaries = {score.score.key: score.summary for score in scores}
        for row in about["boards"]["rows"]:
            shown = [
                s for s in about["scores"] if s["of"] == "predictions" for r in s["rows"] if r["row"] == row["row"]
            ]
            for counts, score in zip(row["confusions"], shown, strict=True):
                summary = summaries[score["key"]]
                assert summary is not None
                counts.update(confusion=summary["confusion"], per_class=summary["per_class"])

    evidence(folder, follow)
    render(folder, catalog)
    assert check(folder, catalog).exit_code == 0
    report = check(folder, catalog, store=True)
    assert report.exit_code == 1 and named(report, "predictions", "logits are not those of the store")
