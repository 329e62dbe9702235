"""Curves and nearest pairs; pictures of real images lie in one folder and nowhere else."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from example_boards import CURVE, MEMORISATION, boards, classifier, example, generator

from dermae_bench.report.details import nearest, over_counts
from dermae_bench.report.drawing import pictures
from dermae_bench.report.export import files, write
from dermae_bench.report.html import render
from dermae_bench.report.html.png import png
from dermae_bench.report.leaderboard import Boards
from dermae_bench.report.real_pictures import write_real_pictures
from dermae_bench.suite.parts import Cell, RowPlan
from dermae_bench.suite.stage import Stage

REAL, GENERATED = 201, 77
"""Grey levels that nothing else has."""


def test_pairs_below_the_reach_and_at_distance_0_are_near_copies() -> None:
    (its,) = nearest(example())
    assert [(pair.generated, pair.near) for pair in its.pairs] == [("cd-000003", True), ("cd-000001", False)]
    part = generator("a", 1.0)
    pair = {"generated": 4, "training": 7, "distance": 0.0, "held_out_distance": 1.0}
    about = {"memorisation": {"reach": 0.0, "expected_near_copies": 0.01, "pairs": [pair]}}
    (its,) = nearest(boards(part, details={part[0].row: about}))
    assert its.pairs[0].near and its.pairs[0].generated == "4"


def test_pairs_and_curves_become_tables_and_a_chart() -> None:
    out = files(example())
    rows = list(csv.DictReader(io.StringIO(out["nearest-pairs.csv"])))
    assert [(row["training"], row["near copy"]) for row in rows] == [("ISIC_0024306", "yes"), ("ISIC_0024307", "no")]
    rows = list(csv.DictReader(io.StringIO(out["distance-over-n.csv"])))
    assert [(row["n"], row["value"], row["intercept"]) for row in rows] == [
        ("250", "38", "30"), ("500", "34", "30"), ("1000", "32", "30"),
    ]  # fmt: skip
    page = out["report.html"]
    assert "Nearest training images of ddpm" in page and "ISIC_0024306" in page
    assert "fd-infinity[lite0] over the number of images" in page and "at infinity 30.00" in page
    bare = dataclasses.replace(example(), details={})
    assert not {"nearest-pairs.csv", "distance-over-n.csv"} & set(files(bare)) and 'id="behind"' not in render(bare)


def test_rows_share_the_chart_of_their_metric() -> None:
    parts = [generator("a", 1.0), generator("b", 2.0)]
    (curves,) = over_counts(boards(*parts, details={info.row: CURVE for info, _ in parts})).values()
    assert [curve.info.names["generator"] for curve in curves] == ["a", "b"]


# -- pictures ----------------------------------------------------------------------------------------------------


def collected(folder: Path, details: dict[str, Any]) -> tuple[Any, Boards]:
    """A store with 6 real and 5 generated images (in shards of 3), and the boards of one generator."""
    info, records = generator("a", 30.0)
    floor, floor_records = generator("real vs real", 1.0, kind="floor")
    place = folder / "store"
    store = SimpleNamespace(checked=lambda kind, key, names=None: (place / kind / key, None))
    prepare = Stage(kind="prepare", name="prepare", work={}, parts={}, key="p")
    sample = Stage(kind="sample", name="sample/a", work={}, parts={}, key="s")
    score = Stage(kind="score", name="score/a", work={}, parts={}, key="c")
    for stage in (prepare, sample):
        (place / stage.kind / stage.key).mkdir(parents=True)
    real = np.full((6, 3, 64, 64), REAL, np.uint8)
    real[:, 0] = np.arange(6, dtype=np.uint8)[:, None, None]
    np.save(place / "prepare" / "p" / "images.npy", real)
    drawn = np.full((5, 3, 64, 64), GENERATED, np.uint8)
    drawn[:, 0] = np.arange(5, dtype=np.uint8)[:, None, None]
    for number, start in enumerate((0, 3)):
        np.save(place / "sample" / "s" / f"images-{number:05d}.npy", drawn[start : start + 3])
    for kind, key, names in (
        ("prepare", "p", [f"real-{i}" for i in range(6)]),
        ("sample", "s", [f"g-{i}" for i in range(5)]),
    ):
        pq.write_table(pa.table({"id": names}), place / kind / key / "table.parquet")
    rows = [
        RowPlan(
            board="generators",
            row=row,
            names={},
            kind="measured",
            cells=(Cell(seeds={}, scores=(score,), samples=its),),
        )
        for row, its in ((info.row, sample), (floor.row, None))
    ]
    made = boards((info, records), (floor, floor_records), details={row.row: details for row in rows})
    collector = SimpleNamespace(
        rows=rows, store=store, prepared_stage=prepare, stages=[prepare, sample, score],
        manifest=lambda stage: SimpleNamespace(summary={"details": details} if stage.kind == "score" else {}),
    )  # fmt: skip
    return collector, made


def about(*pairs: tuple[str, str]) -> dict[str, Any]:
    found = [
        {"generated": one, "training": other, "distance": 0.1 + i, "held_out_distance": 2.0}
        for i, (one, other) in enumerate(pairs)
    ]
    return {"memorisation[lite0]": {"reach": 0.5, "expected_near_copies": 0.01, "pairs": found}}


def test_each_generated_image_stands_beside_its_nearest_training_image(tmp_path: Path) -> None:
    from PIL import Image

    collector, made = collected(tmp_path, about(("g-4", "real-5"), ("g-0", "real-2")))
    out = tmp_path / "results"
    written = write_real_pictures(collector, made, out)
    assert {path.parent for path in written} == {out / "real-images"}
    (picture,) = out.glob("real-images/*.png")
    pixels = np.asarray(Image.open(picture))
    places = [(8, 4, 5), (8 + 64 + 3, 0, 2)]
    for top, generated, real in places:
        left, right = pixels[top : top + 64, -8 - 129 : -8 - 65], pixels[top : top + 64, -8 - 64 : -8]
        assert (left == [generated, GENERATED, GENERATED]).all() and (right == [real, REAL, REAL]).all()
    told = next(out.glob("real-images/*.txt")).read_text()
    assert "NEAR COPY real-5" in told and told.count("NEAR COPY") == 1 and "do not publish" in told
    assert write_real_pictures(collector, made, out) == ()


def test_git_ignores_the_folder_and_former_pictures_go(tmp_path: Path) -> None:
    import subprocess

    collector, made = collected(tmp_path, about(("g-1", "real-1")))
    write_real_pictures(collector, made, tmp_path)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    status = ["git", "-C", str(tmp_path), "status", "--porcelain", "--untracked-files=all"]
    assert "real-images" not in subprocess.run(status, check=True, capture_output=True, text=True).stdout
    assert write_real_pictures(collector, dataclasses.replace(made, details={}), tmp_path) == ()
    assert not (tmp_path / "real-images").exists()


def test_no_real_pixel_is_in_the_page_or_in_figures(tmp_path: Path) -> None:
    collector, made = collected(tmp_path, about(("g-4", "real-5")))
    out = tmp_path / "results"
    write_real_pictures(collector, made, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    write(made, out)
    assert {path: path.read_bytes() for path in before} == before
    assert "data:image/png" not in render(made) and pictures(made) == {}
    # nothing but this folder names a picture
    assert [path.parent.name for path in out.rglob("*.png")] == ["real-images"]


def test_a_page_has_exactly_the_pictures_of_its_figures() -> None:
    import base64

    made = example()
    uris = render(made).count("data:image/png")
    assert uris == sum(len(figure.rows) for figure in made.figures)
    black = base64.b64encode(png(np.zeros((8, 8, 3), np.uint8))).decode()
    assert black not in render(made)


@pytest.mark.parametrize("details", [{}, CURVE, {"memorisation": {**MEMORISATION["memorisation[lite0]"], "pairs": []}}])
def test_without_pairs_there_is_no_folder(tmp_path: Path, details: dict[str, Any]) -> None:
    collector, made = collected(tmp_path, details)
    assert write_real_pictures(collector, made, tmp_path / "results") == ()
    assert not (tmp_path / "results" / "real-images").exists()


def test_details_of_classifiers_do_no_harm() -> None:
    part = classifier("a", "t", 0.5)
    assert nearest(boards(part)) == () and over_counts(boards(part)) == {}
