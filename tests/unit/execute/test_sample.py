"""Drawing many images: what is asked for, which noise each starts from, shards, memory, and going on after a stop."""

from __future__ import annotations

import errno
import os
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.execute.blocks import second_name
from dermae_bench.execute.run import Stopped
from dermae_bench.execute.stages import sample as sampling
from dermae_bench.execute.stages.common import StageContext, Table
from dermae_bench.execute.stages.sample import apportion, sample, wanted_labels

CLASSES = ("a", "b", "c")


class Quick(api.Generator):
    """Every image is its noise, in the colour of its class."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No options."""

    drawn = 0

    def fit(self, train: api.ImageSet, run: api.Run) -> None: ...

    def cost(self, of: str, sampling: Any = None) -> Any:
        return []

    def sample(self, conditions: api.Conditions, sampling: Any, noise: api.Noise) -> torch.Tensor:
        Quick.drawn += len(conditions)
        size = self.task.image_size
        grey = noise.normal((1, size, size)).mul(20).add(100).expand(-1, 3, -1, -1).clone()
        if conditions.labels is not None:
            grey[torch.arange(len(conditions)), conditions.labels] += 50
        return grey.round().clamp(0, 255).to(torch.uint8)


class Silent(Quick):
    """Draws no noise at all, so that many images are quick."""

    def sample(self, conditions: api.Conditions, sampling: Any, noise: api.Noise) -> torch.Tensor:
        Quick.drawn += len(conditions)
        return torch.full((len(conditions), 3, self.task.image_size, self.task.image_size), 7, dtype=torch.uint8)


Stage = Callable[..., StageContext]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A sample stage of `Quick` (or another class) in a folder of its own; the same name goes on where it stopped."""

    def make(name: str = "stage", cls: type[Quick] = Quick, classes: tuple[str, ...] = (), **work: Any) -> StageContext:
        size = work.pop("size", 4)
        stop = work.pop("stop", lambda: False)
        task = {"name": "t" if classes else "", "classes": classes, "positive": None, "parent": None, "mapping": {}}
        about = {"role": "generator", "plugin": "quick", "params": {}, "task": {**task, "image_size": size}}
        asked = {"count": None, "per_class": None, "columns": None, "sampling": {}, "seed": 0, "shard": 4, "batch": 3}
        folder = tmp_path / name
        (folder / "out").mkdir(parents=True, exist_ok=True)
        work = {"model": about, **asked, "precision": "fp32", "threads": 1, **work}
        spec = {"key": "0123456789", "work": work, "inputs": {"train": {}}}
        monkeypatch.setattr(
            sampling, "load_model", lambda context, about, role, device: cls(None, sampling.task_of(about["task"]))
        )
        counts = dict(zip(classes, (5, 3, 2), strict=False))
        monkeypatch.setattr(sampling, "_class_counts", lambda context, task, parts: counts)
        return StageContext(folder=folder, spec=spec, out=folder / "out", stop=stop)

    Quick.drawn = 0
    return make


def images(context: StageContext) -> NDArray[np.uint8]:
    return np.concatenate([np.load(path) for path in sorted(context.out.glob("images-*.npy"))])


# -- labels ------------------------------------------------------------------------------------------------------


def one_by_one(count: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Largest deficit first, as it is defined."""
    given = np.zeros(len(shares))
    labels = np.empty(count, dtype=np.int64)
    for i in range(count):
        labels[i] = np.argmax(shares * (i + 1) - given)
        given[labels[i]] += 1
    return labels


