"""Multiply-adds against hand counts and published figures; two counters must agree within 1 %."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import timm
import torch
from diffusers import UNet2DModel
from torch import nn

from dermae_bench import api
from dermae_bench.builtin.metrics.compute import Compute, Parameters
from dermae_bench.errors import BenchError
from dermae_bench.plugin import flops


def unet() -> UNet2DModel:
    return UNet2DModel(
        sample_size=16,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        num_class_embeds=8,
    )


IMAGE = torch.zeros(1, 3, 32, 32)
MODELS: Mapping[str, tuple[Any, tuple[Any, ...], Mapping[str, Any]]] = {
    "vit": (lambda: timm.create_model("test_vit", img_size=32, patch_size=4), (IMAGE,), {}),
    "cnn": (lambda: timm.create_model("test_efficientnet"), (IMAGE,), {}),
    "resnet": (lambda: timm.create_model("resnet18"), (IMAGE,), {}),
    "unet": (unet, (torch.zeros(1, 3, 16, 16), torch.tensor([5])), {"class_labels": torch.tensor([1])}),
    "unet, whole-number time": (unet, (torch.zeros(1, 3, 16, 16), 5), {"class_labels": torch.tensor([1])}),
}


@pytest.mark.parametrize("name", list(MODELS))
def test_two_counters_agree_within_one_per_cent(name: str) -> None:
    make, inputs, keywords = MODELS[name]
    module = make()
    macs = api.count_macs(module, inputs, keywords)
    assert macs > 1e6
    assert api.count_macs_fvcore(module, inputs, keywords) == pytest.approx(macs, rel=0.01)
    assert module.training, "left as it was"


@pytest.mark.parametrize("name", list(MODELS))
def test_a_count_without_numbers_is_the_same(name: str) -> None:
    make, inputs, keywords = MODELS[name]
    on_cpu = api.count_macs(make(), inputs, keywords)
    with torch.device("meta"):
        unit = flops.without_numbers(api.CostUnit(make(), inputs, 3, keywords))
    assert all(parameter.is_meta for parameter in unit.module.parameters())
    assert flops.macs_of(unit) == 3 * on_cpu


def test_a_training_step_adds_one_pass_for_gradients_of_inputs_and_one_for_weights() -> None:
    shown = (torch.zeros(1, 10),)
    units = [api.CostUnit(nn.Linear(10, 4), shown, 2, backward=kind) for kind in ("none", "inputs", "all")]
    assert [flops.training_macs(unit) for unit in units] == [80, 160, 240]


def test_the_backward_passes_of_a_network_are_twice_its_forward_pass() -> None:
    net, shown = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 5)), torch.zeros(1, 3, 8, 8)
    with flops.FlopCounterMode(display=False) as counter:
        net(shown.requires_grad_()).sum().backward()
    assert counter.get_total_flops() == 2 * flops.training_macs(api.CostUnit(net, (shown.detach(),)))


def test_convolution_and_linear_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten())
    net.append(nn.Linear(8 * 5 * 5, 7))
    by_hand = 8 * 3 * 9 * 10 * 10 + 200 * 7
    assert api.count_macs(net, (torch.zeros(1, 3, 10, 10),)) == by_hand
    assert api.count_macs_fvcore(net, (torch.zeros(1, 3, 10, 10),)) == by_hand


def test_attention_is_counted_fused_or_not() -> None:
    length, width = 10, 32
    by_hand = length * (width * 3 * width + width * width + 2 * width * 64) + 2 * length * length * width
    layer = nn.TransformerEncoderLayer(width, 4, 64, batch_first=True).eval()
    assert torch.backends.mha.get_fastpath_enabled()
    assert api.count_macs(layer, (torch.zeros(1, length, width),)) == by_hand
    assert api.count_macs_fvcore(layer, (torch.zeros(1, length, width),)) == by_hand
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize(
    ("name", "gmacs"), [("vit_base_patch16_224", 17.56), ("efficientnet_b0", 0.386), ("resnext50_32x4d", 4.23)]
)
def test_published_figures(name: str, gmacs: float) -> None:
    with torch.device("meta"):
        net = timm.create_model(name, pretrained=False).eval()
        shown = torch.zeros(1, 3, 224, 224)
    counted = flops._torch_flops(net, (shown,), {}) / 2 / 1e9
    assert counted == pytest.approx(gmacs, rel=0.002)


def test_a_counter_that_misses_attention_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flops, "_torch_flops", lambda module, inputs, keywords: 0)
    flops._check_attention.cache_clear()
    with pytest.raises(BenchError, match="counts 0 FLOPs for an attention of 2048"):
        api.count_macs(nn.Linear(2, 2), (torch.zeros(1, 2),))


def test_a_layer_that_cannot_be_counted_is_refused() -> None:
    with pytest.raises(BenchError, match="does not see into"):
        api.count_macs(nn.LSTM(4, 8, batch_first=True), (torch.zeros(1, 3, 4),))


def test_one_image_costs_the_sum_over_parts_and_calls() -> None:
    # the decoder of a latent model may be larger than the network, but is passed once
    net, decoder = nn.Linear(10, 10, bias=False), nn.Linear(10, 30, bias=False)
    decoder.requires_grad_(False)
    shown = (torch.zeros(1, 10),)
    # guidance: the net is called twice a step, listed as two units
    units = [api.CostUnit(net, shown, 5), api.CostUnit(net, shown, 5), api.CostUnit(decoder, shown, 1)]
    values = Compute(Compute.Config()).values(units)
    assert values == {
        "gmacs": (10 * 100 + 300) / 1e9,
        "gmacs-fvcore": (10 * 100 + 300) / 1e9,
        "network-calls": 10,
    }
    assert set(values) == {column.name for column in Compute.columns(Compute.Config())}
    unchecked = Compute.Config(cross_check=False)
    assert set(Compute(unchecked).values(units)) == {column.name for column in Compute.columns(unchecked)}
    parameters = Parameters(Parameters.Config()).values(units)
    assert parameters == {"parameters-inference": 400, "parameters-inference-trained": 100}


def test_a_large_pass_is_not_run_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    units = [api.CostUnit(nn.Linear(10, 10), (torch.zeros(1, 10),), calls=1000)]
    monkeypatch.setattr("dermae_bench.builtin.metrics.compute.CHECKED_GMACS", 100e-9)
    assert "gmacs-fvcore" in Compute(Compute.Config()).values(units), "what counts is one pass, not all"
    monkeypatch.setattr("dermae_bench.builtin.metrics.compute.CHECKED_GMACS", 99e-9)
    assert Compute(Compute.Config()).values(units) == {"gmacs": 1e-4, "network-calls": 1000}


def test_counting_leaves_a_network_as_it_was() -> None:
    net = nn.Sequential(nn.Linear(10, 4), nn.Dropout(), nn.Linear(4, 2)).train()
    net[0].requires_grad_(False)
    api.count_macs(net, (torch.zeros(1, 10),))
    api.count_macs_fvcore(net, (torch.zeros(1, 10),))
    assert [parameter.requires_grad for parameter in net.parameters()] == [False, False, True, True]
    assert all(part.training for part in net.modules())


def test_a_slice_of_a_parameter_may_be_shown_to_a_network() -> None:
    drawn, net = nn.Parameter(torch.zeros(5, 3, 8, 8)), nn.Conv2d(3, 2, 1)
    with torch.no_grad():
        assert api.count_macs(net, (drawn[:1],)) == api.count_macs_fvcore(net, (drawn[:1],)) == 3 * 2 * 64


class Untraceable(nn.Linear):
    """A pass that fails when it is traced."""

    def forward(self, shown: torch.Tensor) -> torch.Tensor:
        if torch.jit.is_tracing():
            raise RuntimeError("not for tracing")
        return super().forward(shown)


def test_without_a_cross_check_its_cell_is_empty_and_the_reason_is_told() -> None:
    unit = api.CostUnit(Untraceable(10, 10), (torch.zeros(1, 10),))
    with pytest.warns(RuntimeWarning, match="not cross-checked: fvcore cannot trace Untraceable: not for tracing"):
        values = Compute(Compute.Config()).values([unit])
    assert values == {"gmacs": 1e-7, "network-calls": 1}


def test_no_part_is_no_cost_of_zero() -> None:
    for metric in (Compute(Compute.Config()), Parameters(Parameters.Config())):
        with pytest.raises(api.InvalidOutput):
            metric.values([])
