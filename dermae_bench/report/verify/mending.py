"""What makes damaged entries of the store again: a plain run, or one that is forced to."""

from __future__ import annotations

import glob
import shlex

from dermae_bench.report.escape import public
from dermae_bench.report.verify.findings import Report
from dermae_bench.report.verify.planned import Plan
from dermae_bench.report.verify.provenance import Provenance
from dermae_bench.report.verify.stored import Entries
from dermae_bench.store.manifests import Damaged

AGAIN = "`dermae-bench run SUITE`"


def tell_mending(entries: Entries, plan: Plan | None, provenance: Provenance, report: Report) -> None:
    """Note for each damaged entry what makes it again.

    A run looks at manifests and sizes of all its stages. Bytes are read by the stages that it has to do, so damage that
    shows in them alone is met where a reader of the entry is missing or damaged itself. What a report reads is met
    by a run that makes the report anew, too, but whether it does cannot be told here.

    Args:
        plan: None where the suite cannot be planned here; then only finished stages are known to read anything.
    """
    met = _met(entries, plan, provenance) if entries.damaged else set()
    for key, kind in entries.damaged.items():
        if key in met:
            report.note(f"{kind}/{key} is damaged; {AGAIN} makes it again")
            continue
        try:
            name = entries.store.read_manifest(kind, key).name
        except Damaged:
            # it is none of the folder's stages, so no run of its suite makes it
            continue
        # a name is no pattern, and whoever wrote it may have meant a shell
        force = f"{AGAIN[:-1]} --force {shlex.quote(glob.escape(name))}`"
        report.note(f"{kind}/{key} is damaged, and no stage that is left to do reads it; {force} makes it again")


def _met(entries: Entries, plan: Plan | None, provenance: Provenance) -> set[str]:
    """Keys of what a plain run makes: what is missing or damaged at a glance, and what it then meets by reading."""
    store, damaged = entries.store, entries.damaged
    met = {
        key
        for key, stage in provenance.stages.items()
        if entries.whole(stage["kind"], key) is None
        and (key not in damaged or store.damage(stage["kind"], key) is not None)
    }
    named: dict[str, set[str]] = {}
    for key, stage in provenance.stages.items():
        named.setdefault(str(stage["name"]), set()).add(key)
    for planned in plan.stages if plan is not None else ():
        # keys of the plan need not be those of the store, so that unfinished stages are known by their names
        if str(public(planned.name)) not in named and not store.has(planned.kind, planned.key):
            for source in planned.inputs.values():
                met |= named.get(str(public(source.name)), set()) & damaged.keys()
    reading = [*met]
    while reading:
        key = reading.pop()
        found = {source for source in provenance.inputs(key).values() if source in damaged} - met
        met |= found
        reading += found
    return met
