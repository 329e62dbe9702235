"""Parameters and multiply-adds of every model that DerMAE and Class-N-Diff name, within 1 %, on the meta device.

The figures were counted once with torch's flop counter and checked against fvcore with unfused attention, or are
worked out by hand where the test says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import torch
from dermae_plugins.classifiers.mae import MAE
from dermae_plugins.classifiers.timm_classifier import TimmClassifier
from dermae_plugins.generators.ddpm import DDPM

from dermae_bench import api

VIT_H16 = {"embed_dim": 1280, "depth": 32, "num_heads": 16}
"""timm has no ViT-H/16: it is a ViT-B/16 with these arguments."""
TRANSFORMERS: list[tuple[str, dict[str, Any], int, int, float, float]] = [
    # architecture, arguments, classes, side in pixels, parameters in millions, GMACs
    ("vit_base_patch16_224", {}, 1000, 224, 86.57, 17.56),
    ("vit_base_patch16_224", {}, 7, 256, 85.84, 23.20),
    ("vit_large_patch16_224", {}, 1000, 224, 304.33, 61.56),
    ("vit_large_patch16_224", {}, 7, 256, 303.37, 81.06),
    ("vit_base_patch16_224", VIT_H16, 7, 224, 630.93, 127.31),
    ("vit_base_patch16_224", VIT_H16, 7, 256, 631.00, 167.35),
]
CONVOLUTIONS: list[tuple[str, int, float, float, float]] = [
    # architecture, classes, parameters in millions, GMACs at 224 and at 256 pixels
    ("efficientnet_b0", 1000, 5.29, 0.386, 0.503),
    ("efficientnet_b0", 7, 4.02, 0.386, 0.503),
    ("efficientnet_b3", 1000, 12.23, 0.963, 1.256),
    ("efficientnet_b7", 1000, 66.35, 5.17, 6.75),
    ("resnext50_32x4d", 1000, 25.03, 4.23, 5.53),
    ("resnet101", 1000, 44.55, 7.80, 10.19),
    ("mobilenetv2_100", 1000, 3.50, 0.301, 0.392),
]


def near(figure: float) -> Any:
    return pytest.approx(figure, rel=0.01)


def millions(module: torch.nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def gmacs(units: Iterable[api.CostUnit]) -> float:
    return sum(unit.calls * api.count_macs(unit.module, unit.inputs, unit.keywords) for unit in units) / 1e9


def classifier(arch: str, arguments: Mapping[str, Any], classes: int, size: int) -> TimmClassifier:
    task = api.Task(name="diagnosis", classes=tuple(map(str, range(classes))), image_size=size)
    return TimmClassifier(TimmClassifier.Config(arch=arch, arch_args=arguments), task)


@pytest.mark.parametrize(
    ("arch", "arguments", "classes", "size", "parameters", "expected"),
    TRANSFORMERS,
    ids=[f"{'h16' if case[1] else case[0]}-{case[3]}" for case in TRANSFORMERS],
)
def test_transformers(
    arch: str, arguments: dict[str, Any], classes: int, size: int, parameters: float, expected: float
) -> None:
    with torch.device("meta"):
        model = classifier(arch, arguments, classes, size)
        assert millions(model) == near(parameters)
        assert gmacs(model.cost("predict")) == near(expected)


@pytest.mark.parametrize(
    ("arch", "classes", "parameters", "small", "large"),
    CONVOLUTIONS,
    ids=[f"{case[0]}-{case[1]}" for case in CONVOLUTIONS],
)
def test_convolutions(arch: str, classes: int, parameters: float, small: float, large: float) -> None:
    with torch.device("meta"):
        model = classifier(arch, {}, classes, 224)
        assert millions(model) == near(parameters)
        assert gmacs(model.cost("predict")) == near(small)
        shown = torch.zeros(1, 3, 256, 256, dtype=torch.uint8)
        assert gmacs([api.CostUnit(model, (shown,))]) == near(large)


def test_masked_autoencoders() -> None:
    with torch.device("meta"):
        model = MAE(MAE.Config(width=1280, depth=32, heads=16, patch=16), api.Task(name="", classes=(), image_size=224))
        assert millions(model.visible) == near(630.92)
        encode, _ = model.training_cost()
        # by hand: 49 of 196 patches and the class token
        tokens, width = 50, 1280
        by_hand = 49 * 768 * width + 32 * (12 * tokens * width**2 + 2 * tokens**2 * width)
        assert gmacs([encode]) == near(by_hand / 1e9)
        base = MAE(MAE.Config(arch="vit_base_patch16_224"), api.Task(name="", classes=(), image_size=224))
        # a pass of transformers' ViTMAE-B takes 9.79; what nobody asks for is left out here
        assert 0.97 * 9.79 < gmacs(base.training_cost()) < 9.79


@pytest.mark.parametrize(("size", "expected"), [(256, 248.5), (224, 248.5 * (224 / 256) ** 2)])
def test_unet(size: int, expected: float) -> None:
    with torch.device("meta"):
        model = DDPM(DDPM.Config(), api.Task(name="", classes=(), image_size=size))
        assert millions(model) == near(113.67)
        # nearly all are convolutions, which grow with the area; a picture takes one pass a step
        assert gmacs(model.cost("sample", DDPM.Sampling(steps=1))) == near(expected)
        assert gmacs(model.cost("sample", DDPM.Sampling(steps=3))) == near(3 * expected)


@pytest.mark.parametrize("latent", [32, 28])
def test_dit_l4(latent: int) -> None:
    """DiT-L/4 on latents of 256 and of 224 pixels, two classes."""
    from diffusers import DiTTransformer2DModel

    with torch.device("meta"):
        dit = DiTTransformer2DModel(
            num_attention_heads=16,
            attention_head_dim=64,
            in_channels=4,
            out_channels=8,
            num_layers=24,
            sample_size=latent,
            patch_size=4,
            num_embeds_ada_norm=2,
        )
        condition = {name: torch.zeros(1, dtype=torch.int64) for name in ("timestep", "class_labels")}
        counted = gmacs([api.CostUnit(dit, (torch.zeros(1, 4, latent, latent),), keywords=condition)])
    # by hand: each block projects and attends over N tokens, and embeds and modulates by time and class
    tokens, width = (latent // 4) ** 2, 1024
    block = 12 * tokens * width**2 + 2 * tokens**2 * width + 256 * width + 7 * width**2
    outside = 2 * tokens * 16 * 6 * width + 256 * width + 3 * width**2
    assert counted == near((24 * block + outside) / 1e9)
    assert latent != 32 or counted == near(19.73)
    assert millions(dit) == near(487.2)
