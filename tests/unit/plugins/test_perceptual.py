"""The perceptual loss: a distance, blind to nothing it should see, and without gradients where none belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from dermae_plugins.parts import trunks
from dermae_plugins.parts.perceptual import FeatureDistance, PerceptualConfig, least_noised
from safetensors.torch import save_file

from dermae_bench import api


@pytest.fixture(scope="module")
def distance() -> FeatureDistance:
    return FeatureDistance(PerceptualConfig(feature_stages=(0, 1)), 32)


def pictures(seed: int) -> torch.Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_equal_images_are_at_no_distance(distance: FeatureDistance) -> None:
    assert torch.equal(distance(pictures(0), pictures(0)), torch.zeros(3))


def test_it_grows_with_the_change(distance: FeatureDistance) -> None:
    images = pictures(0)
    blended = torch.stack([distance(images.lerp(pictures(1), share), images) for share in (0.1, 0.3, 1.0)])
    assert torch.all(blended.diff(dim=0) > 0)
    assert torch.all((blended > 0) & (blended < 4))


def test_only_the_first_images_get_gradients(distance: FeatureDistance) -> None:
    images, targets = pictures(0).requires_grad_(), pictures(1).requires_grad_()
    distance(images, targets).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert targets.grad is None
    assert all(p.grad is None for p in distance.parameters())


def test_black_images_have_finite_gradients(distance: FeatureDistance) -> None:
    images = torch.full((1, 3, 32, 32), -1.0, requires_grad=True)
    distance(images, pictures(0)[:1]).sum().backward()
    assert torch.isfinite(images.grad).all()


def test_it_stays_in_eval_mode(distance: FeatureDistance) -> None:
    distance.train()
    assert not any(module.training for module in distance.modules())


def test_the_packaged_weights_are_those_of_imagenet() -> None:
    net: Any = timm.create_model(trunks.PACKAGED)
    state = trunks.packaged_state(net)
    net.load_state_dict(state)
    assert api.state_digest(net.state_dict()) == trunks.PACKAGED_DIGEST


def test_other_networks_need_a_file() -> None:
    with pytest.raises(api.PluginError, match="no weights for the feature network resnet18"):
        FeatureDistance(PerceptualConfig(feature_arch="resnet18"), 32)


@pytest.mark.parametrize(("arch", "stages"), [("test_resnet", (0, 2)), ("test_vit", (1, 3))])
def test_any_trunk_works_with_its_file(arch: str, stages: tuple[int, ...], tmp_path: Path) -> None:
    arguments = {"img_size": 32} if arch == "test_vit" else {}
    net: Any = timm.create_model(arch, **arguments)
    file = tmp_path / "weights.safetensors"
    save_file(net.state_dict(), file)
    config = PerceptualConfig(feature_arch=arch, feature_weights=api.File(file), feature_stages=stages, feature_size=32)
    found = FeatureDistance(config, 16)(pictures(0)[..., ::2, ::2], pictures(1)[..., ::2, ::2])
    assert found.shape == (3,)
    assert torch.all(found > 0)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_file({"conv_stem.weight": torch.zeros(1)}, file)
    with pytest.raises(api.PluginError, match="feature_weights do not fit"):
        FeatureDistance(PerceptualConfig(feature_weights=api.File(file)), 32)


def test_stages_that_do_not_exist_are_refused() -> None:
    with pytest.raises(api.PluginError, match="stages"):
        FeatureDistance(PerceptualConfig(feature_stages=(9,)), 32)


def test_the_least_noised_are_chosen() -> None:
    t = torch.tensor([900, 3, 500, 20, 700])
    assert least_noised(t, 0.4).tolist() == [1, 3]
    assert least_noised(t, 0.01).tolist() == [1]
    assert len(least_noised(t, 1.0)) == 5
