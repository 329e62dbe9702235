"""Checks of a suite that need no plugin: names that are used must exist, numbers must add up, nothing goes in circles.

Everything here works on the normalised JSON of the suite, parts of which may be wrong already: what has not the
expected type is passed over, since the type check has reported it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dermae_bench.plugin.checking import Finding, Path, dotted, suggestion

SPLITS = ("train", "val", "test")
CLASS_AGREEMENT = "class-agreement"
"""A word of the harness: how often a judge sees the class that was asked for."""
NAMED_SECTIONS = (
    "budgets", "weights", "extractors", "generators", "image_sets", "figures", "pretrained", "classifiers",
)  # fmt: skip

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", re.ASCII)
TAKEN = frozenset({"store", "reference"})
"""Folders of `results/` that are no suite's."""
_SUITE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}", re.ASCII)
CAS = "cas"
"""A word of the harness: classification accuracy score, of a classifier that learnt from samples, on real images."""
PLANNED = (CLASS_AGREEMENT, CAS)
"""Sample metrics that are rows of the plan, and no plugins."""
BARE = {
    "f1": "say how classes are averaged: f1-macro, f1-weighted or f1-positive",
    "f1-score": "say how classes are averaged: f1-macro, f1-weighted or f1-positive",
    "acc": "say how classes are averaged: accuracy (micro) or balanced-accuracy (macro recall)",
    "fid": "say whose features: fd with an extractor; fd[inception-v3-tf] is the only one called FID, "
    "fd[tf-efficientnet-lite0] the default",
    "auc": "say how classes are averaged: auc-ovr-macro, or auc-binary for the task's positive class",
    "auroc": "say how classes are averaged: auc-ovr-macro, or auc-binary for the task's positive class",
    "pauc": "say which part of the curve: pauc-above-80-sensitivity (ISIC 2024)",
    "ap": "say how classes are averaged: ap-ovr-macro, or ap-binary for the task's positive class",
    "auprc": "say how classes are averaged: ap-ovr-macro, or ap-binary for the task's positive class",
    "average-precision": "say how classes are averaged: ap-ovr-macro, or ap-binary for the task's positive class",
    "sensitivity": "say at which operating point: sensitivity-at-80-specificity, -90- or -95-; "
    "recall at argmax stands per class beside balanced-accuracy",
    "specificity": "say at which operating point: specificity-at-95-sensitivity",
    "precision": "for classifiers f1-macro shows it per class; for generators prdc with an extractor",
    "recall": "for classifiers balanced-accuracy is its mean over classes; for generators prdc with an extractor",
    "inception-score": "it does not see the real images: fd or kid with an extractor",
}
"""Names that could mean several numbers -> those that each mean one."""


def texts(value: Any, at: Path) -> Iterator[tuple[Path, str]]:
    """Names in a field that holds one name or a list of them, each with its place."""
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, list):
        yield from (((*at, i), item) for i, item in enumerate(value) if isinstance(item, str))


def entries(suite: Mapping[str, Any], section: str) -> Iterator[tuple[Path, Any]]:
    """Entries of a section with their places, mappings and lists alike."""
    held = suite.get(section)
    if isinstance(held, dict):
        yield from (((section, name), entry) for name, entry in held.items())
    elif isinstance(held, list):
        yield from (((section, i), entry) for i, entry in enumerate(held))


