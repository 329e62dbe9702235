"""The timm classifier: strict weights, sizes, class weights and a recipe that learns."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from dermae_plugins.classifiers.timm_classifier import TimmClassifier
from dermae_plugins.parts import trunks
from dermae_plugins.parts.fine_tuning import _probe, balanced_draws
from fitting import SIZE, TASK, fit, labelled, make
from safetensors.torch import save_file

from dermae_bench import api
from dermae_bench.execute.checkpoints import Checkpoints
from dermae_bench.execute.run import BudgetOf, FitRun, batch_indices, reseed


def vit(**params: Any) -> Any:
    return make(TimmClassifier, {"arch": "test_vit", "arch_args": {"patch_size": 8, "depth": 2}, **params})


def accuracy(model: Any) -> float:
    images = labelled()
    with torch.inference_mode():
        decided = model(images[slice(0, 12)]).argmax(1)
    return float((decided == torch.as_tensor(images.labels)).float().mean())


@pytest.mark.parametrize(
    "params",
    [
        {"arch": "test_efficientnet", "lr": 2e-3},
        {"arch": "test_vit", "arch_args": {"patch_size": 8.0}, "mixup": 0.2, "colour_jitter": 0.05, "drop_path": 0.1},
        {"arch": "test_resnet", "turns": "flip", "balance": "loss", "label_smoothing": 0.0},
    ],
    ids=lambda params: params["arch"],
)
def test_it_learns_three_colours(params: dict[str, Any]) -> None:
    model = make(TimmClassifier, params)
    # batch norms need some steps until their running means are those of the images
    fit(model, steps=50, batch=12)
    assert accuracy(model) == 1.0


def test_it_learns_with_everything_switched_on() -> None:
    options = {"mixup": 0.2, "cutmix": 1.0, "mixing": 0.5, "crop": 0.5, "erasing": 0.25, "colour_jitter": 0.05}
    strong = {"rand_augment": 1, "magnitude": 3.0, "layer_decay": 0.9, "balance": "sampling", "drop_path": 0.1}
    model = vit(lr=2e-3, pool="avg", **options, **strong)
    fit(model, steps=80, batch=12)
    assert accuracy(model) == 1.0


def test_two_fits_are_equal() -> None:
    models = [make(TimmClassifier, {"mixup": 0.5, "colour_jitter": 0.2, "drop_path": 0.1}) for _ in range(2)]
    for model in models:
        fit(model)
    first, second = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_unknown_architecture_is_refused_with_near_names() -> None:
    with pytest.raises(api.PluginError, match=r"did you mean.*efficientnet_b0"):
        make(TimmClassifier, {"arch": "eficientnet_b0"})


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(api.PluginError, match="patch_sise"):
        make(TimmClassifier, {"arch": "test_vit", "arch_args": {"patch_sise": 8}})


def test_transformers_are_told_the_size_and_others_take_any() -> None:
    assert vit().net.patch_embed.img_size == (SIZE, SIZE)
    assert vit(input_size=32).net.patch_embed.img_size == (32, 32)
    assert vit(input_size=32).input_size == 32
    assert make(TimmClassifier).input_size is None


def test_forward_normalises_as_training_does() -> None:
    model = make(TimmClassifier, {"turns": "none", "mean": [0.7, 0.5, 0.4], "std": [0.2, 0.3, 0.25]})
    seen: list[torch.Tensor] = []
    model.net.register_forward_pre_hook(lambda net, inputs: seen.append(inputs[0]))
    fit(model, steps=1, batch=12)
    images = labelled()[batch_indices(0, 0, 12, 12)]
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ([0.7, 0.5, 0.4], [0.2, 0.3, 0.25]))
    torch.testing.assert_close(seen[0], (images.float() / 255 - mean) / std, atol=1e-5, rtol=1e-4)
    model(images)
    torch.testing.assert_close(seen[1], seen[0], atol=1e-5, rtol=1e-4)


def test_a_weights_file_gives_everything_but_the_head(tmp_path: Path) -> None:
    source = vit()
    file = tmp_path / "weights.safetensors"
    save_file(source.net.state_dict(), file)
    reseed(9, "other")
    found = TimmClassifier(
        TimmClassifier.Config(arch="test_vit", arch_args={"patch_size": 8, "depth": 2}, weights=api.File(file)),
        api.Task(name="malignancy", classes=("benign", "malignant"), image_size=SIZE),
    )
    assert torch.equal(found.net.blocks[1].mlp.fc1.weight, source.net.blocks[1].mlp.fc1.weight)
    assert found.net.head.weight.shape[0] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("norm.weight"), "norm.weight is missing"),
        (lambda state: state.update({"norms.weight": torch.ones(1)}), "norms.weight is unknown"),
        (lambda state: state.update({"pos_embed": torch.zeros(1, 3, 64)}), "pos_embed is"),
    ],
)
def test_an_encoder_must_fit_by_name_and_shape(change: Any, message: str) -> None:
    source, target = vit(), vit()
    encoder = {name: value + 1 for name, value in source.net.state_dict().items() if not name.startswith("head.")}
    target.start_from(encoder)
    assert torch.equal(target.net.cls_token, source.net.cls_token + 1)
    change(encoder)
    with pytest.raises(api.PluginError, match=message):
        target.start_from(encoder)


def test_class_weights_make_every_class_weigh_the_same() -> None:
    model = make(TimmClassifier, {"balance": "loss"})
    images = labelled(12)
    images.labels[:] = [0] * 8 + [1] * 4
    weights = model.class_weights(images)
    assert weights.tolist() == pytest.approx([12 / 16, 12 / 8, 0.0])
    assert make(TimmClassifier).class_weights(images).tolist() == [1.0, 1.0, 1.0]


def test_sampling_draws_every_class_equally_often() -> None:
    images = labelled(12)
    images.labels[:] = [0] * 9 + [1] * 3
    assert balanced_draws(images).tolist() == pytest.approx([1 / 9] * 9 + [1 / 3] * 3)
    model = make(TimmClassifier, {"balance": "sampling"})
    seen: list[torch.Tensor] = []
    plain = model.cross_entropy
    model.cross_entropy = lambda logits, batch, view, weights: (
        seen.append(batch.labels) or plain(logits, batch, view, weights)
    )
    fit(model, steps=6, batch=64, images=images)
    assert torch.cat(seen).float().mean().item() == pytest.approx(0.5, abs=0.06)
    assert model.class_weights(images).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("balance", ["loss", "sampling"])
def test_classes_cannot_be_balanced_without_labels(balance: str) -> None:
    with pytest.raises(api.PluginError, match="without labels"):
        fit(make(TimmClassifier, {"balance": balance}), images=replace(labelled(), labels=None))


def test_images_without_labels_teach_nothing() -> None:
    with pytest.raises(api.PluginError, match="no labels"):
        fit(make(TimmClassifier), images=replace(labelled(), labels=None))


def test_vectors_do_not_decay() -> None:
    for options in ({}, {"layer_decay": 0.9}):
        groups = vit(weight_decay=0.1, **options).groups()
        decays = {group["weight_decay"] for group in groups for p in group["params"] if p.ndim > 1}
        spared = {group["weight_decay"] for group in groups for p in group["params"] if p.ndim <= 1}
        assert (decays, spared) == ({0.1}, {0.0})


def test_learning_rates_fall_from_layer_to_layer() -> None:
    model = vit(lr=1.0, layer_decay=0.5)
    names = {id(parameter): name for name, parameter in model.net.named_parameters()}
    rates = {names[id(p)]: group["lr"] for group in model.groups() for p in group["params"]}
    assert set(rates) == set(names.values())
    table = {"head": 1.0, "blocks.1": 0.5, "norm": 0.5, "blocks.0": 0.25}
    below = {"cls_token": 0.125, "pos_embed": 0.125, "patch_embed": 0.125}
    for start, rate in (table | below).items():
        found = {its for name, its in rates.items() if name == start or name.startswith(f"{start}.")}
        assert found == {rate}, start
    assert len(model.groups()) > 2
    assert all("lr" not in group for group in vit(lr=1.0).groups())


def test_layers_of_other_networks_are_timms_groups() -> None:
    model = make(TimmClassifier, {"arch": "test_efficientnet", "lr": 1.0, "layer_decay": 0.5})
    names = {id(parameter): name for name, parameter in model.net.named_parameters()}
    rates = {names[id(p)]: group["lr"] for group in model.groups() for p in group["params"]}
    assert rates["classifier.weight"] == 1.0
    order = [rates[f"{name}.weight"] for name in ("conv_stem", "blocks.0.0.conv", "blocks.1.0.conv_exp", "classifier")]
    assert order == sorted(set(order))
    assert order[0] == min(rates.values())


def test_the_learning_rate_of_each_layer_follows_the_schedule() -> None:
    model = vit(lr=1e-3, layer_decay=0.5, warmup=0.5)
    with tempfile.TemporaryDirectory() as folder:
        run = Noting(model, BudgetOf(steps=4, batch_size=6), 0, torch.device("cpu"), Checkpoints(Path(folder)))
        model.fit(labelled(), run)
    assert [round(max(rates) / 1e-3, 6) for rates in run.rates] == [0.001, 0.5, 1.0, 0.5]
    assert all(min(rates) == pytest.approx(max(rates) / 8) for rates in run.rates)


class Noting(FitRun):
    """Notes the learning rates of every step."""

    rates: list[list[float]]

    def step(self, loss: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
        self.__dict__.setdefault("rates", []).append([group["lr"] for group in optimizer.param_groups])
        super().step(loss, optimizer)


@pytest.mark.parametrize(
    ("arch", "head"), [("test_vit", "head"), ("test_efficientnet", "classifier"), ("test_resnet", "fc")]
)
def test_a_linear_probe_trains_the_head_alone(arch: str, head: str) -> None:
    model = make(TimmClassifier, {"arch": arch, "train": "head", "lr": 0.05, "drop_path": 0.5})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes: set[bool] = set()
    model.net.get_submodule(head).register_forward_pre_hook(
        lambda net, inputs: modes.add(any(part.training for name, part in model.net.named_modules() if name != head))
    )
    curves = fit(model, steps=20, batch=12)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"net.{head}.{name}" for name in PROBE}
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == sum(
        p.numel() for p in model.net.get_submodule(head).parameters()
    )
    assert curves[-1]["loss"] < curves[0]["loss"]
    features = model.net.forward_head(model.net.forward_features(torch.zeros(2, 3, SIZE, SIZE)), pre_logits=True)
    probe = model.net.get_submodule(head)
    torch.testing.assert_close(model.net(torch.zeros(2, 3, SIZE, SIZE)), probe(features))
    assert not list(probe[0].parameters())


PROBE = ("0.running_mean", "0.running_var", "0.num_batches_tracked", "1.weight", "1.bias")


def test_the_trunk_of_a_probe_stays_in_eval_mode() -> None:
    model = make(TimmClassifier, {"arch": "test_resnet", "train": "head"})
    model.train()
    probe = set(model.net.fc.modules())
    assert {part.training for part in model.net.modules() if part not in probe} == {False}
    assert {part.training for part in probe} == {True}
    model.eval()
    assert not any(part.training for part in model.modules())


def test_a_probe_needs_a_linear_head() -> None:
    with pytest.raises(api.PluginError, match="no linear layer but Identity"):
        _probe(vit().net, "fc_norm")


def test_a_probe_costs_a_forward_pass_and_the_gradient_of_its_head() -> None:
    units = list(vit(train="head").eval().training_cost())
    assert [unit.backward for unit in units] == ["none", "none"]
    assert isinstance(units[1].module, torch.nn.Linear)
    assert [unit.backward for unit in vit().training_cost()] == ["all"]


def test_the_head_reads_what_pool_says() -> None:
    token, mean = vit(pool="token"), vit(pool="avg")
    assert token.net.global_pool == vit().net.global_pool == "token"
    assert mean.net.global_pool == "avg"
    tokens = torch.randn(2, 5, 64)
    pooled = mean.net.forward_head(tokens, pre_logits=True)
    torch.testing.assert_close(pooled, mean.net.fc_norm(tokens[:, 1:].mean(1)))
    torch.testing.assert_close(token.net.forward_head(tokens, pre_logits=True), tokens[:, 0])
    with pytest.raises(api.PluginError, match="cannot be built"):
        make(TimmClassifier, {"arch": "test_resnet", "pool": "token"})


@pytest.mark.parametrize(("pretrained", "finetuned"), [("token", "avg"), ("avg", "token")])
def test_an_encoder_that_pools_otherwise_loads_but_for_its_final_norm(pretrained: str, finetuned: str) -> None:
    source, target = vit(pool=pretrained), vit(pool=finetuned)
    encoder = {name: value + 1 for name, value in source.net.state_dict().items() if not name.startswith("head.")}
    own = {"token": "norm", "avg": "fc_norm"}[finetuned]
    target.start_from(encoder)
    state = target.net.state_dict()
    fresh = {name for name in state if not torch.equal(state[name], encoder.get(name, torch.tensor(torch.nan)))}
    assert fresh == {f"{own}.weight", f"{own}.bias", "head.weight", "head.bias"}
    assert torch.equal(state[f"{own}.weight"], torch.ones(64))
    with pytest.raises(api.PluginError, match=r"blocks.0.norm1.weight is missing"):
        target.start_from({name: value for name, value in encoder.items() if name != "blocks.0.norm1.weight"})
    same = vit(pool=pretrained)
    same.start_from(encoder)
    assert all(torch.equal(same.net.state_dict()[name], value) for name, value in encoder.items())


def test_a_probe_takes_over_an_encoder() -> None:
    source, target = vit(), vit(train="head", pool="avg")
    target.start_from({name: value for name, value in source.net.state_dict().items() if not name.startswith("head.")})
    assert torch.equal(target.net.blocks[0].attn.qkv.weight, source.net.blocks[0].attn.qkv.weight)
    assert not target.net.blocks[0].attn.qkv.weight.requires_grad


def test_it_has_no_use_for_a_teacher() -> None:
    with pytest.raises(api.PluginError, match="distilled"):
        fit(make(TimmClassifier), teacher=make(TimmClassifier))


def test_cost_is_one_pass() -> None:
    (unit,) = vit(input_size=32).eval().cost("predict")
    assert unit.calls == 1
    assert unit.module(*unit.inputs).shape == (1, len(TASK.classes))


def test_whole_numbers_stay_whole() -> None:
    assert trunks.whole_numbers({"a": 8.0, "b": 0.5, "c": True, "d": "x"}) == {"a": 8, "b": 0.5, "c": True, "d": "x"}
    assert isinstance(trunks.whole_numbers({"a": 8.0})["a"], int)
