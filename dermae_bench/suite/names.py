"""Checks of a suite that need no plugin: names that are used must exist, numbers must add up, nothing goes in circles.

Everything here works on the normalised JSON of the suite, parts of which may be wrong already: what has not the
expected type is passed over, since the type check has reported it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dermae_bench.plugin.checking import Finding, Path, dotted, suggestion
from dermae_bench.suite.measuring import BARE, column_findings, metric_findings
from dermae_bench.suite.places import SPLITS, entries, image_sets_of, samples_in, specs, texts

NAMED_SECTIONS = (
    "budgets", "weights", "extractors", "generators", "image_sets", "figures", "pretrained", "classifiers",
)  # fmt: skip

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", re.ASCII)
TAKEN = frozenset({"store", "reference"})
"""Folders of `results/` that are no suite's."""
_SUITE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}", re.ASCII)


def name_findings(suite: Mapping[str, Any]) -> Iterator[Finding]:
    """All findings that need neither plugins nor data."""
    yield from _own_names(suite)
    yield from _seeds_and_tasks(suite)
    yield from _budgets(suite)
    yield from _references(suite)
    yield from _image_sets(suite)
    yield from _classifiers(suite)
    yield from metric_findings(suite)
    yield from _duplicates(suite)


def _own_names(suite: Mapping[str, Any]) -> Iterator[Finding]:
    name = suite.get("suite")
    if isinstance(name, str) and not _SUITE_NAME.fullmatch(name):
        hint = "it names a folder: lower-case letters, digits, `-`, `_`, `.`, at most 80, the first a letter or digit"
        yield Finding(("suite",), f"{name[:80]!r} cannot be the name of a suite", hint)
    elif isinstance(name, str) and name in TAKEN:
        yield Finding(("suite",), f"{name!r} cannot be the name of a suite", "that folder of results has another use")
    for section in NAMED_SECTIONS:
        for at, _ in entries(suite, section):
            if section == "image_sets" and at[-1] in SPLITS:
                yield Finding(
                    at, f"{at[-1]!r} is always there and cannot be redefined", "choose another name", on_key=True
                )
            elif section == "figures" and at[-1] == "samples":
                hint = "a picture of that name shows the first images of every row; choose another name"
                yield Finding(at, "'samples' cannot be the name of a figure", hint, on_key=True)
            elif not NAME.fullmatch(str(at[-1])):
                hint = "letters, digits, `.`, `_`, `-`, at most 80, the first a letter or digit"
                yield Finding(at, f"{str(at[-1])[:80]!r} cannot be a name", hint, on_key=True)


def _seeds_and_tasks(suite: Mapping[str, Any]) -> Iterator[Finding]:
    for role, seeds in (suite.get("seeds") or {}).items() if isinstance(suite.get("seeds"), dict) else ():
        if not isinstance(seeds, list):
            continue
        if not seeds:
            yield Finding(("seeds", role), f"at least one {role} seed is needed")
        earlier: set[int] = set()
        for i, seed in enumerate(seeds):
            if not isinstance(seed, int):
                continue
            if seed < 0:
                yield Finding(("seeds", role, i), f"seed {seed} is negative")
            elif seed in earlier:
                yield Finding(("seeds", role, i), f"seed {seed} is given twice")
            earlier.add(seed)
    if suite.get("tasks") == []:
        yield Finding(("tasks",), "at least one task is needed")


def _budgets(suite: Mapping[str, Any]) -> Iterator[Finding]:
    for at, budget in specs(suite, "budgets"):
        select = budget.get("select")
        if isinstance(select, str) and select != "last":
            kind, _, metric = select.partition(":")
            if kind != "best" or not metric:
                yield Finding((*at, "select"), f"{select!r} selects nothing", "valid: last, best:<prediction metric>")
            elif metric in BARE:
                yield Finding((*at, "select"), f"a bare {metric!r} does not exist", BARE[metric])
        phases, steps = budget.get("phases"), budget.get("steps")
        if isinstance(phases, dict) and phases and all(isinstance(count, int) for count in phases.values()):
            for phase, count in phases.items():
                if count < 1:
                    yield Finding((*at, "phases", phase), f"phase {phase!r} needs at least one step")
            if isinstance(steps, int) and sum(phases.values()) != steps:
                hint = f"change steps to {sum(phases.values())}, or the phases"
                yield Finding((*at, "phases"), f"the phases add up to {sum(phases.values())} steps, not {steps}", hint)


