"""Learning rates as functions of progress."""

from __future__ import annotations

import itertools

import pytest
import torch

from dermae_bench.plugin.schedules import constant, cosine, schedule


def test_cosine_rises_linearly_then_falls_to_its_floor() -> None:
    assert cosine(0.0) == 1.0
    assert cosine(0.5) == pytest.approx(0.5)
    assert cosine(1.0) == pytest.approx(0.0)
    assert cosine(1.0, floor=0.1) == pytest.approx(0.1)
    assert cosine(0.5, floor=0.2) == pytest.approx(0.6)
    assert [cosine(p, warmup=0.1) for p in (0.025, 0.05, 0.1)] == pytest.approx([0.25, 0.5, 1.0])
    # half way of what is left after the warm-up
    assert cosine(0.55, warmup=0.1) == pytest.approx(0.5)
    assert cosine(0.5, warmup=1.0) == pytest.approx(0.5)


def test_no_step_is_spent_at_rate_zero() -> None:
    assert cosine(0.0, warmup=0.1) == constant(0.0, warmup=0.1) == 1e-3


def test_constant_stays_after_its_warm_up() -> None:
    assert [constant(p, warmup=0.2) for p in (0.1, 0.2, 0.9)] == pytest.approx([0.5, 1.0, 1.0])
    assert constant(0.0) == 1.0


@pytest.mark.parametrize("factor", [cosine, constant])
def test_a_factor_never_jumps(factor: object) -> None:
    values = [factor(i / 1000, warmup=0.1) for i in range(1001)]  # type: ignore[operator]
    assert max(abs(a - b) for a, b in itertools.pairwise(values)) < 0.02


def test_scheduling_multiplies_the_rate_an_optimiser_was_built_with() -> None:
    one, two = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [one], "lr": 0.1}, {"params": [two], "lr": 1.0}])
    for factor in (0.5, 0.25, 1.0):
        schedule(optimizer, factor)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1 * factor, factor])
    # as a resume does: the built rate travels in the state
    other = torch.optim.SGD([{"params": [one], "lr": 9.0}, {"params": [two], "lr": 9.0}])
    schedule(optimizer, 0.5)
    other.load_state_dict(optimizer.state_dict())
    schedule(other, 0.5)
    assert [group["lr"] for group in other.param_groups] == pytest.approx([0.05, 0.5])
