"""Noise belongs to an image, not to its batch."""

from __future__ import annotations

import torch

from dermae_bench.plugin.noise import Noise, seed_of


def test_an_image_has_the_same_numbers_whoever_shares_its_batch() -> None:
    together = Noise(3, range(6)).normal((3, 4, 4))
    assert together.shape == (6, 3, 4, 4)
    assert together.dtype == torch.float32
    alone = torch.cat([Noise(3, [i]).normal((3, 4, 4)) for i in range(6)])
    turned = Noise(3, [5, 4, 3, 2, 1, 0]).normal((3, 4, 4)).flip(0)
    assert torch.equal(together, alone)
    assert torch.equal(together, turned)


def test_streams_go_on_and_differ_by_seed_and_index() -> None:
    noise = Noise(0, [0, 1])
    first, second = noise.normal((8,)), noise.uniform((8,))
    again = Noise(0, [0, 1])
    assert torch.equal(again.normal((8,)), first)
    assert torch.equal(again.uniform((8,)), second)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, Noise(1, [0, 1]).normal((8,)))
    assert len(noise) == 2


def test_the_global_generator_plays_no_part() -> None:
    torch.manual_seed(1)
    one = Noise(0, [0]).normal((4,))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(one, Noise(0, [0]).normal((4,)))
    assert torch.equal(state, torch.get_rng_state())


def test_the_numbers_are_what_they_are_called() -> None:
    normal, uniform = Noise(0, range(20)).normal((500,)), Noise(0, range(20)).uniform((500,))
    assert abs(float(normal.mean())) < 0.05
    assert abs(float(normal.std()) - 1) < 0.05
    assert float(uniform.min()) >= 0
    assert float(uniform.max()) < 1
    assert abs(float(uniform.mean()) - 0.5) < 0.02


def test_seeds_are_the_same_on_every_machine() -> None:
    assert seed_of("noise", 0, 1) == 7270678255856411285
    assert seed_of("noise", 0, 1) != seed_of("noise", 1, 0)
    assert all(0 <= seed_of(i) < 2**63 for i in range(100))
