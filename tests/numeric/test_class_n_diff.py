"""Class-N-Diff's parts against closed forms, other implementations and counts: transformer, gate, classifier, cost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from dermae_plugins.generators.class_n_diff import ClassNDiff
from dermae_plugins.generators.dit import DiT
from dermae_plugins.parts.dit import Block, CrossAttention, DiffusionTransformer, TransformerConfig
from dermae_plugins.parts.draws import own_draws
from dermae_plugins.parts.gating import GatingConfig
from dermae_plugins.parts.latent_net import LatentNetConfig, build_latent_net
from dermae_plugins.parts.latents import Pixels
from dermae_plugins.parts.masking import patchify
from dermae_plugins.parts.transformer_diffusion import TransformerSampling
from torch.nn import functional as F

from dermae_bench import api
from dermae_bench.plugin.flops import count_macs_fvcore, training_macs

SMALL = {"depth": 2, "width": 16, "heads": 2, "patch": 2}
EPOCHS = 200_000 * 8 / 57_882
"""Of the paper's 200,000 steps of 8 images over its training set."""
SUITE: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "suites" / "class_n_diff.yaml").read_text())
"""What is given away as the paper's; setting 1 has no classifier: it is `dit`, and `latent-classifier` beside it."""


class Latent:
    """The space of a picture of 256 pixels in Stable Diffusion's latents, without an autoencoder."""

    bounded = False
    shape = (4, 32, 32)


def network(space: Any = None, classes: int = 3, **options: Any) -> DiffusionTransformer:
    torch.manual_seed(0)
    return DiffusionTransformer(TransformerConfig(**{**SMALL, **options}), space or Pixels(8), classes)


