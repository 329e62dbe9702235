"""What can be said of a score of samples without the samples: its records, with all their facts but the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dermae_bench.report.collect import class_counts
from dermae_bench.report.evidence import Evidence, Score
from dermae_bench.report.verify.metrics import Metrics
from dermae_bench.report.verify.provenance import Provenance
from dermae_bench.scoring.records import record
from dermae_bench.scoring.samples import BY_CLASS

UNTOLD = ("extractor",)
"""Facts that only the stages' own summaries tell; all records of equal features have to agree in them."""


def columns_of(score: Score, evidence: Evidence, provenance: Provenance, metrics: Metrics) -> list[dict[str, Any]]:
    """Records without numbers, of the whole sets and inside each class; a count that is not known is None.

    Values of an attribute are those of images that may not be here: one record stands for all of them, with None as
    its value.

    Raises:
        NotHere: a metric is not installed.
        LookupError, TypeError: the evidence does not describe the images that were compared.
    """
    counts = _Counts(score, evidence, provenance)
    sizes = {role: counts.size(role) for role in ("generated", "real")}
    facts = {"data": evidence.prepared["data"], "image_size": evidence.prepared["size"], **score.work["facts"]}
    found = []
    for asked in score.work["metrics"]:
        metric = metrics(asked["metric"], asked["params"])
        named = [replace(one, name=one.name + score.work["suffix"]) for one in metric.columns(metric.config)]
        for part in _parts(asked["by"], sizes, counts):
            found += [record(column, None, {**facts, **part}) for column in named]
    return found


def _parts(by: Mapping[str, Any] | None, sizes: Mapping[str, int], counts: _Counts) -> Iterator[dict[str, Any]]:
    """Counts and subgroup of each part in which a metric is measured."""
    if by is None:
        yield {"n": sizes["generated"], "n_real": sizes["real"]}
    elif by["attribute"] == BY_CLASS:
        generated, real = counts.classes("generated"), counts.classes("real")
        for name in counts.task["classes"]:
            its = {"attribute": BY_CLASS, "value": name, "generated": "same"}
            yield {"n": generated.get(name), "n_real": real.get(name), "subgroup": its}
    else:
        its = {"attribute": by["attribute"], "value": None, "generated": "all"}
        yield {"n": sizes["generated"], "n_real": None, "subgroup": its}


class _Counts:
    """How many images each side of a comparison has, by what was asked for."""

    def __init__(self, score: Score, evidence: Evidence, provenance: Provenance) -> None:
        self.sides: Mapping[str, Any] = score.work["sides"]
        self.task: Mapping[str, Any] = score.work["task"] or {"classes": ()}
        self.inputs = score.inputs
        self.prepared = evidence.prepared
        self.provenance = provenance

    def size(self, role: str) -> int:
        side = self.sides[role]
        limit: int | None = side["limit"]
        if "noise" in side["images"][0]:
            return int(side["limit"])
        whole = sum(self._images(item) for item in _spelled(side["images"]))
        return whole if limit is None else min(limit, whole)

    def classes(self, role: str) -> Mapping[str, int]:
        """Images of each class, where that is known: of whole splits, and of samples drawn class by class."""
        side = self.sides[role]
        if "noise" in side["images"][0] or side["limit"] is not None:
            return {}
        found: dict[str, int] = {}
        for item in _spelled(side["images"]):
            each = self._classes(item)
            if not each:
                return {}
            for name, count in each.items():
                found[name] = found.get(name, 0) + count
        return found

    def _images(self, item: Mapping[str, Any]) -> int:
        if "split" in item:
            return sum(self.prepared["counts"][item["split"]].values())
        work = self._drawn(item)
        if work.get("count") is not None:
            return int(work["count"])
        return int(work["per_class"]) * len(work["model"]["task"]["classes"])

    def _classes(self, item: Mapping[str, Any]) -> Mapping[str, int]:
        if "split" in item:
            known = class_counts(self.prepared).get(self.task.get("name", ""), {})
            return {name: counts[item["split"]] for name, counts in known.items()}
        work = self._drawn(item)
        if work.get("per_class") is None or work["model"]["task"]["name"] != self.task.get("name"):
            return {}
        return {name: int(work["per_class"]) for name in work["model"]["task"]["classes"]}

    def _drawn(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.provenance.stages[self.inputs[item["samples"]]["key"]]["parts"]["work"]
        return found


def _spelled(images: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The parts of a set, with the splits of `held_out` one by one."""
    for item in images:
        if "held_out" in item:
            yield from ({"split": name} for name in item["held_out"].split("+"))
        else:
            yield item
