"""Generated images beside real ones -> records: over the whole sets, and inside classes or subgroups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dermae_bench.errors import InvalidOutput
from dermae_bench.plugin.measures import Column, Comparison, SampleMetric
from dermae_bench.scoring.records import MetricOf, record
from dermae_bench.scoring.subgroups import in_words

BY_CLASS = "class"
"""The word in `by:` that stands for the classes of the generator's task."""


@dataclass(frozen=True, kw_only=True)
class Sets:
    """What a score stage compares."""

    comparison: Comparison
    attributes: Mapping[str, Sequence[str | float | None]] = field(default_factory=dict)
    """Of the real images."""


def score_samples(work: Mapping[str, Any], sets: Sets, facts: Mapping[str, Any], metric_of: MetricOf) -> dict[str, Any]:
    """Records in `records`, those inside classes and subgroups in `subgroups`, what stands behind them in `details`.

    Args:
        work: of the score stage: `metrics` ({metric, params, by}), `suffix` (of column names, e.g. ``[lite0]``).
        facts: all that must be equal besides the columns' conventions.
    """
    records: list[dict[str, Any]] = []
    inside: list[dict[str, Any]] = []
    warnings: list[str] = []
    details: dict[str, Any] = {}
    for asked in work["metrics"]:
        metric = metric_of(asked["metric"], asked["params"])
        assert isinstance(metric, SampleMetric)
        if asked["by"] is None:
            found = list(_measure(metric, sets.comparison, work["suffix"], facts))
            records += found
            warnings += metric.warnings(sets.comparison)
            if any(item["value"] is not None for item in found) and (behind := metric.details(sets.comparison)):
                details[asked["metric"] + work["suffix"]] = dict(behind)
            continue
        for part, its in _parts(sets, asked["by"]):
            here = {**facts, "n": len(part.generated.values), "n_real": len(part.real.values), "subgroup": its}
            inside += _measure(metric, part, work["suffix"], here)
            where = f"{its['attribute']} {its['value']}"
            warnings += [f"{where}: {text}" for text in metric.warnings(part)]
    return {"records": records, "subgroups": inside, "warnings": warnings, "details": details}


def _measure(
    metric: SampleMetric, comparison: Comparison, suffix: str, facts: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    columns = metric.columns(metric.config)
    values: Mapping[str, float | str]
    try:
        values = metric.values(comparison)
    except InvalidOutput as error:
        # too few images for this number must not take the others with it
        values = {column.name: str(error) for column in columns}
    for column in columns:
        named: Column = replace(column, name=column.name + suffix)
        found = values[column.name]
        reason = found if isinstance(found, str) else None
        yield record(named, None if isinstance(found, str) else float(found), facts, reason=reason)


def _parts(sets: Sets, by: Mapping[str, Any]) -> Iterator[tuple[Comparison, dict[str, str]]]:
    """The comparison inside every class or subgroup that the real images have.

    Inside a class, both sides have it. A generator is not asked for attributes, so inside a subgroup all of its images
    stand against the real ones of this subgroup: how far they lie from those.
    """
    whole = sets.comparison
    if by["attribute"] == BY_CLASS:
        assert whole.generated.labels is not None and whole.real.labels is not None
        for number, name in enumerate(whole.classes):
            generated = np.flatnonzero(whole.generated.labels == number)
            real = np.flatnonzero(whole.real.labels == number)
            part = replace(whole, generated=whole.generated.at(generated), real=whole.real.at(real))
            yield part, {"attribute": BY_CLASS, "value": name, "generated": "same"}
        return
    name = by["attribute"]
    if name not in sets.attributes:
        known = ", ".join(sorted(sets.attributes)) or "none"
        raise InvalidOutput(f"the images have no attribute {name!r}; attributes of this data set: {known}")
    words = np.array(in_words(by, sets.attributes[name]))
    for value in sorted(set(words.tolist())):
        part = replace(whole, real=whole.real.at(np.flatnonzero(words == value)))
        yield part, {"attribute": name, "value": str(value), "generated": "all"}