def awake(net: torch.nn.Module) -> torch.nn.Module:
    """With numbers in place of the zeros that silence a fresh network."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    return net


def near(figure: float, rel: float = 0.002) -> Any:
    return pytest.approx(figure, rel=rel)


# -- the transformer ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "classes", "parameters", "gmacs"),
    [
        # the released code's 406.6 M hold a table of positions and a learnt variance besides: 0.13 M
        ({"tokens": "one"}, 2, 406.65 - 0.13, 22.8),
        ({"tokens": "one", "queries": "condition"}, 2, 406.65 - 0.13, 22.8),
        ({}, 2, 406.65 - 0.13, 22.87),
        # DiT's own table 4: 458 M and 19.7 Gflops (they count a multiply-add as one)
        ({"conditioning": "adaln"}, 1000, 458.0, 19.7),
    ],
    ids=["code", "condition asks", "paper", "dit"],
)
def test_dit_l4_has_the_published_size(options: Any, classes: int, parameters: float, gmacs: float) -> None:
    with torch.device("meta"):
        net = DiffusionTransformer(TransformerConfig(**options), Latent(), classes)  # type: ignore[arg-type]
        assert sum(p.numel() for p in net.parameters()) / 1e6 == near(parameters)
        assert api.count_macs(net, net.example_inputs()) / 1e9 == near(gmacs)


def test_a_block_of_the_paper_by_hand() -> None:
    with torch.device("meta"):
        block = Block(TransformerConfig())
        counted = api.count_macs(block, (torch.zeros(1, 64, 1024), torch.zeros(1, 2, 1024)))
    tokens, width, told = 64, 1024, 2
    own = 12 * tokens * width**2 + 2 * tokens**2 * width
    across = 2 * tokens * width**2 + 2 * told * width**2 + 2 * tokens * told * width
    assert counted == own + across
    assert sum(p.numel() for p in block.parameters()) == 16 * width**2 + 13 * width


def test_two_counters_agree() -> None:
    net = network()
    assert count_macs_fvcore(net, net.example_inputs()) == near(api.count_macs(net, net.example_inputs()), 0.01)


def test_cross_attention_is_that_of_torch() -> None:
    torch.manual_seed(1)
    ours, theirs = CrossAttention(16, 4), torch.nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
    theirs.out_proj.load_state_dict(ours.proj.state_dict())
    rows, context = torch.randn(3, 5, 16), torch.randn(3, 2, 16)
    expected, _ = theirs(rows, context, context)
    torch.testing.assert_close(ours(rows, context), expected)


@pytest.mark.parametrize("queries", ["patches", "condition"])
def test_a_block_adds_what_was_asked(queries: Any) -> None:
    torch.manual_seed(2)
    block = Block(TransformerConfig(**SMALL, queries=queries))
    x, told = torch.randn(2, 4, 16), torch.randn(2, 2, 16)

    def normed(rows: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(rows, (16,), eps=1e-6)

    y = x + block.attn(normed(x))
    asked = block.cross(normed(y), told) if queries == "patches" else block.cross(told, normed(y)).mean(1, keepdim=True)
    y = y + asked
    torch.testing.assert_close(block(x, told), y + block.mlp(normed(y)))
    # the condition's own question gets one answer for all patches
    assert asked.shape[1] == (4 if queries == "patches" else 1)


def test_adaln_zero_starts_as_nothing_and_then_scales_shifts_and_gates() -> None:
    torch.manual_seed(3)
    net = network(conditioning="adaln")
    block, x, told = net.blocks[0], torch.randn(2, 4, 16), torch.randn(2, 1, 16)
    assert torch.equal(block(x, told), x)
    awake(block)
    shift1, scale1, gate1, shift2, scale2, gate2 = block.modulation(told).chunk(6, dim=2)
    y = x + gate1 * block.attn(F.layer_norm(x, (16,), eps=1e-6) * (1 + scale1) + shift1)
    y = y + gate2 * block.mlp(F.layer_norm(y, (16,), eps=1e-6) * (1 + scale2) + shift2)
    torch.testing.assert_close(block(x, told), y)


@pytest.mark.parametrize("conditioning", ["cross-attention", "adaln"])
def test_the_first_answer_is_zero_and_every_input_matters_later(conditioning: str) -> None:
    net = network(conditioning=conditioning)
    x, t, labels = torch.randn(2, 3, 8, 8), torch.tensor([3, 40]), torch.tensor([0, 2])
    assert not net(x, t, labels).any()
    assert net.label.weight.std().item() == pytest.approx(0.02, rel=0.3)
    awake(net)
    said = net(x, t, labels)
    for other in (net(x + 0.1, t, labels), net(x, t + 1, labels), net(x, t, labels.flip(0)), net(x, t, labels + 1)):
        assert not torch.allclose(other, said, atol=1e-4)
    # a picture's answer is its own
    torch.testing.assert_close(net(x[1:], t[1:], labels[1:]), said[1:], atol=1e-5, rtol=1e-4)


def test_the_time_is_told_in_waves_as_in_dit() -> None:
    net = network()
    heard: list[torch.Tensor] = []
    net.time.register_forward_pre_hook(lambda module, inputs: heard.append(inputs[0]))
    t = torch.tensor([0, 7, 999])
    net(torch.zeros(3, 3, 8, 8), t, torch.tensor([0, 1, 2]))
    angles = t[:, None] * torch.exp(-math.log(10000) * torch.arange(128) / 128)
    torch.testing.assert_close(heard[0], torch.cat([angles.cos(), angles.sin()], dim=1), atol=1e-4, rtol=0)


def test_two_tokens_are_not_their_sum() -> None:
    two, one = (awake(network(tokens=tokens)) for tokens in ("two", "one"))
    one.load_state_dict(two.state_dict())
    x, t, labels = torch.randn(1, 3, 8, 8), torch.tensor([5]), torch.tensor([1])
    assert not torch.allclose(two(x, t, labels), one(x, t, labels), atol=1e-4)


def test_patches_are_put_back_where_they_were() -> None:
    net = network(Latent())
    x = torch.randn(2, *Latent.shape)
    assert torch.equal(net._put_together(patchify(x, 2)), x)


@pytest.mark.parametrize(("options", "message"), [({"heads": 3}, "not divisible"), ({"width": 18}, "by 4")])
def test_widths_that_do_not_fit_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransformerConfig(**{**SMALL, **options})


def test_patches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(api.PluginError, match="8 px cannot be cut into patches of 3"):
        network(patch=3)


# -- the gate ----------------------------------------------------------------------------------------------------


def test_gamma_rises_as_documented() -> None:
    rising = GatingConfig(gating="rising")
    found = [rising.gamma_at(step / 20) for step in range(20)]
    assert found == pytest.approx([0.05 * min(step // 2, 5) for step in range(20)])
    assert GatingConfig(gating="rising", gamma_period=0.1, gamma=1).gamma_at(0.1 * 3) == pytest.approx(0.15)
    late = GatingConfig(gating="rising", gamma=0.6, gamma_start=0.1, gamma_increment=0.3, gamma_period=0.5)
    assert [late.gamma_at(progress) for progress in (0.0, 0.49, 0.5, 0.99)] == [0.1, 0.1, 0.4, 0.4]
    assert {GatingConfig(gamma=0.3).gamma_at(progress) for progress in (0.0, 0.5, 0.99)} == {0.3}


def test_a_gate_opens_as_often_as_gamma_says() -> None:
    by_image, by_batch = GatingConfig(gate_by="image"), GatingConfig(gate_by="batch")
    torch.manual_seed(0)
    assert by_image.gates(0.25, 4000).float().mean().item() == pytest.approx(0.25, abs=0.02)
    opened = []
    for seed in range(100):
        torch.manual_seed(seed)
        gates = by_batch.gates(0.25, 5)
        assert gates.shape == (5,)
        assert gates.all() or not gates.any()
        opened.append(bool(gates[0]))
    assert sum(opened) / 100 == pytest.approx(0.25, abs=0.1)
    assert not by_image.gates(0.0, 1000).any()
    assert by_image.gates(1.0, 1000).all()


def test_draws_of_a_part_depend_on_the_seed_and_its_name_and_shift_nobody() -> None:
    torch.manual_seed(11)
    with own_draws("a"):
        first = torch.rand(3)
    after = torch.rand(2)
    assert torch.initial_seed() == 11
    torch.manual_seed(11)
    assert torch.equal(torch.rand(2), after)
    with own_draws("a"):
        assert torch.equal(torch.rand(3), first)
    with own_draws("b"):
        assert not torch.equal(torch.rand(3), first)
    torch.manual_seed(12)
    with own_draws("a"):
        assert not torch.equal(torch.rand(3), first)


@pytest.mark.gpu
def test_draws_of_a_part_shift_nobody_on_a_gpu_either() -> None:
    gpu = torch.device("cuda")
    torch.manual_seed(11)
    with own_draws("a", gpu):
        first = torch.rand(3, device=gpu)
    after = torch.rand(2, device=gpu)
    torch.manual_seed(11)
    assert torch.equal(torch.rand(2, device=gpu), after)
    with own_draws("a", gpu):
        assert torch.equal(torch.rand(3, device=gpu), first)


# -- the settings of the paper -----------------------------------------------------------------------------------


def of_suite(number: int, preset: str = "paper") -> dict[str, Any]:
    """Params of a setting, as the suite merges them."""
    own = SUITE["generators"][f"setting-{number}"]["params"]
    of_preset = SUITE["presets"][preset].get("generators", {}).get(f"setting-{number}", {}).get("params", {})
    inside = {**own.get("classifier", {}), **of_preset.get("classifier", {})}
    return {**own, **of_preset, **({"classifier": inside} if inside else {})}


@pytest.mark.parametrize("preset", SUITE["presets"])
def test_settings_differ_in_what_table_one_says_alone(preset: str) -> None:
    alone, *joint = (of_suite(number, preset) for number in range(1, 6))
    said = {"class_weight", "gamma", "gating", "classifier_from", "classifier_every"}
    apart = [{name: value for name, value in params.items() if name not in said} for params in joint]
    assert all(params == apart[0] for params in apart)
    assert {name: value for name, value in apart[0].items() if name not in ("classifier", "gate_by")} == alone
    # and the control is the classifier inside
    control = {**SUITE["classifiers"]["resnet-101"]["params"]}
    control |= SUITE["presets"][preset].get("classifiers", {}).get("resnet-101", {}).get("params", {})
    inside = apart[0]["classifier"]
    assert {name: control[name] for name in inside} == inside
    assert set(control) == {*inside, "space", "autoencoder", "autoencoder_weights"}
    budgets = {name: {**SUITE["budgets"][name], **SUITE["presets"][preset].get("budgets", {}).get(name, {})}
               for name in ("joint", "separate")}  # fmt: skip
    assert budgets["joint"] == budgets["separate"]
    assert {SUITE["generators"][f"setting-{number}"]["budget"] for number in range(1, 6)} == {"joint"}


def test_the_budget_and_the_samples_are_those_of_the_paper() -> None:
    assert (SUITE["budgets"]["joint"]["steps"], SUITE["budgets"]["joint"]["batch_size"]) == (200_000, 8)
    (row,) = SUITE["generator_rows"]
    assert (row["count"], row["subsets"], row["sampling"]) == (
        20_000,
        [5000, 10_000],
        {"sampler": "ddpm", "steps": 250},
    )


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_a_setting_of_table_one(number: int) -> None:
    params = of_suite(number)
    files = {"autoencoder_weights": api.File("vae.safetensors")}
    classifier = LatentNetConfig(**{**params["classifier"], "weights": None})
    config = ClassNDiff.Config(**{**params, **files, "classifier": classifier})
    assert config.class_weight == (0.3 if number == 5 else 0.2)
    assert config.classifier_every == (3 if number in (3, 5) else 1)
    assert config.gamma_at(0.0) == (0.25 if number == 2 else 0.0)
    assert config.gamma_at(0.99) == 0.25
    assert config.classifier_from == pytest.approx(1 - 2 / EPOCHS if number == 2 else 0, abs=1e-4)
    assert (config.depth, config.patch, config.lr, config.classifier.arch) == (24, 4, 1e-4, "resnet101")


def test_images_of_the_paper_take_250_steps() -> None:
    with torch.device("meta"):
        model = DiT(DiT.Config(space="pixel", patch=8), api.Task(name="", classes=("a", "b"), image_size=32))
        assert (TransformerSampling().sampler, TransformerSampling().steps) == ("ddpm", 250)
        (unit,) = model.cost("sample", DiT.Sampling())
        assert (unit.module, unit.calls) == (model.dit, 250)
        (guided,) = model.cost("sample", DiT.Sampling(guidance=1.5))
        assert guided.calls == 500


@pytest.mark.slow
def test_the_classifier_of_the_paper_has_its_size() -> None:
    with torch.device("meta"):
        net = build_latent_net(LatentNetConfig(), Latent(), 2)  # type: ignore[arg-type]
        # ResNet-101 without its head, 4 -> 3 channels, 2048-64-2
        layers = 44_549_160 - 2_049_000 + (4 * 9 * 3 + 3) + (2048 * 64 + 64) + (64 * 2 + 2)
        assert sum(p.numel() for p in net.parameters()) == layers
        # 10.19 GMACs at 256 pixels
        assert api.count_macs(net, net.example_inputs()) / 1e9 == near(10.19 / 64, 0.01)


def test_a_training_step_costs_what_its_passes_cost() -> None:
    task = api.Task(name="", classes=("a", "b"), image_size=32)
    small = {**SMALL, "classifier": LatentNetConfig(arch="test_efficientnet", hidden=4)}

    def macs(**options: Any) -> int:
        with torch.device("meta"):
            model = ClassNDiff(ClassNDiff.Config(**{**small, **options}), task)
            return sum(training_macs(unit) for unit in model.training_cost())

    with torch.device("meta"):
        model = ClassNDiff(ClassNDiff.Config(**small), task)
        transformer = api.count_macs(model.dit, model.dit.example_inputs())
        (answering,) = model.cost("predict")
        classifier = api.count_macs(answering.module, answering.inputs)
    assert macs() == 3 * transformer + 4 * classifier
    assert macs(gamma=0.0) == macs(class_weight=0.0) == 3 * transformer + 3 * classifier
    assert macs(gamma=0.0, diffusion_weight=0.0) == 3 * classifier


def test_a_sigmoid_over_one_logit_is_a_softmax_over_two() -> None:
    logits, labels = torch.randn(20, 2), torch.arange(20) % 2
    one = logits[:, 1] - logits[:, 0]
    torch.testing.assert_close(F.cross_entropy(logits, labels), F.binary_cross_entropy_with_logits(one, labels.float()))
    assert math.isclose(float(one[0].sigmoid()), float(logits.softmax(1)[0, 1]), rel_tol=1e-5)
