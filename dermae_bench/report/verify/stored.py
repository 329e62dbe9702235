"""The store beside a results folder: are its entries whole, and are the folder's tables those of the entries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dermae_bench.durable import digest_file, digest_of
from dermae_bench.plugin.splits import Placement, split_digest
from dermae_bench.report.data_sets import OWN, DataSet
from dermae_bench.report.escape import public
from dermae_bench.report.evidence import IMAGES, PREDICTIONS, Evidence
from dermae_bench.report.verify.findings import STORE, UNUSABLE, Report, why
from dermae_bench.report.verify.provenance import KEY, KINDS, Provenance
from dermae_bench.report.verify.reading import plain, read_table
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import MANIFEST, Damaged, Manifest

if TYPE_CHECKING:
    import pyarrow as pa

TOPIC = STORE


class Entries:
    """Store entries, read without moving or mending anything.

    Args:
        store: the store.
        report: what is wrong with an entry goes there, once.
    """

    def __init__(self, store: Store, report: Report) -> None:
        self.store = store
        self.report = report
        self.damaged: dict[str, str] = {}
        """Key -> kind of entries that are there and not whole."""
        self._whole: dict[str, Manifest | None] = {}

    def whole(self, kind: str, key: str) -> Manifest | None:
        """The manifest of an entry all of whose files have their digests; None where it is not so or not there."""
        if key not in self._whole:
            self._whole[key] = self._read(kind, key)
        return self._whole[key]

    def folder(self, kind: str, key: str) -> Path:
        """Where a whole entry lies.

        Raises:
            Damaged: it is not there, or not whole.
        """
        if self.whole(kind, key) is None:
            raise Damaged(f"store entry {kind}/{key} is missing or damaged")
        return self.store.folder(kind, key)

    def _read(self, kind: str, key: str) -> Manifest | None:
        if KEY.fullmatch(key) is None or kind not in KINDS:
            self.report.differs(TOPIC, f"{kind}/{key}"[:80], "no store entry can be called so")
            return None
        place, folder = f"{kind}/{key}", self.store.folder(kind, key)
        if not self.store.has(kind, key):
            self.report.skip(f"store entry {place} is not there", "entry")
            return None
        try:
            manifest = self.store.manifest(kind, key)
        except Damaged as error:
            self.report.differs(TOPIC, place, error.message)
            self.damaged[key] = kind
            return None
        wrong = 0
        there = {path.name for path in folder.iterdir()} - {MANIFEST}
        for name in sorted(there ^ manifest.files.keys()):
            self.report.differs(
                TOPIC, f"{place}/{name}", "it is missing" if name not in there else "no manifest lists it"
            )
            wrong += 1
        for name in sorted(there & manifest.files.keys()):
            self.report.count("files of the store")
            problem = plain(folder, name)
            if problem is None and digest_file(folder / name) != manifest.files[name]["sha256"]:
                problem = "its bytes are not those of its manifest"
            if problem is not None:
                self.report.differs(TOPIC, f"{place}/{name}", problem)
                wrong += 1
        if wrong:
            self.damaged[key] = kind
        return None if wrong else manifest


def check_store(entries: Entries, provenance: Provenance, report: Report) -> None:
    """Every stage behind the folder: its manifest, its files, its parts."""
    for key, stage in provenance.stages.items():
        manifest = entries.whole(stage["kind"], key)
        if manifest is None:
            continue
        report.count("stages of the store")
        if public(manifest.parts) != provenance.parts(key):
            report.differs(TOPIC, f"{stage['kind']}/{key}", "its parts are not those that evidence.json tells")


def check_tables(
    entries: Entries, evidence: Evidence, provenance: Provenance, answers: pa.Table | None, images: pa.Table | None,
    report: Report,
) -> None:  # fmt: skip
    """The prepared data sets, their images and every set of answers, as they lie in the store."""
    for its in evidence.sets if evidence.prepared else ():
        try:
            _prepared(entries, its, images, report)
        except UNUSABLE as error:
            place = f"{IMAGES}: {its.name}" if its.name else IMAGES
            report.differs("images", place, f"it cannot be compared with the store: {why(error)}")
    for key, about in evidence.about["predictions"].items():
        place = f"{PREDICTIONS}: {str(about.get('name'))[:120]}"
        try:
            manifest = entries.whole("predict", key)
            if manifest is None or answers is None or not evidence.has(key):
                continue
            if about["n"] != manifest.summary["n"]:
                report.differs("predictions", place, "number of answers", about["n"], manifest.summary["n"])
            _same_answers(entries, evidence, key, place, report)
        except UNUSABLE as error:
            report.differs("predictions", place, f"they cannot be compared with the store: {why(error)}")


def _same_answers(entries: Entries, evidence: Evidence, key: str, place: str, report: Report) -> None:
    table = read_table(entries.folder("predict", key), PREDICTIONS, report, TOPIC)
    if table is None:
        return
    found = evidence.predictions(key)
    report.count("answers beside the store", len(found.ids))
    columns = {name: table.column(name).to_pylist() for name in ("id", "group", "label")}
    logits = np.stack([table.column(f"logit.{name}").to_numpy() for name in found.task.classes], axis=1)
    own = {"id": list(found.ids), "group": list(found.groups), "label": found.labels.tolist()}
    if len(own["id"]) != len(columns["id"]):
        report.differs("predictions", place, "number of answers in the store", len(own["id"]), len(columns["id"]))
        return
    for name, values in own.items():
        wrong = [row for row, (one, two) in enumerate(zip(values, columns[name], strict=True)) if one != two]
        if wrong:
            told = f"{name} of {len(wrong)} answers is not that of the store; first: row {wrong[0]}"
            report.differs("predictions", place, told, values[wrong[0]], columns[name][wrong[0]])
    changed = np.argwhere(found.logits != logits.astype(np.float32))
    if len(changed):
        row, column = (int(number) for number in changed[0])
        told = (
            f"{len(changed)} logits are not those of the store; first: {own['id'][row]}, {found.task.classes[column]}"
        )
        report.differs("predictions", place, told, float(found.logits[row, column]), float(logits[row, column]))


def _prepared(entries: Entries, its: DataSet, images: pa.Table | None, report: Report) -> None:
    about, place = its.about, f"evidence.json: {its.place}"
    manifest = entries.whole("prepare", its.key)
    if manifest is None:
        return
    stored = {name: value for name, value in about.items() if name not in {"key", "data"}}
    if stored != public(manifest.summary):
        report.differs("images", place, "it is not what the store says of the data set")
    data = digest_of([manifest.files["images.npy"]["sha256"], manifest.summary["split_digest"]])[:16]
    if data != about["data"]:
        report.differs("images", f"{place}.data", "digest of pixels and splits", about["data"], data)
    table = read_table(entries.folder("prepare", manifest.key), "table.parquet", report, TOPIC)
    if table is None:
        return
    columns = [table.column(name).to_pylist() for name in ("id", "group", "split")]
    digest = split_digest(Placement(*row) for row in zip(*columns, strict=True))
    report.count("images beside the store", table.num_rows)
    if digest != manifest.summary["split_digest"]:
        report.differs("images", "split digest", "the table of the store gives another", about["split_digest"], digest)
    if images is not None:
        _same_images(its, table, images, report)


def _same_images(its: DataSet, table: pa.Table, images: pa.Table, report: Report) -> None:
    """The scored images of one data set beside the table of the store, row by row."""
    known = ("id", "group", "split", "label")
    meant = _by_id(table, [*known, *(one for one in table.column_names if one.startswith(OWN))], its.splits)
    mine = [one for one in images.column_names if one.startswith(its.prefix)]
    columns = [*(one for one in known if one in images.column_names), *mine]
    found = _by_id(images, columns, tuple(map(its.label, its.splits)))
    own = sorted(one.replace(its.prefix, OWN, 1) for one in mine)
    if own != sorted(one for one in table.column_names if one.startswith(OWN)):
        report.differs("images", IMAGES, "columns are not those of the store", mine)
    for name in sorted(meant.keys() ^ found.keys()):
        place = f"{IMAGES}: {its.label(name)}"
        report.differs("images", place, "it is in one of folder and store only")
    for name in meant.keys() & found.keys():
        for column, value in meant[name].items():
            stored = found[name].get(column.replace(OWN, its.prefix, 1) if column.startswith(OWN) else column)
            expected = its.label(str(value)) if column == "split" else value
            if stored != expected:
                report.differs("images", f"{IMAGES}: {its.label(name)}: {column}", "the store has", stored, expected)


def _by_id(table: pa.Table, names: list[str], splits: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    columns = {name: table.column(name).to_pylist() for name in names}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return {str(row["id"]): row for row in rows if row["split"] in splits}


def check_costs(entries: Entries | None, evidence: Evidence, provenance: Provenance, report: Report) -> None:
    """GMACs, parameters and network calls of the rows: counted from a model's shape, so only the store tells them."""
    keys: dict[tuple[str, str], str] = {(item["board"], item["row"]): item["key"] for item in provenance.about["costs"]}
    sources = {"gmacs": "gmacs", "parameters": "parameters-total", "network-calls": "network-calls"}
    for row in evidence.about["boards"]["rows"]:
        key = keys.get((row["board"], row["row"]))
        numbers = [value for value in row["costs"].values() if value is not None]
        if row["kind"] != "reported" and row["costs"].keys() != sources.keys():
            report.differs(
                "costs", f"evidence.json: row {row['row']}", "its costs are", sorted(row["costs"]), sorted(sources)
            )
        if key is None:
            if numbers:
                report.differs("costs", f"evidence.json: row {row['row']}", "no stage counted these costs", numbers)
            continue
        manifest = entries.whole("cost", key) if entries is not None else None
        if manifest is None:
            report.skip(f"costs of {row['row']}", "store" if entries is None else "entry", len(numbers))
            continue
        values: Mapping[str, Any] = manifest.summary["values"]
        for name, value in row["costs"].items():
            report.count("costs")
            if value != values.get(sources.get(name, name)):
                place = f"evidence.json: row {row['row']}: {name}"
                report.differs("costs", place, "the store has", value, values.get(sources.get(name, name)))
