"""Stages that fit, draw, predict and count, each done in this process on a small phantom."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from attempts import Bench, task, training
from safetensors.torch import load_file

from dermae_bench.execute.stages import sample as sampling
from dermae_bench.execute.stages import train as fitting
from dermae_bench.execute.stages.common import Table
from dermae_bench.execute.stages.sample import apportion, wanted_labels
from dermae_bench.store.manifests import Manifest


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def drawing(fitted: Manifest, **more: Any) -> dict[str, Any]:
    model = fitted.parts["work"]["model"]
    about = {"model": model, "sampling": {}, "count": 10, "per_class": None, "seed": 0, "shard": 4, "batch": 3}
    return {**about, "precision": "fp32", "threads": 1, **more}


def predicting(fitted: Manifest, split: str) -> dict[str, Any]:
    model = fitted.parts["work"]["model"]
    return {"model": model, "images": [{"split": split}], "batch": 8, "precision": "fp32", "threads": 1}


# -- train -------------------------------------------------------------------------------------------------------


def test_a_fit_leaves_weights_curves_and_facts(bench: Bench) -> None:
    data = bench.prepared()
    fitted = bench.do("train", training(data, "classifier", "thumbnails", "diagnosis"), {"prepare": data}, "thumbnails")
    assert set(fitted.files) == {"weights.safetensors", "curves.csv"}
    facts = fitted.summary
    assert (facts["steps"], facts["images_seen"], facts["train_images"]) == (
        6,
        48,
        sum(data.summary["counts"]["train"].values()),
    )
    assert facts["parameters_trainable"] == facts["parameters_total"] == 48 * 7 + 7
    with (bench.files(fitted) / "curves.csv").open() as stream:
        curves = list(csv.DictReader(stream))
    assert [row["step"] for row in curves] == ["0", "1", "2", "3", "4", "5"]
    assert float(curves[-1]["loss"]) == facts["final_loss"]


def test_the_best_weights_on_val_are_kept(bench: Bench) -> None:
    data = bench.prepared()
    work = training(data, "classifier", "thumbnails", "diagnosis", budget={"select": "best:accuracy", "every": 2})
    fitted = bench.do("train", work, {"prepare": data}, "thumbnails", "accuracy")
    assert fitted.summary["selected"]["step"] in (2, 4, 6)
    assert 0 <= fitted.summary["selected"]["value"] <= 1
    # what was validated is what a later stage sees
    predicted = bench.do("predict", predicting(fitted, "val"), {"train": fitted, "prepare": data}, "thumbnails")
    table = Table.read(bench.files(predicted) / "predictions.parquet").columns
    logits = np.stack([table[name] for name in table if name.startswith("logit.")], axis=1)
    accuracy = float((logits.argmax(1) == np.array(table["label"])).mean())
    assert accuracy == pytest.approx(fitted.summary["selected"]["value"])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_fit_learns_in_either_precision(bench: Bench, precision: str) -> None:
    data = bench.prepared()
    work = training(data, "classifier", "thumbnails", "malignancy", budget={"steps": 25, "batch_size": 16})
    fitted = bench.do("train", {**work, "precision": precision}, {"prepare": data}, "thumbnails")
    with (bench.files(fitted) / "curves.csv").open() as stream:
        losses = [float(row["loss"]) for row in csv.DictReader(stream)]
    assert np.mean(losses[-5:]) < 0.9 * losses[0]
    assert all(t.dtype == torch.float32 for t in load_file(bench.files(fitted) / "weights.safetensors").values())


@pytest.mark.parametrize(
    ("how", "category", "reason"),
    [
        ("raise", "crashed", "RuntimeError: the plugin broke on purpose"),
        ("diverge", "diverged", "diverged at step 2: loss is not finite"),
        ("exit", "crashed", "the plugin called sys.exit(3)"),
        ("stops-early", "crashed", "fit returned after 2 of 6 steps"),
    ],
)
def test_a_failing_plugin_becomes_a_record(bench: Bench, how: str, category: str, reason: str) -> None:
    data = bench.prepared()
    work = training(data, "classifier", "misbehaving", "diagnosis", params={"how": how})
    key, result = bench.try_("train", work, {"prepare": data}, "misbehaving")
    assert (result["ok"], result["category"], result["phase"]) == (False, category, "fitting")
    assert reason in result["reason"]
    assert "Traceback" in result["traceback"]
    assert not bench.store.has("train", key)


def test_a_damaged_input_is_told_apart_from_a_failure(bench: Bench) -> None:
    data = bench.prepared()
    path = bench.files(data) / "images.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00\x01")
    work = training(data, "classifier", "thumbnails", "diagnosis")
    _, result = bench.try_("train", work, {"prepare": data}, "thumbnails")
    assert result["damaged"]
    assert "images.npy" in result["reason"]
    assert not bench.store.has("prepare", data.key)


# -- sample ------------------------------------------------------------------------------------------------------


@pytest.fixture
def by_class(bench: Bench) -> tuple[Manifest, Manifest]:
    data = bench.prepared()
    work = training(data, "generator", "pixels-by-class", "diagnosis", budget={"ema": 0.9})
    return data, bench.do("train", work, {"prepare": data}, "pixels-by-class")


def test_samples_are_whole_shards_with_labels_by_share(bench: Bench, by_class: tuple[Manifest, Manifest]) -> None:
    data, fitted = by_class
    drawn = bench.do("sample", drawing(fitted), {"train": fitted, "prepare": data}, "pixels-by-class")
    assert set(drawn.files) == {"images-00000.npy", "images-00001.npy", "images-00002.npy", "table.parquet"}
    shards = [np.load(bench.files(drawn) / f"images-{i:05d}.npy") for i in range(3)]
    assert [len(shard) for shard in shards] == [4, 4, 2]
    assert {shard.dtype for shard in shards} == {np.dtype(np.uint8)}
    table = Table.read(bench.files(drawn) / "table.parquet").columns
    assert len(set(table["id"])) == 10
    assert table["id"][0].startswith(drawn.key[:8])
    counts = data.summary["counts"]["train"]
    rarest, commonest = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    assert drawn.summary["counts"][commonest] > drawn.summary["counts"][rarest]


def test_a_sampling_that_was_stopped_goes_on_with_the_next_shard(
    bench: Bench, by_class: tuple[Manifest, Manifest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data, fitted = by_class
    inputs = {"train": fitted, "prepare": data}
    whole = bench.do("sample", drawing(fitted), inputs, "pixels-by-class")
    expected = {name: about["sha256"] for name, about in whole.files.items()}
    drawn: list[int] = []
    real = sampling._drawn

    def draw(context: Any, model: Any, how: Any, labels: Any, shard: Any, first: int, *more: Any) -> Any:
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(shard.number)
        return real(context, model, how, labels, shard, first, *more)

    bench.store.quarantine("sample", whole.key)
    bench.store.settle(whole.key)
    monkeypatch.setattr(sampling, "_drawn", draw)
    assert not bench.store.has("sample", whole.key)
    bench.try_("sample", drawing(fitted), inputs, "pixels-by-class")
    assert not bench.store.has("sample", whole.key)
    # the second of the two is damaged meanwhile: it alone is drawn again
    path = bench.store.attempt_folder(whole.key) / "shards" / "images-00001.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert drawn == [0, 1]
    drawn.clear()
    again = bench.do("sample", drawing(fitted), inputs, "pixels-by-class")
    assert drawn == [1, 2]
    assert {name: about["sha256"] for name, about in again.files.items()} == expected


def test_balance_fills_up_to_the_most_frequent_class(bench: Bench, by_class: tuple[Manifest, Manifest]) -> None:
    data, fitted = by_class
    work = drawing(fitted, count=None, per_class="balance")
    drawn = bench.do("sample", work, {"train": fitted, "prepare": data}, "pixels-by-class")
    have = data.summary["counts"]["train"]
    assert {name: drawn.summary["counts"][name] + have[name] for name in have} == dict.fromkeys(
        have, max(have.values())
    )


def learnt(*, more: bool = False, **choose: Any) -> dict[str, Any]:
    asked = {"fraction": None, "count": None, "per_class": None, "task": None, "seed": 0, **choose}
    return {"real": [{"split": "train", "choose": asked}], "more": more}


def test_a_generator_of_few_images_is_asked_for_what_they_show(
    bench: Bench, by_class: tuple[Manifest, Manifest]
) -> None:
    data, fitted = by_class
    inputs = {"train": fitted, "prepare": data}
    have = data.summary["counts"]["train"]
    one = learnt(per_class=1, task="diagnosis")
    even = bench.do("sample", drawing(fitted, count=14, learnt=one), inputs, "pixels-by-class")
    assert even.summary["counts"] == dict.fromkeys(have, 2)
    # three images cannot show seven classes: none of the others is asked for
    few = bench.do("sample", drawing(fitted, count=14, learnt=learnt(count=3)), inputs, "pixels-by-class")
    some = few.summary["counts"]
    shown = {name for name, count in some.items() if count}
    assert 1 <= len(shown) <= 3
    # what `train` lacks is what is filled up, whoever draws it; but not with what was never seen
    for asked in (
        {"count": 14, "even": True},
        {"count": None, "per_class": 2},
        {"count": None, "per_class": "balance"},
    ):
        _, told = bench.try_("sample", drawing(fitted, **asked, learnt=learnt(count=3)), inputs, "pixels-by-class")
        assert not told["ok"] and "the generator cannot have learnt" in told["reason"]
        lacking = set(have) - shown - ({max(have, key=have.__getitem__)} if "balance" in asked.values() else set())
        assert all(name in told["reason"] for name in lacking)
    # generated images may have shown it the rest
    more = drawing(fitted, count=14, even=True, learnt=learnt(count=3, more=True))
    both = bench.do("sample", more, inputs, "pixels-by-class")
    assert both.summary["counts"] == dict.fromkeys(have, 2)


def test_labels_follow_shares_in_every_prefix() -> None:
    shares = np.array([0.67, 0.23, 0.1])
    labels = apportion(1000, shares)
    for stop in (1, 10, 100, 1000):
        given = np.bincount(labels[:stop], minlength=3)
        assert np.abs(given - shares * stop).max() <= 1
    assert labels[:100].tolist() == apportion(100, shares).tolist()


def test_labels_are_asked_for_as_the_suite_says() -> None:
    counts = {"a": 5, "b": 3, "c": 0}

    def asked(**work: Any) -> Any:
        labels = wanted_labels({"per_class": None, "count": None, **work}, counts, ("a", "b", "c"))
        return None if labels is None else np.bincount(labels, minlength=3).tolist()

    assert asked(per_class="balance") == [0, 2, 5]
    assert asked(per_class=4) == [4, 4, 4]
    assert asked(count=8) == [5, 3, 0]
    assert wanted_labels({"per_class": None, "count": 8}, {}, ()) is None


# -- predict, score, cost ----------------------------------------------------------------------------------------


def test_predictions_are_per_image_and_scored_with_their_identity(bench: Bench) -> None:
    data = bench.prepared()
    work = training(data, "classifier", "thumbnails", "diagnosis", budget={"steps": 40, "batch_size": 16})
    fitted = bench.do("train", work, {"prepare": data}, "thumbnails")
    predicted = bench.do("predict", predicting(fitted, "test"), {"train": fitted, "prepare": data}, "thumbnails")
    table = Table.read(bench.files(predicted) / "predictions.parquet").columns
    count = sum(data.summary["counts"]["test"].values())
    assert len(table["id"]) == predicted.summary["n"] == count
    work = {
        "of": "predictions", "metrics": [{"metric": "accuracy", "params": {}}], "rename": {}, "images": "test",
        "facts": {"precision": "fp32"}, "trained": task(data, "diagnosis"), "task": task(data, "malignancy"),
        "resamples": 200, "unvalidated": None, "subgroups": [{"attribute": "asymmetry", "bands": [0.5], "join": {}}],
    }  # fmt: skip
    scored = bench.do("score", work, {"predictions": predicted, "prepare": data}, "accuracy")
    (record,) = scored.summary["records"]
    assert record["identity"]["reached"] == "derived from diagnosis"
    assert record["identity"]["split_digest"] == data.summary["split_digest"]
    assert record["n"] == count == int(np.sum(scored.summary["confusion"]))
    assert record["low"] <= record["value"] <= record["high"] and record["error"] > 0
    below, above = scored.summary["subgroups"]
    assert below["identity"]["subgroup"] == {"attribute": "asymmetry", "value": "below 0.5"}
    assert below["n"] + above["n"] == count
    assert below["value"] * below["n"] + above["value"] * above["n"] == pytest.approx(record["value"] * count)
    replicates = np.load(bench.files(scored) / "replicates.npy")
    assert replicates.shape == (1, 200) and np.std(replicates) == pytest.approx(record["error"], rel=0.01)


def test_the_majority_answers_with_the_most_frequent_class_of_train(bench: Bench) -> None:
    data = bench.prepared()
    work = {"model": {"role": "majority", "task": task(data, "diagnosis")}, "images": [{"split": "test"}]}
    predicted = bench.do("predict", work, {"prepare": data})
    table = Table.read(bench.files(predicted) / "predictions.parquet").columns
    logits = np.stack([table[name] for name in table if name.startswith("logit.")], axis=1)
    counts = list(data.summary["counts"]["train"].values())
    assert set(logits.argmax(1)) == {int(np.argmax(counts))}


def test_costs_are_counted_without_training(bench: Bench) -> None:
    data = bench.prepared()
    model = training(data, "classifier", "thumbnails", "diagnosis")["model"]
    work = {"model": model, "of": "predict", "sampling": None, "metrics": ["compute", "parameters"]}
    counted = bench.do("cost", work, None, "thumbnails", "compute", "parameters")
    assert counted.files == {}
    assert counted.summary["values"]["gmacs"] == pytest.approx(48 * 7 / 1e9, rel=1e-6)
    assert counted.summary["values"]["parameters-trainable"] == 48 * 7 + 7


def test_curves_have_one_order_of_columns_whether_or_not_a_fit_was_resumed(tmp_path: Path) -> None:
    logged = {"step": 0.0, "loss": 0.5, "accuracy": 0.25}
    texts = []
    # JSON, through which a checkpoint goes, sorts names
    for number, point in enumerate((logged, dict(sorted(logged.items())))):
        out = tmp_path / str(number)
        out.mkdir()
        fitting._write_curves(SimpleNamespace(out=out), SimpleNamespace(curves=[point]))  # type: ignore[arg-type]
        texts.append((out / "curves.csv").read_text())
    assert texts == ["step,accuracy,loss\n0,0.25,0.5\n"] * 2
