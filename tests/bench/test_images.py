"""From JPEG files to one uint8 array."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from dermae_bench.execute.stages.common import StageContext
from dermae_bench.execute.stages.prepare import prepare
from dermae_bench.plugin.catalog import Catalog
from tests.bench.conftest import Race, note

pytestmark = pytest.mark.bench

COUNT, SIZE = 96, 256


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEGs of 600 x 450, about 50 kB each, in one sub-folder a class."""
    folder = tmp_path_factory.mktemp("photographs")
    generator = np.random.default_rng(0)
    for i in range(COUNT):
        coarse = generator.integers(40, 220, (9, 12, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((600, 450), Image.Resampling.BICUBIC)
        grain = generator.normal(0, 14, (450, 600, 3))
        pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
        path = folder / f"class{i % 2}" / f"{i:03d}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.7)).save(path, quality=90)
    return folder


def test_preparing_images(
    race: Race, benchmark: Any, request: pytest.FixtureRequest, photographs: Path, tmp_path: Path
) -> None:
    runs = count()
    reference = vars(Catalog().reference("image-folder"))
    work = {"plugin": "image-folder", "params": {"root": str(photographs), "image_size": SIZE}}

    def ours() -> None:
        folder = tmp_path / str(next(runs))
        out = folder / "out"
        out.mkdir(parents=True)
        spec = {"key": "0", "work": work, "plugins": {"image-folder": reference}}
        assert prepare(StageContext(folder=folder, spec=spec, out=out))["n"] == COUNT

    def peer() -> None:
        pixels = np.empty((COUNT, SIZE, SIZE, 3), dtype=np.uint8)
        for i, path in enumerate(sorted(photographs.glob("*/*.jpg"))):
            with Image.open(path) as image:
                pixels[i] = np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR))
        np.save(tmp_path / "peer.npy", pixels)

    found = race(ours, peer, rounds=9, goal="ratio >= 1.0 (table, checks, duplicates and writing included)")
    speeds = {f"images_per_second_{who}": COUNT / found[f"{who}_ms"] * 1e3 for who in ("ours", "peer")}
    kilobytes = sum(path.stat().st_size for path in photographs.glob("*/*.jpg")) / COUNT / 1e3
    note(benchmark, request, {**speeds, "kilobytes": kilobytes})
