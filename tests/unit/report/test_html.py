"""report.html as a text: self-contained, its script alone allowed; pictures and charts tell the truth."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import math
import re

import numpy as np
import pytest
from example_boards import FRECHET, boards, classifier, example, generator

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
        "apart from the ranking: unlike the ranked rows: leaky True, not None",
        "Subgroups",
        "Confusion matrix, seed: classifier 2",
        "Contamination",
        "leaky: photographs",
        "1,811",
        "numpy",
    ):
        assert part in page, part
    assert page.count("data:image/png") == 5


def test_an_empty_suite_still_has_a_page() -> None:
    assert "no rows yet" in render(boards())


def bodies(page: str, board: str = "classifiers") -> dict[str, list[str]]:
    """Class of a `tbody` of the first ranking -> the texts of its rows."""
    table = page.split(f'id="{board}-1"')[1].split("</table>")[0]
    found = re.findall(r'<tbody class="(\w+)">(.*?)</tbody>', table, re.S)
    return {
        name: [re.sub(r"<[^>]+>", " ", row) for row in re.findall(r"<tr>(.*?)</tr>", body, re.S)]
        for name, body in found
    }


def test_what_stands_apart_is_greyed_below_the_ranking_with_its_reason_in_sight_and_on_hover() -> None:
    page = render(example())
    found = bodies(page)
    assert list(found) == ["measured", "apart", "reported", "floor"]
    (leaky,) = found["apart"]
    assert "0.900" in leaky and leaky.count("apart: A") == 2 and not any("0.900" in row for row in found["measured"])
    assert "<dt>A</dt><dd>apart from the ranking: unlike the ranked rows: leaky True, not None</dd>" in page
    cell = re.search(r'<td class="num unlike"[^>]*title="([^"]*)"[^>]*>0.900', page)
    assert cell is not None and cell.group(1).startswith("unlike the ranked rows: leaky True, not None")
    assert "Apart from the ranking" in page


def test_a_floor_of_another_identity_says_nothing_of_it_and_a_row_without_ranks_says_why() -> None:
    parts = [generator(name, 30.0) for name in ("a", "b")] + [generator("c", 30.0, n=900)]
    parts += [generator("real images", 2.0, n=77, kind="floor")]
    page = render(boards(*((i, [dataclasses.replace(r, better="neither") for r in its]) for i, its in parts)))
    table = page.split('id="generators-1"')[1].split("</table>")[0]
    told = re.findall(r"<small>([^<]*)</small>", table)
    assert len(told) == 2 and all(re.fullmatch("measured otherwise: identity [0-9a-f]{8}", text) for text in told)


def test_rows_apart_are_what_is_measured_otherwise_even_where_they_are_the_most() -> None:
    parts = [generator(name, 30.0, n=100) for name in ("a", "b", "c")]
    parts += [generator(name, 31.0, n=40, sampling="s") for name in ("a", "b")]
    # of the second column nothing is ranked, and more of the smaller rows have it
    lacking = {part[0].row for part in parts[1:3]}
    kept = [
        (info, [dataclasses.replace(r, better="neither") if r.metric != FRECHET else r for r in records
                if r.metric == FRECHET or info.row not in lacking])
        for info, records in parts
    ]  # fmt: skip
    found = bodies(render(boards(*kept)), "generators")
    assert len(found["measured"]) == 3 and not any("measured otherwise" in row for row in found["measured"])
    assert len(found["apart"]) == 2 and all("measured otherwise" in row for row in found["apart"])


def test_a_number_apart_is_never_the_best_of_the_ranking() -> None:
    pairs = [classifier(name, "t", 0.9, train="leaky", identity={"leaky": True}) for name in ("a", "b")]
    page = render(boards(*(classifier(name, "t", 0.5) for name in ("a", "b", "c")), *pairs))
    assert len(bodies(page)["apart"]) == 2
    assert not re.search(r'class="num best"[^>]*>0.900', page) and re.search(r'class="num best"[^>]*>0.500', page)


def test_each_seed_has_its_own_integer_matrix_and_each_class_its_numbers() -> None:
    page = render(example())
    assert page.count('<table class="matrix">') == 3
    titles = re.findall(r"<h5>Confusion matrix(.*?)</h5>", page)
    assert titles == [", seed: classifier 0", ", seed: classifier 1", ", seed: classifier 2"]
    counts = [int(text) for text in re.findall(r'<td class="num(?: right)?" style="[^"]*">([^<]*)</td>', page)]
    assert counts == [190, 10, 20, 11, 191, 9, 20, 11, 200, 0, 31, 0]
    # the mean over seeds of recall, and no mean where a seed has no such number
    assert f"{(0.95 + 0.955 + 1) / 3:.3f} ± 0.028" in page and "- in 1 of 3 seeds" in page
    assert re.search(r'<th scope="row">MEL</th><td class="num">31</td>', page)


def test_matrices_of_unlike_judges_are_not_taken_for_seeds() -> None:
    info, records = generator("a", 30.0)
    counts = {"seeds": {"generator": 0}, "classes": ["NV"], "confusion": [[4]], "per_class": {"recall": [1.0]}}
    judges = tuple({**counts, "metrics": [name]} for name in ("class-agreement", "cas[cnn]"))
    page = render(boards((dataclasses.replace(info, confusions=judges), records)))
    assert "ddim, 50 steps: class-agreement</summary>" in page and "ddim, 50 steps: cas[cnn]</summary>" in page
    assert "2 seeds" not in page


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
