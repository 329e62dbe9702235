"""The diffusion process and its samplers against closed forms and against diffusers' schedulers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from dermae_plugins.parts.latents import Pixels
from dermae_plugins.parts.process import Process, betas
from dermae_plugins.parts.samplers import GuidedSampling, Sampling, ddim, dpm_solver_pp, draw, guided, times
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from dermae_bench import api

PREDICTIONS = ("eps", "v", "x0")
SCHEDULES = ("linear", "cosine")
THEIRS = {"eps": "epsilon", "v": "v_prediction", "x0": "sample", "linear": "linear", "cosine": "squaredcos_cap_v2"}
SIZE = 8


def images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


class Oracle:
    """A network that knows the clean images and always answers rightly."""

    def __init__(self, process: Process, x0: torch.Tensor) -> None:
        self.process, self.x0, self.calls = process, x0, 0

    def __call__(self, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        alpha, sigma = self.process.alpha[t].view(-1, 1, 1, 1), self.process.sigma[t].view(-1, 1, 1, 1)
        return self.process.target(self.x0, (x_t - alpha * self.x0) / sigma, t)


def shrinking(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Some smooth function of image and time: what it predicts is wrong, but the same for both sides."""
    return (0.9 - 0.0005 * t.view(-1, 1, 1, 1)) * torch.tanh(x_t + 0.1 * x_t.flip(3))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_schedule_is_that_of_diffusers(schedule: str) -> None:
    theirs = DDPMScheduler(1000, beta_schedule=THEIRS[schedule]).alphas_cumprod.numpy()
    # they multiply a thousand float32 numbers
    np.testing.assert_allclose(Process(1000, schedule, "eps").signal, theirs, rtol=2e-4)


