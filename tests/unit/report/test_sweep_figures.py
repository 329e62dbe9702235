"""Curves of ratio sweeps: which rows make them, what they show, and that nothing of them is lost or cut."""

from __future__ import annotations

import dataclasses
import math
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from example_boards import boards, classifier, example

from dermae_bench.report.charts import Picture, told
from dermae_bench.report.html import chart_files, render, svg
from dermae_bench.report.leaderboard import Boards, Record, RowInfo
from dermae_bench.report.records import published
from dermae_bench.report.sweep_figures import sweep_figures

Part = tuple[RowInfo, list[Record]]
RATIOS = (0.0, 0.25, 0.5, 1.0, 2.0)


def point(name: str, generator: str, real: str, ratio: str, value: float | None, **more: Any) -> Part:
    """One row of a sweep, named as `suite.sweeps` names it."""
    task, test, row = more.pop("task", "malignancy"), more.pop("test", ""), more.pop("row", "")
    info, records = classifier(name, task, value, train=f"{real}-{generator}-{ratio}{row}{test}", **more)
    axes = {"generator": generator, "real": real, "ratio": ratio, **({"test": test} if test else {})}
    names = {**info.names, **axes}
    return dataclasses.replace(info, names=names), [dataclasses.replace(its, names=names) for its in records]


def sweep(
    classifiers: tuple[str, ...] = ("resnext50",),
    generators: tuple[str, ...] = ("flux-lora", "ddpm"),
    reals: tuple[str, ...] = ("500", "all"),
    **more: Any,
) -> list[Part]:
    parts = []
    for c, name in enumerate(classifiers):
        for r, real in enumerate(reals):
            base = 0.62 + 0.05 * c + 0.08 * r
            parts.append(point(name, "none", real, "0", base, **more))
            for g, generator in enumerate(generators):
                parts += [
                    point(name, generator, real, f"{x:g}", base + (0.05 - 0.03 * g) * math.log2(1 + x), **more)
                    for x in RATIOS[1:]
                ]
    return parts


def floor(task: str = "malignancy", value: float = 0.5, test: str = "") -> Part:
    info, records = classifier("majority class", task, value, kind="floor", half=None, train="train" + test)
    names = {**info.names, **({"test": test} if test else {})}
    return dataclasses.replace(info, names=names), [dataclasses.replace(its, names=names) for its in records]


def whole() -> Boards:
    """Two architectures, two generators, two sizes, a control, samples alone, a gap, a second test set, a floor."""
    parts = sweep(("resnext50", "vit-b"), seeds=(0, 1, 2))
    parts = [part for part in parts if part[0].row != "vit-b | 500-ddpm-1 | malignancy"]
    parts.append(
        point("vit-b", "ddpm", "500", "1", None, status="failed", reason="diverged at step 12: loss is not finite")
    )
    parts += [point("resnext50-augmented", "none", real, "0", 0.66 + 0.08 * r) for r, real in enumerate(("500", "all"))]
    parts += [
        point(name, generator, "0", f"n={count}", 0.55 + 0.03 * g + 0.02 * math.log2(count / 250))
        for name in ("resnext50", "vit-b")
        for g, generator in enumerate(("flux-lora", "ddpm"))
        for count in (500, 1000, 10000)
    ]
    parts += sweep(reals=("500",), test="fitzpatrick17k")
    return boards(*parts, floor(), floor(test="fitzpatrick17k"), interval="95 %, resamples of whole lesions")


def texts(picture: Picture) -> list[str]:
    return [text.text for text in picture.texts]


def only(*parts: Part) -> Picture:
    """The picture of `f1-macro`."""
    return sweep_figures(boards(*parts))[0]


def marks(picture: Picture) -> list[int]:
    """Points drawn of each curve."""
    return [path.d.count("z") for path in picture.paths if re.fullmatch(r"c\d mark", path.css)]


def test_each_task_test_set_and_metric_has_a_picture_of_its_own() -> None:
    names = [picture.name for picture in sweep_figures(whole())]
    assert names == [
        "sweep-malignancy-f1-macro", "sweep-malignancy-accuracy",
        "sweep-malignancy-on-fitzpatrick17k-f1-macro", "sweep-malignancy-on-fitzpatrick17k-accuracy",
    ]  # fmt: skip
    assert sweep_figures(example()) == () and "Ratio sweeps" not in render(example())


def test_a_curve_starts_where_no_image_was_generated_and_holds_every_point_of_its_names_alone() -> None:
    picture = only(*sweep(), floor())
    assert marks(picture) == [5, 5, 5, 5]
    rows = [row for row in picture.table.rows if row[1] == "flux-lora" and row[2] == "500"]
    assert [row[3] for row in rows] == ["0", "0.25", "0.5", "1", "2"]
    assert [float(row[4]) for row in rows] == pytest.approx([0.62 + 0.05 * math.log2(1 + x) for x in RATIOS], abs=6e-4)
    assert {row[0] for row in picture.table.rows} == {"resnext50", "majority class"}


