"""From features to records: whole sets, classes, subgroups, and what stands behind a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from dermae_bench import api
from dermae_bench.scoring.samples import Sets, score_samples


class MeanGap(api.SampleMetric):
    """Distance of the means, with a second column that large sets alone have."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No options."""

    asked: ClassVar[list[int]] = []

    @classmethod
    def columns(cls, config: Any) -> Sequence[api.Column]:
        return [api.Column(name="gap", better="lower"), api.Column(name="gap-large", better="lower")]

    def values(self, comparison: api.Comparison) -> Mapping[str, float | str]:
        if len(comparison.generated.values) < 2:
            raise api.InvalidOutput("two images at least")
        gap = float(np.abs(comparison.generated.values.mean(0) - comparison.real.values.mean(0)).sum())
        return {"gap": gap, "gap-large": gap if len(comparison.generated.values) > 50 else "51 images are needed"}

    def details(self, comparison: api.Comparison) -> Mapping[str, Any]:
        return {"seed": comparison.seed}


def side(count: int, shift: float, classes: int | None = None) -> api.Features:
    labels = np.arange(count) % classes if classes else None
    values = np.full((count, 2), shift, dtype=np.float32)
    if labels is not None:
        values += labels[:, None].astype(np.float32) * shift
    return api.Features(values=values, ids=[f"{shift}-{i}" for i in range(count)], labels=labels)


def scored(comparison: api.Comparison, by: Any = None, **sets: Any) -> dict[str, Any]:
    work = {"metrics": [{"metric": "gap", "params": {}, "by": by}], "suffix": "[x]"}
    facts = {"n": len(comparison.generated.values), "n_real": len(comparison.real.values), "against": "train"}
    metric = MeanGap(MeanGap.Config())
    return score_samples(work, Sets(comparison=comparison, **sets), facts, lambda name, params: metric)


def test_columns_have_their_values_or_their_reasons() -> None:
    found = scored(api.Comparison(generated=side(10, 1.0), real=side(20, 3.0), seed=4))
    gap, large = found["records"]
    assert (gap["metric"], gap["value"], gap["reason"]) == ("gap[x]", 4.0, None)
    assert (large["value"], large["reason"]) == (None, "51 images are needed")
    assert gap["identity"]["against"] == "train" and gap["n"] == 10
    assert found["details"] == {"gap[x]": {"seed": 4}}
    none = scored(api.Comparison(generated=side(1, 1.0), real=side(20, 3.0)))
    assert [r["reason"] for r in none["records"]] == ["two images at least"] * 2
    assert none["details"] == {}


def test_inside_a_class_both_sides_have_it() -> None:
    comparison = api.Comparison(generated=side(9, 1.0, 3), real=side(12, 2.0, 3), classes=("a", "b", "c"))
    found = scored(comparison, {"attribute": "class", "bands": None, "join": {}})
    assert found["records"] == []
    values = {r["identity"]["subgroup"]["value"]: r["value"] for r in found["subgroups"] if r["metric"] == "gap[x]"}
    assert values == {"a": 2.0, "b": 4.0, "c": 6.0}
    assert {(r["n"], r["identity"]["n_real"]) for r in found["subgroups"]} == {(3, 4)}


def test_inside_a_subgroup_all_generated_images_stand_against_its_real_ones() -> None:
    comparison = api.Comparison(generated=side(8, 1.0), real=side(6, 1.0))
    comparison.real.values[3:] = 5
    attributes = {"age": [10.0, 20.0, None, 70.0, 80.0, 90.0]}
    found = scored(comparison, {"attribute": "age", "bands": [50], "join": {}}, attributes=attributes)
    by = {r["identity"]["subgroup"]["value"]: r for r in found["subgroups"] if r["metric"] == "gap[x]"}
    assert {name: r["value"] for name, r in by.items()} == {"below 50": 0.0, "50 and over": 8.0, "unknown": 0.0}
    assert by["50 and over"]["identity"]["n_real"] == 3 and by["50 and over"]["n"] == 8
    with pytest.raises(api.InvalidOutput, match="no attribute 'site'"):
        scored(comparison, {"attribute": "site", "bands": None, "join": {}}, attributes=attributes)
