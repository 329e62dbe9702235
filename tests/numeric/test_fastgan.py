"""FastGAN: its networks and what they cost; both optimisers learn and resume, and augmentation follows overfitting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dermae_plugins.generators.fastgan import FastGAN
from dermae_plugins.parts.fastgan_nets import Critic, Painter, levels_of
from torch.utils.flop_counter import FlopCounterMode

from dermae_bench import api
from dermae_bench.execute.checkpoints import Checkpoints
from dermae_bench.execute.run import BudgetOf, FitRun
from dermae_bench.plugin.flops import count_macs, count_macs_fvcore, macs_of, training_macs
from dermae_bench.plugin.images import ImageSet, Part
from tests.unit.plugins import fitting

COLOURS = api.Task(name="colour", classes=("red", "green"), image_size=16)
SEVEN = tuple("abcdefg")
STEERED = {"ada_target": 0.6, "ada_images": 200, "ada_interval": 4}


def run_for(model: Any, folder: Path, steps: int, batch: int = 6, **given: Any) -> FitRun:
    budget = BudgetOf(steps=steps, batch_size=batch, ema=given.get("ema"), checkpoint=given.get("checkpoint"))
    return FitRun(model, budget, 0, torch.device("cpu"), Checkpoints(folder), report=given.get("report"))


# -- networks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 20, 24, 28, 32, 64, 96, 112, 224, 448, 512])
def test_images_have_the_stated_sides_and_the_critic_ends_at_twice_the_first_map(size: int) -> None:
    start, levels = levels_of(size)
    assert start in (4, 5, 6, 7)
    assert start * 2**levels == size
    painter, critic = Painter(size, 4, 2, 3).eval(), Critic(size, 2, 3).eval()
    label = torch.zeros(1, dtype=torch.int64)
    with torch.inference_mode():
        images = painter(torch.zeros(1, 4), label, torch.zeros(1, painter.grain))
        answers, larger, smaller = critic(images, label)
    assert images.shape == (1, 3, size, size)
    assert larger.shape[-1] == 4 * start
    assert smaller.shape[-1] == 2 * start
    # as in the paper: 5 x 5 patches of a map of 8 x 8
    assert answers.shape == (1, 2 * start - 3, 2 * start - 3)


@pytest.mark.parametrize("size", [8, 15, 17, 33, 36, 72, 100, 225, 520, 1024])
def test_other_sides_are_refused_in_a_sentence(size: int) -> None:
    with pytest.raises(api.PluginError, match=f"images of {size} px cannot be drawn: the side must be 4, 5, 6 or 7"):
        FastGAN(FastGAN.Config(), api.Task(name="t", classes=SEVEN, image_size=size))


@pytest.mark.slow
@pytest.mark.parametrize(("size", "drawing", "judging"), [(64, 28.21, 8.72), (256, 29.13, 8.95)])
def test_the_defaults_are_of_the_paper_s_size(size: int, drawing: float, judging: float) -> None:
    model = FastGAN(FastGAN.Config(), api.Task(name="t", classes=SEVEN, image_size=size))
    critic = [*model.critic.parameters(), *model.part.parameters(), *model.whole.parameters()]
    assert sum(p.numel() for p in model.painter.parameters()) / 1e6 == pytest.approx(drawing, abs=0.005)
    assert sum(p.numel() for p in critic) / 1e6 == pytest.approx(judging, abs=0.005)


@pytest.mark.parametrize(
    ("size", "pairs"),
    [
        (16, {(4, 16)}),
        (32, {(4, 32)}),
        (64, {(4, 64)}),
        (256, {(4, 64), (8, 128), (16, 256)}),
        (224, {(7, 112), (14, 224)}),
    ],
)
def test_small_maps_gate_those_of_sixteen_times_their_side(size: int, pairs: set[tuple[int, int]]) -> None:
    painter = Painter(size, 4, 2, 3).eval()
    sides: dict[str, int] = {}
    for name, gate in painter.gates.items():
        gate.register_forward_pre_hook(lambda _, given, name=name: sides.update({name: given[0].shape[-1]}))
    with torch.inference_mode():
        painter(torch.zeros(1, 4), torch.zeros(1, dtype=torch.int64), torch.zeros(1, painter.grain))
    start, _ = levels_of(size)
    assert {(side, start << int(name)) for name, side in sides.items()} == pairs


# -- the probability of augmentation --------------------------------------------------------------------------------


def _probabilities(model: Any, pixels: np.ndarray, start: float, steps: int) -> list[float]:
    """The probability of augmentation over the steps of a fit on uint8 images of both classes by turns."""
    names = [str(i) for i in range(len(pixels))]
    parts = [Part([pixels], np.arange(len(pixels)))]
    labels = np.arange(len(pixels), dtype=np.int64) % 2
    images = ImageSet(parts=parts, ids=names, groups=names, task=COLOURS, labels=labels)
    model.augment.p.fill_(start)
    return [point["ada_p"] for point in fitting.fit(model, steps=steps, batch=8, images=images)]


def test_the_probability_rises_where_the_critic_learns_a_tiny_set_by_heart() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16), dtype=np.uint8)
    model = fitting.make(FastGAN, {"lr": 1e-3, **STEERED}, COLOURS)
    # each move, after 4 steps with 8 images, is of 0.16
    assert max(_probabilities(model, noise, 0.0, 14)) > 0.3


def test_the_probability_falls_where_real_images_cannot_be_told_from_drawn_ones() -> None:
    given = {"lr": 1e-4, **STEERED}
    with torch.no_grad():
        drawn = fitting.make(FastGAN, given, COLOURS).drawn(torch.arange(72) % 2)
    model = fitting.make(FastGAN, given, COLOURS)
    found = _probabilities(model, api.to_uint8(drawn).numpy(), 0.3, 9)
    assert found == sorted(found, reverse=True)
    assert found[-1] == 0


# -- the fit -----------------------------------------------------------------------------------------------------------


def test_the_critic_sees_drawn_images_augmented_like_real_ones(tmp_path: Path) -> None:
    """Else it would teach the generator to draw what augmentation does (Karras et al. 2020, section 2.2)."""
    model = fitting.make(FastGAN, {}, COLOURS)
    seen, shown = list[torch.Tensor](), list[torch.Tensor]()
    augment = model.augment
    augment.register_forward_hook(lambda _, inputs, output: shown.append(output))
    model.critic.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.fit(fitting.labelled(12, COLOURS), run_for(model, tmp_path, 2))
    # real ones, then drawn ones for the critic's step and for the generator's
    assert (len(seen), len(shown)) == (2 * 3, 2 * 2)
    for step in range(2):
        real, drawn = shown[2 * step : 2 * step + 2]
        assert seen[3 * step] is real
        assert torch.equal(seen[3 * step + 1], drawn)
        assert seen[3 * step + 2] is drawn
        assert drawn.requires_grad and not real.requires_grad


class Killed(Exception):
    pass


def test_both_optimisers_and_the_probability_resume_to_the_last_bit(tmp_path: Path) -> None:
    def fitted(folder: Path, die_at: int | None = None) -> tuple[Any, FitRun]:
        model = fitting.make(FastGAN, {"ada_images": 40, "ada_interval": 2}, COLOURS)

        def report(done: int, total: int, loss: float | None) -> None:
            if done == die_at:
                raise Killed

        run = run_for(model, folder, 6, ema=0.9, checkpoint=3, report=report)
        model.fit(fitting.labelled(12, COLOURS), run)
        return model, run

    whole, unbroken = fitted(tmp_path / "a")
    with pytest.raises(Killed):
        fitted(tmp_path / "b", die_at=4)
    again, resumed = fitted(tmp_path / "b")
    for name, value in unbroken.artifact().items():
        assert torch.equal(value, resumed.artifact()[name]), name
    assert len(unbroken._optimizers) == 2
    for one, two in zip(unbroken._optimizers, resumed._optimizers, strict=True):
        states = [optimizer.state_dict()["state"] for optimizer in (one, two)]
        assert len(states[0]) == sum(len(group["params"]) for group in one.param_groups) > 10
        assert all(torch.equal(v, states[1][i][k]) for i, kept in states[0].items() for k, v in kept.items())
    assert torch.equal(whole.augment.p, again.augment.p)
    assert whole.augment.p > 0
    assert torch.equal(whole.augment.heard, again.augment.heard)
    # each network is in one optimiser, and statistics are in none
    held = [{id(p) for group in one.param_groups for p in group["params"]} for one in unbroken._optimizers]
    assert not held[0] & held[1]
    assert held[0] == {id(p) for p in whole.painter.parameters() if p.requires_grad}


def test_the_average_takes_the_statistics_of_the_norms_along(tmp_path: Path) -> None:
    model = fitting.make(FastGAN, {}, COLOURS)
    run = run_for(model, tmp_path, 6, ema=0.9)
    seen: list[torch.Tensor] = []
    norm = model.painter.begin[1]
    run._report = lambda done, total, loss: seen.append(norm.running_mean.detach().clone())
    start = norm.running_mean.detach().clone()
    model.fit(fitting.labelled(12, COLOURS), run)
    expected = start
    for step, value in enumerate(seen):
        expected = expected.lerp(value, 1 - min(0.9, (1 + step) / (10 + step)))
    found = run.artifact()["painter.begin.1.running_mean"]
    torch.testing.assert_close(found, expected)
    assert not torch.equal(found, norm.running_mean)


def _asked_for(model: Any, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """How red minus green each drawn image is, and its label."""
    labels = torch.arange(count) % 2
    with torch.inference_mode():
        conditions = api.Conditions(count=count, labels=labels)
        images = model.sample(conditions, FastGAN.Sampling(), api.Noise(0, range(count))).float()
    colours = images.mean(dim=(2, 3))
    return colours[:, 0] - colours[:, 1], labels


def test_the_asked_colour_comes_out(tmp_path: Path) -> None:
    model = fitting.make(FastGAN, {"latent": 16, "lr": 4e-3, "reconstruction": 0.3, "ada_target": None}, COLOURS)
    before, labels = _asked_for(model.eval(), 32)
    assert (before[labels == 0].mean() - before[labels == 1].mean()).abs() < 60
    run = run_for(model, tmp_path, 32, batch=8, ema=0.9)
    model.fit(fitting.labelled(32, COLOURS), run)
    model.load_state_dict(run.artifact())
    redness, labels = _asked_for(model.eval(), 32)
    assert ((redness < 0).long() == labels).float().mean() > 0.8
    assert redness[labels == 0].mean() > 60
    assert redness[labels == 1].mean() < -60


@pytest.mark.slow
def test_the_asked_colour_comes_out_nearly_always_with_augmentation(tmp_path: Path) -> None:
    given = {"width": 4, "critic_width": 4, "latent": 16, "lr": 2e-3, **STEERED, "ada_images": 2000}
    model = fitting.make(FastGAN, given, COLOURS)
    run = run_for(model, tmp_path, 150, batch=8, ema=0.9)
    model.fit(fitting.labelled(32, COLOURS), run)
    model.load_state_dict(run.artifact())
    redness, labels = _asked_for(model.eval(), 64)
    assert ((redness < 0).long() == labels).float().mean() > 0.95


def test_a_fit_in_bf16_stays_finite(tmp_path: Path) -> None:
    model = fitting.make(FastGAN, {}, COLOURS)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        model.fit(fitting.labelled(12, COLOURS), run_for(model, tmp_path, 2))
    assert all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())


# -- drawing and costs -------------------------------------------------------------------------------------------------


def test_truncation_zero_leaves_one_image_a_class() -> None:
    model = fitting.make(FastGAN, {}, COLOURS).eval()
    conditions = api.Conditions(count=4, labels=torch.tensor([0, 0, 1, 1]))
    with torch.inference_mode():
        one, same, other, _ = model.sample(conditions, FastGAN.Sampling(truncation=0.0), api.Noise(0, range(4)))
        free = model.sample(conditions, FastGAN.Sampling(), api.Noise(0, range(4)))
    # before it is fitted, the generator adds no noise to its maps
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(free[0], free[1])


def test_a_drawn_image_costs_the_generator_alone() -> None:
    model = fitting.make(FastGAN, {}, COLOURS)
    (unit,) = model.cost("sample", FastGAN.Sampling())
    assert unit.module is model.painter
    for one in model.training_cost():
        assert count_macs(one.module, one.inputs) == count_macs_fvcore(one.module, one.inputs) > 0


def test_a_training_step_costs_what_is_counted_of_one(tmp_path: Path) -> None:
    task = api.Task(name="colour", classes=("red", "green"), image_size=32)
    model = fitting.make(FastGAN, {}, task)
    run = run_for(model, tmp_path, 1, batch=4)
    with FlopCounterMode(display=False) as counter:
        model.fit(fitting.labelled(8, task), run)
    counted = sum(training_macs(unit) for unit in model.training_cost())
    # first layers need no gradient of images, which the formula counts
    assert 1.0 <= counted / (counter.get_total_flops() / 2 / 4) < 1.1
    parts = {id(unit.module): macs_of(unit) for unit in model.training_cost()}
    assert len(parts) == 4
