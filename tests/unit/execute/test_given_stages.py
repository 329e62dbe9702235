"""Stages of what was made elsewhere: images of a folder as a sample set, answers of a file as predictions."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attempts import SIZE, Bench
from made import ROOT, UPPER, asked, made
from PIL import Image

from dermae_bench.execute.stages.common import Table
from dermae_bench.store.manifests import Manifest

CLASSES = ROOT["classes"]
GREY = {"MEL": (10, 11, 12), "NV": (50, 51, 52, 53), "BCC": (90,)}
"""Class -> the colour of each of its images, in the order of their names."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def data(bench: Bench) -> Manifest:
    # of the classes in train, MEL has 1 of 4 and NV 3
    return made(bench, [0, 1, 1, 1, 2, 1, 0, 2, 1], splits=["train"] * 4 + ["val"] * 2 + ["test"] * 3)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    root = tmp_path / "release"
    for name, colours in GREY.items():
        (root / name).mkdir(parents=True)
        for i, colour in enumerate(colours):
            Image.new("RGB", (20, 20), (colour,) * 3).save(root / name / f"{i}.png")
    return root


def draw(bench: Bench, data: Manifest, release: Path, *, labelled: bool = True, **work: Any) -> Any:
    """(result, table, grey values) of a sample stage without a fit."""
    name = "external-images-labelled" if labelled else "external-images"
    task = asked(ROOT) if labelled else {**asked(ROOT), "name": "", "classes": []}
    params = {"path": str(release), "source": "made up", **work.pop("params", {})}
    model = {"role": "generator", "plugin": name, "params": params, "task": task}
    about = {"model": model, "sampling": {}, "count": None, "per_class": None, "columns": None, "seed": 0, "shard": 3}
    about |= {"batch": 2, "precision": "fp32", "threads": 1, **work}
    key, told = bench.try_("sample", about, {"prepare": data}, name)
    if not told["ok"]:
        return told, None, None
    done = bench.store.checked("sample", key)[1]
    shards = [np.load(bench.files(done) / file) for file in sorted(done.files) if file.startswith("images-")]
    images = np.concatenate(shards)
    assert images.shape[1:] == (3, SIZE, SIZE) and images.dtype == np.uint8
    assert (images == images[:, :1, :1, :1]).all()
    return told, Table.read(bench.files(done) / "table.parquet").columns, images[:, 0, 0, 0].tolist()


def test_images_come_in_the_order_of_their_paths(bench: Bench, data: Manifest, release: Path) -> None:
    _, table, grey = draw(bench, data, release, labelled=False, count=5)
    # BCC, MEL, NV by name; shards and batches do not show
    assert grey == [90, 10, 11, 12, 50]
    assert "label" not in table and len(set(table["id"])) == 5
    assert draw(bench, data, release, labelled=False, count=5, seed=7)[2] == grey
    assert draw(bench, data, release, labelled=False, count=8)[2] == [90, 10, 11, 12, 50, 51, 52, 53]


def test_more_than_there_are_is_refused_before_the_first(bench: Bench, data: Manifest, release: Path) -> None:
    told, _, _ = draw(bench, data, release, labelled=False, count=9)
    assert (told["ok"], told["phase"]) == (False, "start")
    assert "9 images are asked for, and 8 are there" in told["reason"]
    told, _, _ = draw(bench, data, release, per_class=2)
    assert "BCC: 2 are asked for, and 1 are there" in told["reason"] and "MEL" not in told["reason"]


def test_classes_follow_what_was_made_and_not_train(bench: Bench, data: Manifest, release: Path) -> None:
    _, table, grey = draw(bench, data, release, count=8)
    assert sorted(grey) == sorted(colour for colours in GREY.values() for colour in colours)
    for label, colour in zip(table["label"], grey, strict=True):
        assert colour in GREY[CLASSES[label]]
    # each class in its own order
    assert [colour for colour in grey if colour in GREY["NV"]] == list(GREY["NV"])
    _, table, _ = draw(bench, data, release, count=4)
    counts = np.bincount(table["label"], minlength=3).tolist()
    assert counts[1] == 2 and sum(counts) == 4


