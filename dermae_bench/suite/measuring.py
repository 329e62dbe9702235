"""What a suite measures by, checked without plugins: metrics that need a name of their own, judges, bands, columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from dermae_bench.plugin.checking import Finding, Path
from dermae_bench.suite.places import entries, specs

CLASS_AGREEMENT = "class-agreement"
"""A word of the harness: how often a judge sees the class that was asked for."""
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


def metric_findings(suite: Mapping[str, Any]) -> Iterator[Finding]:
    for at, name in prediction_metrics(suite):
        if name in BARE:
            yield Finding(at, f"a bare {name!r} does not exist", BARE[name])
    for at, entry in entries(suite, "sample_metrics"):
        if isinstance(entry, str) and entry in BARE:
            yield Finding(at, f"a bare {entry!r} does not exist", BARE[entry])
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
    divided = [(at, entry) for _, asked in _subgroups(suite) for at, entry in asked]
    divided += [((*at, "by"), entry.get("by")) for at, entry in specs(suite, "sample_metrics")]
    for at, held in divided:
        bands = held.get("bands") if isinstance(held, dict) else None
        numbers = isinstance(bands, list) and all(isinstance(limit, int | float) for limit in bands)
        if isinstance(bands, list) and numbers and (not bands or sorted(set(bands)) != bands):
            message = "bands need ascending limits, at least one"
            yield Finding((*at, "bands"), message, "for example bands: [40, 60]")
        join = held.get("join") if isinstance(held, dict) else None
        parts = join.values() if isinstance(join, dict) else ()
        values = Counter(v for part in parts if isinstance(part, list) for v in part if isinstance(v, str | int))
        twice = sorted((value for value, count in values.items() if count > 1), key=str)
        if twice:
            yield Finding((*at, "join"), f"{twice[0]!r} stands in two subgroups", "each value belongs to one")


def _subgroups(suite: Mapping[str, Any]) -> Iterator[tuple[Path, list[tuple[Path, Any]]]]:
    """The subgroups of the suite's own data and of each other set, with their places."""
    own = suite.get("subgroups")
    lists = [
        (("subgroups",), own),
        *(((*at, "subgroups"), e.get("subgroups")) for at, e in specs(suite, "evaluate_on")),
    ]
    for at, held in lists:
        # a mapping in the place of the list is told as such
        if isinstance(held, list):
            yield at, [((*at, number), entry) for number, entry in enumerate(held)]


def _only_samples(suite: Mapping[str, Any], at: Path, entry: Mapping[str, Any]) -> Iterator[Finding]:
    """What learns from a teacher, an encoder or another generator does not learn from these samples alone."""
    held = suite.get("classifiers")
    entered = held.get(str(entry.get("classifier"))) if isinstance(held, dict) else None
    found: Mapping[str, Any] = entered if isinstance(entered, dict) else {}
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
    if not isinstance(suite.get("prediction_metrics"), list):
        # anything else is told of elsewhere
        return
    for at, entry in entries(suite, "prediction_metrics"):
        if isinstance(entry, str):
            yield at, entry
        elif isinstance(entry, dict) and isinstance(entry.get("metric"), str):
            yield (*at, "metric"), entry["metric"]


def column_findings(suite: Mapping[str, Any]) -> Iterator[Finding]:
    """Two entries that would fill one column: the board could not tell them apart."""
    seen: dict[tuple[str, ...], int] = {}
    for at, entry in specs(suite, "sample_metrics") if isinstance(suite.get("sample_metrics"), list) else ():
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
    for section, asked in _subgroups(suite):
        attributes: dict[str, int] = {}
        for number, (at, entry) in enumerate(asked):
            attribute = entry.get("attribute") if isinstance(entry, dict) else entry
            first = attributes.setdefault(str(attribute), number)
            # a name that stands twice is told with all other names in the suite's own list
            if first != number and (isinstance(entry, dict) or len(section) > 1):
                yield Finding(at, f"entry {first + 1} divides by {attribute!r} already", "one set of bands a suite")
