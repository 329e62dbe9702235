"""Grids of samples: a band a generator, a line a class, one starting noise a column, nothing real."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from example_boards import boards, example

from dermae_bench.errors import InvalidOutput
from dermae_bench.report.drawing import LEAST_SIDE, picture, pictures
from dermae_bench.report.grids import grids
from dermae_bench.report.html import render
from dermae_bench.report.records import Figure
from dermae_bench.suite.parts import FigurePlan
from dermae_bench.suite.stage import Stage

COLUMNS = 3


def stage(name: str, classes: tuple[str, ...] = (), seed: int = 0) -> Stage:
    work = {"model": {"task": {"classes": list(classes)}}, "seed": seed, "columns": COLUMNS}
    return Stage(kind="sample", name=f"sample/{name}", work=work, parts={}, key=name)


class Collected:
    """As much of a collector as grids ask for."""

    def __init__(self, folder: Path, plan: FigurePlan, shapes: dict[str, list[int] | None]) -> None:
        self.figures = (plan,)
        self.shapes = shapes
        self.store = SimpleNamespace(checked=lambda kind, key: (folder / kind / key, None))

    def manifest(self, stage: Stage) -> Any:
        if stage.key not in self.shapes:
            return None
        shape = self.shapes[stage.key]
        return SimpleNamespace(summary={} if shape is None else {"starting_shape": shape})

    def why(self, stage: Stage) -> str | None:
        return "diverged" if stage.key == "broken" else None


def grid(tmp_path: Path, *rows: Stage, shapes: dict[str, list[int] | None]) -> Figure:
    for drawn in rows:
        count = COLUMNS * max(1, len(drawn.work["model"]["task"]["classes"]))
        folder = tmp_path / "sample" / drawn.key
        folder.mkdir(parents=True)
        images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 3, 8, 8))
        np.save(folder / "images-00000.npy", images)
    plan = FigurePlan(name="figure-2", columns=COLUMNS, rows=tuple((s.key, "sampler=ddim", s) for s in rows))
    collected: Any = Collected(tmp_path, plan, shapes)
    (figure,) = grids(collected)
    return figure


def test_classes_stand_under_each_other_in_one_band_from_one_noise_a_column(tmp_path: Path) -> None:
    plain, conditional = stage("plain"), stage("conditional", ("benign", "malignant"))
    shape = [3, 8, 8]
    made = grid(tmp_path, plain, conditional, shapes={"plain": shape, "conditional": shape})
    assert [label for label, _ in made.rows] == ["plain", "conditional: benign", "conditional: malignant"]
    assert made.bands == ("plain", "conditional", "conditional")
    # image c * columns + j is class c from starting noise j
    assert [images[:, 0, 0, 0].tolist() for _, images in made.rows] == [[0, 1, 2], [0, 1, 2], [3, 4, 5]]
    assert "Down each column plain and conditional start from the same noise (3 x 8 x 8)." in made.caption
    assert "3 columns" in made.caption and "plain (sampler=ddim, seed 0)" in made.caption
    assert "conditional: one line a class" in made.caption


def test_unlike_starting_shapes_and_seeds_are_told(tmp_path: Path) -> None:
    rows = (stage("a"), stage("b"), stage("latent"), stage("gan"), stage("other", seed=1))
    shapes: dict[str, list[int] | None] = {"a": [3, 8, 8], "b": [3, 8, 8], "latent": [4, 2, 2], "gan": None}
    made = grid(tmp_path, *rows, shapes={**shapes, "other": [3, 8, 8]})
    assert "Down each column a and b start from the same noise (3 x 8 x 8)." in made.caption
    assert "latent starts from noise of its own (4 x 2 x 2)" in made.caption
    assert "other starts from noise of its own (3 x 8 x 8)" in made.caption
    assert "What gan starts from is not stated: no common noise." in made.caption


def test_what_is_not_finished_is_named_and_not_shown(tmp_path: Path) -> None:
    made = grid(tmp_path, stage("a"), stage("broken"), stage("waiting"), shapes={"a": [3, 8, 8]})
    assert [label for label, _ in made.rows] == ["a"]
    assert made.caption.endswith("Not drawn yet: broken (diverged); waiting (pending).")
    assert "same noise" not in made.caption


def test_images_that_do_not_fill_the_grid_are_refused(tmp_path: Path) -> None:
    drawn = stage("a")
    (tmp_path / "sample" / "a").mkdir(parents=True)
    np.save(tmp_path / "sample" / "a" / "images-00000.npy", np.zeros((2, 3, 8, 8), np.uint8))
    plan = FigurePlan(name="f", columns=COLUMNS, rows=(("a", "", drawn),))
    collected: Any = Collected(tmp_path, plan, {"a": [3, 8, 8]})
    with pytest.raises(InvalidOutput, match="2 images, not 1 lines of 3"):
        list(grids(collected))


def test_the_picture_enlarges_small_images_and_keeps_every_pixel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    drawn = picture(Figure(name="f", title="f", rows=(("a", images), ("b", images))))
    factor = LEAST_SIDE // 8
    wanted = images[1].transpose(1, 2, 0).repeat(factor, 0).repeat(factor, 1)
    # 8 px of margin; the second image stands at the right end of the first line
    assert (drawn[8 : 8 + LEAST_SIDE, -8 - LEAST_SIDE : -8] == wanted).all()
    labels = drawn[:, : drawn.shape[1] - 8 - 2 * LEAST_SIDE - factor]
    assert (labels == 0).any() and set(np.unique(labels)) <= {0, 255}


def test_bands_stand_further_apart_than_lines() -> None:
    images = np.zeros((1, 3, 64, 64), np.uint8)
    rows = (("a", images), ("b: x", images), ("b: y", images))
    together = picture(Figure(name="f", title="f", rows=rows))
    apart = picture(Figure(name="f", title="f", rows=rows, bands=("a", "b", "b")))
    assert apart.shape[0] > together.shape[0] and apart.shape[1] == together.shape[1]


def test_pictures_are_png_files_with_their_captions_and_equal_for_equal_boards() -> None:
    from PIL import Image

    made = pictures(example())
    assert made == pictures(example())
    assert list(made) == ["figures/figure-2.png", "figures/figure-2.txt", "figures/samples.png", "figures/samples.txt"]
    assert Image.open(io.BytesIO(made["figures/figure-2.png"])).mode == "RGB"
    text = made["figures/figure-2.txt"].decode()
    assert text.startswith("figure-2\n") and "  3. conditional: MEL\n" in text


def test_labels_that_the_font_lacks_and_paths_do_no_harm() -> None:
    images = np.zeros((1, 3, 8, 8), np.uint8)
    figure = Figure(
        name="f", title="病変", caption="see /home/me/data/x.png", rows=(("病変 " * 30, images), ("", images))
    )
    made = pictures(boards(figures=(figure,)))
    assert set(made) == {"figures/f.png", "figures/f.txt"} and b"/home" not in made["figures/f.txt"]


def test_the_page_shows_the_grid_with_a_gap_between_bands() -> None:
    page = render(example())
    assert page.count('class="strip starts"') == 1 and "none was chosen" in page
    without = dataclasses.replace(example(), figures=())
    assert pictures(without) == {} and "strip" not in render(without).split("</style>")[1]
