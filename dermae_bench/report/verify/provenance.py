"""What every number is made of, down to the data: the parts of all keys, kept in `evidence.json`.

A key is the digest of its parts, and parts hold the keys of the inputs. So whoever changes one parameter of one stage
changes the keys of everything behind it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermae_bench.durable import digest_file
from dermae_bench.report.escape import public, without_paths
from dermae_bench.report.verify.findings import UNUSABLE, Report, why
from dermae_bench.suite.stage import key_of

if TYPE_CHECKING:
    from dermae_bench.report.collect import Collector

TOPIC = "keys"
KINDS = frozenset({"prepare", "train", "sample", "extract", "predict", "score", "cost"})
KEY = re.compile("[0-9a-f]{32}")
CUT = without_paths("/folder/")
"""What stands in a text where the folder of a path was cut."""


def described(collector: Collector) -> dict[str, Any]:
    """The parts of every finished stage, the sources of the harness once a kind, costs by row, the published table."""
    harness: dict[str, Any] = {}
    stages: dict[str, Any] = {}
    for stage in collector.stages:
        if collector.manifest(stage) is None:
            continue
        own = {name: value for name, value in stage.parts.items() if name != "harness"}
        # all stages of a kind are planned by one version of the harness
        harness.setdefault(stage.kind, stage.parts["harness"])
        stages[stage.key] = {"kind": stage.kind, "name": stage.name, "parts": own}
    reference = collector.suite.reference
    return {
        "harness": harness,
        "stages": stages,
        "costs": [
            {"board": row.board, "row": row.row, "key": row.cost.key}
            for row in collector.rows
            if row.cost is not None and collector.manifest(row.cost) is not None
        ],
        "reference": None
        if reference is None
        else {"file": Path(reference).name, "sha256": digest_file(Path(reference))},
    }


class Provenance:
    """The stages behind a results folder, as its evidence describes them."""

    def __init__(self, about: Mapping[str, Any]) -> None:
        self.about = about
        self.harness: Mapping[str, Any] = about["harness"]
        self.stages: Mapping[str, Mapping[str, Any]] = about["stages"]

    def parts(self, key: str) -> dict[str, Any]:
        """Everything that a key is the digest of."""
        stage = self.stages[key]
        return {**stage["parts"], "harness": self.harness[stage["kind"]]}

    def inputs(self, key: str) -> Mapping[str, str]:
        """Role -> key of what a stage reads."""
        found: Mapping[str, str] = self.stages[key]["parts"]["inputs"]
        return found


def check_keys(provenance: Provenance, scores: Any, report: Report, *, stored: bool) -> None:
    """Every key is the digest of its parts, every input is there, and scores are what their stages say.

    Args:
        stored: there is a store, whose manifests have the parts whole.
    """
    for key, stage in provenance.stages.items():
        place = f"evidence.json: stage {str(stage.get('name'))[:120]}"
        try:
            parts = provenance.parts(key)
            if KEY.fullmatch(key) is None or stage["kind"] not in KINDS or parts["kind"] != stage["kind"]:
                report.differs(TOPIC, place, "it has no key or kind that a stage can have", key[:80])
                continue
            report.count(TOPIC)
            if public(parts) != parts:
                # the run cut such texts before it wrote them
                report.differs(TOPIC, place, "its parts name a folder of a machine: they were changed")
            elif (found := key_of(parts)) != key:
                if not _cut(parts):
                    report.differs(TOPIC, place, "its parts give another key: they were changed", key, found)
                elif not stored:
                    report.skip(f"key of {stage['name']}: its parts named a folder, which was cut", "store")
            for role, source in parts["inputs"].items():
                if source not in provenance.stages:
                    report.differs(TOPIC, place, f"what it reads as {role!r} is not described", source)
        except UNUSABLE as error:
            report.differs(TOPIC, place, f"it cannot be used: {why(error)}")
    known_scores = {score.key for score in scores}
    for key, stage in provenance.stages.items():
        # lints of the data belong to no row
        scored = stage.get("kind") == "score" and stage["parts"]["work"].get("of") in {"predictions", "samples"}
        if scored and key not in known_scores:
            place = f"evidence.json: stage {str(stage.get('name'))[:120]}"
            report.differs(TOPIC, place, "it is finished, and no score of a row: it was taken out")
    for score in scores:
        place = f"evidence.json: score {score.name[:120]}"
        known = provenance.stages.get(score.key)
        if known is None:
            report.differs(TOPIC, place, "no stage with this key is described", score.key)
            continue
        report.count(TOPIC)
        inputs = {role: about["key"] for role, about in score.inputs.items()}
        kinds = {role: provenance.stages.get(about["key"], {}).get("kind") for role, about in score.inputs.items()}
        told = {"name": score.name, "work": score.work, "of": score.of, "inputs": inputs, "kinds": kinds}
        meant = {
            "name": known["name"], "work": known["parts"]["work"], "of": known["parts"]["work"]["of"],
            "inputs": known["parts"]["inputs"], "kinds": {r: about["kind"] for r, about in score.inputs.items()},
        }  # fmt: skip
        for name, value in told.items():
            if value != meant[name]:
                report.differs(TOPIC, place, f"its {name} are not those of its stage", value, meant[name])


def _cut(value: Any) -> bool:
    """Whether a folder was cut from a text."""
    if isinstance(value, Mapping):
        return any(_cut(item) for item in value.values())
    if isinstance(value, list):
        return any(_cut(item) for item in value)
    return isinstance(value, str) and CUT in value