def test_the_linear_schedule_has_the_published_ends() -> None:
    found = betas("linear", 1000)
    assert found[0] == pytest.approx(1e-4)
    assert found[-1] == pytest.approx(0.02)
    assert Process(1000, "linear", "eps").signal[-1] == pytest.approx(4.0358e-5, rel=1e-3)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_fewer_timesteps_end_about_as_noisy(schedule: str) -> None:
    ends = [float(Process(steps, schedule, "eps").signal[-1]) for steps in (100, 1000)]
    assert max(ends) < 1e-4
    assert np.all(betas(schedule, 2) <= 0.999)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_x0_and_eps_come_back_from_a_right_answer(prediction: str, schedule: str) -> None:
    process = Process(1000, schedule, prediction)
    x0, eps, t = images(5), torch.randn(5, 3, SIZE, SIZE), torch.tensor([20, 150, 400, 700, 900])
    x_t, output = process.noised(x0, eps, t), process.target(x0, eps, t)
    torch.testing.assert_close(process.x0(output, x_t, t), x0, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(process.eps(output, x_t, t), eps, atol=2e-5, rtol=1e-4)


def test_a_noised_image_has_the_stated_mean_and_spread() -> None:
    process = Process(1000, "linear", "eps")
    x0 = torch.full((4000, 3, 2, 2), 0.5)
    for t in (10, 300, 990):
        x_t = process.noised(x0, torch.randn_like(x0), torch.full((4000,), t))
        assert x_t.mean().item() == pytest.approx(0.5 * process.alpha[t].item(), abs=0.02)
        assert x_t.std().item() == pytest.approx(process.sigma[t].item(), rel=0.02)


@pytest.mark.parametrize("steps", [1, 4, 10, 12, 50, 1000])
def test_times_are_those_of_trailing_spacing(steps: int) -> None:
    theirs = DPMSolverMultistepScheduler(1000, timestep_spacing="trailing")
    theirs.set_timesteps(steps)
    assert times(1000, steps) == theirs.timesteps.tolist()
    assert times(1000, steps)[0] == 999


def test_more_steps_than_timesteps_are_refused() -> None:
    with pytest.raises(api.PluginError, match="50 timesteps"):
        times(50, 51)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(sampler="ddim", steps=7),
        Sampling(sampler="ddim", steps=7, eta=0.7),
        Sampling(sampler="ddpm", steps=20),
        Sampling(sampler="dpm-solver++", steps=6),
        Sampling(sampler="dpm-solver++", steps=1, thresholding="dynamic"),
    ],
    ids=lambda sampling: f"{sampling.sampler}-{sampling.steps}-{sampling.eta}",
)
def test_a_perfect_network_gives_the_clean_images_in_the_stated_calls(prediction: str, sampling: Sampling) -> None:
    process = Process(1000, "cosine", prediction)
    x0 = images(3)
    oracle = Oracle(process, x0)
    found = draw(oracle, process, sampling, api.Noise(0, range(3)), Pixels(SIZE))
    assert int((found.int() - api.to_uint8(x0).int()).abs().max()) <= 1
    assert oracle.calls == sampling.steps


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("steps", [10, 50])
def test_ddim_equals_diffusers_where_that_divides_evenly(prediction: str, steps: int) -> None:
    theirs = DDIMScheduler(1000, prediction_type=THEIRS[prediction], timestep_spacing="trailing", set_alpha_to_one=True)
    theirs.set_timesteps(steps)
    noise = api.Noise(3, range(4))
    start = api.Noise(3, range(4)).normal((3, SIZE, SIZE))
    process = Process(1000, "linear", prediction)
    ours = ddim(_x0_hat(process), process, times(1000, steps), noise.normal((3, SIZE, SIZE)), 0.0, noise)
    x = start
    for t in theirs.timesteps:
        output = shrinking(x, t.expand(4))
        step = theirs.step(output, t, x, use_clipped_model_output=True)
        x = step.prev_sample
    torch.testing.assert_close(ours, x, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_ancestral_sampling_equals_diffusers(prediction: str) -> None:
    theirs = DDPMScheduler(1000, prediction_type=THEIRS[prediction], timestep_spacing="trailing")
    theirs.set_timesteps(100)
    process = Process(1000, "linear", prediction)
    noise, same = api.Noise(5, range(3)), api.Noise(5, range(3))
    ours = ddim(_x0_hat(process), process, times(1000, 100), noise.normal((3, SIZE, SIZE)), 1.0, noise)
    x = same.normal((3, SIZE, SIZE))
    for t in theirs.timesteps:
        x = theirs.step(shrinking(x, t.expand(3)), t, x, generator=same.generators).prev_sample
    torch.testing.assert_close(ours, x.clamp(-1, 1), atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("steps", [5, 12, 20])
def test_dpm_solver_equals_diffusers(prediction: str, steps: int) -> None:
    theirs = DPMSolverMultistepScheduler(
        1000,
        prediction_type=THEIRS[prediction],
        timestep_spacing="trailing",
        thresholding=True,
        lower_order_final=False,
    )
    theirs.set_timesteps(steps)
    process = Process(1000, "linear", prediction)
    start = api.Noise(9, range(4)).normal((3, SIZE, SIZE))
    ours = dpm_solver_pp(_x0_hat(process), process, times(1000, steps), start)
    x = start
    for t in theirs.timesteps:
        x = theirs.step(shrinking(x, t.expand(4)), t, x).prev_sample
    torch.testing.assert_close(ours, x, atol=2e-3, rtol=1e-3)


class Boundless(Pixels):
    """x0 of any size, as latents are; what is drawn is kept as it is."""

    bounded = False

    def __init__(self) -> None:
        super().__init__(SIZE)
        self.shape = (4, SIZE, SIZE)

    def pixels(self, x0: torch.Tensor) -> torch.Tensor:
        return x0


def _theirs(sampler: str, prediction: str, steps: int) -> Any:
    common: dict[str, Any] = {"prediction_type": THEIRS[prediction], "timestep_spacing": "trailing"}
    if sampler == "dpm-solver++":
        scheduler: Any = DPMSolverMultistepScheduler(1000, thresholding=False, lower_order_final=False, **common)
    else:
        cls = DDPMScheduler if sampler == "ddpm" else DDIMScheduler
        scheduler = cls(1000, clip_sample=False, **common)
    scheduler.set_timesteps(steps)
    return scheduler


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize(("sampler", "steps"), [("ddpm", 100), ("ddim", 50), ("dpm-solver++", 20)])
def test_without_a_range_nothing_is_clipped_as_in_diffusers(prediction: str, sampler: Any, steps: int) -> None:
    """In latent space: networks whose x0-hat goes far beyond 1."""

    def network(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return 3 * shrinking(x_t, t) if prediction == "x0" else shrinking(x_t, t)

    same, theirs = api.Noise(5, range(3)), _theirs(sampler, prediction, steps)
    ours = draw(
        network,
        Process(1000, "linear", prediction),
        Sampling(sampler=sampler, steps=steps),
        api.Noise(5, range(3)),
        Boundless(),
    )
    x = same.normal((4, SIZE, SIZE))
    for t in theirs.timesteps:
        given = {"generator": same.generators} if sampler == "ddpm" else {}
        x = theirs.step(network(x, t.expand(3)), t, x, **given).prev_sample
    assert ours.abs().max() > 1.5
    torch.testing.assert_close(ours, x, atol=3e-3 * float(x.abs().max()), rtol=2e-3)


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_dpm_solver_is_thresholded_as_in_diffusers(kind: Any) -> None:
    """Their thresholding is the dynamic one; clipping is the same with a largest value of 1."""
    theirs = DPMSolverMultistepScheduler(
        1000,
        timestep_spacing="trailing",
        thresholding=True,
        sample_max_value=1e9 if kind == "dynamic" else 1.0,
        lower_order_final=False,
    )
    theirs.set_timesteps(12)
    process, space = Process(1000, "linear", "eps"), Pixels(SIZE)
    found = draw(
        shrinking, process, Sampling(sampler="dpm-solver++", steps=12, thresholding=kind), api.Noise(9, range(4)), space
    )
    x = api.Noise(9, range(4)).normal(space.shape)
    for t in theirs.timesteps:
        x = theirs.step(shrinking(x, t.expand(4)), t, x).prev_sample
    assert int((found.int() - api.to_uint8(x).int()).abs().max()) <= 1


def test_a_thousand_ancestral_steps_equal_diffusers() -> None:
    """DDPM as in the paper: every timestep of training, linear, eps, clipped in pixel space."""
    theirs = DDPMScheduler(1000)
    theirs.set_timesteps(1000)
    same, space = api.Noise(5, range(2)), Pixels(SIZE)
    found = draw(
        shrinking, Process(1000, "linear", "eps"), Sampling(sampler="ddpm", steps=1000), api.Noise(5, range(2)), space
    )
    x = same.normal(space.shape)
    for t in theirs.timesteps:
        x = theirs.step(shrinking(x, t.expand(2)), t, x, generator=same.generators).prev_sample
    assert int((found.int() - api.to_uint8(x).int()).abs().max()) <= 1


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(sampler="ddpm", steps=1000),
        Sampling(sampler="ddim", steps=500),
        Sampling(sampler="dpm-solver++", steps=250),
    ],
    ids=lambda sampling: sampling.sampler,
)
def test_samplers_restore_the_spread_of_gaussian_data(sampling: Sampling) -> None:
    """For data N(0.1, 0.2^2) the best x0-hat is known, so what is drawn must have that mean and spread.

    Few steps would not do: the last one leaves out what noise is left.
    """
    process = Process(1000, "linear", "x0")
    mean, spread = 0.1, 0.2

    def best(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alpha, sigma = process.alpha[t].view(-1, 1, 1, 1), process.sigma[t].view(-1, 1, 1, 1)
        gain = alpha * spread**2 / (alpha**2 * spread**2 + sigma**2)
        return mean + gain * (x_t - alpha * mean)

    drawn = draw(best, process, sampling, api.Noise(0, range(16)), Pixels(16)).float() / 127.5 - 1
    assert drawn.mean().item() == pytest.approx(mean, abs=0.012)
    assert drawn.std().item() == pytest.approx(spread, rel=0.05)


def test_a_sample_does_not_depend_on_its_batch() -> None:
    process = Process(1000, "cosine", "v")
    for sampler in ("ddpm", "ddim", "dpm-solver++"):
        sampling = Sampling(sampler=sampler, steps=8)
        together = draw(shrinking, process, sampling, api.Noise(1, range(6)), Pixels(SIZE)).int()
        apart = torch.cat([draw(shrinking, process, sampling, api.Noise(1, [i]), Pixels(SIZE)) for i in (5, 2)]).int()
        assert int((together[[5, 2]] - apart).abs().max()) <= 1


def test_guidance_is_the_same_in_every_prediction() -> None:
    """e + w (e - u) on eps and the same on v or x0 lead to one x0-hat."""
    x_t, t, weight = torch.randn(4, 3, SIZE, SIZE), torch.tensor([50, 200, 500, 800]), 1.5
    asked, anything = torch.randn(2, 4, 3, SIZE, SIZE)
    found = {}
    for prediction in PREDICTIONS:
        process = Process(1000, "linear", prediction)
        said = [process.target(process_x0(process, eps, x_t, t), eps, t) for eps in (asked, anything)]
        network = guided(lambda x, t, o=said[0]: o, lambda x, t, o=said[1]: o, weight)
        found[prediction] = process.eps(network(x_t, t), x_t, t)
    torch.testing.assert_close(found["v"], found["eps"], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found["x0"], found["eps"], atol=5e-3, rtol=1e-3)
    torch.testing.assert_close(found["eps"], asked + weight * (asked - anything), atol=1e-5, rtol=1e-5)


def test_no_guidance_asks_the_unconditional_network_nothing() -> None:
    def never(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        raise AssertionError

    assert guided(shrinking, never, GuidedSampling().guidance) is shrinking


def test_dynamic_thresholding_keeps_contrast_where_clipping_loses_it() -> None:
    process = Process(1000, "cosine", "x0")
    ramp = torch.linspace(-3, 3, 3 * SIZE * SIZE).view(1, 3, SIZE, SIZE)
    drawn = {
        kind: draw(lambda x, t: ramp, process, Sampling(steps=1, thresholding=kind), api.Noise(0, [0]), Pixels(SIZE))
        for kind in ("static", "dynamic")
    }
    assert len(drawn["static"].unique()) < 80
    assert len(drawn["dynamic"].unique()) > 150


def test_eta_belongs_to_ddim() -> None:
    with pytest.raises(ValueError, match="eta"):
        Sampling(sampler="ddpm", eta=0.5)


def process_x0(process: Process, eps: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """The clean images that noise `eps` would leave of `x_t`."""
    return (x_t - process.sigma[t].view(-1, 1, 1, 1) * eps) / process.alpha[t].view(-1, 1, 1, 1)


def _x0_hat(process: Process):
    def found(x_t: torch.Tensor, t: int) -> torch.Tensor:
        ts = torch.full((len(x_t),), t)
        return process.x0(shrinking(x_t, ts), x_t, ts).clamp(-1, 1)

    return found
