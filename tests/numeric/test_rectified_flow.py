"""Rectified flow: path, times and solvers against closed forms and diffusers; what the generator learns and costs."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dermae_plugins.generators.ddpm_conditional import ConditionalDDPM
from dermae_plugins.generators.rectified_flow import RectifiedFlow
from dermae_plugins.parts import flow
from dermae_plugins.parts.flow import FlowSampling, TimesConfig
from dermae_plugins.parts.guidance import left_out
from dermae_plugins.parts.latents import Pixels
from diffusers import AutoencoderTiny, FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler

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


def bending(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Some smooth velocity that changes with image and time."""
    return (0.4 + t.view(-1, 1, 1, 1)) * torch.tanh(x + 0.3 * x.flip(3)) + torch.cos(3 * t).view(-1, 1, 1, 1)


class Watched:
    """A velocity that notes where and when it is asked."""

    def __init__(self, velocity: flow.Velocity = bending) -> None:
        self.velocity, self.seen = velocity, list[tuple[torch.Tensor, float]]()

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        assert len(t.unique()) == 1
        self.seen.append((x, float(t[0])))
        return self.velocity(x, t)


def drawn(model: Any, labels: list[int], positions: list[int] | None = None, **how: Any) -> torch.Tensor:
    places = list(range(len(labels))) if positions is None else positions
    with torch.inference_mode():
        asked = api.Conditions(count=len(labels), labels=torch.tensor(labels))
        found: torch.Tensor = model.sample(asked, FlowSampling(**how), api.Noise(0, places))
    return found


# -- path and times ----------------------------------------------------------------------------------------------


def test_the_velocity_of_a_known_path_is_exact() -> None:
    x0, eps = numbers(seed=1).double(), numbers(seed=2).double()
    ends = [flow.noised(x0, eps, torch.full((4,), t, dtype=torch.float64)) for t in (0.0, 1.0)]
    assert torch.equal(ends[0], x0)
    assert torch.equal(ends[1], eps)
    v = flow.velocity(x0, eps)
    torch.testing.assert_close(v, ends[1] - ends[0])
    t = torch.tensor([0.1, 0.25, 0.6, 0.9], dtype=torch.float64)
    step, at = 0.05, flow.noised(x0, eps, t)
    torch.testing.assert_close((flow.noised(x0, eps, t + step) - at) / step, v)
    torch.testing.assert_close(at - t.view(-1, 1, 1, 1) * v, x0)


@pytest.mark.parametrize("shift", [1.0, 3.0, 0.5])
@pytest.mark.parametrize("steps", [1, 4, 20])
def test_steps_are_the_sigmas_of_diffusers(steps: int, shift: float) -> None:
    theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps))
    found = flow.times(steps, shift)
    assert (found[0], found[-1]) == (1.0, 0.0)
    np.testing.assert_allclose(found, theirs.sigmas, rtol=1e-6)
    np.testing.assert_allclose([flow.TIME_SCALE * t for t in found[:-1]], theirs.timesteps, rtol=1e-6)


def test_the_shift_of_flux_is_the_same_formula() -> None:
    theirs = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    theirs.set_timesteps(sigmas=np.linspace(1.0, 1 / 20, 20), mu=1.15)
    np.testing.assert_allclose(flow.times(20, math.exp(1.15)), theirs.sigmas, rtol=1e-5)


def test_trained_times_follow_the_stated_distribution() -> None:
    torch.manual_seed(0)
    even = flow.draw_times(TimesConfig(), 40_000, CPU)
    assert even.shape == (40_000,)
    assert even.dtype == torch.float32
    assert float(even.min()) >= 0
    assert float(even.max()) <= 1
    quarters = torch.tensor([0.25, 0.5, 0.75])
    torch.testing.assert_close(even.quantile(quarters), quarters, atol=0.01, rtol=0)
    middle = flow.draw_times(TimesConfig(times="logit-normal", logit_mean=0.5, logit_scale=0.8), 40_000, CPU).logit()
    assert middle.mean().item() == pytest.approx(0.5, abs=0.02)
    assert middle.std().item() == pytest.approx(0.8, rel=0.02)
    noisier = flow.draw_times(TimesConfig(shift=3.0), 40_000, CPU)
    expected = torch.tensor([flow.shifted(float(q), 3.0) for q in quarters])
    torch.testing.assert_close(noisier.quantile(quarters), expected, atol=0.01, rtol=0)
    assert expected[1] == pytest.approx(0.75)


@pytest.mark.parametrize("given", [{"logit_mean": 0.5}, {"logit_scale": 2.0}])
def test_options_of_logit_normal_times_are_refused_for_uniform_ones(given: dict[str, Any]) -> None:
    with pytest.raises(api.PluginError, match="need times: logit-normal"):
        make(RectifiedFlow, given)
    assert make(RectifiedFlow, {**given, "times": "logit-normal"}).config.times == "logit-normal"


