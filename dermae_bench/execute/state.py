"""What a checkpoint of a fit holds, whether one belongs to this fit, and how it comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from dermae_bench.errors import PluginError
from dermae_bench.execute.averaging import Average
from dermae_bench.execute.checkpoints import Checkpoint
from dermae_bench.execute.notes import Unsound
from dermae_bench.plugin.contracts import Model

PLAIN = (int, float, bool, str, type(None))
"""What an optimiser may keep besides tensors."""


def packed(
    model: Model, average: Average, best: Mapping[str, Tensor] | None, optimizers: Sequence[Optimizer]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, and the facts about the optimisers that are no tensors.

    Raises:
        PluginError: an optimiser keeps something that cannot be put into a checkpoint.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"ema.{i}": value for i, value in enumerate(average.values)}
    tensors |= {f"best.{name}": value for name, value in (best or {}).items()}
    groups, plain = [], {}
    for number, optimizer in enumerate(optimizers):
        state = optimizer.state_dict()
        groups.append(state["param_groups"])
        for index, values in state["state"].items():
            for name, value in values.items():
                place = f"optimizer.{number}.{index}.{name}"
                if isinstance(value, Tensor):
                    tensors[place] = value
                elif isinstance(value, PLAIN):
                    plain[place] = value
                else:
                    raise PluginError(
                        f"{type(optimizer).__name__} keeps {name!r}, {type(value).__name__}: no checkpoint holds that",
                        hint="an optimiser's state is made of tensors and numbers",
                    )
    return tensors, {"groups": groups, "plain": plain, "began": average.began}


def judge(
    found: Checkpoint, model: Model, average: Average, optimizers: Sequence[Optimizer], steps: int, selects: bool
) -> None:
    """Nothing, if the checkpoint is one of this fit; called before anything of it is used.

    Raises:
        Unsound: it is of another model, other optimisers, or a step that this budget does not have.
    """
    tensors, facts = found.tensors, found.facts
    if not 0 < found.step <= steps or facts["step"] != found.step:
        raise Unsound(f"it is of step {found.step} of {steps}")
    counted = facts["images_seen"], *(facts["best"] or (0, 0.0))
    if len(counted) != 3 or not all(isinstance(value, int | float) for value in counted):
        raise Unsound("its counts are no numbers")
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    if {name: value.shape for name, value in _under(tensors, "model.").items()} != shapes:
        raise Unsound("its weights are of another model")
    averaged = {str(i): value.shape for i, value in enumerate(average.values)}
    if {name: value.shape for name, value in _under(tensors, "ema.").items()} != averaged:
        raise Unsound("its average is of another model")
    began = facts["began"]
    if len(began) != len(optimizers) or not all(at is None or _is_step(at, found.step) for at in began):
        raise Unsound("it does not tell when its optimisers began")
    best = {name: value.shape for name, value in _under(tensors, "best.").items()}
    if best != (shapes if facts["best"] else {}) or (facts["best"] and not selects):
        raise Unsound("its selected weights are of another model")
    if len(facts["groups"]) != len(optimizers):
        raise Unsound(f"it has {len(facts['groups'])} optimisers, not {len(optimizers)}")
    for number, (groups, optimizer) in enumerate(zip(facts["groups"], optimizers, strict=True)):
        begun = optimizer.state_dict()["param_groups"]
        # a schedule adds a word of its own to a group that it has changed once
        if [g["params"] for g in groups] != [g["params"] for g in begun] or any(
            not set(first) <= set(then) for first, then in zip(begun, groups, strict=True)
        ):
            raise Unsound(f"its optimiser {number} is another one")
    places = [name for name in (*tensors, *facts["plain"]) if name.startswith("optimizer.")]
    counts = [sum(len(group["params"]) for group in optimizer.param_groups) for optimizer in optimizers]
    for place in places:
        _, number, index, _ = place.split(".", 3)
        if not (int(number) < len(counts) and int(index) < counts[int(number)]):
            raise Unsound(f"{place} is of no parameter")
    for point in facts["curves"]:
        if not all(isinstance(value, int | float) for value in point.values()):
            raise Unsound("its curves are no numbers")


def restore(
    found: Checkpoint, model: Model, average: Average, optimizers: Sequence[Optimizer]
) -> dict[str, Tensor] | None:
    """Put back what `packed` took; returns the selected weights. Nothing is random: there is no RNG state."""
    tensors, facts = found.tensors, found.facts
    model.load_state_dict(_under(tensors, "model."))
    with torch.no_grad():
        for i, value in enumerate(average.values):
            value.copy_(tensors[f"ema.{i}"])
    average.began = list(facts["began"])
    for number, (optimizer, groups) in enumerate(zip(optimizers, facts["groups"], strict=True)):
        prefix = f"optimizer.{number}."
        state: dict[int, dict[str, Any]] = {}
        for name, kept in (_under(tensors, prefix) | _under(facts["plain"], prefix)).items():
            index, _, field_name = name.partition(".")
            state.setdefault(int(index), {})[field_name] = kept
        # JSON has no tuples, and an optimiser may ask for one
        restored = [
            {k: tuple(v) if isinstance(begun.get(k), tuple) else v for k, v in group.items()}
            for group, begun in zip(groups, optimizer.param_groups, strict=True)
        ]
        optimizer.load_state_dict({"state": state, "param_groups": restored})
    return _under(tensors, "best.") or None


def _is_step(at: Any, steps: int) -> bool:
    return isinstance(at, int) and not isinstance(at, bool) and 0 <= at < steps


def _under(named: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}