@pytest.mark.parametrize(
    ("work", "labels", "grey"),
    [
        ({"per_class": 1}, [0, 1, 2], [10, 50, 90]),
        ({"columns": 1}, [0, 1, 2], [10, 50, 90]),
        # each lacks to the most frequent in train: MEL 2, NV none; there is one BCC for the 3 that it lacks
        ({"per_class": "balance"}, None, "BCC: 3 are asked for, and 1 are there"),
        ({"count": 3, "even": True}, [0, 1, 2], [10, 50, 90]),
    ],
)
def test_classes_as_they_are_asked_for(
    bench: Bench, data: Manifest, release: Path, work: dict[str, Any], labels: Any, grey: Any
) -> None:
    told, table, found = draw(bench, data, release, **work)
    if labels is None:
        assert grey in told["reason"]
    else:
        assert (list(table["label"]), found) == (labels, grey)


def test_a_file_that_is_no_picture_is_named(bench: Bench, data: Manifest, release: Path) -> None:
    (release / "MEL" / "1.png").write_bytes(b"no picture")
    told, _, _ = draw(bench, data, release, labelled=False, count=5)
    assert not told["ok"] and "MEL/1.png" in told["reason"]
    assert "Traceback" not in told["reason"]
    assert draw(bench, data, release, labelled=False, count=5, params={"skip": 1})[2] == [90, 10, 12, 50, 51]


# -- answers -----------------------------------------------------------------------------------------------------


def scores(path: Path, given: Mapping[str, Any]) -> Path:
    with path.open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["id", *CLASSES])
        lines.writerows([name, *values] for name, values in given.items())
    return path


def answer(bench: Bench, data: Manifest, file: Path, split: str = "test", **more: Any) -> Any:
    """(result, table) of a predict stage without a fit."""
    params = {"file": str(file), "scale": "probabilities", "protocol": "zero-shot", "source": "made up"}
    model = {"role": "classifier", "plugin": "external-predictions", "params": params, "task": asked(ROOT), **more}
    work = {"model": model, "images": [{"split": split}], "labelled": True, "batch": 4, "precision": "fp32"}
    key, told = bench.try_("predict", {**work, "threads": 1}, {"prepare": data}, "external-predictions")
    if not told["ok"]:
        return told, None
    return told, Table.read(bench.files(bench.store.checked("predict", key)[1]) / "predictions.parquet").columns


GIVEN = {
    "image-8": (0.1, 0.7, 0.2), "image-6": (0.5, 0.25, 0.25), "image-7": (0.0, 0.0, 1.0), "image-4": (0.2, 0.2, 0.6),
    "image-5": (0.3, 0.3, 0.4), "other": (1, 0, 0),
}  # fmt: skip


def test_answers_are_found_by_the_images_names(bench: Bench, data: Manifest, tmp_path: Path) -> None:
    _, table = answer(bench, data, scores(tmp_path / "s.csv", GIVEN))
    assert list(table["id"]) == ["image-6", "image-7", "image-8"]
    assert list(table["label"]) == [0, 2, 1]
    found = np.stack([table[f"logit.{name}"] for name in CLASSES], axis=1)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.exp(found)[[0, 2]], [GIVEN["image-6"], GIVEN["image-8"]], rtol=1e-6)
    assert found.argmax(axis=1).tolist() == [0, 2, 1]
    _, val = answer(bench, data, scores(tmp_path / "s.csv", GIVEN), "val")
    assert list(val["id"]) == ["image-4", "image-5"]


def test_images_without_an_answer_are_named(bench: Bench, data: Manifest, tmp_path: Path) -> None:
    few = {name: values for name, values in GIVEN.items() if name != "image-7"}
    told, _ = answer(bench, data, scores(tmp_path / "s.csv", few))
    assert not told["ok"]
    assert "s.csv has no answer for 1 of 3 images" in told["reason"] and "image-7" in told["reason"]


def test_answers_to_another_question_are_refused(bench: Bench, data: Manifest, tmp_path: Path) -> None:
    told, _ = answer(bench, data, scores(tmp_path / "s.csv", GIVEN), task=asked(UPPER))
    assert not told["ok"] and "does not fit the task malignancy" in told["reason"]


def test_a_model_that_is_neither_fitted_nor_given_is_told(bench: Bench, data: Manifest) -> None:
    model = {"role": "classifier", "plugin": "thumbnails", "params": {}, "task": asked(ROOT)}
    work = {"model": model, "images": [{"split": "test"}], "labelled": True, "batch": 4, "precision": "fp32"}
    _, told = bench.try_("predict", {**work, "threads": 1}, {"prepare": data}, "thumbnails")
    assert not told["ok"] and "thumbnails is not fitted, and has no answers either" in told["reason"]
