"""What one image costs, counted on random weights before anything is trained."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from dermae_bench.execute.stages.common import StageContext, build_model, set_threads
from dermae_bench.plugin.contracts import CostUnit, Model, Pretrainer
from dermae_bench.plugin.flops import count_macs, training_macs, without_numbers
from dermae_bench.plugin.measures import CostMetric
from dermae_bench.plugin.params import build

AGREEMENT = 0.01
"""How far the two counters may be apart, relative to the figure of record."""
REAL_GMACS = 30.0
"""Models whose every pass costs at most this are built on the CPU, where a second counter can run them."""


@dataclass
class _Counted:
    """What was found on one device."""

    values: dict[str, float] = field(default_factory=dict)
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    disk: dict[str, int] = field(default_factory=dict)
    small: bool = False
    """Whether a second counter can be asked to run every pass."""


@torch.no_grad()
def cost(context: StageContext) -> dict[str, Any]:
    """Records of the cost metrics; no files.

    `work["of"]` says of what: `sample` and `predict` fill the leaderboard's columns; `train` is for models that
    have no line there, of which only training and parameters are counted. `training-gmacs` are the multiply-adds of
    one image in one training step, backward included.

    Counting happens without numbers (on the meta device) where the plugin can be built there, so that large
    networks cost neither memory nor time. Small ones are counted on the CPU.
    """
    set_threads(1)
    context.phase = "counting"
    counted = _counted_without_numbers(context)
    if counted is None or counted.small:
        counted = _counted(context, torch.device("cpu"))
    values, work = counted.values, context.work
    notes = []
    second = values.get("gmacs-fvcore")
    if second is not None and abs(second - values["gmacs"]) > AGREEMENT * values["gmacs"]:
        notes.append(
            f"{context.spec['name']}: two counters differ by more than 1 %: "
            f"{values['gmacs']:.4g} and {second:.4g} GMACs"
        )
    return {
        "warnings": notes,
        "values": values,
        "columns": counted.columns,
        "disk": counted.disk,
        "of": work["of"],
        "image_size": work["model"]["task"]["image_size"],
    }


def _counted_without_numbers(context: StageContext) -> _Counted | None:
    try:
        with warnings.catch_warnings():
            # weights read from a file have nowhere to go here, and torch says so for each of them
            warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter")
            return _counted(context, torch.device("meta"))
    except Exception as error:  # noqa: BLE001 (whatever is really wrong is met again on the CPU, and told)
        print(f"not counted without numbers, but on the CPU: {type(error).__name__}: {error}", flush=True)  # noqa: T201 (the attempt's log)
        return None


def _counted(context: StageContext, device: torch.device) -> _Counted:
    work = context.work
    with device:
        model = build_model(context, work["model"]).eval()
    found = _Counted()
    if work["of"] != "train":
        units = _on(device, model.cost(work["of"], _sampling(model, work)))
        if device.type == "meta" and all(_macs(unit) <= REAL_GMACS * 1e9 for unit in units):
            return _Counted(small=True)
        for name in work["metrics"]:
            metric: CostMetric = context.configured(name, {})
            values = dict(metric.values(units))
            found.values |= values
            found.columns |= {
                column.name: {"unit": column.unit, "better": column.better}
                for column in metric.columns(metric.config)
                if column.name in values
            }
    learning = _on(device, model.training_cost())
    found.values["training-gmacs"] = sum(training_macs(unit) for unit in learning) / 1e9
    _parameters(model, found)
    return found


def _macs(unit: CostUnit) -> int:
    return count_macs(unit.module, unit.inputs, unit.keywords)


def _on(device: torch.device, units: Iterable[CostUnit]) -> Sequence[CostUnit]:
    return [without_numbers(unit) if device.type == "meta" else unit for unit in units]


def _sampling(model: Model, work: Any) -> Any:
    cls: Any = type(model)
    return build(cls.Sampling, work["sampling"]) if work["of"] == "sample" else None


def _parameters(model: Model, found: _Counted) -> None:
    """What is trained, what is held in all, frozen helpers included, and the bytes of what a fit keeps."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    frozen = sum(p.numel() for module in model.frozen_modules.values() for p in module.parameters())
    found.values["parameters-trainable"] = float(sum(parameter.numel() for parameter in trained))
    found.values["parameters-total"] = float(sum(p.numel() for p in model.parameters()) + frozen)
    state = _bytes(model.state_dict().values())
    encoder = _bytes(model.encoder().values()) if isinstance(model, Pretrainer) else 0
    # two moments a trained parameter, as Adam and its kin keep them
    average, moments = _bytes(model.parameters()), 2 * _bytes(trained)
    found.disk = {"artifact": state + encoder, "state": state, "average": average, "moments": moments}


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
