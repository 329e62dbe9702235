"""Stages killed at random moments and begun again: equal bytes, and at most one block done twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dermae_bench.execute import blocks
from dermae_bench.execute.stages import extract, predict, prepare
from dermae_bench.execute.stages.common import Table
from dermae_bench.store.manifests import Manifest
from tests.counting import record_count
from tests.unit.execute import attempts
from tests.unit.execute.attempts import Bench, training

COUNT, FEW = 600, 100
FILES = 120


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Any:
    """Blocks so small that a set of these tests has many; batches stay whole."""
    with pytest.MonkeyPatch.context() as patch:
        torch.set_num_threads(1)
        patch.setattr(prepare, "BLOCK", 10)
        patch.setattr(prepare, "FEW_AT_ONCE", 5)
        patch.setattr(extract, "BLOCK", 64)
        patch.setattr(extract, "BATCH", 16)
        patch.setattr(predict, "BLOCK", 64)
        places = {
            "colours": ("colours", str(attempts.PLUGINS / "colours.py")),
            "image-folder": ("dermae_bench.builtin.datasets.image_folder", None),
        }
        patch.setattr(attempts, "WHERE", {**attempts.WHERE, **places})
        yield


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in one sub-folder a class; three of them are damaged."""
    root = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for number in range(FILES):
        path = root / f"class{number % 2}" / f"{number:03d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)).save(path)
        if number in (7, 50, 119):
            path.write_bytes(path.read_bytes()[:200])
    return root


Stage = tuple[str, dict[str, Any], Mapping[str, Manifest], tuple[str, ...]]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("kills"))


@pytest.fixture(scope="module")
def stages(bench: Bench, photographs: Path) -> Callable[[str, int], Stage]:
    """What to kill, over inputs that are made once: (name, images) -> a stage."""
    data = bench.prepared()
    sources = {"prepare": data}
    common = {"precision": "fp32", "threads": 1}
    drawer = bench.do("train", training(data, "generator", "pixels-by-class", "diagnosis"), sources, "pixels-by-class")
    reader = bench.do("train", training(data, "classifier", "thumbnails", "diagnosis"), sources, "thumbnails")
    drawing = {"model": drawer.parts["work"]["model"], "sampling": {}, "per_class": None, **common, "batch": 8}

    def make(name: str, count: int) -> Stage:
        work = {**drawing, "count": count, "shard": max(8, count // 12), "seed": 0}
        if name == "sample":
            return "sample", work, {"train": drawer, **sources}, ("pixels-by-class",)
        if name == "prepare":
            params = {"root": str(photographs), "image_size": 16, "skip": 3}
            return "prepare", {"plugin": "image-folder", "params": params}, {}, ("image-folder",)
        drawn = bench.do("sample", {**work, "seed": 1}, {"train": drawer, **sources}, "pixels-by-class")
        asked = {"images": [{"samples": "samples0"}], "threads": 1}
        if name == "extract":
            asked |= {"extractor": {"plugin": "colours", "params": {}}, "limit": None, "moments": True}
            return "extract", asked, {**sources, "samples0": drawn}, ("colours",)
        asked |= {"model": reader.parts["work"]["model"], "batch": 16, "precision": "fp32", "labelled": False}
        return "predict", asked, {"train": reader, **sources, "samples0": drawn}, ("thumbnails",)

    return make


def killed_after(seconds: float, bench: Bench, stage: Stage, log: Path) -> bool:
    """Begin a stage in a process of its own and kill it; whether it was still at it. `log` tells its blocks."""
    kind, work, inputs, plugins = stage
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)
            _tell_blocks(log)
            bench.try_(kind, work, inputs, *plugins)
        finally:
            os._exit(0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _tell_blocks(log: Path) -> None:
    real = blocks.Blocks._make

    def make(self: Any, block: Any, maker: Any) -> None:
        with log.open("a") as stream:
            stream.write(f"{block.number}\n")
        # slow enough that a kill hits somewhere in the middle
        time.sleep(0.004)
        real(self, block, maker)

    blocks.Blocks._make = make  # type: ignore[method-assign]


def survives_kills(name: str, kills: int, bench: Bench, stage: Stage, root: Path) -> None:
    """Kill one stage again and again at random moments, each time from where the kill before left it; then compare."""
    rng = random.Random(name)
    kind, work, inputs, plugins = stage
    began = time.monotonic()
    whole = bench.do(kind, work, inputs, *plugins)
    usual = max(0.05, time.monotonic() - began)
    hits = rounds = 0
    while hits < kills:
        rounds += 1
        assert rounds <= 20 * kills, "the kills miss"
        # one that has finished is begun anew
        bench.store.quarantine(kind, whole.key)
        bench.store.settle(whole.key)
        log, in_a_row = root / f"log-{rounds}", 0
        while hits < kills and killed_after(rng.uniform(0, usual), bench, stage, log):
            hits += 1
            in_a_row += 1
        again = bench.do(kind, work, inputs, *plugins)
        assert again.files == whole.files
        assert again.summary == whole.summary
        times = Counter(log.read_text().split()) if log.exists() else Counter()
        # each kill costs at most the block in which it came
        assert sum(times.values()) - len(times) <= in_a_row
    if name == "sample":
        table = Table.read(bench.files(again) / "table.parquet").columns
        assert [int(one.rpartition("-")[2]) for one in table["id"]] == list(range(work["count"]))
        assert sum(len(np.load(path)) for path in bench.files(again).glob("images-*.npy")) == work["count"]
    record_count(f"kills inside {name} survived", hits)


@pytest.mark.parametrize(("name", "kills"), [("sample", 1), pytest.param("prepare", 1, marks=pytest.mark.slow)])
def test_a_killed_stage_goes_on(
    name: str, kills: int, bench: Bench, stages: Callable[[str, int], Stage], tmp_path: Path
) -> None:
    survives_kills(name, kills, bench, stages(name, FEW), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kills"), [("sample", 30), ("prepare", 10), ("extract", 10), ("predict", 10)])
def test_a_stage_killed_many_times_goes_on(
    name: str, kills: int, bench: Bench, stages: Callable[[str, int], Stage], tmp_path: Path
) -> None:
    survives_kills(name, kills, bench, stages(name, COUNT), tmp_path)
