"""The timm classifier: strict weights, sizes, class weights and a recipe that learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from dermae_plugins.classifiers.timm_classifier import TimmClassifier
from dermae_plugins.parts import trunks
from fitting import SIZE, TASK, fit, labelled, make
from safetensors.torch import save_file

from dermae_bench import api
from dermae_bench.execute.run import reseed


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
    model = make(TimmClassifier, {"turns": "none", "mean": [0.7, 0.5, 0.4], "std": [0.2, 0.3, 0.25]}).eval()
    images = labelled()[slice(0, 6)]
    batch = api.Batch(images=images, labels=torch.tensor([0, 1, 2, 0, 1, 2]), indices=torch.arange(6))
    seen, targets = model.augmented(batch)
    expected = (images.float() / 255 - torch.tensor([0.7, 0.5, 0.4]).view(1, 3, 1, 1)) / torch.tensor(
        [0.2, 0.3, 0.25]
    ).view(1, 3, 1, 1)
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model(images), model.net(seen), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(targets.sum(1), torch.ones(6))


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


def test_vectors_do_not_decay() -> None:
    from dermae_plugins.parts.optimisation import decayed_groups

    decayed, spared = decayed_groups(vit(), 0.1)
    assert decayed["weight_decay"] == 0.1
    assert spared["weight_decay"] == 0.0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim <= 1 for p in spared["params"])


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