def test_a_number_stands_where_its_axis_says() -> None:
    picture = only(*sweep(generators=("ddpm",), reals=("500",)))
    ticks = {t.text: t.y - 4 for t in picture.texts if t.anchor == "end"}
    low, high = "0.60", "0.70"
    assert {low, high} <= set(ticks), ticks
    line = next(path.d for path in picture.paths if path.css == "c5 line")
    first = float(line.removeprefix("M").split("L")[0].split()[1])
    share = (first - ticks[low]) / (ticks[high] - ticks[low])
    assert 0.60 + share * 0.1 == pytest.approx(0.62, abs=5e-4)


def test_a_point_without_a_number_is_a_gap_and_says_why() -> None:
    parts = [part for part in sweep(generators=("ddpm",), reals=("500",)) if part[0].names["ratio"] != "0.5"]
    lost = point("resnext50", "ddpm", "500", "0.5", None, status="failed", reason="diverged at step 12")
    picture = only(*parts, lost)
    assert marks(picture) == [4]
    lines = [path.d.count("L") + 1 for path in picture.paths if path.css == "c5 line"]
    assert lines == [2, 2]
    assert [row[4:] for row in picture.table.rows if row[3] == "0.5"] == [("-", "", "diverged at step 12")]
    # a ratio that nobody asked for is no gap
    assert [path.d.count("L") + 1 for path in only(*parts).paths if path.css == "c5 line"] == [4]


