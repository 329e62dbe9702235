"""report.html as a text: self-contained, its script alone allowed; pictures and charts tell the truth."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import re

import numpy as np
import pytest
from example_boards import boards, example

from dermae_bench.report.html import render
from dermae_bench.report.html.chart import draw
from dermae_bench.report.html.png import png, strip
from dermae_bench.report.leaderboard import Curve


def test_the_page_asks_nobody_and_allows_only_its_own_script() -> None:
    page = render(example())
    script = re.search(r"<script>(.*?)</script>", page, re.S)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert script and policy
    digest = base64.b64encode(hashlib.sha256(script.group(1).encode()).digest()).decode()
    assert policy.group(1).startswith("default-src 'none';") and f"script-src 'sha256-{digest}'" in policy.group(1)
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page) and "url(" not in page and "@import" not in page
    assert not re.search(r"https?://", page)


def test_the_page_is_equal_for_equal_boards_and_ends_with_a_newline() -> None:
    page = render(example())
    assert page == render(example()) and page.endswith("</html>\n")


def test_the_page_shows_every_part() -> None:
    page = render(example())
    for part in (
        "Classifiers",
        "Generators",
        "Samples",
        "Training loss of generators",
        "Dataset",
        "Timings of 3 stages",
        "Environment",
        "skipped: 2 images",
        "n/a (other identity)",
        "leaky: photographs",
        "1,811",
        "numpy",
    ):
        assert part in page, part
    assert page.count("data:image/png") == 5


def test_an_empty_suite_still_has_a_page() -> None:
    assert "no rows yet" in render(boards())


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (32, 96), (64, 1)])
def test_png_is_lossless(shape: tuple[int, int]) -> None:
    from PIL import Image

    rng = np.random.default_rng(3)
    smooth = np.add.outer(np.arange(shape[0]) * 3, np.arange(shape[1]) * 2)[..., None] + np.array([0, 40, 90])
    for image in (rng.integers(0, 256, (*shape, 3)).astype(np.uint8), (smooth % 256).astype(np.uint8)):
        assert (np.asarray(Image.open(io.BytesIO(png(image)))) == image).all()


def test_png_of_a_smooth_image_is_far_smaller_than_its_pixels() -> None:
    yy, xx = np.mgrid[0:128, 0:128]
    image = np.stack([xx + yy // 2, 255 - yy, (xx + yy) // 2], axis=-1).clip(0, 255).astype(np.uint8)
    assert len(png(image)) < image.nbytes / 20


def test_strip_sets_images_apart_and_averages_large_ones() -> None:
    images = np.zeros((3, 3, 4, 4), np.uint8)
    images[1, 0] = 200
    joined, side = strip(images)
    assert joined.shape == (4, 14, 3) and side == 4
    assert (joined[:, 5:9] == [200, 0, 0]).all() and (joined[:, 4] == 128).all()
    large = np.zeros((1, 3, 256, 256), np.uint8)
    large[..., ::2] = 100
    joined, side = strip(large)
    assert side == 128 and (joined == 50).all()


def test_charts_break_where_a_value_is_not_finite() -> None:
    drawn = draw(Curve(title="t", series={"a": [(0, 1.0), (1, 2.0), (2, math.nan), (3, 1.0), (4, math.inf)]}))
    assert drawn is not None and drawn.breaks == 2 and not drawn.log
    assert [len(piece.split()) for piece in drawn.lines[0].pieces] == [2, 1]
    first, second = (float(point.split(",")[1]) for point in drawn.lines[0].pieces[0].split())
    assert first > second  # SVG's y grows downwards
    assert draw(Curve(title="t", series={"a": [(0, math.nan)], "b": []})) is None


def test_charts_thin_long_series_and_turn_logarithmic() -> None:
    drawn = draw(Curve(title="t", series={"a": [(i, math.exp(-i / 500)) for i in range(5000)]}))
    assert drawn is not None and drawn.log and len(drawn.lines[0].pieces[0].split()) <= 300
    flat = draw(Curve(title="t", series={"a": [(0, 0.0)]}))
    assert flat is not None and all(math.isfinite(y) for y, _ in flat.y_ticks)
