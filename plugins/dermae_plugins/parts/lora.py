"""Low-rank adaptation (Hu et al. 2022) of a frozen transformer, through peft.

The frozen network stays as it is, under its own names; the adapters sit in a twin of its modules that shares its
weights. So its digest is that of the given weights, and what is trained and saved is the adapters alone.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor, nn

from dermae_bench import api

if TYPE_CHECKING:
    from diffusers import FluxTransformer2DModel

ADAPTER = "default"
"""What peft calls the one adapter."""
ATTENTION = (
    "attn.to_q",
    "attn.to_k",
    "attn.to_v",
    "attn.to_out.0",
    "attn.add_q_proj",
    "attn.add_k_proj",
    "attn.add_v_proj",
    "attn.to_add_out",
)
"""FLUX's attention projections, of picture and text: all eight in double-stream blocks, the first three in
single-stream ones, whose output projection is one matrix with that of their MLP."""


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Adapters."""

    rank: Annotated[int, api.Between(1)] = 64
    """Rank r of each adapter; the released file of DermaFlux is named rank 64. On the attention of FLUX.1-dev that is
    104.6 million parameters, where the paper states 612."""
    alpha: Annotated[float, api.Between(0)] = 64.0
    """Scale: the product of an adapter's matrices counts alpha / rank times; the released file is named alpha 64."""
    lora_dropout: Annotated[float, api.Between(0, 1)] = 0.0
    """Dropout in front of each adapter, in training."""
    targets: Literal["attention", "all-linear"] = "attention"
    """What is adapted: the attention projections (DermaFlux, section 2.2), or every linear layer."""
    init: Literal["gaussian", "kaiming"] = "gaussian"
    """Start of the first matrix: normal with standard deviation 1 / rank (diffusers' training script), or Kaiming's
    uniform (peft's default). The second starts at 0, so a fit starts at the frozen network."""


class Adapted:
    """A frozen transformer with adapters.

    Attributes:
        net: the twin that answers; a FluxTransformer2DModel of diffusers with an adapter.
        layers: the adapters, as modules under the names of diffusers' adapter files: their state dict, under the
            prefix `transformer.`, is such a file.

    Raises:
        PluginError: peft is not installed.
    """

    def __init__(self, frozen: FluxTransformer2DModel, config: LoraConfig) -> None:
        peft = _peft()
        self.net = copy.deepcopy(frozen, {id(tensor): tensor for tensor in (*frozen.parameters(), *frozen.buffers())})
        linears = [name for name, part in frozen.named_modules() if isinstance(part, nn.Linear)]
        self.net.add_adapter(
            peft.LoraConfig(
                r=config.rank,
                lora_alpha=config.alpha,
                lora_dropout=config.lora_dropout,
                init_lora_weights="gaussian" if config.init == "gaussian" else True,
                target_modules=list(ATTENTION) if config.targets == "attention" else linears,
            ),
            adapter_name=ADAPTER,
        )
        self.net.eval()
        self.layers = nn.Module()
        for name, part in self.net.named_modules():
            if isinstance(part, peft.tuners.lora.LoraLayer):
                _put(self.layers, name, _Layer(part, config.alpha))
        # peft gives them the precision of what they adapt; small steps would be lost in bfloat16
        self.layers.float()

    def layer_units(self, image_tokens: int, text_tokens: int) -> list[api.CostUnit]:
        """The gradients of the adapters' weights of one image: as many multiply-adds as a pass of each."""
        units = []
        for name, part in self.layers.named_modules():
            if isinstance(part, nn.Linear):
                seen = torch.zeros(1, _tokens(name, image_tokens, text_tokens), part.in_features)
                units.append(api.CostUnit(part, (seen.to(part.weight.device),), backward="none"))
        return units


class _Layer(nn.Module):
    """The trained parts of one adapted layer, under the names `lora_A.weight`, `lora_B.weight` and `alpha`."""

    alpha: Tensor

    def __init__(self, part: Any, alpha: float) -> None:
        super().__init__()
        self.lora_A = part.lora_A[ADAPTER]
        self.lora_B = part.lora_B[ADAPTER]
        # no tensors, but train() and eval() must reach it
        self.lora_dropout = part.lora_dropout[ADAPTER]
        self.register_buffer("alpha", torch.tensor(float(alpha)))


def _put(root: nn.Module, name: str, layer: nn.Module) -> None:
    *path, last = name.split(".")
    for step in path:
        if step not in root._modules:
            root.add_module(step, nn.Module())
        root = root.get_submodule(step)
    # a layer inside an adapted layer's own name does not exist: linear layers have no children
    root.add_module(last, layer)


def _tokens(name: str, image: int, text: int) -> int:
    """Tokens that a linear layer of FLUX sees."""
    words = name.split(".")
    if any(word.startswith(("norm", "time_text_embed")) for word in words):
        return 1
    if words[0] == "single_transformer_blocks":
        return image + text
    told = ("ff_context", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "context_embedder")
    return text if any(word in told for word in words) else image


def export(net: FluxTransformer2DModel, folder: Path) -> Path:
    """Write the adapter of `net` as diffusers' `pytorch_lora_weights.safetensors`; returns the file.

    `FluxPipeline.load_lora_weights(folder)` and `transformer.load_lora_adapter(folder, weight_name=...)` read it.
    """
    from diffusers.loaders.lora_pipeline import FluxLoraLoaderMixin

    peft = _peft()
    layers = peft.get_peft_model_state_dict(net, adapter_name=ADAPTER)
    about = net.peft_config[ADAPTER].to_dict()
    FluxLoraLoaderMixin.save_lora_weights(
        folder,
        transformer_lora_layers={name: tensor.detach().cpu().contiguous() for name, tensor in layers.items()},
        transformer_lora_adapter_metadata={
            name: sorted(value) if isinstance(value, set) else value for name, value in about.items()
        },
    )
    return folder / "pytorch_lora_weights.safetensors"


def _peft() -> Any:
    try:
        import peft
    except ImportError:
        raise api.PluginError(
            "flux-lora's adapters need peft", hint="pip install 'dermae-bench[text]', or choose train: all"
        ) from None
    return peft