@pytest.mark.parametrize("seed", range(12))
def test_labels_in_blocks_are_those_given_one_by_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "BLOCK", (8, 64, 1024)[seed % 3])
    rng = np.random.default_rng(seed)
    have = rng.integers(0, (5, 40, 6705)[seed // 4], 1 + seed % 7) + np.eye(1, 1 + seed % 7, dtype=np.int64)[0]
    count = int(rng.integers(1, 1500))
    assert apportion(count, have / have.sum()).tolist() == one_by_one(count, have / have.sum()).tolist()


def test_six_hundred_thousand_labels_keep_every_share() -> None:
    have = np.array([6705, 1113, 1099, 514, 327, 142, 115])
    labels = apportion(600_000, have / have.sum())
    for stop in (1, 1023, 10_015, 600_000):
        assert np.abs(np.bincount(labels[:stop], minlength=7) - stop * have / have.sum()).max() < 1
    assert np.array_equal(np.bincount(labels[:10_015]), have)


def test_a_figure_asks_for_each_class_in_turn() -> None:
    work = {"per_class": None, "count": None, "columns": 3}
    labels = wanted_labels(work, {}, CLASSES)
    assert labels is not None
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert wanted_labels(work, {}, ()) is None


# -- noise -------------------------------------------------------------------------------------------------------


def test_the_columns_of_a_figure_start_from_one_noise(stage: Stage) -> None:
    grid = stage("grid", classes=CLASSES, columns=5, shard=4, batch=3)
    facts = sample(grid)
    assert (facts["n"], facts["noise"], facts["starting_shape"]) == (15, "column", [1, 4, 4])
    assert facts["counts"] == {"a": 5, "b": 5, "c": 5}
    drawn = images(grid).astype(int).reshape(3, 5, 3, 4, 4)
    without = drawn.copy()
    for c in range(3):
        without[c, :, c] -= 50
    assert np.array_equal(without[0], without[1])
    assert np.array_equal(without[0], without[2])
    assert len({without[0, j].tobytes() for j in range(5)}) == 5
    # an unconditional generator of the same seed starts its columns from the same noises
    plain = stage("plain", columns=5)
    assert sample(plain)["n"] == 5
    assert np.array_equal(images(plain), without[0])
    assert Table.read(grid.out / "table.parquet").columns["label"] == [c for c in range(3) for _ in range(5)]


def test_other_sets_start_each_image_from_its_own_noise(stage: Stage) -> None:
    one = stage("one", count=9)
    facts = sample(one)
    assert (facts["noise"], facts["starting_shape"]) == ("index", [1, 4, 4])
    assert len({image.tobytes() for image in images(one)}) == 9
    assert sample(stage("silent", cls=Silent, count=2))["starting_shape"] is None


# -- shards ------------------------------------------------------------------------------------------------------


def test_shards_are_plain_arrays_and_take_their_space_once(stage: Stage) -> None:
    context = stage(count=10)
    sample(context)
    for path in context.out.glob("images-*.npy"):
        kept = context.folder / "shards" / path.name
        assert kept.stat().st_ino == path.stat().st_ino
        assert np.load(path, mmap_mode="r").shape[1:] == (3, 4, 4)
    assert [len(np.load(path)) for path in sorted(context.out.glob("images-*.npy"))] == [4, 4, 2]


def test_a_shard_that_is_drawn_again_is_another_file(stage: Stage) -> None:
    """What is part of an artifact by its second name must keep its bytes."""
    context = stage(count=4)
    sample(context)
    (artifact,) = context.out.glob("images-*.npy")
    before = artifact.read_bytes()
    about = context.folder / "shards" / "images-00000.json"
    about.write_text(about.read_text().replace('"sha256":"', '"sha256":"0'))
    artifact.rename(context.folder / "artifact.npy")
    sample(context)
    assert Quick.drawn == 8
    assert (context.folder / "artifact.npy").read_bytes() == before
    assert (context.folder / "artifact.npy").stat().st_ino != artifact.stat().st_ino


def test_where_there_are_no_hard_links_the_file_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"pixels")

    def refuse(number: int) -> Callable[..., None]:
        def link(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        return link

    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    second_name(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"pixels"
    assert (tmp_path / "b").stat().st_ino != (tmp_path / "a").stat().st_ino
    monkeypatch.setattr(os, "link", refuse(errno.ENOSPC))
    with pytest.raises(OSError, match="No space"):
        second_name(tmp_path / "a", tmp_path / "c")


def test_many_shards_stop_and_go_on(stage: Stage) -> None:
    asked = {"classes": CLASSES, "count": 300, "shard": 10, "batch": 4}
    whole = stage("whole", **asked)
    facts = sample(whole)
    # asked after each of three batches of a shard, but the last of them, and once after it
    told = iter([False] * 34 + [True])
    with pytest.raises(Stopped):
        sample(stage("broken", **asked, stop=lambda: next(told)))
    drawn = Quick.drawn - 300
    assert drawn == 11 * 10 + 8
    broken = stage("broken", **asked)
    assert not list(broken.out.iterdir())
    Quick.drawn = 0
    assert sample(broken) == facts
    # the shard that had been begun goes on where it was
    assert Quick.drawn == 300 - drawn
    names = sorted(path.name for path in whole.out.iterdir())
    assert len(names) == 31
    assert [(whole.out / name).read_bytes() for name in names] == [(broken.out / name).read_bytes() for name in names]


def test_memory_holds_a_batch_and_not_the_set(stage: Stage) -> None:
    def peak(name: str, count: int) -> int:
        context = stage(name, cls=Silent, count=count, shard=500, batch=10, size=32)
        tracemalloc.start()
        sample(context)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak("first", 10)
    few, many = peak("few", 50), peak("many", 1500)
    # an image has 3,072 bytes; ids and labels take a few dozen
    assert many - few < 1450 * 300


@pytest.mark.slow
def test_six_hundred_thousand_samples_stop_and_go_on(stage: Stage) -> None:
    asked = {"cls": Silent, "classes": CLASSES, "count": 600_000, "shard": 5000, "batch": 1000, "size": 2}
    told = iter([False] * 199 + [True])
    with pytest.raises(Stopped):
        sample(stage("many", **asked, stop=lambda: next(told)))
    assert Quick.drawn == 40 * 5000
    context = stage("many", **asked)
    facts = sample(context)
    assert Quick.drawn == facts["n"] == 600_000
    assert facts["counts"] == {"a": 300_000, "b": 180_000, "c": 120_000}
    assert len(list(context.out.glob("images-*.npy"))) == 120
    assert len(Table.read(context.out / "table.parquet").columns["id"]) == 600_000