def specs(suite: Mapping[str, Any], section: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Entries of a section that are mappings."""
    return ((at, entry) for at, entry in entries(suite, section) if isinstance(entry, dict))


def samples_in(suite: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every `{samples: ...}` under `image_sets`, alone or in a list."""
    for at, entry in entries(suite, "image_sets"):
        parts = enumerate(entry) if isinstance(entry, list) else ()
        inner = [(at, entry), *(((*at, i), part) for i, part in parts)]
        yield from ((place, part) for place, part in inner if isinstance(part, dict))


def image_sets_of(suite: Mapping[str, Any]) -> dict[str, Any]:
    """Image sets by name; None for the real splits."""
    held = suite.get("image_sets")
    return {**(held if isinstance(held, dict) else {}), **dict.fromkeys(SPLITS)}


def name_findings(suite: Mapping[str, Any]) -> Iterator[Finding]:
    """All findings that need neither plugins nor data."""
    yield from _own_names(suite)
    yield from _seeds_and_tasks(suite)
    yield from _budgets(suite)
    yield from _references(suite)
    yield from _image_sets(suite)
    yield from _classifiers(suite)
    yield from _metrics(suite)
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
        for i, seed in enumerate(seeds):
            if isinstance(seed, int) and seed < 0:
                yield Finding(("seeds", role, i), f"seed {seed} is negative")
            elif seed in seeds[:i]:
                yield Finding(("seeds", role, i), f"seed {seed} is given twice")
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


def _metrics(suite: Mapping[str, Any]) -> Iterator[Finding]:
    for at, name in prediction_metrics(suite):
        if name in BARE:
            yield Finding(at, f"a bare {name!r} does not exist", BARE[name])
    for at, entry in specs(suite, "sample_metrics"):
        metric = entry.get("metric")
        if not isinstance(metric, str):
            continue
        judge = entry.get("judge")
        if metric in BARE:
            yield Finding((*at, "metric"), f"a bare {metric!r} does not exist", BARE[metric])
        elif metric in PLANNED:
            yield from _planned_metric(suite, at, entry)
        else:
            if judge is not None:
                yield Finding((*at, "judge"), f"only {CLASS_AGREEMENT} has a judge", on_key=True)
            if entry.get("classifier") is not None:
                yield Finding((*at, "classifier"), f"only {CAS} trains a classifier", on_key=True)
    for section, key in (("subgroups", ""), ("sample_metrics", "by")):
        for at, entry in entries(suite, section):
            held = entry if not key else entry.get(key) if isinstance(entry, dict) else None
            bands = held.get("bands") if isinstance(held, dict) else None
            numbers = isinstance(bands, list) and all(isinstance(limit, int | float) for limit in bands)
            if isinstance(bands, list) and numbers and (not bands or sorted(set(bands)) != bands):
                place = (*at, key, "bands") if key else (*at, "bands")
                yield Finding(place, "bands need ascending limits, at least one", "for example bands: [40, 60]")
            join = held.get("join") if isinstance(held, dict) else None
            values = [v for part in join.values() if isinstance(part, list) for v in part] if join else []
            twice = sorted({value for value in values if values.count(value) > 1}, key=str)
            if twice:
                place = (*at, key, "join") if key else (*at, "join")
                yield Finding(place, f"{twice[0]!r} stands in two subgroups", "each value belongs to one")


def _only_samples(suite: Mapping[str, Any], at: Path, entry: Mapping[str, Any]) -> Iterator[Finding]:
    """What learns from a teacher, an encoder or another generator does not learn from these samples alone."""
    found = dict(specs(suite, "classifiers")).get(("classifiers", str(entry.get("classifier"))), {})
    for key, what in (("teacher", "a teacher"), ("init", "a pretrained encoder"), ("from", "a joint generator")):
        if found.get(key) is not None:
            message = f"{CAS} is of a classifier that learns from samples alone; {entry['classifier']!r} has {what}"
            yield Finding((*at, "classifier"), message, "choose a classifier without it")


def _planned_metric(suite: Mapping[str, Any], at: Path, entry: Mapping[str, Any]) -> Iterator[Finding]:
    """Metrics that the plan itself makes, from a classifier."""
    metric = entry["metric"]
    own, example = ("judge", "judge: {classifier: NAME, train: train}")
    if metric == CAS:
        own, example = ("classifier", "classifier: NAME")
    if entry.get(own) is None:
        yield Finding(at, f"{metric} needs a {own}", example)
    if metric == CAS:
        yield from _only_samples(suite, at, entry)
    for key in ("extractor", "judge", "classifier", "by", "params"):
        if key != own and entry.get(key):
            why = "has no parameters" if key == "params" else f"reads images through its {own}, and takes no {key}"
            yield Finding((*at, key), f"{metric} {why}", on_key=True)


def prediction_metrics(suite: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Names of the prediction metrics with their places, written alone or with params."""
    for at, entry in entries(suite, "prediction_metrics"):
        if isinstance(entry, str):
            yield at, entry
        elif isinstance(entry, dict) and isinstance(entry.get("metric"), str):
            yield (*at, "metric"), entry["metric"]


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
    yield from _duplicate_columns(suite)


def _duplicate_columns(suite: Mapping[str, Any]) -> Iterator[Finding]:
    """Two entries that would fill one column: the board could not tell them apart."""
    seen: dict[tuple[str, ...], int] = {}
    for at, entry in specs(suite, "sample_metrics"):
        metric = entry.get("metric")
        # an entry that is wrong in itself is told of elsewhere
        if not isinstance(metric, str) or (metric == CLASS_AGREEMENT and entry.get("judge") is None):
            continue
        column = (metric, *(repr(entry.get(key)) for key in ("extractor", "classifier", "by")))
        first = seen.setdefault(column, int(at[-1]))
        if first != at[-1]:
            hint = "name the extractor a second time under another name"
            if metric in PLANNED:
                hint = "one judge a suite" if metric == CLASS_AGREEMENT else "one classifier a column"
            yield Finding(at, f"entry {first + 1} fills the same column already", hint)
    named: dict[str, int] = {}
    for at, name in prediction_metrics(suite):
        first = named.setdefault(name, int(at[1]))
        if first != at[1] and len(at) == 3:
            yield Finding(at, f"entry {first + 1} fills the same column already", "one set of params a suite")
    attributes: dict[str, int] = {}
    for at, entry in entries(suite, "subgroups"):
        attribute = entry.get("attribute") if isinstance(entry, dict) else entry
        first = attributes.setdefault(str(attribute), int(at[-1]))
        if first != at[-1] and isinstance(entry, dict):
            yield Finding(at, f"entry {first + 1} divides by {attribute!r} already", "one set of bands a suite")


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
