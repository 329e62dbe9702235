"""Feature extractors: the right weights, the reference's numbers, and no dependence on the batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor

from dermae_bench import api
from dermae_bench.builtin.extractors import efficientnet_lite0 as lite0
from dermae_bench.builtin.extractors.efficientnet_lite0 import DIMENSIONS, EfficientNetLite0
from dermae_bench.builtin.extractors.inception_v3_tf import InceptionV3TF


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def images(count: int, size: int, seed: int = 0) -> Tensor:
    """Smooth random colour fields with some noise."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=draw)
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return (255 * (0.8 * smooth + 0.2 * torch.rand(smooth.shape, generator=draw))).to(torch.uint8)


@pytest.fixture(scope="module")
def head() -> EfficientNetLite0:
    return EfficientNetLite0(EfficientNetLite0.Config())


def test_lite0_gives_the_features_of_timms_network(head: EfficientNetLite0) -> None:
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    net.load_state_dict(lite0._imagenet_state())
    shown = images(2, 224)
    with torch.no_grad():
        expected = net.forward_head(net.forward_features((shown / 255 - 0.5) / 0.5), pre_logits=True)
    assert torch.allclose(head.features(shown), expected, atol=1e-4)
    assert expected.std() > 0.1


def test_lite0_stages_are_the_pooled_outputs_of_timms_blocks() -> None:
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    net.load_state_dict(lite0._imagenet_state())
    shown = images(2, 64)
    with torch.no_grad():
        maps = net.bn1(net.conv_stem((shown / 255 - 0.5) / 0.5))
        expected = {"stem": maps}
        for number, block in enumerate(net.blocks):
            expected[f"blocks{number}"] = maps = block(maps)
    for stage, map_ in expected.items():
        extractor = EfficientNetLite0(EfficientNetLite0.Config(stage=stage, input_size=64))
        found = extractor.features(shown)
        assert found.shape == (2, DIMENSIONS[stage])
        assert found.dtype == torch.float32
        assert torch.allclose(found, map_.mean(dim=(2, 3)), atol=1e-4), stage


@pytest.mark.parametrize("size", [32, 100])
def test_lite0_features_of_an_image_do_not_depend_on_its_batch(size: int) -> None:
    extractor = EfficientNetLite0(EfficientNetLite0.Config(input_size=64))
    shown = images(7, size)
    together = extractor.features(shown)
    order = torch.tensor([5, 0, 6, 2, 1, 4, 3])
    assert torch.allclose(together[order], extractor.features(shown[order]), atol=1e-5)
    assert torch.allclose(together[3:4], extractor.features(shown[3:4]), atol=1e-5)


def test_lite0_identity_names_stage_input_and_weights(head: EfficientNetLite0, tmp_path: Path) -> None:
    identity = head.identity()
    assert identity["weights"] == lite0.IMAGENET_DIGEST
    assert (identity["name"], identity["stage"], identity["dimensions"]) == ("tf-efficientnet-lite0", "head", 1280)
    assert identity["input"]["size"] == 224
    assert identity["input"]["filter"] == api.RESIZE_PROTOCOL
    state = {name: tensor + 1 for name, tensor in lite0._imagenet_state().items()}
    torch.save(state, tmp_path / "other.pth")
    other = EfficientNetLite0(EfficientNetLite0.Config(weights=api.File(tmp_path / "other.pth")))
    assert other.identity()["weights"] == api.state_digest(state) != identity["weights"]


def test_lite0_finds_a_changed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite0, "IMAGENET_DIGEST", "0" * 64)
    with pytest.raises(api.PluginError, match="other weights"):
        EfficientNetLite0(EfficientNetLite0.Config())


def test_lite0_refuses_weights_of_another_network(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(api.PluginError, match="do not fit"):
        EfficientNetLite0(EfficientNetLite0.Config(weights=api.File(tmp_path / "other.pth")))


@pytest.fixture(scope="module")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """He-initialised: with torch's own initialisation every feature of this depth collapses to the same value."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path: Path = tmp_path_factory.mktemp("weights") / "inception.pth"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.save({}, path)
        net = FeatureExtractorInceptionV3("any", ["2048"], feature_extractor_weights_path=str(path))
    draw = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, generator=draw)
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=draw)
            module.running_var.uniform_(0.8, 1.2, generator=draw)
    torch.save(net.state_dict(), path)
    return path


@pytest.mark.slow
def test_inception_gives_the_features_of_torch_fidelity(inception_weights: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    layers = ["64", "192", "768", "2048"]
    reference = FeatureExtractorInceptionV3("any", layers, feature_extractor_weights_path=str(inception_weights))
    shown = images(2, 48)
    expected = dict(zip(layers, reference(shown), strict=True))
    for layer in layers:
        extractor = InceptionV3TF(InceptionV3TF.Config(weights=api.File(inception_weights), layer=layer))
        found = extractor.features(shown)
        assert found.shape == (2, int(layer))
        assert torch.allclose(found, expected[layer], rtol=1e-4, atol=1e-4 * float(expected[layer].abs().max()))
        assert float((found[0] - found[1]).abs().max()) > 1e-3


def test_inception_is_called_published_only_with_the_published_file(inception_weights: Path) -> None:
    identity = InceptionV3TF(InceptionV3TF.Config(weights=api.File(inception_weights))).identity()
    assert identity["name"] == "inception-v3-tf"
    assert identity["published"] is False
    assert identity["weights"] == api.state_digest(api.load_weights(inception_weights))


def test_inception_refuses_other_weights_and_downloads_nothing(tmp_path: Path) -> None:
    with pytest.raises(api.DataMissing):
        InceptionV3TF(InceptionV3TF.Config(weights=api.File(tmp_path / "absent.pth")))
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(api.PluginError, match="does not hold"):
        InceptionV3TF(InceptionV3TF.Config(weights=api.File(tmp_path / "other.pth")))
