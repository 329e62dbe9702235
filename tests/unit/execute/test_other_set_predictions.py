"""Answers to another data set: its labels by name, its maps nobody's, thresholds those of the suite's own val."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attempts import SIZE, Bench, training
from made import ROOT, TASKS, UPPER, asked, made

from dermae_bench.builtin.datasets.phantom import Phantom
from dermae_bench.execute.stages.common import Table
from dermae_bench.store.manifests import Manifest

OURS = [asked(task) for task in TASKS]
TURNED = {**UPPER, "classes": ["malignant", "benign"], "parent": None, "mapping": {}}
MIXED = {**ROOT, "classes": ["BCC", "MEL", "NV"]}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def noise(count: int, seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, SIZE, SIZE), dtype=np.uint8)


@pytest.fixture
def own(bench: Bench) -> Manifest:
    splits = ["train"] * 12 + ["val"] * 18 + ["test"] * 18
    return made(bench, [i % 3 for i in range(48)], splits=splits, pixels=noise(48, 0))


def fit(bench: Bench, own: Manifest, name: str) -> Manifest:
    return bench.do("train", training(own, "classifier", "thumbnails", name), {"prepare": own}, "thumbnails")


def ask(bench: Bench, fitted: Manifest, prepared: Manifest, **more: Any) -> dict[str, Any]:
    """The table of predictions of the test images."""
    model = fitted.parts["work"]["model"]
    work = {"model": model, "images": [{"split": "test"}], "labelled": True, "batch": 8, "precision": "fp32"}
    done = bench.do("predict", {**work, "threads": 1, **more}, {"train": fitted, "prepare": prepared}, "thumbnails")
    return dict(Table.read(bench.files(done) / "predictions.parquet").columns)


def logits(table: dict[str, Any], task: dict[str, Any]) -> Any:
    assert [name for name in table if name.startswith("logit.")] == [f"logit.{name}" for name in task["classes"]]
    return np.stack([table[f"logit.{name}"] for name in task["classes"]], axis=1)


def other(bench: Bench, own: Manifest, labels: list[int], *tasks: dict[str, Any]) -> Manifest:
    """The own test images again, as another set with its own idea of classes."""
    pixels = np.load(bench.files(own) / "images.npy")[30:]
    return made(bench, labels, splits=["test"] * 18, tasks=tasks, pixels=pixels, names="other")


@pytest.mark.parametrize("its", [ROOT, MIXED], ids=["equal", "mixed"])
def test_labels_are_mapped_by_name(bench: Bench, own: Manifest, its: dict[str, Any]) -> None:
    fitted = fit(bench, own, "diagnosis")
    truth = [ROOT["classes"][i % 3] for i in range(18)]
    there = other(bench, own, [its["classes"].index(name) for name in truth], its)
    mine = ask(bench, fitted, own)
    found = ask(bench, fitted, there, answers=asked(ROOT), between=OURS)
    # equal images have equal answers, to the bit, and the same truth in our own order
    assert np.array_equal(logits(found, ROOT), logits(mine, ROOT))
    assert found["label"] == mine["label"] == [i % 3 for i in range(18)]
    assert found["id"] == [f"other-{i}" for i in range(18)]
    assert found["group"][:3] == ["other-lesion-0", "other-lesion-0", "other-lesion-1"]


def test_a_coarser_question_is_answered_by_our_own_map(bench: Bench, own: Manifest) -> None:
    """Also where the other set knows nothing of the finer task, and turns the classes around."""
    fitted = fit(bench, own, "diagnosis")
    truth = [UPPER["classes"].index(UPPER["mapping"][ROOT["classes"][i % 3]]) for i in range(18)]
    there = other(bench, own, [1 - label for label in truth], TURNED)
    found = ask(bench, fitted, there, answers=asked(UPPER), between=OURS)
    finer = logits(ask(bench, fitted, own), ROOT).astype(np.float64)
    shares = np.exp(finer) / np.exp(finer).sum(axis=1, keepdims=True)
    expected = shares[:, 0] + shares[:, 2]
    own_logits = logits(found, UPPER).astype(np.float64)
    given = np.exp(own_logits) / np.exp(own_logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(given[:, 1], expected, atol=1e-6)
    assert found["label"] == truth


def test_the_most_frequent_class_is_that_of_our_own_train(bench: Bench) -> None:
    own = made(bench, [0, 0, 0, 1, 2, 1], splits=["train"] * 4 + ["val", "test"])
    there = made(bench, [1] * 9, splits=["test"] * 9, names="there")
    model = {"role": "majority", "task": asked(ROOT)}
    work = {"model": model, "images": [{"split": "test"}], "answers": asked(ROOT), "between": OURS}
    done = bench.do("predict", work, {"prepare": there, "training": own})
    table = dict(Table.read(bench.files(done) / "predictions.parquet").columns)
    assert set(logits(table, ROOT).argmax(axis=1).tolist()) == {0}
    assert table["label"] == [1] * 9
    model = {"role": "random", "task": asked(ROOT)}
    one, two = (
        bench.do("predict", {**work, "model": model}, {"prepare": there, "training": own}),
        bench.do("predict", {"model": model, "images": [{"split": "test"}]}, {"prepare": there}),
    )
    tables = [dict(Table.read(bench.files(done) / "predictions.parquet").columns) for done in (one, two)]
    # a fair die falls by the image's name, whoever asks
    assert np.array_equal(logits(tables[0], ROOT), logits(tables[1], ROOT))


@pytest.mark.parametrize("trained", ["malignancy", "diagnosis"])
def test_the_threshold_is_that_of_our_own_val(bench: Bench, own: Manifest, trained: str) -> None:
    fitted = fit(bench, own, trained)
    model = fitted.parts["work"]["model"]
    truth = [UPPER["classes"].index(UPPER["mapping"][ROOT["classes"][i % 3]]) for i in range(18)]
    there = other(bench, own, [1 - label for label in truth], TURNED)
    work = {"model": model, "labelled": True, "batch": 8, "precision": "fp32", "threads": 1}

    def predict(prepared: Manifest, split: str, **more: Any) -> Manifest:
        about = {**work, "images": [{"split": split}], **more}
        return bench.do("predict", about, {"train": fitted, "prepare": prepared}, "thumbnails")

    val, mine = predict(own, "val"), predict(own, "test")
    its = predict(there, "test", answers=asked(UPPER), between=OURS)

    def score(predictions: Manifest, prepared: Manifest, *, validation: Manifest | None = val, **more: Any) -> Any:
        metrics = [{"metric": "specificity-at-95-sensitivity", "params": {}}]
        asked_for = {
            "of": "predictions", "rename": {}, "images": "test", "facts": {}, "trained": model["task"],
            "task": asked(UPPER), "resamples": 50, "subgroups": [], "metrics": metrics,
            "unvalidated": None if validation is not None else "no threshold", **more,
        }  # fmt: skip
        inputs = {"predictions": predictions, "prepare": prepared}
        inputs |= {"validation": validation} if validation is not None else {}
        return bench.do("score", asked_for, inputs, "specificity-at-95-sensitivity").summary

    own_score, its_score = score(mine, own), score(its, there, other=OURS)
    # the same images and answers, and the same threshold: the same numbers
    assert own_score["records"] and its_score["records"]
    for one, two in zip(own_score["records"], its_score["records"], strict=True):
        assert one["value"] == two["value"]
        assert one["identity"]["data"] != two["identity"]["data"]
    assert own_score["confusion"] == its_score["confusion"]
    without = score(its, there, other=OURS, validation=None)
    assert [record["value"] for record in without["records"]] == [None, None]


def test_its_test_images_alone_are_prepared(bench: Bench) -> None:
    params = {"image_size": SIZE, "images": 60, "seed": 5}
    whole = bench.do("prepare", {"plugin": "phantom", "params": params}, None, "phantom")
    part = bench.do("prepare", {"plugin": "phantom", "params": params, "only": "test"}, None, "phantom")
    table, all_of = (Table.read(bench.files(found) / "table.parquet").columns for found in (part, whole))
    assert set(table["split"]) == {"test"}
    rows = [i for i, split in enumerate(all_of["split"]) if split == "test"]
    assert list(table["id"]) == [all_of["id"][i] for i in rows]
    pixels = np.load(bench.files(whole) / "images.npy")[rows]
    assert torch.equal(torch.from_numpy(np.load(bench.files(part) / "images.npy")), torch.from_numpy(pixels))
    assert part.summary["n"] == len(rows) < whole.summary["n"]
    assert [about["name"] for about in part.summary["tasks"]] == [task.name for task in Phantom.tasks(None)]  # type: ignore[arg-type]
