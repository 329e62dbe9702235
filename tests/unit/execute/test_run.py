"""What the harness promises to a plugin that fits: budget, batches, steps, and going on after a kill."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fits import (
    BUDGET,
    FIXTURES,
    SELECTING,
    STEPS,
    Late,
    Plain,
    TwoOptimizers,
    TwoPhases,
    begin,
    differing,
    everything,
    fit,
    images,
)

from dermae_bench.errors import Diverged, PluginError, UserError
from dermae_bench.execute.run import BudgetOf, Stopped, batch_indices, order

PHASED = replace(BUDGET, phases={"warm": 2, "main": 4})

(one_thread,) = FIXTURES


def accuracy(model: Any) -> float:
    """Some number that depends on the weights and rises and falls."""
    return float(model.last.weight.sum() % 0.1)


@pytest.mark.parametrize("die_at", range(1, STEPS + 1))
@pytest.mark.parametrize(
    ("cls", "budget", "validate"),
    [
        (Plain, BUDGET, None),
        (Plain, SELECTING, accuracy),
        (Plain, replace(SELECTING, ema=None, checkpoint=2), accuracy),
        (TwoOptimizers, BUDGET, None),
        (TwoPhases, PHASED, None),
        (Late, BUDGET, None),
    ],
    ids=["ema", "select", "rare-checkpoints", "two-optimisers", "phases", "late"],
)
def test_a_killed_fit_goes_on_to_the_last_bit(
    tmp_path: Path, cls: type[Any], budget: BudgetOf, validate: Any, die_at: int
) -> None:
    whole = everything(*fit(cls, tmp_path / "whole", budget, validate=validate))
    fit(cls, tmp_path / "broken", budget, die_at=die_at, validate=validate)
    assert differing(everything(*fit(cls, tmp_path / "broken", budget, validate=validate)), whole) == []


def test_killed_again_and_again(tmp_path: Path) -> None:
    whole = everything(*fit(Plain, tmp_path / "whole", SELECTING, validate=accuracy))
    for die_at in range(1, STEPS + 1):
        fit(Plain, tmp_path / "broken", SELECTING, die_at=die_at, validate=accuracy)
    assert differing(everything(*fit(Plain, tmp_path / "broken", SELECTING, validate=accuracy)), whole) == []


def test_a_resumed_fit_does_not_begin_anew(tmp_path: Path) -> None:
    fit(Plain, tmp_path, BUDGET, die_at=4)
    model, run = begin(Plain, tmp_path, BUDGET)
    seen: list[int] = []
    steps = run.step
    run.step = lambda loss, optimizer: (seen.append(run.step_index), steps(loss, optimizer))[1]  # type: ignore[method-assign]
    model.fit(images(), run)
    assert seen == [3, 4, 5]


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = everything(*fit(Plain, tmp_path / "whole", BUDGET))
    fit(Plain, tmp_path / "broken", BUDGET, die_at=5)
    newest = sorted((tmp_path / "broken").glob("step-*"))[-1] / "state.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    assert differing(everything(*fit(Plain, tmp_path / "broken", BUDGET)), whole) == []
    assert "step-0000000004 is damaged" in capsys.readouterr().out


def test_without_any_sound_checkpoint_it_begins_anew(tmp_path: Path) -> None:
    whole = everything(*fit(Plain, tmp_path / "whole", BUDGET))
    fit(Plain, tmp_path / "broken", BUDGET, die_at=3)
    for path in (tmp_path / "broken").glob("step-*/state.json"):
        path.write_text("{")
    assert differing(everything(*fit(Plain, tmp_path / "broken", BUDGET)), whole) == []


def test_a_request_to_stop_leaves_a_checkpoint_of_that_very_step(tmp_path: Path) -> None:
    whole = everything(*fit(Plain, tmp_path / "whole", replace(BUDGET, checkpoint=None)))
    asked = iter([False, False, True])
    model, run = begin(Plain, tmp_path / "stopped", replace(BUDGET, checkpoint=None), stop=lambda: next(asked))
    with pytest.raises(Stopped):
        model.fit(images(), run)
    assert [path.name for path in (tmp_path / "stopped").iterdir()] == ["step-0000000002"]
    assert differing(everything(*fit(Plain, tmp_path / "stopped", replace(BUDGET, checkpoint=None))), whole) == []


def test_checkpoints_change_nothing(tmp_path: Path) -> None:
    often = everything(*fit(Plain, tmp_path / "often", BUDGET))
    assert differing(everything(*fit(Plain, tmp_path / "never", replace(BUDGET, checkpoint=100))), often) == []
    assert not (tmp_path / "never").exists()


# -- batches -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "size"), [(14, 5), (7, 7), (3, 8), (10, 1)])
def test_every_image_is_seen_equally_often(count: int, size: int) -> None:
    seen: Counter[int] = Counter()
    for step in range(count * 3):
        seen.update(batch_indices(1, step, count, size).tolist())
    assert set(seen) == set(range(count))
    assert set(seen.values()) == {3 * size}


def test_an_epoch_holds_each_image_once_in_an_order_of_its_own() -> None:
    passes = [np.concatenate([batch_indices(0, s, 12, 4) for s in range(e * 3, e * 3 + 3)]).tolist() for e in range(3)]
    assert all(sorted(one) == list(range(12)) for one in passes)
    assert len({tuple(one) for one in passes}) == 3
    assert passes[1] == order(0, 1, 12).tolist()
    assert order(0, 1, 12).tolist() != order(1, 1, 12).tolist()


def test_batches_are_the_same_after_a_kill(tmp_path: Path) -> None:
    def drawn(folder: str, die_at: int | None = None) -> list[list[int]]:
        found: list[list[int]] = []

        class Noting(Plain):
            def fit(self, train: Any, run: Any, teacher: Any = None) -> None:
                inner = run.batches
                run.batches = lambda data: (found.append(b.indices.tolist()) or b for b in inner(data))
                super().fit(train, run)

        fit(Noting, tmp_path / folder, BUDGET, die_at=die_at)
        return found

    whole = drawn("whole")
    first, second = drawn("broken", 4), drawn("broken")
    assert first == whole[:4]
    assert second == whole[3:]


def test_batches_hold_uint8_images_and_their_labels(tmp_path: Path) -> None:
    data = images()
    model, run = begin(Plain, tmp_path, BUDGET)
    run.optimizers(torch.optim.SGD(model.parameters()))
    batch = next(iter(run.batches(data)))
    assert batch.images.dtype == torch.uint8
    assert torch.equal(batch.images, data[batch.indices.numpy()])
    assert data.labels is not None
    assert batch.labels is not None
    assert batch.labels.tolist() == data.labels[batch.indices.numpy()].tolist()


def test_a_model_with_an_input_size_is_handed_resized_images(tmp_path: Path) -> None:
    class Larger(Plain):
        input_size = 12

    model, run = begin(Larger, tmp_path, BUDGET)
    run.optimizers(torch.optim.SGD(model.parameters()))
    batch = next(iter(run.batches(images())))
    assert batch.images.shape == (5, 3, 12, 12)
    assert batch.images.dtype == torch.uint8


# -- steps -------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_names_its_step(tmp_path: Path) -> None:
    class Diverging(Plain):
        def fit(self, train: Any, run: Any, teacher: Any = None) -> None:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            run.optimizers(optimizer)
            for batch in run.batches(train):
                run.step(self(batch.images).sum() * (float("inf") if run.step_index == 3 else 1.0), optimizer)

    model, run = begin(Diverging, tmp_path, BUDGET)
    with pytest.raises(Diverged, match="diverged at step 3: loss is not finite") as caught:
        model.fit(images(), run)
    assert caught.value.step == 3
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_a_gradient_that_is_not_finite_is_told_from_a_loss(tmp_path: Path) -> None:
    model, run = begin(Plain, tmp_path, BUDGET)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run.optimizers(optimizer)
    next(iter(run.batches(images())))
    with pytest.raises(Diverged, match="gradient norm"):
        # the root of zero is finite, its slope is not
        run.step((model.last.weight * 0).sum().sqrt(), optimizer)


@pytest.mark.parametrize("registered", [1, 2])
def test_gradients_reach_only_the_parameters_of_the_stepped_optimiser(tmp_path: Path, registered: int) -> None:
    model, run = begin(Plain, tmp_path, BUDGET)
    head = torch.optim.SGD(model.last.parameters(), lr=0.1)
    body = torch.optim.SGD([*model.first.parameters(), *model.norm.parameters()], lr=0.1)
    run.optimizers(*[head, body][:registered])
    batch = next(iter(run.batches(images())))
    before = {name: value.clone() for name, value in model.named_parameters()}
    run.step(model(batch.images).square().mean(), head)
    assert all(parameter.grad is None for parameter in model.parameters())
    moved = {name.split(".")[0] for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"last"}


def test_gradients_are_clipped_over_one_optimiser(tmp_path: Path) -> None:
    def moved(clip: float | None) -> float:
        model, run = begin(Plain, tmp_path, replace(BUDGET, clip=clip))
        optimizer = torch.optim.SGD(model.last.parameters(), lr=1.0)
        run.optimizers(optimizer)
        next(iter(run.batches(images())))
        before = model.last.weight.detach().clone()
        run.step(1000 * model.last.weight.sum(), optimizer)
        return float((model.last.weight.detach() - before).norm())

    assert moved(0.5) == pytest.approx(0.5, rel=1e-3)
    assert moved(None) == pytest.approx(1000 * 18**0.5, rel=1e-3)


def test_mistakes_of_a_plugin_are_named(tmp_path: Path) -> None:
    model, run = begin(Plain, tmp_path, BUDGET)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(PluginError, match=r"before run\.optimizers"):
        next(iter(run.batches(images())))
    with pytest.raises(PluginError, match="not registered"):
        run.step(model.last.weight.sum(), optimizer)
    run.optimizers(optimizer)
    with pytest.raises(PluginError, match="called twice"):
        run.optimizers(optimizer)
    model, run = begin(Plain, tmp_path, BUDGET)
    run.optimizers(torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(PluginError, match=r"without run\.step"):
        list(run.batches(images()))
    with pytest.raises(PluginError, match="after 0 of 6 steps"):
        run.check_spent()
    with pytest.raises(UserError, match="phase 'warm'"):
        next(iter(begin(Plain, tmp_path, BUDGET)[1].batches(images(), "warm")))
    model, run = begin(Plain, tmp_path, BUDGET)
    run.optimizers(torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(UserError, match="empty"):
        next(iter(run.batches(replace(images(), parts=[], ids=[], groups=[], labels=np.zeros(0, dtype=np.int64)))))


# -- what is noted -----------------------------------------------------------------------------------------------


def test_curves_hold_loss_and_what_was_logged(tmp_path: Path) -> None:
    _, run = fit(Plain, tmp_path, BUDGET)
    assert [point["step"] for point in run.curves] == [0, 1, 2, 3, 4, 5]
    assert all(point["double"] == pytest.approx(2 * point["loss"]) for point in run.curves)
    assert run.images_seen == 30


def test_a_long_fit_logs_a_limited_number_of_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dermae_bench.execute.run.LOGGED_POINTS", 20)

    class Trivial(Plain):
        def fit(self, train: Any, run: Any, teacher: Any = None) -> None:
            optimizer = torch.optim.SGD(self.last.parameters(), lr=0.1)
            run.optimizers(optimizer)
            for _ in run.batches(train):
                run.log(noise=float("nan"))
                run.step(self.last.weight.square().sum(), optimizer)

    _, run = fit(Trivial, tmp_path, BudgetOf(steps=63, batch_size=1, clip=None))
    assert len(run.curves) == 22
    assert run.curves[-1]["step"] == 62
    # JSON knows no NaN, and a checkpoint is JSON
    assert all("noise" not in point for point in run.curves)


def test_seeds_decide_everything_random(tmp_path: Path) -> None:
    def drawn(seed: int) -> list[float]:
        model, run = begin(Plain, tmp_path, replace(BUDGET, checkpoint=None))
        run.seed = seed
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        run.optimizers(optimizer)
        found = []
        for _ in run.batches(images()):
            found += [float(torch.rand(())), float(np.random.rand())]
            run.step(model.last.weight.sum(), optimizer)
        return found

    assert drawn(0) == drawn(0)
    assert set(drawn(0)).isdisjoint(drawn(1))
    run = begin(Plain, tmp_path, BUDGET)[1]
    assert torch.rand(3, generator=run.rng("a")).tolist() == torch.rand(3, generator=run.rng("a")).tolist()
    assert torch.rand(3, generator=run.rng("a")).tolist() != torch.rand(3, generator=run.rng("b")).tolist()