# -- solvers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_euler_equals_diffusers_step_for_step(shift: float) -> None:
    theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(sigmas=np.linspace(1.0, 1 / 20, 20))
    watched, x = Watched(), numbers()
    end = flow.euler(watched, flow.times(20, shift), x)
    for (ours, t), told in zip(watched.seen, theirs.timesteps, strict=True):
        torch.testing.assert_close(ours, x, atol=2e-6, rtol=2e-6)
        assert flow.TIME_SCALE * t == pytest.approx(float(told), rel=1e-6)
        x = theirs.step(bending(x, told.expand(4) / 1000), told, x).prev_sample
    torch.testing.assert_close(end, x, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("steps", [2, 9])
def test_heun_equals_diffusers_call_for_call(steps: int) -> None:
    theirs = FlowMatchHeunDiscreteScheduler()
    theirs.set_timesteps(steps)
    ts = [1.0, *(float(t) / 1000 for t in theirs.timesteps[1::2]), 0.0]
    watched, x = Watched(), numbers()
    end = flow.heun(watched, ts, x)
    for (ours, t), told in zip(watched.seen, theirs.timesteps, strict=True):
        torch.testing.assert_close(ours, x, atol=1e-4, rtol=1e-4)
        assert t == pytest.approx(float(told) / 1000, rel=1e-6)
        x = theirs.step(bending(x, told.expand(4) / 1000), told, x).prev_sample
    # they divide a float32 difference by a last sigma of 0.001
    torch.testing.assert_close(end, x, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("heun", 2), ("midpoint", 3)])
def test_a_solver_has_its_order_on_gaussian_data(sampler: Any, order: int) -> None:
    """For data N(m, s^2) the flow is known: the noise z ends at m + s z.

    The midpoint gains an order here: for dx/dt = a x the leading error of a step is h^3 (x_ttt + 3 a x_tt) / 24, which
    is 0 where x grows as the root of a variance that is quadratic in t.
    """
    mean, spread = 0.3, 0.6
    noise = numbers().double()

    def best(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        t = t.view(-1, 1, 1, 1)
        variance = (1 - t) ** 2 * spread**2 + t**2
        return (t - (1 - t) * spread**2) / variance * (x - (1 - t) * mean) - mean

    def error(steps: int) -> float:
        found = flow.SOLVERS[sampler](best, flow.times(steps), noise)
        return float((found - (mean + spread * noise)).abs().max())

    assert math.log2(error(100) / error(200)) == pytest.approx(order, abs=0.2)
    assert error(200) < 0.02


@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("heun", 2), ("midpoint", 2)])
def test_a_solver_has_its_order_on_a_bending_flow(sampler: Any, order: int) -> None:
    start = numbers(1).double()
    end = flow.heun(bending, flow.times(600), start)
    errors = [float((flow.SOLVERS[sampler](bending, flow.times(n), start) - end).abs().mean()) for n in (40, 80)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_straight_path_takes_one_step_and_every_call_is_counted(sampler: Any) -> None:
    x0 = torch.rand(3, 3, SIZE, SIZE) * 2 - 1
    for steps in (1, 2, 20):
        # the right answer of a network that knows the images
        watched = Watched(lambda x, t: (x - x0) / t.view(-1, 1, 1, 1))
        found = flow.draw(watched, sampler, flow.times(steps), api.Noise(0, range(3)), Pixels(SIZE))
        assert int((found.int() - api.to_uint8(x0).int()).abs().max()) <= 1
        assert len(watched.seen) == flow.calls(sampler, steps)
        # the image itself is never asked about
        assert all(t > 0 for _, t in watched.seen)
    assert [flow.calls(name, 20) for name in SAMPLERS] == [20, 39, 40]


def test_two_gaussians_are_drawn_from_their_exact_velocity() -> None:
    """A mixture: each centre is reached, with its weight and its spread."""
    centres, weights, spread = torch.tensor([-0.6, 0.5]), torch.tensor([0.3, 0.7]), 0.1

    def mixed(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        t = t.view(-1, 1, 1, 1)
        variance = (1 - t) ** 2 * spread**2 + t**2
        off = x - (1 - t) * centres
        share = (weights.log() - off**2 / (2 * variance)).softmax(dim=3)
        velocity = (t - (1 - t) * spread**2) / variance * off - centres
        return (share * velocity).sum(dim=3, keepdim=True)

    start = torch.randn(20_000, 1, 1, 1, generator=torch.Generator().manual_seed(5))
    found = flow.midpoint(mixed, flow.times(60), start).flatten()
    right = found > 0
    assert right.float().mean().item() == pytest.approx(0.7, abs=0.015)
    for side, centre in ((~right, -0.6), (right, 0.5)):
        assert found[side].mean().item() == pytest.approx(centre, abs=0.01)
        assert found[side].std().item() == pytest.approx(spread, rel=0.05)


# -- the generator -----------------------------------------------------------------------------------------------


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
