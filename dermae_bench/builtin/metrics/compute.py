"""What one image costs: multiply-adds, network calls, and parameters used at inference."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dermae_bench import api

if TYPE_CHECKING:
    from torch import nn

CHECKED_GMACS = 30.0
"""Largest pass that is counted a second time: fvcore runs the network for real, on the CPU."""


class Compute(api.CostMetric):
    """GMACs (10^9 multiply-adds; 1 MAC = 2 FLOPs) to answer for, or to draw, ONE image: every pass of every part."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        cross_check: bool = True
        """Count a second time with fvcore, into a column of its own; empty for models that it cannot trace, and where
        a pass has more than 30 GMACs."""

    @classmethod
    def columns(cls, config: Config) -> Sequence[api.Column]:
        macs = api.Column(
            name="gmacs",
            better="lower",
            unit="GMACs",
            protocol="torch.utils.flop_counter / 2, batch 1, eval mode",
            description="10^9 multiply-adds for one image, all passes (1 MAC = 2 FLOPs).",
        )
        calls = api.Column(
            name="network-calls",
            better="lower",
            unit="calls",
            protocol="passes of the part that is passed most often",
            description="Network evaluations (NFE) for one image.",
        )
        check = api.Column(
            name="gmacs-fvcore",
            better="neither",
            unit="GMACs",
            protocol="fvcore, attention counted, normalisation and pooling 0, batch 1, eval mode",
            description="The same by a second counter, for passes of at most "
            f"{CHECKED_GMACS:.0f} GMACs; more than 1 % apart means that one of them misses something.",
        )
        return [macs, calls, check] if config.cross_check else [macs, calls]

    def values(self, units: Sequence[api.CostUnit]) -> Mapping[str, float]:
        """{"gmacs", "network-calls"[, "gmacs-fvcore"]}; without the last where a pass is too large or not traceable.

        Raises:
            InvalidOutput: the model names no unit of cost.
            BenchError: torch's counter misses attention or another layer.
        """
        _check(units)
        counted = [api.count_macs(unit.module, unit.inputs, unit.keywords) for unit in units]
        values = {
            "gmacs": sum(unit.calls * macs for unit, macs in zip(units, counted, strict=True)) / 1e9,
            "network-calls": float(network_calls(units)),
        }
        if self.config.cross_check and max(counted) <= CHECKED_GMACS * 1e9:
            try:
                again = [unit.calls * api.count_macs_fvcore(unit.module, unit.inputs, unit.keywords) for unit in units]
                values["gmacs-fvcore"] = sum(again) / 1e9
            except api.BenchError as error:
                # The figure of record stands without its check; an empty cell shows that there was none.
                warnings.warn(f"gmacs was not cross-checked: {error}", RuntimeWarning, stacklevel=2)
        return values


def network_calls(units: Sequence[api.CostUnit]) -> int:
    """Passes of the part that is passed most often, over all units that use it (guidance may list it twice).

    Not of the largest: the decoder of a latent model, passed once, may be larger than the network in front of it.
    """
    calls: dict[int, int] = {}
    for unit in units:
        calls[id(unit.module)] = calls.get(id(unit.module), 0) + unit.calls
    return max(calls.values())


class Parameters(api.CostMetric):
    """Parameters that one image needs at inference: each tensor once, however many parts share it."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No options."""

    @classmethod
    def columns(cls, config: Config) -> Sequence[api.Column]:
        return [
            api.Column(
                name="parameters-inference",
                better="lower",
                unit="parameters",
                protocol="distinct parameters of the parts used at inference; buffers not counted",
                description="Parameters used to answer for, or to draw, one image.",
            ),
            api.Column(
                name="parameters-inference-trained",
                better="neither",
                unit="parameters",
                protocol="those of parameters-inference that require a gradient",
                description="Of the parameters used at inference, those that training changes.",
            ),
        ]

    def values(self, units: Sequence[api.CostUnit]) -> Mapping[str, float]:
        """{"parameters-inference", "parameters-inference-trained"}.

        Raises:
            InvalidOutput: the model names no unit of cost.
        """
        _check(units)
        used = list(_distinct(units))
        return {
            "parameters-inference": float(sum(parameter.numel() for parameter in used)),
            "parameters-inference-trained": float(sum(p.numel() for p in used if p.requires_grad)),
        }


def _distinct(units: Sequence[api.CostUnit]) -> Iterator[nn.Parameter]:
    seen: set[int] = set()
    for unit in units:
        for parameter in unit.module.parameters():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield parameter


def _check(units: Sequence[api.CostUnit]) -> None:
    if not units:
        raise api.InvalidOutput("the model's `cost` names no part: nothing is counted")


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.CostMetric]]:
    return {"compute": Compute, "parameters": Parameters}
