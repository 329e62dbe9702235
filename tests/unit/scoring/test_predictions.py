"""From answers to records: identity, intervals, subgroups, and what does not exist."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermae_bench.builtin.metrics.classification import Accuracy, BalancedAccuracy
from dermae_bench.builtin.metrics.operating_points import SpecificityAt95Sensitivity
from dermae_bench.errors import UserError
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.measures import Predictions
from dermae_bench.scoring.deriving import derive
from dermae_bench.scoring.predictions import score_predictions
from dermae_bench.scoring.subgroups import UNKNOWN, in_words, subgroups

DIAGNOSIS = Task(name="diagnosis", classes=("mel", "nv", "bcc"))
MALIGNANCY = Task(
    name="malignancy",
    classes=("benign", "malignant"),
    positive="malignant",
    parent="diagnosis",
    mapping={"mel": "malignant", "bcc": "malignant", "nv": "benign"},
)
TASKS = {"diagnosis": DIAGNOSIS, "malignancy": MALIGNANCY}
METRICS: Mapping[str, Any] = {
    "accuracy": Accuracy,
    "balanced-accuracy": BalancedAccuracy,
    "specificity-at-95-sensitivity": SpecificityAt95Sensitivity,
}
PREPARED = {
    "data": "d1", "split_rule": "by lesion", "split_digest": "s1", "leaky": None, "resize": "none", "size": 32,
}  # fmt: skip


def said(task: Task = DIAGNOSIS, count: int = 90, seed: int = 0, **more: Any) -> Predictions:
    """Answers of which about two thirds are right, three photographs a lesion."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, len(task.classes), count)
    logits = draw.normal(size=(count, len(task.classes))).astype(np.float32)
    logits[np.arange(count), labels] += 1
    groups = [f"lesion-{i // 3}" for i in range(count)]
    ids = [f"image-{i}" for i in range(count)]
    return Predictions(task=task, ids=ids, groups=groups, labels=labels, logits=logits, **more)


def scored(predictions: Predictions, *metrics: str, trained: Task = DIAGNOSIS, **work: Any) -> Any:
    about = {
        "metrics": [{"metric": name, "params": {}} for name in metrics], "rename": {}, "images": "test",
        "facts": {"precision": "fp32"}, "resamples": 300, "subgroups": [], "unvalidated": None,
        "trained": {"name": trained.name}, **work,
    }  # fmt: skip
    return score_predictions(about, predictions, PREPARED, lambda name, params: METRICS[name](METRICS[name].Config()))


def test_a_record_says_all_that_must_be_equal() -> None:
    predictions = said()
    found = scored(predictions, "accuracy", "balanced-accuracy")
    first, second = found.summary["records"]
    identity = first["identity"]
    assert identity["average"] == "micro" and second["identity"]["average"] == "macro"
    for name in ("split_digest", "data", "precision", "leaky", "image_size", "resize", "groups", "reached", "images"):
        assert name in identity
    assert identity["groups"] == 30 and first["n"] == 90
    assert first["value"] == pytest.approx((predictions.logits.argmax(1) == predictions.labels).mean())
    assert first["low"] < first["value"] < first["high"] and first["error"] > 0
    assert np.sum(found.summary["confusion"]) == 90
    assert found.summary["per_class"]["recall"] == pytest.approx(
        [(predictions.logits.argmax(1)[predictions.labels == c] == c).mean() for c in range(3)]
    )
    assert found.replicates.shape == (2, 300) and found.jackknife.shape == (2, 30)
    assert found.summary["columns"] == ["accuracy", "balanced-accuracy"]


def test_a_derived_task_is_another_identity_and_its_positive_class_stands_where_it_matters() -> None:
    derived = derive(said(validation=said(seed=1)), MALIGNANCY, TASKS)
    assert derived.validation is not None and derived.validation.task is MALIGNANCY
    found = scored(derived, "accuracy", "specificity-at-95-sensitivity")
    accuracy, specificity = found.summary["records"][:2]
    assert accuracy["identity"]["reached"] == "derived from diagnosis"
    assert accuracy["identity"]["positive_class"] is None
    assert specificity["identity"]["positive_class"] == "malignant"
    assert specificity["value"] is not None


def test_confident_answers_keep_their_order_when_they_are_derived() -> None:
    draw = np.random.default_rng(0)
    sure = said()
    # 100 to 300 nats between classes: probabilities are 0 and 1 in float32, and their order is not lost
    logits = (sure.logits * 100).astype(np.float32)
    derived = derive(replace(sure, logits=logits), MALIGNANCY, TASKS)
    exact = np.logaddexp(logits[:, 0].astype(float), logits[:, 2].astype(float)) - logits[:, 1]
    gap = derived.logits[:, 1].astype(float) - derived.logits[:, 0]
    assert np.allclose(gap, exact, rtol=1e-5, atol=1e-4)
    assert len(np.unique(gap)) == len(gap)
    # and where nothing is extreme, sums of probabilities are what they were
    calm = derive(sure, MALIGNANCY, TASKS)
    assert np.allclose(calm.probabilities[:, 1], sure.probabilities[:, [0, 2]].sum(axis=1), atol=1e-6)
    # a constant of an image changes nothing
    moved = derive(replace(sure, logits=sure.logits + draw.normal(size=(90, 1)).astype(np.float32)), MALIGNANCY, TASKS)
    assert np.allclose(moved.logits[:, 1] - moved.logits[:, 0], calm.logits[:, 1] - calm.logits[:, 0], atol=1e-4)


