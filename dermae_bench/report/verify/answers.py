"""`predictions.parquet` and `images.parquet` beside what the evidence says of them, and beside each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.plugin.data import Task
from dermae_bench.plugin.splits import Placement, split_digest
from dermae_bench.report.data_sets import GENERATED, DataSet, answered
from dermae_bench.report.evidence import IMAGES, PREDICTIONS, Evidence
from dermae_bench.report.verify.findings import UNUSABLE, Report, why
from dermae_bench.report.verify.provenance import Provenance
from dermae_bench.scoring.labels import map_labels, task_of

if TYPE_CHECKING:
    import pyarrow as pa

NAMED = 3
"""Images that a finding names."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images that were scored: (split, id) -> (group, label of the root task of their data set)."""

    facts: Mapping[tuple[str, str], tuple[str, int]]

    def of(self, split: str) -> dict[str, tuple[str, int]]:
        """id -> (group, label) of one split."""
        return {name: found for (its, name), found in self.facts.items() if its == split}


def check_images(table: pa.Table, evidence: Evidence, report: Report) -> Images | None:
    """Ids once in each data set, and per split the digest and the classes that the prepared data set has."""
    if not _columns(table, IMAGES, "images", report, evidence.sets):
        return None
    try:
        columns = [table.column(name).to_pylist() for name in ("id", "group", "split", "label")]
        rows = list(zip(*columns, strict=True))
        report.count("images", len(rows))
        for its in evidence.sets:
            _split_by_split(its, [row for row in rows if row[2] in {its.label(split) for split in its.splits}], report)
        known = {its.label(split): its for its in evidence.sets for split in its.splits}
        if strangers := {split for _, _, split, _ in rows} - known.keys():
            report.differs("images", IMAGES, "splits that are not scored", sorted(strangers))
        _of_others(table, known, report)
    except UNUSABLE as error:
        report.differs("images", IMAGES, f"it cannot be used: {why(error)}")
        return None
    return Images(facts={(split, name): (group, int(label)) for name, group, split, label in rows})


def _split_by_split(its: DataSet, rows: Sequence[tuple[str, str, str, int]], report: Report) -> None:
    """Args: rows: (id, group, split, label) of the scored images of one data set."""
    classes = next(iter(its.tasks.values())).classes
    if (twice := len(rows) - len({name for name, _, _, _ in rows})) > 0:
        report.differs("images", IMAGES, f"{twice} ids stand twice")
    for split in its.splits:
        found = [(name, group, int(label)) for name, group, where, label in rows if where == its.label(split)]
        place = f"{IMAGES}: {its.label(split)}"
        digest = split_digest(Placement(name, group, split) for name, group, _ in found)
        meant = its.about["split"]["parts"][split]
        if digest != meant:
            told = "ids, groups or splits are not those whose digest is in evidence.json"
            report.differs("images", place, told, digest[:16], meant[:16])
        counts = Counter(classes[label] for _, _, label in found)
        for name, count in its.about["counts"][split].items():
            if counts[name] != count:
                report.differs("images", f"{place}: {name}", "images of this class", counts[name], count)


def _of_others(table: pa.Table, known: Mapping[str, DataSet], report: Report) -> None:
    """The attributes of one data set say nothing of the images of another."""
    prefixes = {its.prefix for its in known.values()}
    where = table.column("split").to_pylist() if len(prefixes) > 1 else []
    for column in table.column_names if where else ():
        owner = next((prefix for prefix in prefixes if column.startswith(prefix)), None)
        values = table.column(column).to_pylist() if owner is not None else []
        strange = [row for row, value in enumerate(values)
                   if value is not None and where[row] in known and known[where[row]].prefix != owner]  # fmt: skip
        if strange:
            told = f"it says something of {len(strange)} images of another data set"
            report.differs("images", f"{IMAGES}: column {column[:80]}", told, values[strange[0]])


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
            its = _as_planned(provenance.stages[key], evidence, about, place, report)
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
            if images is not None and about["split"] in map(its.label, its.splits):
                _beside_images(found.ids, found.groups, found.labels, about, its, images, place, report)
        except UNUSABLE as error:
            report.differs("predictions", place, f"they cannot be used: {why(error)}")


def _as_planned(
    stage: Mapping[str, Any], evidence: Evidence, about: Mapping[str, Any], place: str, report: Report
) -> DataSet:
    """Split, task and name are those of the stage, which its key holds fast; returns whose images they are."""
    work = stage["parts"]["work"]
    its = evidence.set_of(stage["parts"]["inputs"]["prepare"])
    split = work["images"][0].get("split")
    meant = {
        "name": stage["name"], "split": GENERATED if split is None else its.label(split), "task": answered(work),
    }  # fmt: skip
    for name, value in meant.items():
        if about[name] != value:
            report.differs("predictions", place, f"its {name} is not that of its stage", about[name], value)
    return its


def _beside_images(
    ids: Sequence[str],
    groups: Sequence[str],
    labels: NDArray[np.int64],
    about: Mapping[str, Any],
    its: DataSet,
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
    own = np.array([meant[name][1] for name in ids], dtype=np.int64)
    mapped = _mapped(own, task_of(about["task"]), its)
    for what, wrong, stored, expected in (
        ("labels", np.flatnonzero(mapped != labels), labels, mapped),
        ("lesions", np.flatnonzero([meant[name][0] != one for name, one in zip(ids, groups, strict=True)]), groups,
         [meant[name][0] for name in ids]),
    ):  # fmt: skip
        if len(wrong):
            named = ", ".join(str(ids[row]) for row in wrong[:NAMED])
            told = f"{what} of {len(wrong)} images are not those of {IMAGES}: {named}"
            first = int(wrong[0])
            report.differs("predictions", place, told, _plain(stored[first]), _plain(expected[first]))


def _mapped(labels: NDArray[np.int64], task: Task, its: DataSet) -> NDArray[np.int64]:
    """Labels of the root task of a data set as those of a task that was answered."""
    root = next(iter(its.tasks.values()))
    if not its.name:
        return map_labels(labels, root, task, its.tasks)
    # another data set has its own order of the same classes
    own = its.tasks[task.name]
    order = np.array([task.classes.index(name) for name in own.classes], dtype=np.int64)
    return np.asarray(order[map_labels(labels, root, own, its.tasks)], dtype=np.int64)


def _columns(table: pa.Table, name: str, topic: str, report: Report, sets: Sequence[DataSet] = ()) -> bool:
    """Whether the columns are those of the file, whole and of their kinds: no float is taken for a class.

    Args:
        sets: whose attributes may be there.
    """
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
    there = [one for one in table.column_names if not any(one.startswith(its.prefix) for its in sets)]
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
