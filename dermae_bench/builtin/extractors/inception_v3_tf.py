"""Inception-v3 as TensorFlow had it in 2015 (torch-fidelity's port): the features of the published FID.

Heusel et al. 2017 measured with this network. The user gives the weights by path: nothing is downloaded. With the
published file the distance may be called FID; with any other it may not, and the identity says which it was.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from dermae_bench import api

PUBLISHED_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the file `weights-inception-2015-12-05-6726825d.pth` (torch-fidelity) = `pt_inception-...` (pytorch-fid)."""

SIZE = 299
Layer = Literal["64", "192", "768", "2048"]
LAST = {"64": "MaxPool_1", "192": "MaxPool_2", "768": "Mixed_6e", "2048": "Mixed_7c"}
"""The last module before the pooled features of each size."""

CPU_BATCH, GPU_BATCH = 4, 64


class InceptionV3TF(api.Extractor):
    """Average-pooled activations after one of four layers; TensorFlow 1's resize, batch norm folded."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        weights: api.File
        """torch-fidelity's or pytorch-fid's Inception-v3 weights (.pth, or the same tensors as .safetensors)."""
        layer: Layer = "2048"
        """Features by their number: 2048 is the pool that FID and KID were published with."""

    corpora: ClassVar[tuple[str, ...]] = ("ImageNet-1k",)
    """Of the published weights."""

    def __init__(self, config: Config) -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import BasicConv2d

        super().__init__(config)
        state = api.load_weights(config.weights)
        self.digest = api.state_digest(state)
        with Path(config.weights).open("rb") as stream:
            self.published = hashlib.file_digest(stream, "sha256").hexdigest() == PUBLISHED_SHA256
        with torch.device("meta"):
            trunk = _trunk()
        # The classifier is no part of the features, and older files lack the counters of batch norm.
        expected = {name for name in trunk.state_dict() if not name.endswith("num_batches_tracked")}
        missing = sorted(expected - state.keys())
        surplus = sorted(
            name
            for name in state.keys() - expected
            if not name.endswith("num_batches_tracked") and name.split(".")[0] != "fc"
        )
        if missing or surplus:
            raise api.PluginError(
                f"{config.weights} does not hold torch-fidelity's Inception-v3: "
                f"{len(missing)} tensors missing {missing[:3]}, {len(surplus)} unknown {surplus[:3]}"
            )
        try:
            trunk.load_state_dict({name: state[name] for name in expected}, strict=False, assign=True)
        except RuntimeError as error:
            raise api.PluginError(f"{config.weights} does not hold torch-fidelity's Inception-v3: {error}") from error
        for module in trunk.modules():
            if isinstance(module, BasicConv2d):
                _fold_batch_norm(module)
        names = [name for name, _ in trunk.named_children()]
        self.trunk = trunk[: names.index(LAST[config.layer]) + 1]
        self.trunk.to(memory_format=torch.channels_last).eval().requires_grad_(False)

    def identity(self) -> Mapping[str, Any]:
        """{name, stage, dimensions, weights, published, input}; FID is the name only where `published` is true."""
        return {
            "name": "inception-v3-tf",
            "stage": self.config.layer,
            "dimensions": int(self.config.layer),
            "weights": self.digest,
            "published": self.published,
            "input": {
                "size": SIZE,
                "filter": "bilinear as in TensorFlow 1 (corners not aligned, no half-pixel shift)",
                "antialias": False,
                "range": "(x - 128) / 128",
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
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

        pixels = interpolate_bilinear_2d_like_tensorflow1x(images.float(), size=(SIZE, SIZE), align_corners=False)
        maps: Tensor = self.trunk(((pixels - 128) / 128).contiguous(memory_format=torch.channels_last))
        return maps.mean(dim=(2, 3))


def _trunk() -> nn.Sequential:
    """torch-fidelity's blocks in its order and under its names, up to the last pool."""
    from torch_fidelity import feature_extractor_inceptionv3 as tf

    return nn.Sequential(
        OrderedDict(
            Conv2d_1a_3x3=tf.BasicConv2d(3, 32, kernel_size=3, stride=2),
            Conv2d_2a_3x3=tf.BasicConv2d(32, 32, kernel_size=3),
            Conv2d_2b_3x3=tf.BasicConv2d(32, 64, kernel_size=3, padding=1),
            MaxPool_1=nn.MaxPool2d(kernel_size=3, stride=2),
            Conv2d_3b_1x1=tf.BasicConv2d(64, 80, kernel_size=1),
            Conv2d_4a_3x3=tf.BasicConv2d(80, 192, kernel_size=3),
            MaxPool_2=nn.MaxPool2d(kernel_size=3, stride=2),
            Mixed_5b=tf.InceptionA(192, pool_features=32),
            Mixed_5c=tf.InceptionA(256, pool_features=64),
            Mixed_5d=tf.InceptionA(288, pool_features=64),
            Mixed_6a=tf.InceptionB(288),
            Mixed_6b=tf.InceptionC(768, channels_7x7=128),
            Mixed_6c=tf.InceptionC(768, channels_7x7=160),
            Mixed_6d=tf.InceptionC(768, channels_7x7=160),
            Mixed_6e=tf.InceptionC(768, channels_7x7=192),
            Mixed_7a=tf.InceptionD(768),
            Mixed_7b=tf.InceptionE_1(1280),
            Mixed_7c=tf.InceptionE_2(2048),
        )
    )


def _fold_batch_norm(block: nn.Module) -> None:
    """Put the batch norm of a `BasicConv2d` into its convolution, in float64."""
    conv: Any = block.conv
    bn: Any = block.bn
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
    block.bn = nn.Identity()


@api.hookimpl
def dermae_extractors() -> dict[str, type[api.Extractor]]:
    return {"inception-v3-tf": InceptionV3TF}
