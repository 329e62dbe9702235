"""Geometry and texts of charts: nothing overlaps, nothing is cut in silence, names of files are unlike."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermae_bench.report.charts import (
    Frame,
    Lines,
    Picture,
    dots,
    file_names,
    fitted,
    mark,
    polyline,
    round_steps,
    spread,
    thinned,
    tick_texts,
    told,
)
from dermae_bench.report.escape import width_of

PLACES = st.lists(st.floats(0, 200, allow_nan=False), max_size=12)


@given(PLACES)
def test_places_are_moved_apart_inside_their_borders_in_their_order(places: list[float]) -> None:
    found = spread(places, 0, 200, 14)
    order = sorted(range(len(places)), key=lambda i: (places[i], i))
    moved = [found[i] for i in order]
    assert all(b - a >= 14 - 1e-6 for a, b in pairwise(moved))
    assert all(-1e-6 <= place <= 200 + 1e-6 for place in moved)


def test_places_that_are_apart_stay_and_near_ones_share_their_middle() -> None:
    assert spread([10, 50, 90], 0, 100, 14) == [10, 50, 90]
    assert spread([52, 48, 50], 0, 100, 10) == pytest.approx([60, 40, 50])
    assert spread([99, 100], 0, 100, 10) == pytest.approx([90, 100])
    assert spread([], 0, 1, 1) == []


@given(st.lists(st.floats(0, 500, allow_nan=False), max_size=15).map(sorted))
def test_ticks_never_touch_and_the_first_one_stays(places: list[float]) -> None:
    kept = thinned(places, [30.0] * len(places))
    left = [place for place, stays in zip(places, kept, strict=True) if stays]
    assert len(kept) == len(places) and kept[:1] == [True] * bool(places)
    assert all(b - a >= 30 for a, b in pairwise(left))


@given(st.text(max_size=80), st.floats(20, 300))
def test_a_fitted_text_is_no_wider_than_its_room(text: str, width: float) -> None:
    shown = fitted(text, width)
    assert width_of(shown) <= max(1, int(width / 6.6)) and not re.search("[\x00-\x1f\u202e]", shown)
    assert shown == text or "…" in shown or "\\" in shown or not text.isascii()


def test_a_text_that_fits_is_whole() -> None:
    assert fitted("resnext50, ddpm", 100) == "resnext50, ddpm" and fitted("resnext50, ddpm", 60) == "resnext5…"


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.0, 0.5, 1.0], ["0.0", "0.5", "1.0"]),
        ([0.62, 0.64], ["0.62", "0.64"]),
        ([-100.0, 0.0, 100.0], ["-100", "0", "100"]),
        ([0.125], ["0.125"]),
        ([2e6, 4e6], ["2e+06", "4e+06"]),
        ([0.00001, 0.00002], ["1e-05", "2e-05"]),
        ([], []),
        ([0.0], ["0"]),
    ],
)
def test_ticks_have_as_many_decimals_as_tell_them_apart(values: list[float], texts: list[str]) -> None:
    assert tick_texts(values) == texts


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_round_steps_lie_inside_and_are_told_apart(low: float, span: float) -> None:
    steps = round_steps(low, low + span)
    assert 1 <= len(steps) <= 8 and all(low - span * 1e-6 <= step <= low + span * (1 + 1e-6) for step in steps)
    if abs(low) < 1e3 * span:
        assert len(set(tick_texts(steps))) == len(steps)


def test_a_frame_puts_its_borders_at_its_borders() -> None:
    frame = Frame(left=10, top=20, width=100, height=50, x_low=-1, x_high=1, y_low=0, y_high=5)
    assert (frame.x(-1), frame.x(0), frame.x(1)) == (10, 60, 110) and (frame.y(0), frame.y(5)) == (70, 20)
    assert frame.holds(1, 5) and not frame.holds(1.01, 5) and not frame.holds(0, -0.1)


def test_paths_are_what_svg_expects() -> None:
    assert polyline([(0, 1), (2.25, 3)]) == "M0.0 1.0L2.2 3.0" and dots([(1, 2)]) == "M1.0 2.0h0"
    shapes = [mark(shape, 10, 10) for shape in range(6)]
    assert len(set(shapes)) == 6 and mark(6, 10, 10) == shapes[0]
    for d in shapes:
        assert re.fullmatch(r"M[-\d. ]+((L|a)[-\d. ]+)+z", d), d


def test_files_of_unlike_things_have_unlike_names() -> None:
    assert file_names("sweep", [("Task f1-macro", 1), ("Task auc", 2)]) == ["sweep-task-f1-macro", "sweep-task-auc"]
    same = file_names("sweep", [("a b", ["a b"]), ("a-b", ["a-b"]), ("", [""]), ("x" * 200, ["x"])])
    assert len(set(same)) == 4 and all(re.fullmatch(r"sweep[a-z0-9-]*", name) and len(name) <= 80 for name in same)
    assert same[2] == "sweep" and file_names("sweep", [("ß\u202e/..", 1)]) == ["sweep"]


def test_the_table_of_a_picture_is_aligned_text() -> None:
    table = Lines(heads=("name", "n"), numeric=(False, True), rows=(("a", "1"), ("名\x1b", "20")))
    picture = Picture(
        name="p", title="T", caption="word " * 40, alt="", width=1, height=1, paths=(), texts=(), table=table
    )  # fmt: skip
    lines = told(picture).splitlines()
    assert lines[0] == "T" and max(map(len, lines)) <= 100
    assert lines[-3:] == ["name     n", "a        1", "名\\x1b  20"]
