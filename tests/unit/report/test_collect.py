"""A plan with its store becomes boards."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dermae_bench.report.collect import Collector
from dermae_bench.suite.parts import Cell, RowPlan, row_id
from dermae_bench.suite.stage import Stage


def scored(metric: str, n: int, **identity: Any) -> dict[str, Any]:
    return {
        "metric": metric, "value": 1.0, "low": None, "high": None, "error": None, "n": n, "unit": "", "better": "lower",
        "identity": {"name": metric, "n": n, **identity}, "reason": None,
    }  # fmt: skip


def test_a_floor_of_fewer_images_bears_its_real_n_everywhere() -> None:
    names = {"generator": "real vs real", "sampling": "", "against": "train", "n": "500"}
    score = Stage(kind="score", name="score/floor", work={"of": "samples"}, parts={}, key="k")
    row = RowPlan(
        board="generators", row=row_id(names), names=names, kind="floor", cells=(Cell(seeds={}, scores=(score,)),)
    )
    inside = [scored("fd", 20, subgroup={"attribute": "sex", "value": "female"})]
    summary = {"records": [scored("fd", 37)], "subgroups": inside, "warnings": []}
    manifest = SimpleNamespace(summary=summary, seconds=1.0, max_rss_mb=1, environment={})
    store: Any = SimpleNamespace(has=lambda kind, key: True, manifest=lambda kind, key: manifest)
    dataset = SimpleNamespace(plugin="by-hand")
    suite: Any = SimpleNamespace(
        suite="s", description="", dataset=dataset, precision="fp32", threads=1, reference=None
    )
    made = Collector(suite, None, [score], [row], store).boards()
    (info,), (record,), (part,) = made.rows, made.records, made.subgroups
    assert (record.n, part.n) == (37, 20)
    assert info.names["n"] == record.names["n"] == part.names["n"] == "37"
    assert made.warnings[0].startswith("real vs real (): 37 images against samples of 500")
