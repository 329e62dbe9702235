"""Multiply-adds of one forward pass, counted twice: by torch (the figure of record) and by fvcore (the check).

1 MAC = 2 FLOPs. Counted are convolutions, matrix products and attention, fused or not; normalisation, pooling,
resizing and element-wise operations count as 0 in both, so that the two agree.

torch's counter needs shapes alone, so it also counts on the meta device, where a pass takes no memory and hardly any
time; fvcore runs the pass for real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from dermae_bench.errors import BenchError

if TYPE_CHECKING:
    from dermae_bench.plugin.contracts import CostUnit


def count_macs(module: nn.Module, inputs: Sequence[Any], keywords: Mapping[str, Any] | None = None) -> int:
    """Multiply-adds of `module(*inputs, **keywords)` in eval mode, by `torch.utils.flop_counter` (FLOPs / 2).

    Raises:
        BenchError: this version of torch does not count fused attention on the inputs' device, or the pass holds
            an operator whose products it does not see (recurrent layers).
    """
    for device in {tensor.device.type for tensor in _tensors([*inputs, *(keywords or {}).values()])} or {"cpu"}:
        _check_attention(device)
    with _as_at_inference(module):
        return _torch_flops(module, inputs, keywords or {}) // 2


def count_macs_fvcore(module: nn.Module, inputs: Sequence[Any], keywords: Mapping[str, Any] | None = None) -> int:
    """The same by fvcore, which traces the pass; must agree with `count_macs` within 1 %.

    Raises:
        BenchError: the pass cannot be traced.
    """
    from fvcore.nn import FlopCountAnalysis

    inputs, given = _each(Tensor.detach, (tuple(inputs), dict(keywords or {})))
    slots = [index for index, value in enumerate(inputs) if isinstance(value, Tensor)]
    names = [name for name, value in given.items() if isinstance(value, Tensor)]
    passed = _TensorsOnly(module, inputs, given, slots, names)
    tensors = tuple(inputs[index] for index in slots) + tuple(given[name] for name in names)
    with _as_at_inference(module):
        analysis = FlopCountAnalysis(passed, tensors).set_op_handle(**FVCORE_HANDLES)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        try:
            return int(analysis.total())
        except (RuntimeError, TypeError, ValueError) as error:
            raise BenchError(f"fvcore cannot trace {type(module).__name__}: {error}") from error


def macs_of(unit: CostUnit) -> int:
    """Multiply-adds of all `calls` of a unit, without what a backward pass adds."""
    return unit.calls * count_macs(unit.module, unit.inputs, unit.keywords)


BACKWARD: Mapping[str, int] = {"none": 1, "inputs": 2, "all": 3}
"""Passes that a training step costs: forward, then one more for gradients of the inputs, one for those of weights."""


def training_macs(unit: CostUnit) -> int:
    """Multiply-adds of a unit in one training step: its forward pass, and what `backward` says comes on top.

    The gradient of a matrix product (or convolution) by either operand has as many multiply-adds as the product.
    """
    return BACKWARD[unit.backward] * macs_of(unit)


def without_numbers(unit: CostUnit) -> CostUnit:
    """The same unit with the tensors among its inputs on the meta device, for a module that was built there."""
    move = partial(_each, lambda tensor: tensor.to("meta"))
    return replace(unit, inputs=move(tuple(unit.inputs)), keywords=move(dict(unit.keywords)))


def _each(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """`value` with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _each(change, inner) for name, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_each(change, inner) for inner in value)
    return value


def _torch_flops(module: nn.Module, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> int:
    # counters follow the graph of autograd where an input has one, such as a slice of a parameter
    inputs, keywords = _each(Tensor.detach, (tuple(inputs), dict(keywords)))
    seen = _Operators()
    with FlopCounterMode(display=False) as counter, seen, torch.no_grad():
        module(*inputs, **keywords)
    if seen.opaque:
        raise BenchError(
            f"torch's counter does not see into {', '.join(sorted(seen.opaque))} of {type(module).__name__}",
            hint="write the layer from matrix products and convolutions, or leave `compute` out",
        )
    return int(counter.get_total_flops())


OPAQUE = ("rnn", "lstm", "gru", "multi_head_attention", "transformer_encoder_layer")
"""Parts of the names of operators that hold matrix products but count as 0."""


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the operators of a pass whose products are not counted."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.opaque: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        if any(part in name for part in OPAQUE):
            self.opaque.add(name)
        return func(*args, **(kwargs or {}))


@cache
def _check_attention(device: str) -> None:
    """Count a small attention whose cost is known: torch 2.13 gave 0 for it on the CPU."""
    heads, length, width = 2, 8, 4
    query = torch.zeros(1, heads, length, width, device=device)
    found = _torch_flops(_Attention(), (query,), {})
    expected = 2 * heads * length * length * (width + width)
    if found != expected:
        raise BenchError(
            f"torch {torch.__version__} counts {found} FLOPs for an attention of {expected} on {device}",
            hint="its counter cannot be trusted: install another version of torch",
        )


class _Attention(nn.Module):
    def forward(self, query: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(query, query, query)


@contextmanager
def _as_at_inference(module: nn.Module) -> Iterator[None]:
    """Eval mode, no gradients, and no fused transformer layers, which neither counter can look into."""
    training = [part for part in module.modules() if part.training]
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    fused = torch.backends.mha.get_fastpath_enabled()
    module.eval().requires_grad_(False)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for part in training:
            part.training = True
        for parameter in trained:
            parameter.requires_grad_(True)


class _TensorsOnly(nn.Module):
    """A pass from tensors to tensors, as tracing wants it: other arguments are held, any output is flattened."""

    def __init__(
        self,
        module: nn.Module,
        inputs: Sequence[Any],
        keywords: Mapping[str, Any],
        slots: Sequence[int],
        names: Sequence[str],
    ) -> None:
        super().__init__()
        self.module = module
        self.inputs, self.keywords, self.slots, self.names = inputs, keywords, slots, names
        self.train(module.training)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        inputs, keywords = list(self.inputs), dict(self.keywords)
        for index, tensor in zip(self.slots, tensors[: len(self.slots)], strict=True):
            inputs[index] = tensor
        keywords.update(zip(self.names, tensors[len(self.slots) :], strict=True))
        return tuple(_tensors(self.module(*inputs, **keywords)))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)


def _shape(value: Any) -> list[int]:
    return list(value.type().sizes())


def _attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Q K' and its product with V, for q (..., L, E), k (..., S, E), v (..., S, Ev)."""
    query, key, value = (_shape(tensor) for tensor in inputs[:3])
    return int(prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


def _batched_product_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """`baddbmm(added, (B, L, E), (B, E, S))`, which fvcore does not know."""
    return int(prod(_shape(inputs[1])) * _shape(inputs[2])[-1])


def _nothing(inputs: list[Any], outputs: list[Any]) -> int:
    return 0


# A handle of None would leave fvcore's own count in place: only a handle that gives 0 replaces it.
FVCORE_HANDLES: Mapping[str, Any] = {
    "aten::scaled_dot_product_attention": _attention_macs,
    "aten::baddbmm": _batched_product_macs,
    **dict.fromkeys(
        (
            "aten::batch_norm",
            "aten::group_norm",
            "aten::layer_norm",
            "aten::instance_norm",
            "aten::adaptive_avg_pool2d",
            "aten::upsample_nearest2d",
            "aten::upsample_bilinear2d",
            "aten::grid_sampler",
        ),
        _nothing,
    ),
}
"""What fvcore is told: count fused attention, and give nothing to what torch's counter gives nothing."""
