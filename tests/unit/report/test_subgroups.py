"""Worst subgroup and gap: chosen among those large enough, by the metric's direction, with the interval as stated."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from typing import Any

import numpy as np
import pytest
from example_boards import boards, classifier, example, generator, inside

from dermae_bench.report.export import files
from dermae_bench.report.leaderboard import Boards
from dermae_bench.report.records import Board
from dermae_bench.report.subgroups import Block, Measure, blocks

Values = dict[str, tuple[float | None, int, int | None]]
LARGE = (100, 50)


def made(values: Values, seeds: tuple[int, ...] = (0,), board: Board = "classifiers", **more: Any) -> Boards:
    part = classifier("a", "t", 0.5, seeds=seeds) if board == "classifiers" else generator("a", 30.0)
    return boards(part, subgroups=tuple(inside(part, "site", values, **more)))


def measure(values: Values, board: Board = "classifiers", **more: Any) -> Measure:
    (block,) = blocks(made(values, board=board, **more), board)
    (found,) = block.measures
    return found


def test_the_worst_and_the_gap_follow_the_direction_of_the_metric() -> None:
    values: Values = {"arm": (0.9, *LARGE), "leg": (0.6, *LARGE), "back": (0.7, *LARGE)}
    higher = measure(values)
    assert (higher.worst, higher.best) == ("leg", "arm")
    lower = measure(values, metric="brier", better="lower")
    assert (lower.worst, lower.best) == ("arm", "leg")
    for found in (higher, lower):
        assert found.gap is not None and found.gap.value == pytest.approx(0.3)
    neither = measure(values, metric="temperature", better="neither")
    assert (neither.worst, neither.best, neither.gap) == ("", "", None) and len(neither.parts) == 3


@pytest.mark.parametrize(
    ("name", "part", "reason"),
    [
        ("unknown", (0.01, *LARGE), "value unknown"),
        ("tiny", (0.01, 9, 9), "fewer than 10 images"),
        ("one lesion", (0.01, 40, 1), "fewer than 2 lesions"),
        ("no class", (None, *LARGE), "no number"),
    ],
)
def test_what_is_unknown_small_or_missing_is_shown_and_never_the_worst(
    name: str, part: tuple[float | None, int, int | None], reason: str
) -> None:
    found = measure({"arm": (0.9, *LARGE), "leg": (0.6, 10, 2), name: part})
    assert found.worst == "leg" and found.gap is not None and found.gap.value == pytest.approx(0.3)
    shown = found.part(name)
    assert shown is not None and shown.aside == reason and shown.value == part[0]
    alone = measure({"arm": (0.9, *LARGE), name: part})
    assert alone.gap is None and alone.worst == ""


def test_few_real_images_beside_many_generated_ones_are_few() -> None:
    values: Values = {"NV": (30.0, 400, None), "DF": (90.0, 400, None), "MEL": (50.0, 400, None)}
    found = measure(values, board="generators", error=None, identity={"n_real": 9})
    assert {part.aside for part in found.parts} == {"fewer than 10 images"} and found.gap is None
    found = measure(values, board="generators", error=None, identity={"n_real": 10})
    assert (found.worst, found.best) == ("DF", "NV")
    assert found.gap is not None and (found.gap.value, found.gap.low, found.gap.high) == (60.0, None, None)


def test_all_images_of_a_generator_beside_each_subgroup_have_no_worst_and_no_gap_but_the_floor_beside() -> None:
    part, few = generator("a", 30.0), generator("real images", 2.0, n=50, kind="floor")
    floor = generator("real images", 3.0, n=500, kind="floor")
    values: Values = {"fair": (30.0, *LARGE), "dark": (90.0, *LARGE), "brown": (95.0, 5, 5)}
    its = {"error": None, "identity": {"n_real": 60}}
    found = [
        *inside(part, "tone", values, **its),
        *inside(few, "tone", {"fair": (7.0, 50, 50), "dark": (9.0, 50, 50)}, **its),
        *inside(floor, "tone", {"fair": (2.0, *LARGE), "dark": (6.0, *LARGE)}, **its),
    ]
    for way, kept in (("same", True), ("all", False)):
        told = tuple(
            dataclasses.replace(r, identity={**r.identity, "subgroup": {**r.identity["subgroup"], "generated": way}})
            for r in found
        )
        made = boards(part, few, floor, subgroups=told)
        first = blocks(made, "generators")[0].measures[0]
        assert (first.gap is not None, first.worst == "dark", first.best == "fair") == (kept,) * 3
        assert [item.floor for item in first.parts] == ([None] * 3 if kept else [2.0, 6.0, None])
        out = files(made)
        page, text, cells = out["report.html"], out["subgroups.md"], out["subgroups.csv"]
        assert (
            ("**gap**" in text)
            == ("*worst*" in text)
            == ("Worst, best and gap" in page)
            == (",worst," in cells)
            == kept
        )
        for words in ("no worst, best or gap of the generator", "real images 6", "to be read with care: brown (fewer"):
            assert (words in text, words in page) == (not kept,) * 2, words


def test_the_interval_of_a_gap_of_two_is_the_normal_one_and_widens_with_what_was_chosen_from() -> None:
    two = measure({"arm": (0.9, *LARGE), "leg": (0.6, *LARGE)}).gap
    half = 1.959963984540054 * math.sqrt(2) * 0.03
    assert two is not None and two.low == pytest.approx(0.3 - half) and two.high == pytest.approx(0.3 + half)
    many: Values = {"arm": (0.9, *LARGE), "leg": (0.6, *LARGE), **{f"s{i}": (0.7, *LARGE) for i in range(4)}}
    six = measure(many).gap
    # 15 pairs: z of 1 - 0.025 / 15
    half = 2.9351994688666997 * math.sqrt(2) * 0.03
    assert six is not None and six.low == pytest.approx(0.3 - half)


def test_the_interval_covers_the_gap_of_the_chosen_pair_as_often_as_it_says() -> None:
    # five equal subgroups: whichever pair is chosen, its true gap is 0
    rng = np.random.default_rng(5)
    held = []
    for values in rng.normal(0.7, 0.03, (300, 5)):
        gap = measure({f"s{i}": (float(value), *LARGE) for i, value in enumerate(values)}).gap
        assert gap is not None and gap.low is not None
        held.append(gap.low <= 0)
    assert 0.93 <= np.mean(held) <= 0.99


def test_seeds_become_a_mean_and_a_failed_or_missing_one_takes_it_away() -> None:
    part = classifier("a", "t", 0.5, seeds=(0, 1))
    records = inside(part, "site", {"arm": (0.8, *LARGE), "leg": (0.6, *LARGE)})
    records[2] = dataclasses.replace(records[2], value=0.9, low=0.7, high=0.96, error=0.05)
    (block,) = blocks(boards(part, subgroups=tuple(records)), "classifiers")
    arm = block.measures[0].part("arm")
    assert arm is not None and arm.sd == pytest.approx(0.0707107, rel=1e-4)
    assert (arm.value, arm.low, arm.high, arm.error) == pytest.approx((0.85, 0.72, 0.91, 0.04))
    failed = dataclasses.replace(records[2], value=None, low=None, high=None, error=None, status="failed: no mel")
    (block,) = blocks(boards(part, subgroups=(*records[:2], failed, records[3])), "classifiers")
    arm = block.measures[0].part("arm")
    assert arm is not None and (arm.value, arm.status) == (None, "failed: no mel") and block.measures[0].gap is None
    (block,) = blocks(boards(part, subgroups=(*records[:2], records[3])), "classifiers")
    arm = block.measures[0].part("arm")
    assert arm is not None and arm.value is None and arm.status == "n/a (1 of 2 seeds)"
    odd = dataclasses.replace(records[2], n=99)
    (block,) = blocks(boards(part, subgroups=(*records[:2], odd, records[3])), "classifiers")
    arm = block.measures[0].part("arm")
    assert arm is not None and arm.value is None and "unlike images" in arm.status


def test_blocks_stand_by_section_and_attribute_with_floors_last() -> None:
    parts = [
        classifier("floor", "t", 0.1, kind="floor"), classifier("b", "t", 0.5), classifier("a", "t", 0.4),
        classifier("a", "s", 0.4),
    ]  # fmt: skip
    values: Values = {"x": (0.5, *LARGE)}
    found = [record for part in parts for name in ("site", "age") for record in inside(part, name, values)]
    order = [(b.section, b.attribute, b.info.names["classifier"]) for b in _blocks(boards(*parts, subgroups=found))]
    assert order == [
        ("s", "age", "a"), ("s", "site", "a"), ("t", "age", "a"), ("t", "age", "b"), ("t", "age", "floor"),
        ("t", "site", "a"), ("t", "site", "b"), ("t", "site", "floor"),
    ]  # fmt: skip


def _blocks(suite: Boards) -> tuple[Block, ...]:
    return blocks(suite, "classifiers")


def test_a_subgroup_of_no_row_is_refused() -> None:
    part = classifier("a", "t", 0.5)
    with pytest.raises(ValueError, match="which classifiers lack"):
        _blocks(Boards(suite="s", rows=(), records=(), subgroups=tuple(inside(part, "site", {"x": (0.5, *LARGE)}))))


def test_the_files_agree_and_stand_only_where_there_are_subgroups() -> None:
    out = files(example())
    rows = list(csv.DictReader(io.StringIO(out["subgroups.csv"])))
    read = json.loads(out["subgroups.json"])
    known = read["identities"]
    told = {}
    for row in read["rows"]:
        for metric in row["metrics"]:
            for part in metric["parts"]:
                told[row["board"], row["attribute"], part["subgroup"]] = part["value"]
                its = known[row["board"]][part["identity"]]
                assert its["identity"]["subgroup"] == {"attribute": row["attribute"], "value": part["subgroup"]}
    assert len(rows) == len(told) == 8
    for row in rows:
        value = told[row["board"], row["attribute"], row["subgroup"]]
        assert row["value"] == ("" if value is None else f"{value:g}")
    worst = {row["attribute"]: row for row in rows if row["place"] == "worst"}
    assert worst["sex"]["subgroup"] == "male" and worst["sex"]["gap"] == "0.09" and worst["sex"]["gap low"] != ""
    assert worst["class"]["subgroup"] == "MEL" and "age" not in worst
    page = out["report.html"]
    for text in ("Subgroups", "male", "150 images, 95 lesions", "neither worst nor best: below 30"):
        assert text in page, text
    bare = files(dataclasses.replace(example(), subgroups=()))
    assert not [name for name in bare if name.startswith("subgroups")] and 'id="subgroups"' not in bare["report.html"]