def test_a_number_that_does_not_exist_leaves_the_others() -> None:
    two = said()
    absent = two.at(np.flatnonzero(two.labels != 2))
    found = scored(absent, "accuracy", "balanced-accuracy")
    accuracy, balanced = found.summary["records"]
    assert accuracy["value"] is not None
    assert balanced["value"] is None and "no image of bcc" in balanced["reason"]
    assert found.summary["columns"] == ["accuracy"] and len(found.replicates) == 1
    # a threshold that cannot be frozen is no threshold
    why = "it has learnt from val"
    asked = scored(derive(said(), MALIGNANCY, TASKS), "specificity-at-95-sensitivity", unvalidated=why)
    assert {r["reason"] for r in asked.summary["records"]} == {why}


def test_where_nothing_varies_there_is_no_interval() -> None:
    right = said()
    right.logits[np.arange(90), right.labels] += 100
    (record,) = scored(right, "accuracy").summary["records"]
    assert record["value"] == 1 and record["low"] is None and record["high"] is None


def test_a_class_that_resamples_lose_is_told() -> None:
    assert scored(said(), "accuracy").summary["warnings"] == []
    rare = said()
    rare.labels[rare.labels == 2] = 0
    rare.labels[:3] = 2
    summary = scored(rare, "balanced-accuracy").summary
    (text,), (record,) = summary["warnings"], summary["records"]
    # one lesion of thirty is left out of (29/30)^30 = 36 % of the resamples
    share = int(text.split("in ")[1].split("%")[0])
    assert 28 <= share <= 44 and "means over classes have no interval" in text
    assert record["value"] is not None and record["low"] is None and record["high"] is None


def test_the_interval_of_a_constant_answer_does_not_lean_to_the_class_that_it_says() -> None:
    # a replicate that keeps one class of two is no replicate of a mean over both: of it, this classifier had all right
    few = said(DIAGNOSIS, 24)
    few.labels[:] = 0
    few.labels[3:12] = 1
    few.labels[12:15] = 2
    few.logits[:] = [1, 0, 0]
    (record,) = scored(few, "balanced-accuracy").summary["records"]
    assert record["value"] == pytest.approx(1 / 3) and (record["low"], record["high"]) == (None, None)


def test_subgroups_add_up_and_have_identities_of_their_own() -> None:
    sexes = ["female", "male", None] * 30
    predictions = said(attributes={"sex": sexes, "age": [float(i) for i in range(90)]})
    asked = [
        {"attribute": "sex", "bands": None, "join": {}},
        {"attribute": "age", "bands": [30, 60], "join": {}},
    ]
    found = scored(predictions, "accuracy", subgroups=asked).summary
    whole = found["records"][0]
    by_sex, by_age = found["subgroups"][:3], found["subgroups"][3:]
    assert [r["identity"]["subgroup"]["value"] for r in by_sex] == ["female", "male", UNKNOWN]
    assert [r["identity"]["subgroup"]["value"] for r in by_age] == ["below 30", "30 to below 60", "60 and over"]
    for records in (by_sex, by_age):
        assert sum(r["n"] for r in records) == 90
        assert sum(r["n"] * r["value"] for r in records) == pytest.approx(90 * whole["value"])
    assert by_age[0]["identity"]["groups"] == 10 and by_sex[0]["identity"] != whole["identity"]


@given(
    ages=st.lists(st.one_of(st.none(), st.floats(0, 120)), min_size=1, max_size=60),
    bands=st.lists(st.integers(1, 119), min_size=1, max_size=5, unique=True).map(sorted),
)
@settings(max_examples=60, deadline=None)
def test_every_image_is_in_one_band(ages: Sequence[float | None], bands: list[int]) -> None:
    words = in_words({"attribute": "age", "bands": bands, "join": {}}, ages)
    assert len(words) == len(ages)
    assert [word == UNKNOWN for word in words] == [age is None for age in ages]
    # an older patient is never in an earlier band
    order = [f"below {bands[0]}", *(f"{a} to below {b}" for a, b in itertools.pairwise(bands)),
             f"{bands[-1]} and over"]  # fmt: skip
    known = sorted((age, order.index(word)) for age, word in zip(ages, words, strict=True) if age is not None)
    assert [place for _, place in known] == sorted(place for _, place in known)
    assert all((age >= bands[-1]) == (place == len(bands)) for age, place in known)


def test_values_are_joined_and_what_cannot_be_divided_is_told() -> None:
    tones = {"attribute": "tone", "bands": None, "join": {"A": ["I", "II"], "C": ["V", "VI"]}}
    assert in_words(tones, ["I", "II", "III", "VI", None]) == ["A", "A", "III", "C", UNKNOWN]
    with pytest.raises(UserError, match="needs bands"):
        in_words({"attribute": "age", "bands": None, "join": {}}, [3.0, None])
    with pytest.raises(UserError, match="is no number"):
        in_words({"attribute": "sex", "bands": [3], "join": {}}, ["male"])
    with pytest.raises(UserError, match="have no attribute 'site'"):
        subgroups(said(), {"attribute": "site", "bands": None, "join": {}})
