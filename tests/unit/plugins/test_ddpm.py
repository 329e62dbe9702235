"""The three diffusion generators: options, conditions, guidance, what they count and what they keep."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from dermae_plugins.generators.ddpm import DDPM
from dermae_plugins.generators.ddpm_conditional import ConditionalDDPM
from dermae_plugins.generators.ddpm_perceptual import PerceptualDDPM
from dermae_plugins.parts.guidance import left_out
from dermae_plugins.parts.samplers import GuidedSampling, Sampling
from fitting import SIZE, TASK, Passes, fit, labelled, make

from dermae_bench import api

GENERATORS = (DDPM, PerceptualDDPM, ConditionalDDPM)


def drawn(model: Any, sampling: Any, positions: list[int], labels: list[int] | None = None) -> torch.Tensor:
    asked = torch.tensor(labels) if labels is not None else None
    with torch.inference_mode():
        return model.sample(api.Conditions(count=len(positions), labels=asked), sampling, api.Noise(0, positions))


@pytest.mark.parametrize("cls", GENERATORS, ids=lambda cls: cls.__name__)
def test_two_fits_and_two_draws_are_equal(cls: type[Any]) -> None:
    models = [make(cls) for _ in range(2)]
    for model in models:
        fit(model)
    first, second = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)
    labels = [0, 1] if cls.conditional else None
    sampling = cls.Sampling(sampler="ddpm", steps=3)
    pictures = [drawn(model, sampling, [0, 1], labels) for model in models]
    assert pictures[0].shape == (2, 3, SIZE, SIZE)
    assert pictures[0].dtype == torch.uint8
    assert torch.equal(*pictures)


@pytest.mark.parametrize("guidance", [0.0, 2.0])
@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm-solver++"])
def test_cost_states_the_passes_that_sampling_makes(sampler: Any, guidance: float) -> None:
    model = make(ConditionalDDPM).eval()
    sampling = GuidedSampling(sampler=sampler, steps=5, guidance=guidance)
    (unit,) = model.cost("sample", sampling)
    passes = Passes(model.unet)
    drawn(model, sampling, [0, 1, 2], [0, 1, 2])
    assert unit.calls * 3 == passes.images
    with torch.no_grad():
        unit.module(*unit.inputs)


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
def test_every_prediction_learns(prediction: str) -> None:
    model = make(
        DDPM, {"prediction": prediction, "lr": 5e-3, "optimizer": "adamw", "weight_decay": 0.01, "warmup": 0.1}
    )
    losses = [point["loss"] for point in fit(model, steps=40, batch=12)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_the_class_asked_for_is_drawn() -> None:
    options = {"prediction": "x0", "schedule": "cosine", "lr": 1e-2, "optimizer": "adamw", "decay": "cosine"}
    options["modulation"] = "scale-shift"
    model = make(ConditionalDDPM, options)
    fit(model, steps=60, batch=12)
    pictures = drawn(model, GuidedSampling(steps=5, guidance=1), [0, 1, 2, 3, 4, 5], [0, 1, 2, 2, 1, 0])
    assert pictures.float().mean(dim=(2, 3)).argmax(dim=1).tolist() == [0, 1, 2, 2, 1, 0]


def test_labels_are_left_out_at_the_stated_rate() -> None:
    model = make(ConditionalDDPM, {"p_uncond": 0.25})
    torch.manual_seed(0)
    labels = torch.arange(3).repeat(2000)
    left = left_out(labels, model.config.p_uncond, len(model.task.classes))
    hidden = left == len(TASK.classes)
    assert hidden.float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(left[~hidden], labels[~hidden])


def test_guidance_needs_images_without_labels() -> None:
    model = make(ConditionalDDPM, {"p_uncond": 0.0})
    with pytest.raises(api.PluginError, match="p_uncond"):
        model.cost("sample", GuidedSampling(guidance=1.0))
    with pytest.raises(api.PluginError, match="p_uncond"):
        drawn(model, GuidedSampling(guidance=1.0, steps=2), [0], [0])


def test_the_feature_network_is_moved_but_neither_saved_nor_trained() -> None:
    model = make(PerceptualDDPM)
    before = api.state_digest(model.frozen_modules["features"].state_dict())
    curves = fit(model)
    assert api.state_digest(model.frozen_modules["features"].state_dict()) == before
    assert not any("features" in name for name in model.state_dict())
    assert not any(p.requires_grad for p in model.frozen_modules["features"].parameters())
    assert {"loss", "mse", "perceptual"} <= set(curves[0])
    assert curves[0]["loss"] == pytest.approx(curves[0]["mse"] + 0.1 * curves[0]["perceptual"], rel=1e-5)


def test_a_frozen_module_may_also_be_assigned() -> None:
    model = make(DDPM)
    before = set(model.state_dict())
    model.judge = model.frozen("judge", torch.nn.Linear(2, 2))
    assert set(model.state_dict()) == before
    assert model.to(torch.float64).judge.weight.dtype == torch.float64


def test_the_perceptual_loss_changes_what_is_learnt() -> None:
    plain, weighted = (make(ConditionalDDPM, {"perceptual_weight": weight}) for weight in (0.0, 1.0))
    for model in (plain, weighted):
        fit(model)
    assert not plain.frozen_modules
    assert set(weighted.frozen_modules) == {"features"}
    assert not torch.equal(plain.unet.conv_out.weight, weighted.unet.conv_out.weight)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"norm_groups": 3}, "not divisible"),
        ({"attention_levels": [2]}, "do not exist"),
        ({"weight_decay": 0.1}, "adamw"),
        ({"attention_levels": [0], "head_dim": 3}, "not divisible"),
    ],
)
def test_options_that_do_not_fit_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(api.PluginError, match=message):
        make(DDPM, params)


def test_images_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(api.PluginError, match="halved 3 times"):
        make(DDPM, {"channels": [8, 8, 8, 8]}, api.Task(name="", classes=(), image_size=12))


def test_the_default_network_is_that_of_the_paper() -> None:
    with torch.device("meta"):
        model = DDPM(DDPM.Config(), api.Task(name="", classes=(), image_size=256))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(113.7e6, rel=0.01)
    attentive = [i for i, block in enumerate(model.unet.down_blocks) if "Attn" in type(block).__name__]
    assert [256 // 2**level for level in attentive] == [16]


def test_unlabelled_images_are_enough_without_conditions() -> None:
    model = make(DDPM, task=api.Task(name="", classes=(), image_size=SIZE))
    assert len(fit(model)) == 2
    assert drawn(model, Sampling(steps=2), [0]).shape == (1, 3, SIZE, SIZE)
    assert labelled().labels is not None
