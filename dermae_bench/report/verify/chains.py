"""Stages of a plan beside the recorded ones, from scores down to the data: is this the model that the row names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dermae_bench.durable import canonical
from dermae_bench.report.escape import public
from dermae_bench.report.verify.findings import ABSENT, Report
from dermae_bench.report.verify.planned import TOPIC, Plan, is_unknown, unknown
from dermae_bench.report.verify.provenance import Provenance
from dermae_bench.suite.keys import harness_digests
from dermae_bench.suite.stage import Stage

MOST = 6
"""Differing fields of one stage that are named."""


class Chains:
    """Compares planned stages with recorded ones.

    Args:
        plan: made from the suite of the folder.
        provenance: what the folder records.
        report: what differs goes there, once a stage.
    """

    def __init__(self, plan: Plan, provenance: Provenance, report: Report) -> None:
        self.provenance = provenance
        self.report = report
        self.found: dict[str, str] = {}
        """Key in the plan -> recorded key."""
        self.behind: dict[str, str] = {}
        """The same, also of stages that another version planned otherwise."""
        self.aged = False
        """Whether another version planned anything otherwise."""
        self._fields: dict[tuple[str, str], frozenset[str]] = {}
        self._seen: dict[tuple[str, str], bool] = {}
        self._names: dict[str, set[str]] = {}
        self._loose: set[str] = set()
        self._planned = {str(public(stage.name)) for stage in plan.stages}

    def compare(self, stage: Stage, key: str, place: str) -> bool:
        """Name what a recorded stage, and all that it reads, was asked to do otherwise than the plan; True if nothing.

        Args:
            place: whose numbers the stage makes.
        """
        recorded = self.provenance.stages.get(key)
        if recorded is None:
            # named where the keys are checked
            return False
        pair = (stage.key, key)
        if pair in self._seen:
            return self._seen[pair]
        self._seen[pair] = True
        self.report.count(TOPIC)
        agrees = True
        for role, source in stage.inputs.items():
            if role in recorded["parts"]["inputs"]:
                agrees &= self.compare(source, recorded["parts"]["inputs"][role], place)
        # a stage that is named inside the work, by its key, is the same where all that it does is
        fields = [
            (at, stored, expected)
            for at, stored, expected in differing(recorded["parts"], stage)
            if not (isinstance(expected, str) and self.found.get(expected) == stored)
        ]
        roles = stage.inputs.keys() ^ recorded["parts"]["inputs"].keys()
        fields += [(f"inputs.{role}", role if role not in stage.inputs else ABSENT,
                    role if role in stage.inputs else ABSENT) for role in sorted(roles)]  # fmt: skip
        if fields and self._another_version(stage, key):
            at = ", ".join(at for at, _, _ in fields[:MOST])
            self.report.skip(f"{place}: {stage.name}: {at}", "version")
            self.aged = True
            self.behind[stage.key] = key
        else:
            for at, stored, expected in fields[:MOST]:
                told = f"{at} is not what suite.resolved.yaml asks for"
                self.report.differs(TOPIC, f"{place}: stage {public(stage.name)}", told, stored, expected)
        agrees &= not fields
        if agrees:
            self.found[stage.key] = self.behind[stage.key] = key
        self._names.setdefault(key, set()).add(str(public(stage.name)))
        if unknown(stage.parts["work"]) or any(source.key in self._loose for source in stage.inputs.values()):
            self._loose.add(stage.key)
            self._loose.add(key)
        self._seen[pair] = agrees
        return agrees

    def fields(self, stage: Stage, key: str) -> frozenset[str]:
        """Places of everything that differs between a planned and a recorded stage, down to the data."""
        recorded = self.provenance.stages.get(key)
        if recorded is None:
            return frozenset({"absent"})
        if (stage.key, key) not in self._fields:
            inputs = recorded["parts"]["inputs"]
            found = {at for at, _, _ in differing(recorded["parts"], stage)}
            found |= {f"inputs.{role}" for role in stage.inputs.keys() ^ inputs.keys()}
            for role, source in stage.inputs.items():
                if role in inputs:
                    found |= {f"{role}/{at}" for at in self.fields(source, inputs[role])}
            self._fields[stage.key, key] = frozenset(found)
        return self._fields[stage.key, key]

    def names(self) -> None:
        """Names of the recorded stages are those that the plan gives to what they do."""
        for key, stage in self.provenance.stages.items():
            name, place = stage["name"], f"evidence.json: stage {str(stage['name'])[:120]}"
            meant = self._names.get(key)
            if meant is None:
                harness = self.provenance.harness[stage["kind"]]
                told = "suite.resolved.yaml asks for no such stage"
                if harness != harness_digests(stage["kind"]):
                    self.report.skip(f"{place}: {told}", "version")
                elif "sha256" not in canonical(stage["parts"]["work"]):
                    # of two paths that were cut to the same one, the plan has one
                    self.report.differs(TOPIC, place, told)
            # two paths that were cut to the same one are one stage here, which has the name of the first
            elif name not in meant and (key not in self._loose or name in self._planned):
                self.report.differs(TOPIC, place, "it has the name of another stage", name, min(meant))

    def _another_version(self, stage: Stage, key: str) -> bool:
        """Whether sources that decide what a stage does were others in the run; its key holds their digests."""
        parts = self.provenance.parts(key)
        if parts["kind"] != stage.kind:
            return False
        plugins = parts["plugins"].keys() & stage.parts["plugins"].keys()
        # lints keep their own sources in their work
        return bool(
            parts["version"] != stage.parts["version"]
            or parts["harness"] != stage.parts["harness"]
            or parts["work"].get("sources") != stage.parts["work"].get("sources")
            or any(parts["plugins"][name] != stage.parts["plugins"][name] for name in plugins)
        )


def differing(recorded: Mapping[str, Any], stage: Stage) -> Iterator[tuple[str, Any, Any]]:
    """(place, recorded, planned) of what a stage was asked to do; contents of paths are left out."""
    if recorded["kind"] != stage.kind:
        yield "kind", recorded["kind"], stage.kind
    yield from _unequal(recorded["work"], _public(stage.parts["work"]), "work")
    plugins = sorted(recorded["plugins"]), sorted(map(str, public(stage.parts["plugins"])))
    if plugins[0] != plugins[1]:
        yield "plugins", *plugins


def _public(value: Any) -> Any:
    """`public`, but paths that stand in place of digests stay marked."""
    if is_unknown(value):
        return value
    if isinstance(value, Mapping):
        return {str(name): _public(item) for name, item in value.items()}
    return [_public(item) for item in value] if isinstance(value, list | tuple) else public(value)


def _unequal(stored: Any, planned: Any, at: str) -> Iterator[tuple[str, Any, Any]]:
    if is_unknown(planned) and isinstance(stored, Mapping) and set(stored) == {"sha256"}:
        return
    if isinstance(stored, Mapping) and isinstance(planned, Mapping):
        for name in [*planned, *(name for name in stored if name not in planned)]:
            yield from _unequal(stored.get(name, ABSENT), planned.get(name, ABSENT), f"{at}.{name}")
    elif isinstance(stored, list) and isinstance(planned, list) and len(stored) == len(planned):
        for place, (one, two) in enumerate(zip(stored, planned, strict=True)):
            yield from _unequal(one, two, f"{at}[{place}]")
    elif stored != planned or isinstance(stored, bool) != isinstance(planned, bool):
        yield at, stored, planned
