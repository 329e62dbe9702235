"""Generated images among real ones: the picture shows what the metric measured, of each row and extractor."""

from __future__ import annotations

import copy
import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from functools import cache
from typing import Any

import numpy as np
import pytest
from example_boards import boards, example, generator

from dermae_bench import api
from dermae_bench.builtin.metrics.feature_overlap import FeatureOverlap
from dermae_bench.report.charts import Picture
from dermae_bench.report.feature_figures import feature_figures
from dermae_bench.report.html import chart_files, render, svg
from dermae_bench.report.leaderboard import Boards

COLUMN = "feature-overlap[tf-efficientnet-lite0/blocks3@64]"


@cache
def _measured(shift: float, scale: float, n: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((12, 12)) * np.linspace(2, 0.2, 12)
    real = rng.gamma(2.0, size=(1500, 12)) @ mix.T
    made = rng.gamma(2.0, size=(n, 12)) * scale @ mix.T + shift * mix[:, 0]
    sides = [api.Features(values=values.astype(np.float32)) for values in (made, real)]
    metric = FeatureOverlap(FeatureOverlap.Config(components=6))
    return dict(metric.details(api.Comparison(generated=sides[0], real=sides[1])))


def measured(shift: float = 0.5, scale: float = 0.8, n: int = 1200) -> dict[str, Any]:
    """Details as the metric gives them, of generated images that are shifted and narrowed."""
    return copy.deepcopy(_measured(shift, scale, n))


def whole() -> Boards:
    """An honest generator, one that is far off, one that makes one image, and a floor."""
    parts = [
        generator("flux-lora", 30.0),
        generator("far-off", 90.0),
        generator("collapsed", 200.0),
        generator("real vs real", 1.0, kind="floor", sampling="-"),
    ]
    its = measured(), measured(shift=40), measured(shift=1, scale=0.001, n=300), measured(0, 1.0)
    details = {info.row: {COLUMN: about} for (info, _), about in zip(parts, its, strict=True)}
    return boards(*parts, details=details)


def only(about: dict[str, Any], **more: Any) -> Picture:
    part = generator("ddpm", 30.0)
    (picture,) = feature_figures(boards(part, details={part[0].row: {COLUMN: about}}, **more))
    return picture


def places(picture: Picture, css: str) -> list[tuple[float, float]]:
    (path,) = (path for path in picture.paths if path.css == css)
    return [(float(x), float(y)) for x, y in re.findall(r"M([\d.]+) ([\d.]+)h0", path.d)]


def test_each_row_with_densities_has_a_picture_and_no_other() -> None:
    names = [picture.name for picture in feature_figures(whole())]
    assert names == [
        "features-flux-lora-ddim-50-steps", "features-far-off-ddim-50-steps", "features-collapsed-ddim-50-steps",
        "features-real-vs-real",
    ]  # fmt: skip
    assert feature_figures(example()) == () and 'id="features"' not in render(example())


def test_two_extractors_and_two_rows_of_one_name_are_told_apart() -> None:
    one, two = generator("ddpm", 30.0), generator("ddpm", 31.0, n=900)
    both = {COLUMN: measured(), "feature-overlap[inception-v3-tf]": measured()}
    pictures = feature_figures(boards(one, two, details={one[0].row: both, two[0].row: {COLUMN: measured()}}))
    names = [picture.name for picture in pictures]
    assert len(set(names)) == 3 and "features-ddpm-ddim-50-steps-feature-overlap-inception-v3-tf" in names
    assert "Features: inception-v3-tf. " in pictures[1].caption
    same = [dataclasses.replace(info, row=f"{info.row} {k}") for k, (info, _) in enumerate((one, one))]
    made = feature_figures(boards(*((info, []) for info in same), details={i.row: {COLUMN: measured()} for i in same}))
    assert len({picture.name for picture in made}) == 2


def test_every_dot_lies_where_its_features_are() -> None:
    about = measured()
    picture = only(about)
    for css, side in (("grey dots", "real"), ("c1 dots", "generated")):
        inside = np.array([
            place for place in about["scatter"][side]
            if all(c["grid"][0] <= v <= c["grid"][-1] for c, v in zip(about["components"], place, strict=False))
        ])  # fmt: skip
        drawn = np.array(places(picture, css))
        assert len(drawn) == len(inside)
        for axis, sign in ((0, 1), (1, -1)):
            assert np.corrcoef(inside[:, axis], sign * drawn[:, axis])[0, 1] > 0.99999
    assert [path.css for path in picture.paths if "dots" in path.css] == ["grey dots", "c1 dots"]


def test_densities_are_as_high_as_they_say_in_the_colour_of_their_side() -> None:
    about = measured()
    lines = [path for path in only(about).paths if path.css.endswith(" line")]
    assert [line.css for line in lines] == ["grey line", "c1 line"] * 4
    for component, pair in zip(about["components"], zip(lines[::2], lines[1::2], strict=True), strict=False):
        heights = [
            [float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", line.d)] for line in pair
        ]  # fmt: skip
        for drawn, side in zip(heights, ("real", "generated"), strict=True):
            assert np.corrcoef(drawn, component[side])[0, 1] < -0.9999


def test_caption_and_alternative_text_say_what_was_fitted_on_what() -> None:
    about = measured()
    picture = only(about)
    for words in ("tf-efficientnet-lite0/blocks3@64", "fitted on the real set alone", "n = 1,500 real and 1,200",
                  "1,000 and 1,000 of them, chosen by a digest"):  # fmt: skip
        assert words in picture.caption, words
    mean = np.mean([one["overlap"] for one in about["components"]])
    assert f"mean {mean:.3f}." in picture.alt and len(picture.table.rows) == 6
    assert "against" not in picture.title and picture.title.endswith("(train)")
    assert "first of" not in picture.caption
    floor = feature_figures(whole())[-1]
    assert "real vs real, -, n = 1,200" in [text.text for text in floor.texts]
    assert "1,200 other images" in floor.caption and "(floor)" in floor.title
    info, records = generator("ddpm", 30.0)
    info = dataclasses.replace(info, seeds=({"generator": 0}, {"generator": 1}))
    (picture,) = feature_figures(boards((info, records), details={info.row: {COLUMN: about}}))
    assert picture.caption.endswith("Of the first of 2 seeds.")


def test_what_lies_outside_is_said() -> None:
    picture = only(measured(shift=40))
    assert re.search(r"Outside the frame: \d of the real and 1,000 of the generated dots", picture.caption)
    assert any("% outside" in text.text for text in picture.texts)
    assert "1,000 of 1,000 dots outside" in [text.text for text in picture.texts]
    honest = [text.text for text in only(measured(0, 1.0)).texts if "outside" in text.text]
    assert all(float(text.split()[0]) < 15 for text in honest), honest


def test_a_collapsed_generator_leaves_the_real_density_visible() -> None:
    picture = only(measured(shift=1, scale=0.001, n=300))
    (top, *_) = [path for path in picture.paths if path.css == "grey line"]
    heights = [float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", top.d)]
    assert max(heights) - min(heights) > 40 and min(heights) >= 64
    assert "Peaks above 2.5 times the real one are cut." in picture.caption
    assert "Peaks" not in only(measured()).caption


def test_nothing_is_cut_or_written_over_another_text() -> None:
    long = generator("a-generator-with-a-name-that-does-not-want-to-end-" * 3, 30.0)
    pictures = feature_figures(boards(long, details={long[0].row: {COLUMN: measured()}}))
    for picture in (*feature_figures(whole()), *pictures):
        boxes = []
        for text in picture.texts:
            wide, tall = len(text.text) * 11 * 0.6, 11
            x = text.x - {"start": 0, "middle": wide / 2, "end": wide}[text.anchor]
            if text.turned:
                x, wide, tall = text.x - 11, 11, int(wide)
            assert x >= 0 and x + wide <= picture.width + 1 and 0 < text.y < picture.height, text
            boxes.append((x, text.y - (tall if not text.turned else tall / 2), wide, tall, text.text))
        for i, (x, y, w, h, one) in enumerate(boxes):
            for x2, y2, w2, h2, two in boxes[:i]:
                assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y, (one, two)


@pytest.mark.parametrize("name", ["<b>&\"'", "\x1b[31m\u202e", "../../etc/passwd"])
def test_files_are_well_formed_and_equal_for_equal_boards(name: str) -> None:
    part = generator(name, 30.0)
    made = boards(part, details={part[0].row: {COLUMN: measured()}})
    files = chart_files(made)
    assert files == chart_files(made) and len(files) == 2
    assert all(re.fullmatch(r"figures/features-[a-z0-9-]+\.(svg|txt)", file) for file in files)
    ElementTree.fromstring(next(data for file, data in files.items() if file.endswith(".svg")))
    assert "<b>" not in render(made).split("</style>")[-1]


def test_the_page_holds_the_same_picture_and_asks_nobody() -> None:
    page = render(whole())
    assert page.count('<figure class="charted">') == 4 and 'role="img" aria-label="flux-lora / ddim, 50 steps' in page
    assert "Features: tf-efficientnet-lite0/blocks3@64" in page and not re.search(r"https?://", page)
    picture = feature_figures(whole())[0]
    for path in picture.paths:
        assert f'<path class="{path.css}" d="{path.d}"/>' in page and path.d in svg(picture)
