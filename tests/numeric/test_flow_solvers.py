"""Rectified flow: path, times and solvers against closed forms and diffusers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from dermae_plugins.generators.rectified_flow import RectifiedFlow
from dermae_plugins.parts import flow
from dermae_plugins.parts.flow import TimesConfig
from dermae_plugins.parts.latents import Pixels
from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler

from dermae_bench import api
from tests.unit.plugins.fitting import SIZE, make

CPU = torch.device("cpu")
SAMPLERS = ("euler", "heun", "midpoint")


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