def test_controls_are_dashed_levels_and_the_majority_class_is_dotted() -> None:
    control = [point("augmented", "none", real, "0", value) for real, value in (("500", 0.66), ("all", 0.71))]
    picture = only(*sweep(), *control, floor())
    assert [path.css for path in picture.paths if "dash" in path.css] == ["ink dashed", "ink dashes-2"]
    assert [path.css for path in picture.paths if "dotted" in path.css] == ["soft dotted"]
    assert {"augmented, 500 real", "augmented, all real", "majority class"} <= set(texts(picture))
    assert (
        "Dashed, each in its own way: controls" in picture.caption
        and "Dotted: the answer of the majority class." in picture.caption
    )
    rows = [row for row in picture.table.rows if row[6] == "control"]
    assert [row[:4] for row in rows] == [("augmented", "", "500", "0"), ("augmented", "", "all", "0")]
    whiskers = [path.d for path in picture.paths if path.css == "ink whisker"]
    spans = [[float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", d)[:2]] for d in whiskers]
    ticks = {t.text: t.y - 4 for t in picture.texts if t.anchor == "end"}
    tall = (ticks["0.6"] - ticks["0.7"]) / 0.1
    # half of an interval is 0.02 there
    assert [low - high for low, high in spans] == pytest.approx([0.04 * tall] * 2, abs=0.2)
    assert len({d.split()[0] for d in whiskers}) == 2
    bare = only(*sweep(), point("augmented", "none", "500", "0", 0.66, half=None))
    assert not [path for path in bare.paths if path.css == "ink whisker"]
    alone = only(*sweep(reals=("500",)), *control)
    assert "augmented" in texts(alone) and "Dotted" not in alone.caption


def test_a_floor_far_below_does_not_press_the_curves_flat() -> None:
    picture = only(*sweep(), floor(value=0.01))
    assert "It lies below the plot." in picture.caption and not [p for p in picture.paths if "dotted" in p.css]
    assert ("majority class", "", "", "", "0.010") in [row[:5] for row in picture.table.rows]
    ys = [float(y) for path in picture.paths if "mark" in path.css for y in re.findall(r"M[\d.]+ ([\d.]+)", path.d)]
    assert max(ys) - min(ys) > 100


def test_samples_alone_have_an_axis_of_their_own() -> None:
    alone = [point("resnext50", "ddpm", "0", f"n={count}", 0.5 + count / 1e5) for count in (500, 1000, 20000)]
    picture = only(*sweep(), *alone)
    assert picture.width == 1280
    assert "generated images, no real ones (logarithmic)" in texts(picture) and "20,000" in texts(picture)
    assert "500 images" in [row[3] for row in picture.table.rows]


def test_many_curves_are_divided_into_panels_and_those_of_one_panel_differ_in_colour_or_dash() -> None:
    picture = only(*sweep(("a", "b", "c", "d"), ("g", "h")))
    assert (picture.width, picture.height) == (1280, 320 * 4)
    parts = sweep(("a", "b"), tuple("ghijklmnop"), ("500",))
    picture = only(*parts)
    looks = [path.css for path in picture.paths if re.match(r"c\d line", path.css)]
    assert len(looks) == 20 and len(set(looks)) == 18


def test_a_name_has_one_colour_in_every_panel() -> None:
    alone = [point("b", "h", "0", f"n={count}", 0.6 + count / 1e5) for count in (500, 1000)]
    picture = only(*sweep(("a", "b"), ("g", "h")), *alone)
    colours: dict[str, set[str]] = {}
    for text in picture.texts:
        if re.match(r"c\d$", text.css):
            colours.setdefault(text.text, set()).add(text.css)
    assert len(colours) == 5 and all(len(found) == 1 for found in colours.values()), colours


def test_repeats_of_one_name_are_curves_of_their_own() -> None:
    again = [point("resnext50", g, "500", r, 0.7, row="-seed1") for g, r in (("none", "0"), ("ddpm", "1"))]
    picture = only(*sweep(generators=("ddpm",), reals=("500",)), *again)
    assert sorted(marks(picture)) == [2, 5]
    assert {row[1] for row in picture.table.rows} == {"ddpm", "ddpm (2)"}


def test_what_stands_apart_is_hollow() -> None:
    leaky = point("resnext50", "ddpm", "500", "1", 0.9, identity={"leaky": True})
    parts = [part for part in sweep(generators=("ddpm",), reals=("500",)) if part[0].names["ratio"] != "1"]
    picture = only(*parts, leaky)
    assert [path.d.count("z") for path in picture.paths if "hollow" in path.css] == [1] and "Hollow:" in picture.caption
    (row,) = (row for row in picture.table.rows if row[3] == "1")
    assert "leaky" in row[6]


def test_a_sweep_that_waits_has_no_picture_and_what_is_no_ratio_is_no_point() -> None:
    waiting = [point("a", "ddpm", "500", f"{x:g}", None, status="pending") for x in RATIOS[1:]]
    assert sweep_figures(boards(point("a", "none", "500", "0", 0.6), *waiting)) == ()
    assert sweep_figures(boards(point("a", "ddpm", "500", "half", 0.6))) == ()
    assert marks(only(*sweep(), point("a", "ddpm", "500", "nan", 0.6))) == [5] * 4


@pytest.mark.parametrize("values", [(0.5, 0.5), (0.0, 0.0), (1.0, 1.0)])
def test_equal_numbers_still_have_a_plot(values: tuple[float, float]) -> None:
    picture = only(*(point("a", "g", "500", str(x), value, half=None) for x, value in enumerate(values, start=1)))
    assert not re.search(r"nan|inf", " ".join(path.d for path in picture.paths)) and marks(picture) == [2]


def test_no_name_of_a_curve_touches_another_or_leaves_the_picture() -> None:
    crowded = only(*sweep(("a",), tuple(f"generator-{k}" for k in range(30)), ("500",)))
    long = ("a-network-with-quite-a-long-name-of-its-own", "another-network-whose-name-does-not-end-soon")
    for picture in (*sweep_figures(whole()), only(*sweep(long), floor(value=0.6)), crowded):
        boxes = []
        for text in picture.texts:
            wide = len(text.text) * (12 if "head" in text.css else 11) * 0.6
            left = text.x - {"start": 0, "middle": wide / 2, "end": wide}[text.anchor]
            assert left >= 0 and left + wide <= picture.width + 1 and 11 <= text.y < picture.height, text
            boxes.append((left, left + wide, text.y - 9, text.y + 2, text.text))
        for i, (left, right, top, bottom, one) in enumerate(boxes):
            for left2, right2, top2, bottom2, two in boxes[:i]:
                assert right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top, (one, two)


def test_files_are_svg_and_text_equal_for_equal_boards_and_whole_for_hostile_names() -> None:
    made = chart_files(whole())
    assert made == chart_files(whole()) and len(made) == 8
    bad = '<script>alert(1)</script>"\x1b[31m\u202e&'
    hostile = boards(*sweep((bad,), (bad, "\ud800|"), ("500",)), interval=bad)
    for picture in sweep_figures(published(hostile)):
        root = ElementTree.fromstring(svg(picture))
        assert {element.tag.rpartition("}")[2] for element in root.iter()} == {"svg", "title", "style", "path", "text"}
        assert not re.search("[\x00-\x09\x0b-\x1f\u202e\ud800]", svg(picture) + told(picture))
    page = render(hostile)
    assert "<script>alert" not in page and 'id="sweeps"' in page and not re.search(r"https?://", page)


def test_the_page_has_the_picture_its_caption_and_a_table() -> None:
    page = render(whole())
    assert page.count('<figure class="charted">') == 4 and page.count("The same as a table") == 4
    assert 'aria-label="f1-macro over the ratio of generated images; task: malignancy: 12 curves.' in page
    assert "a point with no number is a gap" in page and "diverged" in page
    (text,) = (data.decode() for name, data in chart_files(whole()).items() if name.endswith("malignancy-f1-macro.txt"))
    assert "vit-b" in text and "control" in text and text.endswith("\n")
