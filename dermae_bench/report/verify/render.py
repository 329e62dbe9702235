"""A check of a results folder, for people and for machines."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

from dermae_bench.report.escape import json_ascii, visible
from dermae_bench.report.verify.findings import STORE, Finding, Report
from dermae_bench.report.verify.mending import AGAIN

SHOWN = 12
"""Findings of one topic, and things left unchecked, that are printed; JSON has more."""


def json_report(report: Report) -> str:
    """Everything, as JSON."""
    about = {
        "folder": report.folder,
        "store": report.store,
        "verdict": verdict(report),
        "checked": report.checked,
        "differences": report.counts,
        "findings": [asdict(item) for item in report.findings],
        "unchecked": [asdict(item) for item in report.unchecked],
        "notes": report.notes,
    }
    return json_ascii(json.dumps(about, indent=1, ensure_ascii=True))


def terminal_report(report: Report) -> str:
    """What was checked, with counts; then what differs; then what is left."""
    lines = [f"{'checked':<34}{'compared':>12}{'differ':>9}"]
    for topic, count in report.checked.items():
        lines.append(f"{topic:<34}{count:>12,}{report.counts.get(topic, 0):>9,}")
    topics: dict[str, list[Finding]] = {}
    for item in report.findings:
        topics.setdefault(item.topic, []).append(item)
    for topic, found in topics.items():
        lines += ["", f"{topic}:"]
        for item in found[:SHOWN]:
            lines.append(f"  {visible(item.place)}: {visible(item.message)}{_values(item)}")
        if report.counts[topic] > SHOWN:
            lines.append(f"  ... {report.counts[topic] - SHOWN:,} more; --format json lists up to 1,000 of a topic")
    lines += _left(report)
    lines += [f"note: {visible(text)}" for text in report.notes]
    return "\n".join([*lines, "", verdict(report)])


def verdict(report: Report) -> str:
    """The outcome in one line."""
    differ = sum(report.counts.values())
    if differ:
        found = f"{report.folder}: {differ:,} difference{'s' if differ > 1 else ''}"
        if {*report.counts} == {STORE}:
            told = "its numbers are what its evidence gives"
            if report.left:
                told = f"no number that was checked differs, but {_unchecked(report.left)}"
            return f"{found}, all in the store behind it: {told}"
        if report.other_version:
            return (
                f"{found} from what this version makes of its evidence; another version scored it (notes above): only "
                "with that version can a change of the code be told from a change of the numbers"
            )
        return f"{found}: its numbers are not what its evidence gives"
    if report.left:
        return f"{report.folder}: inconclusive: nothing differs, but {_unchecked(report.left)}"
    unchecked = sum(item.numbers for item in report.unchecked)
    but = f"; {unchecked:,} numbers need the store and were left out" if unchecked else ""
    return f"{report.folder}: every number that was checked is what its evidence gives{but}"


def _unchecked(count: int) -> str:
    return f"{count:,} number{'s are' if count > 1 else ' is'} not checked"


def _left(report: Report) -> list[str]:
    if not report.unchecked:
        return []
    words = {
        "store": "need the store, which is not here: give its place by --results, or say --no-store",
        "entry": f"need entries of the store that are missing or damaged: {AGAIN} makes missing ones again",
        "run": "have to be made first: run the suite",
        "plugin": "need a plugin that is not here: install it, or give its folder by --plugins-dir",
        "version": "were planned by another version of dermae-bench or of a plugin: check them with that version",
        "row": "are of rows that are shown without them: run the suite, or check with the store of the run",
        "file": "need a file that is not here",
    }
    numbers = Counter[str]()
    for item in report.unchecked:
        numbers[item.needs] += item.numbers
    lines = [""]
    for needs, count in numbers.items():
        lines.append(f"not checked: {count:,} numbers {words[needs]}")
        named = list(dict.fromkeys(item.what for item in report.unchecked if item.needs == needs))
        lines += [f"  {visible(what)}" for what in named[:SHOWN]]
        lines += [f"  ... {len(named) - SHOWN:,} more"] if len(named) > SHOWN else []
    return lines


def _values(item: Finding) -> str:
    if item.stored is None and item.expected is None:
        return ""
    if item.expected is None:
        return f" (here {_value(item.stored)})"
    return f" (here {_value(item.stored)}, should be {_value(item.expected)})"


def _value(value: Any) -> str:
    return visible(json.dumps(value, ensure_ascii=False, default=str), 100)
