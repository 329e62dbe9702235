"""The lint as a stage: over prepared data, and over a sample set that holds a copy of a test image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attempts import Bench

from dermae_bench.execute.stages.common import Table
from dermae_bench.store.manifests import Manifest, describe_files
from dermae_bench.suite.stage import key_of

REAL = {"of": "leakage", "what": "real", "extractor": None}
SAMPLES = {**REAL, "what": "samples"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("lints"))


@pytest.fixture(scope="module")
def data(bench: Bench) -> Manifest:
    return bench.prepared()


def committed(
    bench: Bench, kind: str, pixels: dict[str, Any], table: dict[str, Any], summary: dict[str, Any]
) -> Manifest:
    """A finished stage with these files."""
    parts = {"kind": kind, "table": table, "sum": {name: int(values.sum()) for name, values in pixels.items()}}
    key = key_of(parts)
    out = bench.store.attempt_folder(key) / "out"
    out.mkdir(parents=True)
    for name, values in pixels.items():
        np.save(out / name, values)
    Table.write(out / "table.parquet", table)
    about = Manifest(kind=kind, key=key, name=f"{kind}/x", parts=parts, files=describe_files(out), summary=summary)
    bench.store.commit(out, about)
    return about


def planted(bench: Bench, data: Manifest, **facts: str) -> Manifest:
    """The prepared data with a copy of a training image in test."""
    folder = bench.files(data)
    table = {name: list(values) for name, values in Table.read(folder / "table.parquet").columns.items()}
    pixels = np.load(folder / "images.npy")
    i = table["split"].index("train")
    for name, values in table.items():
        values.append({"id": "copy", "group": "copied", "split": "test", **facts}.get(name, values[i]))
    return committed(bench, "prepare", {"images.npy": np.concatenate([pixels, pixels[[i]]])}, table, dict(data.summary))


def test_clean_data_give_an_empty_list_and_no_file(bench: Bench, data: Manifest) -> None:
    found = bench.do("score", REAL, {"prepare": data})
    assert found.summary["counts"] == {}
    assert found.summary["warnings"] == found.summary["records"] == found.summary["findings"] == []
    assert found.summary["n"] == data.summary["n"]
    assert found.files == {}
    again = Bench(bench.store.root.parent / "again")
    assert again.do("score", REAL, {"prepare": again.prepared()}).summary == found.summary


def test_a_planted_copy_is_told_with_where_it_stands(bench: Bench, data: Manifest) -> None:
    found = bench.do("score", REAL, {"prepare": planted(bench, data)}).summary
    assert found["counts"] == {"exact-across-splits": 1}
    assert found["findings"][0]["splits"] == ["train", "test"]
    (warning,) = found["warnings"]
    assert "1 pairs of equal pixels across splits (images: 1 in test)" in warning


def test_a_divided_lesion_is_no_warning_of_its_own(bench: Bench, data: Manifest) -> None:
    table = Table.read(bench.files(data) / "table.parquet").columns
    group = table["group"][table["split"].index("train")]
    found = bench.do("score", REAL, {"prepare": planted(bench, data, group=group)}).summary
    assert found["counts"]["group-across-splits"] == 1
    assert not any("divided" in warning for warning in found["warnings"])


def test_a_generated_copy_of_a_test_image_is_found(bench: Bench, data: Manifest) -> None:
    folder = bench.files(data)
    splits = Table.read(folder / "table.parquet").columns["split"]
    pixels = np.load(folder / "images.npy")
    noise = np.random.default_rng(0).integers(0, 256, (3, *pixels.shape[1:]), dtype=np.uint8)
    chosen = {name: pixels[splits.index(name)] for name in ("train", "test")}
    made = np.concatenate([noise, [chosen["train"], chosen["test"]]])
    names = {"id": [f"drawn-{n}" for n in range(5)]}
    drawn = committed(bench, "sample", {"images-00000.npy": made}, names, {"task": None})
    found = bench.do("score", SAMPLES, {"prepare": data, "samples0": drawn}).summary
    # one of a training image is memorised, which is another metric's business
    assert found["counts"] == {"generated-exact": 1}
    assert found["findings"][0]["ids"][0] == "drawn-4"
    assert found["images"]["copies"] == {"samples>test": 1, "test>samples": 1}
    assert found["n"] == 5
    assert len(json.dumps(found)) < 2000


def test_another_set_is_compared_with_train_and_val_and_with_given_images(bench: Bench, data: Manifest) -> None:
    folder = bench.files(data)
    splits = Table.read(folder / "table.parquet").columns["split"]
    pixels = np.load(folder / "images.npy")
    noise = np.random.default_rng(1).integers(0, 256, (2, *pixels.shape[1:]), dtype=np.uint8)
    its = np.concatenate([noise, [pixels[splits.index(split)] for split in ("train", "val", "test")]])
    table = {"id": [f"c{n}" for n in range(5)], "group": [f"p{n}" for n in range(5)], "split": ["test"] * 5,
             "label": [0, 1, 0, 1, 0]}  # fmt: skip
    clinic = committed(bench, "prepare", {"images.npy": its}, table, dict(data.summary))
    work = {**REAL, "what": "other", "set": "clinic"}
    found = bench.do("score", work, {"prepare": data, "other": clinic}).summary
    assert found["counts"] == {"other-exact": 2}
    assert found["images"]["copies"] == {"train>clinic": 1, "val>clinic": 1}
    assert found["n"] == 5
    (warning,) = found["warnings"]
    assert "(images: 2 in clinic)" in warning

    names = {"id": ["drawn-0", "drawn-1"]}
    made = committed(bench, "sample", {"images-00000.npy": np.stack([its[0], noise[0] ^ 85])}, names, {"task": None})
    inputs = {"prepare": data, "samples0": made}
    assert bench.do("score", SAMPLES, inputs).summary["counts"] == {}
    given = bench.do("score", {**SAMPLES, "others": ["clinic"]}, {**inputs, "other-clinic": clinic}).summary
    assert given["counts"] == {"generated-exact": 1}
    assert given["images"]["copies"] == {"samples>clinic": 1, "clinic>samples": 1}


def test_features_of_each_split_are_read_in_the_order_of_the_images(bench: Bench, data: Manifest) -> None:
    made = planted(bench, data, group="again")
    table = Table.read(bench.files(made) / "table.parquet").columns
    rng = np.random.default_rng(0)
    inputs = {"prepare": made}
    for split in ("train", "val", "test"):
        count = table["split"].count(split)
        values = rng.normal(size=(count, 4)).astype(np.float32)
        inputs[split] = committed(bench, "extract", {"features.npy": values}, {"split": [split] * count}, {})
    found = bench.do("score", {**REAL, "extractor": "lite0"}, inputs).summary
    assert found["rules"]["extractor"] == "lite0"
    assert found["rules"]["distances"]["touch"] < found["rules"]["distances"]["confirm"]


def test_the_lint_says_which_stage_is_damaged(tmp_path: Path) -> None:
    own = Bench(tmp_path)
    data = own.prepared()
    images = own.files(data) / "images.npy"
    content = bytearray(images.read_bytes())
    content[-1] ^= 1
    images.write_bytes(bytes(content))
    _, result = own.try_("score", REAL, {"prepare": data})
    assert result["ok"] is False
    assert "images.npy" in result["reason"]
