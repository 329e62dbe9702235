"""Checks of a suite that need no plugin: names that are used must exist, numbers must add up, nothing goes in circles.

Everything here works on the normalised JSON of the suite, parts of which may be wrong already: what has not the
expected type is passed over, since the type check has reported it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Any

from dermae_bench.plugin.checking import Finding, Path, dotted, suggestion
from dermae_bench.suite.measuring import BARE, column_findings, metric_findings
from dermae_bench.suite.places import SPLITS, asked_of, chosen_in, entries, image_sets_of, samples_in, specs, texts

NAMED_SECTIONS = (
    "evaluate_on", "budgets", "weights", "extractors", "captions", "generators", "image_sets", "figures", "pretrained",
    "classifiers",
)  # fmt: skip

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", re.ASCII)
FIELD = r"[A-Za-z_][A-Za-z0-9_ -]*"
"""What a template of captions may name."""
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
    yield from _extractors(suite)
    yield from _captions(suite)
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
            if section == "evaluate_on" and at[-1] in SPLITS:
                message = f"{at[-1]!r} is a split of the suite's own data, and names no other set"
                yield Finding(at, message, "choose another name", on_key=True)
            elif section == "image_sets" and at[-1] in SPLITS:
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
            if section == "generators":
                yield from found("captions", "entry of captions", entry.get("captions"), (*at, "captions"))
            if section != "classifiers":
                yield from found("image_sets", "image set", entry.get("images"), (*at, "images"))
    asking = [*samples_in(suite), *specs(suite, "generator_rows"), *specs(suite, "figures")]
    for at, part in asking:
        yield from found("captions", "entry of captions", part.get("captions"), (*at, "captions"))
    for at, part in samples_in(suite):
        yield from found("generators", "generator", part.get("samples"), (*at, "samples"))
    for at, entry in entries(suite, "image_sets"):
        yield from found("image_sets", "image set", entry, at)
    for at, row in specs(suite, "generator_rows"):
        yield from found("generators", "generator", row.get("samples"), (*at, "samples"))
        subsets, count = row.get("subsets"), row.get("count")
        for number, n in enumerate(subsets if isinstance(subsets, list) else ()):
            if isinstance(n, int) and isinstance(count, int) and n >= count:
                yield Finding((*at, "subsets", number), f"{n} is no part of the {count} images that are drawn")
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
    pairs += [((*at, "from"), entry.get("from")) for at, entry in specs(suite, "extractors")]
    for at, pair in pairs:
        if isinstance(pair, dict):
            yield from found("classifiers", "classifier", pair.get("classifier"), (*at, "classifier"))
            yield from found("image_sets", "image set", pair.get("train"), (*at, "train"))
    for at, entry in specs(suite, "sample_metrics"):
        yield from found("extractors", "extractor", entry.get("extractor"), (*at, "extractor"))
        yield from found("classifiers", "classifier", entry.get("classifier"), (*at, "classifier"))


def _image_sets(suite: Mapping[str, Any]) -> Iterator[Finding]:
    for at, part in samples_in(suite):
        if sum(part.get(key) is not None for key in ("count", "ratio", "per_class")) != 1:
            message = "samples need exactly one of count, ratio and per_class"
            yield Finding(at, message, "for example per_class: balance")
        if part.get("even") and part.get("per_class") is not None:
            yield Finding((*at, "even"), "per_class is even already", "remove it", on_key=True)
        if part.get("ratio") == 0:
            yield Finding((*at, "ratio"), "a ratio of 0 asks for no image", "leave the samples out")
    for at, part in chosen_in(suite):
        if sum(part.get(key) is not None for key in ("fraction", "count", "per_class")) != 1:
            message = "`from` needs exactly one of fraction, count and per_class"
            yield Finding(at, message, "for example fraction: 0.1")
        if part.get("fraction") == 0:
            yield Finding((*at, "fraction"), "a fraction of 0 is no image", "leave it out")
        if part.get("per_class") is not None and part.get("task") is None:
            yield Finding(at, "per_class counts the classes of a task", "per_class: N, task: NAME")
        if part.get("fraction") is not None and part.get("task") is not None:
            yield Finding((*at, "task"), "a fraction keeps the shares of the classes", "remove task", on_key=True)
        source = part.get("from")
        if isinstance(source, str) and source not in SPLITS:
            yield Finding((*at, "from"), f"images are chosen from a real split, not from {source!r}", "from: train")
    for section in ("image_sets", "generators", "figures", "pretrained", "rows", "generator_rows"):
        for at, entry in entries(suite, section):
            fields = {"": entry} if section == "image_sets" else entry if isinstance(entry, dict) else {}
            for key in ("", "images", "train", "samples", "classifiers"):
                # a generator that is not fitted has no images: its card tells
                if fields.get(key) == [] and (section, key) != ("generators", "images"):
                    yield Finding((*at, key) if key else at, "the list is empty")


def _classifiers(suite: Mapping[str, Any]) -> Iterator[Finding]:
    for at, entry in specs(suite, "classifiers"):
        if entry.get("from") is None:
            if entry.get("plugin") is None:
                hint = "a classifier has plugin and budget, or from: {generator: NAME}"
                yield Finding(at, f"missing key 'plugin' in {dotted(at)}", hint)
            continue
        for key in ("plugin", "budget", "init", "teacher", "derive", "params"):
            if entry.get(key):
                hint = "a joint model is declared under generators, with its params and budget"
                yield Finding((*at, key), f"{key!r} has no place beside 'from'", hint, on_key=True)


def _extractors(suite: Mapping[str, Any]) -> Iterator[Finding]:
    for at, entry in specs(suite, "extractors"):
        given, source = entry.get("plugin") is not None, entry.get("from") is not None
        if not given and not source:
            hint = "an extractor has plugin, or from: {classifier: NAME, train: IMAGE_SET}"
            yield Finding(at, f"missing key 'plugin' in {dotted(at)}", hint)
        for key in ("plugin", "params"):
            if source and entry.get(key):
                hint = "the classifier is declared under classifiers, with its params"
                yield Finding((*at, key), f"{key!r} has no place beside 'from'", hint, on_key=True)


def _captions(suite: Mapping[str, Any]) -> Iterator[Finding]:
    for at, entry in specs(suite, "captions"):
        template = entry.get("template")
        if template is not None and entry.get("file") is not None:
            yield Finding(at, "captions come from a template or from a file, not from both", "remove one")
        if template is None:
            for key in ("task", "words"):
                if entry.get(key):
                    yield Finding((*at, key), f"only a template has {key!r}", "remove it", on_key=True)
        if isinstance(template, str):
            yield from _template(suite, at, entry, template)


def _template(suite: Mapping[str, Any], at: Path, entry: Mapping[str, Any], template: str) -> Iterator[Finding]:
    place = (*at, "template")
    if not template.strip():
        yield Finding(place, "the template is empty", "for example: a {label} lesion")
        return
    try:
        fields = [
            (name, bool(how or turned)) for _, name, how, turned in Formatter().parse(template) if name is not None
        ]
    except ValueError as error:
        yield Finding(place, f"not a template: {error}", "for example: a {label} lesion")
        return
    for name, formatted in fields:
        if not re.fullmatch(FIELD, name):
            yield Finding(place, f"{{{name}}} is no name of a field", "{label}, or an attribute")
            return
        if formatted:
            yield Finding(place, f"{{{name}}} has a format, and values are said as they are", f"write {{{name}}} alone")
            return
    if "label" not in dict(fields):
        for key in ("task", "words"):
            if entry.get(key):
                message = f"the template has no {{label}}: {key!r} would change nothing"
                yield Finding((*at, key), message, "remove it", on_key=True)
    elif entry.get("task") is None:
        for user, generator in asked_of(suite, str(at[-1])):
            if generator.get("task") is None:
                message = f"the template of {at[-1]!r} names {{label}}, and neither it nor this generator has a task"
                yield Finding((*user, "captions"), message, f"add `task: NAME` to captions.{at[-1]}")


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
    yield from column_findings(suite)


def duplicate_rows(suite: Mapping[str, Any]) -> Iterator[Finding]:
    """Rows that stand in the file twice, before sweeps add to them."""
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
