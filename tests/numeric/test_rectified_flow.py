"""Rectified flow as a generator: what it learns, what its options do, and what it costs."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dermae_plugins.generators.ddpm_conditional import ConditionalDDPM
from dermae_plugins.generators.rectified_flow import RectifiedFlow
from dermae_plugins.parts import flow
from dermae_plugins.parts.flow import FlowSampling
from dermae_plugins.parts.guidance import left_out
from diffusers import AutoencoderTiny

from dermae_bench import api
from dermae_bench.execute.run import reseed
from dermae_bench.plugin.images import ImageSet, Part
from tests.unit.plugins.fitting import SIZE, TASK, Passes, fit, make

CPU = torch.device("cpu")
SAMPLERS = ("euler", "heun", "midpoint")
TONES = api.Task(name="tone", classes=("dark", "light"), image_size=8)
MEANS, SPREAD = (70.0, 180.0), 15.0


def numbers(count: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def drawn(model: Any, labels: list[int], positions: list[int] | None = None, **how: Any) -> torch.Tensor:
    places = list(range(len(labels))) if positions is None else positions
    with torch.inference_mode():
        asked = api.Conditions(count=len(labels), labels=torch.tensor(labels))
        found: torch.Tensor = model.sample(asked, FlowSampling(**how), api.Noise(0, places))
    return found


def test_the_network_is_that_of_the_diffusion_and_a_step_costs_the_same() -> None:
    ours, theirs = make(RectifiedFlow), make(ConditionalDDPM)
    states = [model.state_dict() for model in (ours, theirs)]
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    macs = [[api.count_macs(unit.module, unit.inputs) for unit in model.training_cost()] for model in (ours, theirs)]
    assert macs[0] == macs[1]
    shared = set(schema_names(RectifiedFlow)) & set(schema_names(ConditionalDDPM))
    assert all(getattr(ours.config, name) == getattr(theirs.config, name) for name in shared)
    assert set(schema_names(RectifiedFlow)) - shared == {"times", "logit_mean", "logit_scale", "shift"}


def schema_names(cls: Any) -> list[str]:
    return list(cls.Config.__dataclass_fields__)


@pytest.mark.parametrize("given", [{}, {"times": "logit-normal", "logit_mean": 0.3, "shift": 2.0}])
def test_the_loss_is_the_error_of_the_velocity_and_the_network_is_told_a_thousand_t(given: dict[str, Any]) -> None:
    model = make(RectifiedFlow, given)
    told = list[tuple[Any, ...]]()
    model.unet.register_forward_hook(lambda module, inputs, output: told.append((*inputs, output.sample)))
    x0, labels = numbers(6), torch.arange(6) % 3
    reseed(0, 5)
    loss = model.loss(x0, labels)
    reseed(0, 5)
    left = left_out(labels, model.config.p_uncond, len(model.task.classes))
    t, eps = flow.draw_times(model.config, 6, CPU), torch.randn_like(x0)
    ((x_t, scaled, classes, said),) = told
    assert torch.equal(classes, left)
    assert torch.equal(scaled, 1000 * t)
    assert len(scaled.unique()) == 6
    torch.testing.assert_close(x_t, x0 + t.view(-1, 1, 1, 1) * (eps - x0))
    torch.testing.assert_close(loss, (said - (eps - x0)).square().mean())


def test_labels_are_left_out_at_the_stated_rate() -> None:
    model = make(RectifiedFlow, {"p_uncond": 0.25})
    torch.manual_seed(0)
    labels = torch.arange(3).repeat(2000)
    left = left_out(labels, model.config.p_uncond, len(model.task.classes))
    hidden = left == len(TASK.classes)
    assert hidden.float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(left[~hidden], labels[~hidden])


def randomised(params: dict[str, Any] | None = None, task: api.Task = TASK) -> Any:
    """A network whose every answer depends on image, time and class."""
    model = make(RectifiedFlow, params, task).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.unet.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize("guidance", [0.0, 2.0])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_cost_states_the_passes_that_sampling_makes(sampler: Any, guidance: float) -> None:
    model = make(RectifiedFlow).eval()
    how = {"sampler": sampler, "steps": 5, "guidance": guidance}
    (unit,) = model.cost("sample", FlowSampling(**how))
    passes = Passes(model.unet)
    drawn(model, [0, 1, 2], **how)
    assert unit.calls == flow.calls(sampler, 5) * (2 if guidance else 1)
    assert unit.calls * 3 == passes.images
    with torch.no_grad():
        unit.module(*unit.inputs)


def test_by_default_twenty_calls_of_euler() -> None:
    assert [unit.calls for unit in make(RectifiedFlow).cost("sample", RectifiedFlow.Sampling())] == [20]


def test_guidance_is_a_weight_on_the_difference_of_velocities_and_0_is_none() -> None:
    model = randomised()
    x, labels, anything = numbers(3), torch.tensor([0, 1, 2]), torch.tensor([3, 3, 3])
    starts = api.Noise(0, range(3)).normal((3, SIZE, SIZE))

    def by_hand(weight: float) -> torch.Tensor:
        x = starts
        with torch.no_grad():
            for t, after in pairwise(flow.times(4)):
                ts = torch.full((3,), 1000 * t)
                asked, any_class = (model.unet(x, ts, told).sample for told in (labels, anything))
                x = x + (after - t) * (asked + weight * (asked - any_class))
        return api.to_uint8(x)

    with torch.no_grad():
        assert not torch.allclose(*(model.velocity(x, torch.full((3,), 0.5), told) for told in (labels, anything)))
    found = {weight: drawn(model, [0, 1, 2], steps=4, guidance=weight) for weight in (0.0, 1.5)}
    for weight, pictures in found.items():
        assert int((pictures.int() - by_hand(weight).int()).abs().max()) <= 1
    assert not torch.equal(found[0.0], found[1.5])
    assert torch.equal(found[0.0], drawn(model, [0, 1, 2], steps=4))


def test_guidance_needs_images_without_labels() -> None:
    model = make(RectifiedFlow, {"p_uncond": 0.0}).eval()
    with pytest.raises(api.PluginError, match="p_uncond"):
        model.cost("sample", FlowSampling(guidance=1.0))
    with pytest.raises(api.PluginError, match="p_uncond"):
        drawn(model, [0], guidance=1.0, steps=2)
    assert drawn(model, [0], steps=2).shape == (1, 3, SIZE, SIZE)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sample_is_its_start_alone_and_does_not_depend_on_its_batch(
    sampler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = list[tuple[int, ...]]()
    normal = api.Noise.normal
    monkeypatch.setattr(api.Noise, "normal", lambda noise, shape: draws.append(tuple(shape)) or normal(noise, shape))
    model, how = randomised(), {"sampler": sampler, "steps": 3, "guidance": 0.5}
    labels = [0, 1, 2, 0, 1]
    together = drawn(model, labels, **how)
    apart = torch.cat([drawn(model, [labels[i]], [i], **how) for i in (4, 2)])
    assert int((together[[4, 2]].int() - apart.int()).abs().max()) <= 1
    assert int((together[0].int() - together[3].int()).abs().max()) > 1
    assert draws == [(3, SIZE, SIZE)] * 3
    torch.manual_seed(99)
    assert torch.equal(together, drawn(model, labels, **how))


def test_the_shift_of_training_is_that_of_drawing_unless_it_is_given() -> None:
    plain, moved = randomised(), randomised({"shift": 3.0})
    assert torch.equal(drawn(moved, [0, 1], steps=4), drawn(plain, [0, 1], steps=4, shift=3.0))
    assert torch.equal(drawn(moved, [0, 1], steps=4, shift=1.0), drawn(plain, [0, 1], steps=4))
    assert not torch.equal(drawn(moved, [0, 1], steps=4), drawn(plain, [0, 1], steps=4))


def test_latents_are_learnt_and_decoded_once(tmp_path: Path) -> None:
    torch.manual_seed(3)
    AutoencoderTiny(
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1), latent_channels=3,
    ).save_pretrained(tmp_path)  # fmt: skip
    model = make(RectifiedFlow, {"space": "latent", "autoencoder_folder": str(tmp_path)})
    before = api.state_digest(model.autoencoder.state_dict())
    fit(model)
    assert api.state_digest(model.autoencoder.state_dict()) == before
    assert not any("autoencoder" in name for name in model.state_dict())
    network, decoder = model.cost("sample", FlowSampling(steps=6))
    assert (network.calls, decoder.calls) == (6, 1)
    passes = Passes(model.autoencoder.decoder)
    assert drawn(model, [0, 1], steps=2).shape == (2, 3, SIZE, SIZE)
    assert passes.images == 2


def test_the_velocity_is_float32_in_mixed_precision() -> None:
    model = randomised()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        said = model.velocity(numbers(2), torch.tensor([0.2, 0.9]), torch.tensor([0, 1]))
        model.loss(numbers(2), torch.tensor([0, 1])).backward()
    assert said.dtype == torch.float32
    assert all(torch.isfinite(p.grad).all() for p in model.unet.parameters() if p.grad is not None)


def tones(count: int = 400) -> ImageSet:
    """Images of one grey each, normal around the mean of their class."""
    labels = np.arange(count) % 2
    grey = np.array(MEANS)[labels] + np.random.default_rng(0).normal(0, SPREAD, count)
    pixels = np.broadcast_to(grey[:, None, None, None], (count, 3, 8, 8)).round().clip(0, 255).astype(np.uint8)
    names = [str(i) for i in range(count)]
    return ImageSet(
        parts=[Part([pixels], np.arange(count))], ids=names, groups=names, task=TONES, labels=labels.astype(np.int64)
    )


def learnt(steps: int, **params: Any) -> Any:
    common = {"optimizer": "adamw", "decay": "cosine", "modulation": "scale-shift", "p_uncond": 0.2}
    model = make(RectifiedFlow, {**common, **params}, TONES)
    batch = 24 if steps < 200 else 64
    losses = [point["loss"] for point in fit(model, steps, batch, images=tones())]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    return model


def greys(model: Any, label: int, **how: Any) -> torch.Tensor:
    return drawn(model, [label] * 64, **how).float().mean(dim=(1, 2, 3))


def test_a_small_network_moves_noise_to_the_means_of_two_gaussians() -> None:
    model = learnt(80, channels=[8], lr=2e-2)
    for label, mean in enumerate(MEANS):
        assert greys(model, label, steps=10).mean().item() == pytest.approx(mean, abs=12)
    apart = [
        greys(model, 1, steps=10, guidance=w).mean() - greys(model, 0, steps=10, guidance=w).mean() for w in (0, 1)
    ]
    assert apart[1] > apart[0] + 5


@pytest.mark.slow
def test_longer_training_gives_the_spreads_too_and_both_classes_where_none_is_asked() -> None:
    model = learnt(500, channels=[16], lr=8e-3)
    for sampler, steps in (("euler", 20), ("heun", 10), ("midpoint", 10)):
        for label, mean in enumerate(MEANS):
            found = greys(model, label, sampler=sampler, steps=steps)
            assert found.mean().item() == pytest.approx(mean, abs=6)
            assert found.std().item() == pytest.approx(SPREAD, rel=0.3)
    anything = greys(model, len(TONES.classes))
    near = [(anything - mean).abs() < 3.5 * SPREAD for mean in MEANS]
    assert 0.3 < near[0].float().mean() < 0.7
    assert (near[0] | near[1]).float().mean() > 0.85
