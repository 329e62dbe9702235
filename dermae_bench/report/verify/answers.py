"""`predictions.parquet` and `images.parquet` beside what the evidence says of them, and beside each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.plugin.splits import Placement, split_digest
from dermae_bench.report.evidence import GENERATED, IMAGES, PREDICTIONS, SCORED_SPLITS, Evidence
from dermae_bench.report.verify.findings import UNUSABLE, Report, why
from dermae_bench.report.verify.provenance import Provenance
from dermae_bench.scoring.labels import map_labels, task_of

if TYPE_CHECKING:
    import pyarrow as pa

ATTRIBUTE = "attribute."
NAMED = 3
"""Images that a finding names."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images that were scored: id -> (group, split, label of the root task)."""

    facts: Mapping[str, tuple[str, str, int]]

    def of(self, split: str) -> dict[str, tuple[str, int]]:
        """id -> (group, label) of one split."""
        return {name: (group, label) for name, (group, its, label) in self.facts.items() if its == split}


def check_images(table: pa.Table, evidence: Evidence, report: Report) -> Images | None:
    """Ids once, and per split the digest and the classes that the prepared data set has."""
    if not _columns(table, IMAGES, "images", report):
        return None
    try:
        columns = [table.column(name).to_pylist() for name in ("id", "group", "split", "label")]
        rows = list(zip(*columns, strict=True))
        found = Images(facts={name: (group, split, int(label)) for name, group, split, label in rows})
        prepared = evidence.prepared
        classes = next(iter(evidence.tasks.values())).classes
        report.count("images", len(rows))
        if len(found.facts) != len(rows):
            report.differs("images", IMAGES, f"{len(rows) - len(found.facts)} ids stand twice")
        for split in SCORED_SPLITS:
            placed = [Placement(name, group, its) for name, group, its, _ in rows if its == split]
            digest, meant = split_digest(placed), prepared["split"]["parts"][split]
            if digest != meant:
                told = "ids, groups or splits are not those whose digest is in evidence.json"
                report.differs("images", f"{IMAGES}: {split}", told, digest[:16], meant[:16])
            counts = Counter(classes[label] for _, _, its, label in rows if its == split)
            for name, count in prepared["counts"][split].items():
                if counts[name] != count:
                    report.differs("images", f"{IMAGES}: {split}: {name}", "images of this class", counts[name], count)
        if strangers := {split for _, _, split, _ in rows} - set(SCORED_SPLITS):
            report.differs("images", IMAGES, "splits that are not scored", sorted(strangers))
    except UNUSABLE as error:
        report.differs("images", IMAGES, f"it cannot be used: {why(error)}")
        return None
    return found


def check_answers(
    table: pa.Table, evidence: Evidence, provenance: Provenance, images: Images | None, report: Report
) -> None:
    """Each set of answers is the one described, is of all images of its split, and has their lesions and labels."""
    described: Mapping[str, Mapping[str, Any]] = evidence.about["predictions"]
    if not _columns(table, PREDICTIONS, "predictions", report):
        return
    placed = Counter(zip(table.column("predictions").to_pylist(), table.column("split").to_pylist(), strict=True))
    keys = Counter(key for key, _ in placed)
    for key in keys.keys() - described.keys():
        report.differs("predictions", PREDICTIONS, f"evidence.json does not know the answers {str(key)[:40]}")
    for key, about in described.items():
        place = f"{PREDICTIONS}: {str(about.get('name'))[:120]}"
        if key not in keys:
            report.differs("predictions", place, "the answers are missing", 0, about.get("n"))
            continue
        try:
            _as_planned(provenance.stages[key], about, place, report)
            found = evidence.predictions(key)
            report.count("predictions", len(found.ids))
            if strangers := {split for its, split in placed if its == key} - {about["split"]}:
                told = f"its rows say that they are of other splits than {about['split']}"
                report.differs("predictions", place, told, sorted(map(str, strangers)), about["split"])
            if len(found.ids) != about["n"]:
                report.differs("predictions", place, "number of answers", len(found.ids), about["n"])
            classes = len(found.task.classes)
            if found.logits.shape != (len(found.ids), classes) or not bool(np.isfinite(found.logits).all()):
                report.differs("predictions", place, f"its logits are not finite numbers of {classes} classes")
                continue
            if images is not None and about["split"] in SCORED_SPLITS:
                _beside_images(found.ids, found.groups, found.labels, about, evidence, images, place, report)
        except UNUSABLE as error:
            report.differs("predictions", place, f"they cannot be used: {why(error)}")


