"""Preparing data, and the image sets that stages read: joined, relabelled, chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attempts import Bench

from dermae_bench.errors import DataError, InvalidOutput, UserError
from dermae_bench.execute.stages.common import (
    StageContext,
    Table,
    dataset_tasks,
    image_set,
)
from dermae_bench.execute.stages.extract import choose
from dermae_bench.execute.stages.outputs import check_images, check_logits
from dermae_bench.execute.stages.prepare import _check_examples
from dermae_bench.plugin.data import Example, Task
from dermae_bench.scoring.labels import map_labels
from dermae_bench.store.manifests import Manifest, describe_files
from dermae_bench.suite.stage import key_of

ROOT = Task(name="diagnosis", classes=("MEL", "NV", "BCC"))
UPPER = Task(
    name="malignancy",
    classes=("benign", "malignant"),
    parent="diagnosis",
    mapping={"MEL": "malignant", "NV": "benign", "BCC": "malignant"},
)
TASKS = {"diagnosis": ROOT, "malignancy": UPPER}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def context(bench: Bench, **inputs: Manifest) -> StageContext:
    about = {role: {"kind": found.kind, "key": found.key} for role, found in inputs.items()}
    return StageContext(folder=bench.store.root, spec={"store": str(bench.store.root), "inputs": about}, out=Path())


def test_preparing_twice_gives_the_same_bytes(bench: Bench, tmp_path: Path) -> None:
    one, two = bench.prepared(), Bench(tmp_path / "other").prepared()
    assert one.files == two.files
    assert one.summary == two.summary
    assert one.summary["n"] == 60
    images = np.load(bench.files(one) / "images.npy", mmap_mode="r")
    assert images.shape == (60, 3, 16, 16)
    assert images.dtype == np.uint8
    table = Table.read(bench.files(one) / "table.parquet").columns
    assert {"id", "group", "split", "label", "caption"} <= set(table)
    assert one.summary["resize"] == "drawn at size"
    assert "fewer than 10 test images of" in one.summary["warnings"][0]


def test_a_split_is_what_the_table_says_with_labels_of_the_task_asked_for(bench: Bench) -> None:
    data = bench.prepared()
    here = context(bench, prepare=data)
    tasks = dataset_tasks(data)
    table = Table.read(bench.files(data) / "table.parquet").columns
    pixels = np.load(bench.files(data) / "images.npy")
    for split in ("train", "val", "test"):
        found = image_set(here, [{"split": split}], tasks["diagnosis"])
        rows = [i for i, own in enumerate(table["split"]) if own == split]
        assert list(found.ids) == [table["id"][i] for i in rows]
        assert found.labels is not None
        assert found.labels.tolist() == [table["label"][i] for i in rows]
        assert torch.equal(found[slice(None)], torch.from_numpy(pixels[rows]))
        assert found.captions is not None
        assert all(len(values) == len(rows) for values in found.attributes.values())
    upper = image_set(here, [{"split": "test"}], tasks["malignancy"])
    assert upper.labels is not None
    assert set(upper.labels.tolist()) <= {0, 1}
    for nobody in (None, Task(name="", classes=())):
        assert image_set(here, [{"split": "test"}], nobody).labels is None


def samples(bench: Bench, task: str | None, labels: list[int]) -> Manifest:
    key = key_of({"labels": labels})
    out = bench.store.attempt_folder(key) / "out"
    out.mkdir(parents=True)
    half = len(labels) // 2
    for number, span in enumerate((range(half), range(half, len(labels)))):
        np.save(out / f"images-{number:05d}.npy", np.stack([np.full((3, 16, 16), i, np.uint8) for i in span]))
    columns: dict[str, Any] = {"id": [f"drawn-{i}" for i in range(len(labels))]}
    Table.write(out / "table.parquet", columns | ({"label": labels} if task is not None else {}))
    about = Manifest(
        kind="sample",
        key=key,
        name="sample/x",
        parts={"labels": labels},
        files=describe_files(out),
        summary={"task": task},
    )
    bench.store.commit(out, about)
    return about


def test_real_and_drawn_images_are_joined_in_the_order_of_the_set(bench: Bench) -> None:
    data = bench.prepared()
    drawn = samples(bench, "diagnosis", [0, 1, 2, 3, 4])
    here = context(bench, prepare=data, samples0=drawn)
    tasks = dataset_tasks(data)
    joined = image_set(here, [{"split": "val"}, {"samples": "samples0"}], tasks["malignancy"])
    real = len(joined) - 5
    assert joined.ids[real:] == [f"drawn-{i}" for i in range(5)]
    assert joined[slice(real, None)][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert joined.labels is not None
    wanted = map_labels(np.arange(5), tasks["diagnosis"], tasks["malignancy"], tasks)
    assert joined.labels[real:].tolist() == wanted.tolist()
    # captions are there for all or for none
    assert joined.captions is None


def test_samples_without_labels_serve_where_none_are_asked_for(bench: Bench) -> None:
    data = bench.prepared()
    here = context(bench, prepare=data, samples0=samples(bench, None, [0, 0]))
    assert len(image_set(here, [{"samples": "samples0"}], None)) == 2
    with pytest.raises(UserError, match="sample/x has no labels, but a set labelled for 'diagnosis'"):
        image_set(here, [{"samples": "samples0"}], dataset_tasks(data)["diagnosis"])


def test_labels_go_up_along_declared_maps_and_never_down() -> None:
    assert map_labels(np.array([0, 1, 2]), ROOT, UPPER, TASKS).tolist() == [1, 0, 1]
    assert map_labels(np.array([2, 0]), ROOT, ROOT, TASKS).tolist() == [2, 0]
    top = Task(
        name="any", classes=("lesion",), parent="malignancy", mapping={"benign": "lesion", "malignant": "lesion"}
    )
    assert map_labels(np.array([0, 1]), ROOT, top, {**TASKS, "any": top}).tolist() == [0, 0]
    with pytest.raises(UserError, match="no map is declared"):
        map_labels(np.array([0]), UPPER, ROOT, TASKS)


def test_a_choice_of_images_is_fixed_by_their_ids(bench: Bench) -> None:
    data = bench.prepared()
    images = image_set(context(bench, prepare=data), [{"split": "train"}, {"split": "test"}], ROOT)
    chosen = choose(images, 7, generated=False)
    assert len(chosen) == len(chosen.ids) == 7
    assert set(choose(images, 5, generated=False).ids) < set(chosen.ids)
    for position, name in enumerate(chosen.ids):
        own = list(images.ids).index(name)
        assert torch.equal(chosen[[position]], images[[own]])
        assert chosen.labels is not None
        assert images.labels is not None
        assert chosen.labels[position] == images.labels[own]
    with pytest.raises(ValueError, match="ascending"):
        images.take([3, 1])


def test_a_choice_of_generated_images_is_fixed_by_their_places(bench: Bench) -> None:
    images = image_set(context(bench, prepare=bench.prepared()), [{"split": "train"}, {"split": "test"}], ROOT)
    others = replace(images, ids=[f"another-{place}" for place in range(len(images))])
    chosen = choose(images, 7, generated=True).ids
    # whoever drew them, and however they are called
    assert choose(others, 7, generated=True).ids == [f"another-{images.ids.index(name)}" for name in chosen]
    assert choose(others, 7, generated=False).ids != choose(others, 7, generated=True).ids
    assert set(choose(images, 5, generated=True).ids) < set(chosen)


def test_what_models_return_is_looked_at() -> None:
    good = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    check_images(good, 2, 8, "x")
    check_logits(torch.zeros(2, 3), 2, 3, "x")
    for bad in (good.float(), good[:1], good[:, :1], good.numpy(), None):
        with pytest.raises(InvalidOutput, match="x returned"):
            check_images(bad, 2, 8, "x")
    for bad in (torch.zeros(2, 3).int(), torch.zeros(2, 4), torch.tensor([[0.0, float("nan"), 0]] * 2), [1.0]):
        with pytest.raises(InvalidOutput, match="x returned"):
            check_logits(bad, 2, 3, "x")


def example(number: int, **changes: Any) -> Example:
    split = ("train", "val", "test")[number % 3]
    return Example(**{"id": f"i{number}", "group": f"g{number}", "split": split, "label": "NV", **changes})


def test_everything_wrong_in_a_table_is_named_at_once() -> None:
    _check_examples([example(i) for i in range(6)], ROOT, None)
    bad = [*(example(i) for i in range(6)), example(0), example(7, label="MOLE"), example(8, split="extra")]
    bad += [example(10, group="g0")]
    with pytest.raises(DataError) as caught:
        _check_examples(bad, ROOT, None)
    text = str(caught.value)
    for words in (
        "i0: the id stands 2 times",
        "i7: unknown class 'MOLE'",
        "i8: unknown split 'extra'",
        "group g0: divided",
    ):
        assert words in text
    # a split that is declared leaky may divide groups
    _check_examples([*(example(i) for i in range(6)), example(10, group="g0")], ROOT, "photographs are split")
    with pytest.raises(DataError, match="has no images"):
        _check_examples([], ROOT, None)
    with pytest.raises(DataError) as caught:
        _check_examples([example(0)], ROOT, None)
    assert "split 'test' has no images" in str(caught.value)
