"""What one image costs, counted on random weights before anything is trained."""

from __future__ import annotations

from typing import Any

import torch

from dermae_bench.execute.stages.common import StageContext, build_model, set_threads
from dermae_bench.plugin.measures import CostMetric
from dermae_bench.plugin.params import build

AGREEMENT = 0.01
"""How far the two counters may be apart, relative to the figure of record."""


def cost(context: StageContext) -> dict[str, Any]:
    """Records of the cost metrics; no files."""
    work = context.work
    set_threads(1)
    context.phase = "counting"
    with torch.no_grad():
        model = build_model(context, work["model"]).eval()
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        # counters follow the graph of autograd where there is one; here there must be none
        model.requires_grad_(False)
        sampling = None
        if work["of"] == "sample":
            cls: Any = type(model)
            sampling = build(cls.Sampling, work["sampling"])
        units = list(model.cost(work["of"], sampling))
        values: dict[str, float] = {}
        columns = []
        for name in work["metrics"]:
            metric: CostMetric = context.configured(name, {})
            found = dict(metric.values(units))
            values |= found
            columns += [column for column in metric.columns(metric.config) if column.name in found]
        # what was trained, and what is held in all, frozen helpers included: only the whole model knows
        values["parameters-trainable"] = float(trainable)
        frozen = sum(p.numel() for module in model.frozen_modules.values() for p in module.parameters())
        values["parameters-total"] = float(sum(p.numel() for p in model.parameters()) + frozen)
    about = {column.name: {"unit": column.unit, "better": column.better} for column in columns}
    warnings = []
    second = values.get("gmacs-fvcore")
    if second is not None and abs(second - values["gmacs"]) > AGREEMENT * values["gmacs"]:
        warnings.append(
            f"{context.spec['name']}: two counters differ by more than 1 %: "
            f"{values['gmacs']:.4g} and {second:.4g} GMACs"
        )
    return {
        "warnings": warnings,
        "values": values,
        "columns": about,
        "of": work["of"],
        "image_size": work["model"]["task"]["image_size"],
    }