def _as_planned(stage: Mapping[str, Any], about: Mapping[str, Any], place: str, report: Report) -> None:
    """Split, task and name are those of the stage, which its key holds fast."""
    work = stage["parts"]["work"]
    meant = {
        "name": stage["name"], "split": work["images"][0].get("split", GENERATED), "task": work["model"]["task"],
    }  # fmt: skip
    for name, value in meant.items():
        if about[name] != value:
            report.differs("predictions", place, f"its {name} is not that of its stage", about[name], value)


def _beside_images(
    ids: Sequence[str],
    groups: Sequence[str],
    labels: NDArray[np.int64],
    about: Mapping[str, Any],
    evidence: Evidence,
    images: Images,
    place: str,
    report: Report,
) -> None:
    meant = images.of(about["split"])
    if len(set(ids)) != len(ids) or set(ids) != meant.keys():
        lacking, strange = sorted(meant.keys() - set(ids)), sorted(set(ids) - meant.keys())
        told = (
            f"they are not of the images of {about['split']}: {len(lacking)} missing, {len(strange)} unknown or twice"
        )
        report.differs("predictions", place, told, [*strange, *lacking][:NAMED])
        return
    tasks = evidence.tasks
    root = next(iter(tasks.values()))
    own = np.array([meant[name][1] for name in ids], dtype=np.int64)
    mapped = map_labels(own, root, task_of(about["task"]), tasks)
    for what, wrong, stored, expected in (
        ("labels", np.flatnonzero(mapped != labels), labels, mapped),
        ("lesions", np.flatnonzero([meant[name][0] != its for name, its in zip(ids, groups, strict=True)]), groups,
         [meant[name][0] for name in ids]),
    ):  # fmt: skip
        if len(wrong):
            named = ", ".join(str(ids[row]) for row in wrong[:NAMED])
            told = f"{what} of {len(wrong)} images are not those of {IMAGES}: {named}"
            first = int(wrong[0])
            report.differs("predictions", place, told, _plain(stored[first]), _plain(expected[first]))


def _columns(table: pa.Table, name: str, topic: str, report: Report) -> bool:
    """Whether the columns are those of the file, whole and of their kinds: no float is taken for a class."""
    from pyarrow import types

    def text(kind: pa.DataType) -> bool:
        inner = kind.value_type if types.is_dictionary(kind) else kind
        return bool(types.is_string(inner) or types.is_large_string(inner))

    def logits(kind: pa.DataType) -> bool:
        return bool(types.is_list(kind) and types.is_float32(kind.value_type))

    kinds: dict[str, tuple[str, Callable[[pa.DataType], bool]]] = {
        **dict.fromkeys(("id", "group", "split"), ("texts", text)), "label": ("integers", types.is_integer)
    }  # fmt: skip
    if name == PREDICTIONS:
        kinds |= {"predictions": ("texts", text), "logits": ("lists of float32", logits)}
    there = [one for one in table.column_names if name == PREDICTIONS or not one.startswith(ATTRIBUTE)]
    if len(set(table.column_names)) != table.num_columns or sorted(there) != sorted(kinds):
        report.differs(topic, name, "its columns are not those of such a file", sorted(there), sorted(kinds))
        return False
    good = True
    for column, (words, fits) in kinds.items():
        held = table.column(column)
        if not fits(held.type) or held.null_count:
            empty = f", {held.null_count} of them empty" if held.null_count else ""
            report.differs(topic, f"{name}: column {column}", "its kind", f"{held.type}{empty}", words)
            good = False
    return good


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