def _references(suite: Mapping[str, Any]) -> Iterator[Finding]:
    known = {section: suite.get(section, {}) for section in NAMED_SECTIONS} | {"image_sets": image_sets_of(suite)}

    def found(section: str, word: str, value: Any, at: Path) -> Iterator[Finding]:
        names = known[section]
        for place, name in texts(value, at):
            if isinstance(names, dict) and name not in names:
                yield Finding(place, f"unknown {word} {name!r}", suggestion(name, names, section.replace("_", " ")))

    for section in ("generators", "pretrained", "classifiers"):
        for at, entry in specs(suite, section):
            yield from found("budgets", "budget", entry.get("budget"), (*at, "budget"))
            if section != "classifiers":
                yield from found("image_sets", "image set", entry.get("images"), (*at, "images"))
    for at, part in samples_in(suite):
        yield from found("generators", "generator", part.get("samples"), (*at, "samples"))
    for at, entry in entries(suite, "image_sets"):
        yield from found("image_sets", "image set", entry, at)
    for at, row in specs(suite, "generator_rows"):
        yield from found("generators", "generator", row.get("samples"), (*at, "samples"))
        if row.get("sampling") == []:
            yield Finding((*at, "sampling"), "the list is empty")
        against = row.get("against")
        if isinstance(against, str) and against not in SPLITS:
            hint = suggestion(against, SPLITS)
            yield Finding((*at, "against"), f"distances are measured to real images, not to {against!r}", hint)
    for at, figure in specs(suite, "figures"):
        yield from found("generators", "generator", figure.get("samples"), (*at, "samples"))
    for at, row in specs(suite, "rows"):
        yield from found("classifiers", "classifier", row.get("classifiers"), (*at, "classifiers"))
        yield from found("image_sets", "image set", row.get("train"), (*at, "train"))
    for at, entry in specs(suite, "classifiers"):
        yield from found("pretrained", "pretrained encoder", entry.get("init"), (*at, "init"))
        source = entry.get("from")
        if isinstance(source, dict):
            yield from found("generators", "generator", source.get("generator"), (*at, "from", "generator"))
    pairs = [((*at, "teacher"), entry.get("teacher")) for at, entry in specs(suite, "classifiers")]
    pairs += [((*at, "judge"), entry.get("judge")) for at, entry in specs(suite, "sample_metrics")]
    for at, pair in pairs:
        if isinstance(pair, dict):
            yield from found("classifiers", "classifier", pair.get("classifier"), (*at, "classifier"))
            yield from found("image_sets", "image set", pair.get("train"), (*at, "train"))
    for at, entry in specs(suite, "sample_metrics"):
        yield from found("extractors", "extractor", entry.get("extractor"), (*at, "extractor"))
        yield from found("classifiers", "classifier", entry.get("classifier"), (*at, "classifier"))


def _image_sets(suite: Mapping[str, Any]) -> Iterator[Finding]:
    for at, part in samples_in(suite):
        if (part.get("count") is None) == (part.get("per_class") is None):
            yield Finding(at, "samples need exactly one of count and per_class", "for example per_class: balance")
    for section in ("image_sets", "generators", "figures", "pretrained", "rows", "generator_rows"):
        for at, entry in entries(suite, section):
            fields = {"": entry} if section == "image_sets" else entry if isinstance(entry, dict) else {}
            for key in ("", "images", "train", "samples", "classifiers"):
                if fields.get(key) == []:
                    yield Finding((*at, key) if key else at, "the list is empty")


def _classifiers(suite: Mapping[str, Any]) -> Iterator[Finding]:
    for at, entry in specs(suite, "classifiers"):
        if entry.get("from") is None:
            for key in ("plugin", "budget"):
                if entry.get(key) is None:
                    hint = "a classifier has plugin and budget, or from: {generator: NAME}"
                    yield Finding(at, f"missing key {key!r} in {dotted(at)}", hint)
            continue
        for key in ("plugin", "budget", "init", "teacher", "derive", "params"):
            if entry.get(key):
                hint = "a joint model is declared under generators, with its params and budget"
                yield Finding((*at, key), f"{key!r} has no place beside 'from'", hint, on_key=True)


def _duplicates(suite: Mapping[str, Any]) -> Iterator[Finding]:
    lists: list[tuple[Path, Any]] = [
        ((key,), suite.get(key)) for key in ("tasks", "prediction_metrics", "sample_metrics", "subgroups")
    ]
    lists += entries(suite, "image_sets")
    asked = (
        ("generators", ("images",)),
        ("figures", ("samples",)),
        ("pretrained", ("images",)),
        ("generator_rows", ("samples", "sampling")),
    )
    for section, keys in asked:
        lists += [((*at, key), entry.get(key)) for at, entry in specs(suite, section) for key in keys]
    lists += [((*at, key), entry.get(key)) for at, entry in specs(suite, "rows") for key in ("classifiers", "train")]
    for at, held in lists:
        if not isinstance(held, list):
            continue
        # canonical text finds equal mappings in linear time
        seen: set[str] = set()
        for i, item in enumerate(held):
            text = repr(item) if isinstance(item, str) else repr(sorted(item.items())) if isinstance(item, dict) else ""
            if text and text in seen:
                what = repr(item) if isinstance(item, str) else "this entry"
                yield Finding((*at, i), f"{what} is given twice", "remove one")
            seen.add(text)
    yield from _duplicate_rows(suite)
    yield from column_findings(suite)


def _duplicate_rows(suite: Mapping[str, Any]) -> Iterator[Finding]:
    seen: dict[tuple[str, ...], Path] = {}
    for section, key in (("rows", "classifiers"), ("generator_rows", "samples")):
        for at, row in specs(suite, section):
            others = repr(sorted((name, value) for name, value in row.items() if name != key))
            for place, name in texts(row.get(key), (*at, key)):
                first = seen.setdefault((section, name, others), at)
                if first != at:
                    message = (
                        f"{name!r} stands in entry {int(first[1]) + 1} of {section} with the same settings already"
                    )
                    yield Finding(place, message, "remove one")
