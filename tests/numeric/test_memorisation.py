"""Memorisation: planted copies are found, an honest generator gives what it must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dermae_bench import api
from dermae_bench.builtin.metrics import neighbours
from dermae_bench.builtin.metrics.memorisation import Memorisation, expected_copies

METRIC = Memorisation(Memorisation.Config(quantile=0.05))


def side(name: str, values: np.ndarray) -> api.Features:
    return api.Features(values=values.astype(np.float32), ids=[f"{name}-{i}" for i in range(len(values))])


def square(seed: int, n: int) -> np.ndarray:
    """Uniform in the unit square, where the chance of mutual neighbours is known."""
    return np.random.default_rng(seed).random((n, 2))


def compare(generated: np.ndarray, training: np.ndarray, held_out: np.ndarray, seed: int = 0) -> api.Comparison:
    training_side = side("t", training)
    return api.Comparison(
        generated=side("g", generated),
        real=training_side,
        training=training_side,
        held_out=side("h", held_out),
        seed=seed,
    )


@pytest.fixture(scope="module")
def honest() -> api.Comparison:
    return compare(square(0, 1500), square(1, 1200), square(2, 900))


def test_an_honest_generator_gives_what_it_must(honest: api.Comparison) -> None:
    values = METRIC.values(honest)
    assert list(values) == [column.name for column in METRIC.columns(METRIC.config)]
    assert values["near-copies"] == pytest.approx(0.05, abs=0.025)
    assert values["nearest-ratio"] == pytest.approx(1, abs=0.08)
    # in the plane the nearest neighbour's nearest neighbour is oneself with probability 6 pi / (8 pi + 3 sqrt 3)
    mutual = 6 * np.pi / (8 * np.pi + 3 * np.sqrt(3))
    assert values["authenticity"] == pytest.approx(1 - mutual, abs=0.04)
    assert values["authenticity-held-out"] == pytest.approx(1 - mutual, abs=0.04)
    assert METRIC.warnings(honest) == []


def test_planted_copies_are_found_and_listed(honest: api.Comparison) -> None:
    generated, training = honest.generated.values.copy(), honest.training.values  # type: ignore[union-attr]
    copied = np.arange(0, 300)
    generated[copied] = training[copied + 50] + np.float32(1e-6)
    generated[7] = training[1199]
    planted = replace(honest, generated=side("g", generated))
    values, details = METRIC.values(planted), METRIC.details(planted)
    assert values["near-copies"] == pytest.approx(0.2 + 0.8 * METRIC.values(honest)["near-copies"], abs=0.02)
    assert values["nearest-ratio"] < METRIC.values(honest)["nearest-ratio"]
    assert values["authenticity"] < METRIC.values(honest)["authenticity"] - 0.05
    assert values["authenticity-held-out"] == METRIC.values(honest)["authenticity-held-out"]
    assert len(details["pairs"]) == 20
    first, *rest = details["pairs"]
    assert (first["generated"], first["training"], first["distance"]) == ("g-7", "t-1199", 0)
    assert all(int(p["training"][2:]) == int(p["generated"][2:]) + 50 for p in rest)
    assert [p["distance"] for p in details["pairs"]] == sorted(p["distance"] for p in details["pairs"])
    assert all(p["held_out_distance"] > p["distance"] for p in details["pairs"])


def test_a_generator_that_only_copies() -> None:
    training = square(3, 60)
    values = METRIC.values(compare(training, training, square(4, 60)))
    assert values["near-copies"] == 1
    assert values["nearest-ratio"] == 0
    assert values["authenticity"] == 0


def test_by_hand_on_a_line() -> None:
    metric = Memorisation(Memorisation.Config(quantile=0.5, pairs=1))
    # distances of held-out to training images 1, 2, 30; the reach is 2
    comparison = compare(
        np.array([[0.5], [3.0], [12.0]]), np.array([[0.0], [4], [10]]), np.array([[-1.0], [6], [40]]), seed=0
    )
    values, details = metric.values(comparison), metric.details(comparison)
    assert details["reach"] == 2
    assert values["near-copies"] == pytest.approx(2 / 3), "at the reach is not nearer"
    # d(training) 0.5, 1, 2 over d(held-out) 1.5, 3, 6
    assert values["nearest-ratio"] == pytest.approx(1 / 3)
    # nearest training neighbours of 0, 4, 10 are 4, 4, 6 away
    assert values["authenticity"] == 0
    assert values["authenticity-held-out"] == pytest.approx(1 / 3)
    assert details["pairs"] == [
        {"generated": "g-0", "training": "t-0", "distance": 0.5, "held_out_distance": pytest.approx(1.5)}
    ]


def test_images_of_equal_id_are_no_neighbours_and_equal_images_of_other_id_are() -> None:
    training = side("t", square(5, 50))
    comparison = compare(square(0, 9), square(5, 50), square(6, 80))
    itself = replace(comparison, generated=training)
    assert METRIC.values(itself)["near-copies"] < 0.2
    assert METRIC.values(replace(comparison, generated=side("g", training.values)))["near-copies"] == 1
    one = training.at(np.array([3]))
    with pytest.raises(api.InvalidOutput, match="a generated image has no training image but itself"):
        METRIC.values(
            replace(comparison, generated=one, training=replace(one, values=one.values.repeat(2, 0), ids=["t-3"] * 2))
        )


def test_order_rotation_shift_and_tiles_change_nothing(honest: api.Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(features: api.Features | None) -> api.Features:
        assert features is not None
        order = np.random.default_rng(len(features.ids)).permutation(len(features.ids))
        turn = np.array([[0.6, -0.8], [0.8, 0.6]])
        values = features.values[order].astype(float) @ turn * 3 + 5
        return api.Features(values=values, ids=[features.ids[i] for i in order])

    small = compare(square(0, 90), square(1, 70), square(2, 70))
    other = api.Comparison(
        generated=moved(small.generated),
        real=small.real,
        training=moved(small.training),
        held_out=moved(small.held_out),
    )
    expected = METRIC.values(small)
    assert METRIC.values(other) == pytest.approx(expected)
    monkeypatch.setattr(neighbours, "TILE", 17)
    assert Memorisation(METRIC.config).values(small) == pytest.approx(expected)


def test_equal_sizes_are_drawn_by_the_seed(honest: api.Comparison) -> None:
    ratios = {METRIC.values(replace(honest, seed=seed))["nearest-ratio"] for seed in (0, 0, 1)}
    assert len(ratios) == 2
    # 1,200 training against 900 held-out images: without the cut a training image would be nearer by chance
    assert all(0.9 < ratio < 1.1 for ratio in ratios)


def test_warns_where_the_quantile_does_not_exist() -> None:
    comparison = compare(square(0, 20), square(1, 20), square(2, 9))
    (text,) = METRIC.warnings(comparison)
    assert text == "memorisation: 9 held-out images have no quantile 0.05; an honest generator has 0.1 near-copies"
    assert METRIC.details(comparison)["expected_near_copies"] == expected_copies(9, 0.05) == 0.1


def test_refuses_what_it_cannot_tell() -> None:
    comparison = compare(square(0, 20), square(1, 20), square(2, 20))
    with pytest.raises(api.InvalidOutput, match="needs the training images"):
        METRIC.values(replace(comparison, training=None))
    with pytest.raises(api.InvalidOutput, match="at least 2 held-out images"):
        METRIC.values(replace(comparison, held_out=side("h", square(0, 1))))
    copied = METRIC.values(replace(comparison, held_out=side("h", comparison.generated.values)))
    assert copied["nearest-ratio"] == "more than half of the generated images equal a held-out image"
    assert isinstance(copied["near-copies"], float) and isinstance(copied["authenticity"], float)
