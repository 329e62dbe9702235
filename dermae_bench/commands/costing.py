"""What the stages of a plan cost: multiply-adds, floating-point work, disk, GPU-hours. 1 MAC = 2 FLOPs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import Damaged
from dermae_bench.suite.stage import Stage

H200_TFLOPS = 989.0
"""Dense bf16 peak of one H200, 10^12 FLOP/s."""
PFLOPS_PER_GMAC = 2e9 / 1e15
CHECKPOINTS = 3
"""Two are kept, and a third is there while it is written."""


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """What turns floating-point work into hours."""

    peak_tflops: float = H200_TFLOPS
    """Peak of the device, 10^12 FLOP/s."""
    utilisation: float = 0.3
    """Share of the peak that is reached, over 0 and at most 1."""

    def hours(self, pflops: float) -> float:
        """GPU-hours of so much work (10^15 FLOPs)."""
        return pflops * 1e3 / (self.peak_tflops * self.utilisation) / 3600

    @property
    def words(self) -> str:
        """Both numbers, as they are printed."""
        device = " (dense bf16 of one H200)" if self.peak_tflops == H200_TFLOPS else ""
        return f"a peak of {self.peak_tflops:g} TFLOP/s{device} and {self.utilisation * 100:g} % utilisation"


@dataclass(frozen=True, kw_only=True)
class Amount:
    """What one stage costs; None where it is not known, or where the kind of stage has no such number."""

    parameters: float | None = None
    """All parameters of its model, frozen helpers included."""
    gmacs: float | None = None
    """10^9 multiply-adds for one image: to draw it, to answer for it, or to learn from it once."""
    images: int | None = None
    """Images drawn or answered for, or steps times batch size."""
    disk_bytes: int | None = None
    """What stays in the store."""
    scratch_bytes: int = 0
    """What lies there while the stage runs: its checkpoints, or the blocks of its array."""

    @property
    def pflops(self) -> float | None:
        """Floating-point work of the whole stage, 10^15 FLOPs."""
        return None if self.gmacs is None or self.images is None else self.gmacs * self.images * PFLOPS_PER_GMAC


class Costs:
    """Costs that were counted, by what they are of.

    A stage finds its cost by the description of its model, which needs no data: so a plan has costs before it has
    keys.
    """

    def __init__(self, stages: Sequence[Stage], store: Store) -> None:
        self._training: dict[str, Mapping[str, Any]] = {}
        self._passes: dict[str, Mapping[str, Any]] = {}
        for stage in stages:
            if stage.kind != "cost" or not stage.key or not store.has(stage.kind, stage.key):
                continue
            try:
                work, summary = stage.work, store.manifest(stage.kind, stage.key).summary
            except Damaged:
                # a plan moves nothing: `run` will find it, set it aside and count anew; until then it is not known
                continue
            self._training[_description(work["model"])] = summary
            self._passes[_description(work["model"], work["of"], work["sampling"])] = summary

    def amount(self, stage: Stage) -> Amount:
        """What `stage` costs."""
        work = stage.work
        images = stage.steps or None
        if stage.kind == "train":
            return self._fit(stage)
        if stage.kind == "sample":
            disk = stage.disk_bytes if images else None
            return _amount(self._passes.get(_description(work["model"], "sample", work["sampling"])), images, disk)
        if stage.kind == "predict" and "plugin" not in work["model"]:
            # the most frequent class needs no network
            return Amount(parameters=0, gmacs=0, images=images or 0, disk_bytes=0)
        if stage.kind == "predict":
            # logits of an image are a few numbers
            return _amount(self._passes.get(_description(work["model"], "predict", None)), images, 0)
        if stage.kind == "cost":
            return _amount(self._passes.get(_description(work["model"], work["of"], work["sampling"])), None, 0)
        if stage.kind == "prepare":
            return Amount(disk_bytes=stage.disk_bytes or None, scratch_bytes=stage.scratch_bytes)
        return Amount(disk_bytes=stage.disk_bytes)

    def _fit(self, stage: Stage) -> Amount:
        found, budget = self._training.get(_description(stage.work["model"])), stage.work["budget"]
        images = int(budget["batch_size"]) * stage.steps
        if found is None:
            return Amount(images=images)
        disk = found["disk"]
        checkpoint = disk["state"] + disk["moments"]
        checkpoint += disk["average"] if budget.get("ema") is not None else 0
        checkpoint += disk["state"] if str(budget.get("select", "last")).startswith("best:") else 0
        return Amount(
            parameters=found["values"]["parameters-total"],
            gmacs=found["values"]["training-gmacs"],
            images=images,
            disk_bytes=disk["artifact"],
            scratch_bytes=CHECKPOINTS * checkpoint,
        )


def _amount(summary: Mapping[str, Any] | None, images: int | None, disk_bytes: int | None) -> Amount:
    if summary is None:
        return Amount(images=images, disk_bytes=disk_bytes)
    values = summary["values"]
    # of a pretrainer only its training is counted
    gmacs = values.get("gmacs", values["training-gmacs"])
    return Amount(parameters=values["parameters-total"], gmacs=gmacs, images=images, disk_bytes=disk_bytes)


def _description(*words: Any) -> str:
    return json.dumps(words, sort_keys=True, default=str)
