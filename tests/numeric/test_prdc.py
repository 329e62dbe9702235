"""Precision, recall, density and coverage against their definitions and against torch-fidelity."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dermae_bench import api
from dermae_bench.builtin.metrics import neighbours
from dermae_bench.builtin.metrics.prdc import NeighbourBalls


def prdc(a: np.ndarray, b: np.ndarray, nearest: int = 5) -> dict[str, float]:
    comparison = api.Comparison(generated=api.Features(values=a), real=api.Features(values=b))
    return dict(NeighbourBalls(NeighbourBalls.Config(nearest=nearest)).values(comparison))


def points(seed: int, n: int, d: int = 6, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((n, d)) * scale + shift).astype(np.float32)


def by_definition(a: np.ndarray, b: np.ndarray, k: int) -> dict[str, float]:
    def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.linalg.norm(x[:, None].astype(float) - y[None].astype(float), axis=-1)

    between = distances(a, b)
    radius_a, radius_b = (np.sort(distances(x, x), axis=1)[:, k] for x in (a, b))
    in_real = between <= radius_b
    return {
        "improved-precision": in_real.any(axis=1).mean(),
        "improved-recall": (between <= radius_a[:, None]).any(axis=0).mean(),
        "density": in_real.sum() / (k * len(a)),
        "coverage": in_real.any(axis=0).mean(),
    }


@pytest.mark.parametrize("nearest", [1, 5])
@pytest.mark.parametrize("tile", [2048, 37])
def test_equals_the_definition_whatever_the_tiles(tile: int, nearest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "TILE", tile)
    a, b = points(0, 150, scale=0.8, shift=0.3), points(1, 190)
    assert prdc(a, b, nearest) == pytest.approx(by_definition(a, b, nearest), rel=1e-12)


def test_precision_and_recall_agree_with_torch_fidelity() -> None:
    import torch
    from torch_fidelity.metric_prc import prc_features_to_metric

    a, b = points(2, 300, 24, 0.9, 0.1), points(3, 260, 24)
    theirs = prc_features_to_metric(
        torch.from_numpy(a), torch.from_numpy(b), prc_neighborhood=3, prc_batch_size=100, verbose=False
    )
    ours = prdc(a, b, 3)
    assert ours["improved-precision"] == pytest.approx(theirs["precision"], rel=1e-5)
    assert ours["improved-recall"] == pytest.approx(theirs["recall"], rel=1e-5)
    assert 0.1 < ours["improved-precision"] < 1


def test_by_hand_on_a_line() -> None:
    # balls of the real points 0, 1, 3, 10 reach 1, 1, 2, 7; those of the generated ones 0.5, 20, 21 reach 19.5, 1, 1
    real, generated = np.array([[0.0], [1], [3], [10]]), np.array([[0.5], [20], [21]])
    found = prdc(generated, real, 1)
    assert found == pytest.approx(
        {"improved-precision": 1 / 3, "improved-recall": 1, "density": 2 / 3, "coverage": 2 / 4}
    )


def test_a_set_against_itself_and_against_one_far_away() -> None:
    a = points(4, 120)
    # every closed ball holds its centre and k others
    assert prdc(a, a) == {"improved-precision": 1, "improved-recall": 1, "density": 6 / 5, "coverage": 1}
    assert set(prdc(a, a + 1000).values()) == {0}


@pytest.mark.parametrize("d", [6, 700])
def test_doubled_images_have_balls_of_radius_zero_and_lie_on_them(d: int) -> None:
    a = np.repeat(points(5, 20, d, shift=9.0), 2, axis=0)
    assert prdc(a, a, 1)["improved-precision"] == 1
    # products of other shapes round in another way, and a copy must stay on its ball of radius 0
    assert prdc(a[:14:2], a, 1)["improved-precision"] == prdc(a[::2], a, 1)["coverage"] == 1
    assert prdc(a + np.float32(0.01), a, 1)["improved-precision"] == 0


def test_order_rotation_shift_and_scale_change_nothing() -> None:
    rng = np.random.default_rng(0)
    a, b = points(6, 130).astype(float), points(7, 140, shift=0.4).astype(float)
    turn, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    assert prdc(a[rng.permutation(130)], b[rng.permutation(140)]) == pytest.approx(prdc(a, b))
    assert prdc((a @ turn + 3) * 5, (b @ turn + 3) * 5) == pytest.approx(prdc(a, b))


def test_fidelity_and_diversity_come_apart() -> None:
    real = points(8, 300)
    narrow, wide = prdc(points(9, 300, scale=0.3), real), prdc(points(9, 300, scale=3), real)
    assert narrow["improved-precision"] > 0.95 > 0.5 > narrow["improved-recall"]
    assert wide["improved-recall"] > 0.95 > 0.5 > wide["improved-precision"]
    for found in (narrow, wide):
        assert all(0 <= found[name] <= 1 for name in found if name != "density")


def test_the_neighbour_stands_in_the_protocol_and_too_few_images_are_refused() -> None:
    assert {c.protocol for c in NeighbourBalls.columns(NeighbourBalls.Config(nearest=3))} == {
        "closed balls to neighbour 3, Euclidean, float64"
    }
    with pytest.raises(api.InvalidOutput, match="at least 6 real images, there are 5"):
        prdc(points(0, 9), points(0, 5))


MEASURE = """
import resource, sys
import numpy as np
from dermae_bench import api
from dermae_bench.builtin.metrics.prdc import NeighbourBalls

sides = [api.Features(values=np.load(name, mmap_mode="r")) for name in sys.argv[1:]]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
NeighbourBalls(NeighbourBalls.Config()).values(api.Comparison(generated=sides[0], real=sides[1]))
print(peak() - before)
"""


@pytest.mark.slow
def test_memory_grows_with_the_files_alone(tmp_path: Path) -> None:
    """Peak memory in MiB is that of the mapped files and of a few tiles, so 50k x 2048 stays within 4 GiB."""
    d, beyond_files = 64, []
    for n in (10_000, 30_000):
        names = [str(tmp_path / f"{n}-{side}.npy") for side in (0, 1)]
        for side, name in enumerate(names):
            np.save(name, np.random.default_rng(side).standard_normal((n, d), dtype=np.float32))
        done = subprocess.run([sys.executable, "-c", MEASURE, *names], capture_output=True, text=True, check=True)
        beyond_files.append(float(done.stdout) - 2 * n * d * 4 / 2**20)
    # one matrix of 30,000 x 30,000 would be 3,433 MiB even in float32
    assert max(beyond_files) < 300, beyond_files
    assert beyond_files[1] - beyond_files[0] < 40, beyond_files
    # at 50,000 x 2,048: both files, as much again as here, and six blocks of a tile's rows in float64
    assert (2 * 50_000 * 4 + 6 * neighbours.TILE * 8) * 2048 / 2**20 + beyond_files[1] + 40 < 4096
