"""Comparing rows: every number equals what statistics give, and what is unlike is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dermae_bench.errors import DataError, UserError
from dermae_bench.plugin.measures import Predictions
from dermae_bench.report.compare.answers import RESAMPLES
from dermae_bench.report.compare.comparison import compare
from dermae_bench.report.compare.outcome import Comparison, Line, Number, Verified
from dermae_bench.report.compare.procedures import Test
from dermae_bench.report.compare.recorded import Results
from dermae_bench.report.compare.sides import paired
from dermae_bench.scoring.resampling import resample
from dermae_bench.statistics.bootstrap import bca, standard_error
from dermae_bench.statistics.decisions import holm, minimal_detectable_effect
from dermae_bench.statistics.paired import delong, mcnemar, paired_bootstrap
from dermae_bench.statistics.randomisation import cluster_sign_flip, pseudo_value_sign_flip
from tests.result_folders import TASKS, Folder, answers, images, metric_of

WHICH = images()
"""90 images of 60 lesions."""
OLD = [answers(WHICH, 0.75, seed) for seed in (1, 2, 3)]
NEW = [answers(WHICH, 0.9, seed) for seed in (4, 5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Folder(tmp_path_factory.mktemp("results") / "suite")
    made.row("old", WHICH, OLD)
    made.row("new", WHICH, NEW)
    made.row("one", WHICH, OLD[:1])
    made.row("two", WHICH, NEW[:1])
    made.row("floor", WHICH, OLD[:1], kind="floor")
    made.distance("gan", [10.0, 14.0])
    made.distance("ddpm", [7.0, 8.0])
    return made.write()


def compared(folder: Path, a: str, b: str, test: Test = "sign-flip", *metrics: str, seed: int = 0) -> Comparison:
    results = Results(folder)
    pairing = paired(results, results, a, b)
    return compare(results, results, pairing, metric_of=metric_of, metrics=metrics, test=test, seed=seed)


def line(comparison: Comparison, metric: str) -> Line:
    return next(line for pair in comparison.pairs for line in pair.lines if line.metric == metric)


def predictions(logits: np.ndarray) -> Predictions:
    return Predictions(task=TASKS["malignancy"], ids=WHICH.ids, groups=WHICH.groups, labels=WHICH.labels, logits=logits)


def means(metric: str, every: list[np.ndarray], seed: int = 0) -> tuple[float, np.ndarray, np.ndarray]:
    """Value, replicates and jackknife of the mean over seeds, by the metric itself."""
    plugin = metric_of(metric, {})
    ones = np.ones((1, len(WHICH.ids)), dtype=np.float32)
    drawn = [resample(plugin, predictions(logits), RESAMPLES, seed) for logits in every]
    values = [plugin.resampled(predictions(logits), ones)[metric][0] for logits in every]  # type: ignore[index]
    assert all(one is not None for one in drawn)
    return (
        float(np.mean(values)),
        np.mean([one.replicates[metric] for one in drawn if one is not None], axis=0),
        np.mean([one.jackknife[metric] for one in drawn if one is not None], axis=0),
    )


def right(logits: np.ndarray) -> np.ndarray:
    return logits.argmax(axis=1) == WHICH.labels


# -- numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["accuracy", "brier"])
def test_the_difference_and_its_interval_are_of_the_means_over_seeds(folder: Path, metric: str) -> None:
    found = line(compared(folder, "old", "new", "sign-flip", metric), metric)
    a, b = means(metric, OLD), means(metric, NEW)
    assert found.difference == pytest.approx(b[0] - a[0])
    interval = bca(b[0] - a[0], b[1] - a[1], b[2] - a[2])
    assert interval is not None
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    error = standard_error(b[1] - a[1])
    assert error is not None
    assert found.error == pytest.approx(error)
    assert found.detectable == pytest.approx(minimal_detectable_effect(error))


def test_the_spread_over_seeds_stands_apart_from_the_error_over_test_sets(folder: Path) -> None:
    found = line(compared(folder, "old", "new", "sign-flip", "accuracy"), "accuracy")
    assert found.a is not None
    by_seed = [right(logits).mean() for logits in OLD]
    assert found.a.sd == pytest.approx(np.std(by_seed, ddof=1))
    assert found.a.error == pytest.approx(standard_error(means("accuracy", OLD)[1]))
    assert [seeds for seeds, _ in found.a.by_seed] == [{"classifier": seed} for seed in range(3)]


def test_sign_flips_of_accuracy_exchange_all_seeds_of_a_lesion_at_once(folder: Path) -> None:
    a, b = (np.mean([right(logits) for logits in every], axis=0) for every in (OLD, NEW))
    whole = cluster_sign_flip(6 * b, 6 * a, WHICH.groups)
    found = line(compared(folder, "old", "new", "sign-flip", "accuracy"), "accuracy").tests
    assert [(test.p, test.method, test.clustered) for test in found] == [(whole.p, whole.method, True)]
    assert "exact" in whole.method


def test_sign_flips_of_balanced_accuracy_weigh_classes(folder: Path) -> None:
    weights = 1 / np.bincount(WHICH.labels)[WHICH.labels]
    whole = cluster_sign_flip(right(NEW[0]), right(OLD[0]), WHICH.groups, weights, seed=3)
    (found,) = line(compared(folder, "one", "two", "sign-flip", "balanced-accuracy", seed=3), "balanced-accuracy").tests
    assert found.p == whole.p


@pytest.mark.parametrize("metric", ["auc-binary", "brier"])
def test_sign_flips_of_other_metrics_are_those_of_pseudo_values(folder: Path, metric: str) -> None:
    a, b = means(metric, OLD), means(metric, NEW)
    whole = pseudo_value_sign_flip(b[0] - a[0], b[2] - a[2], len(WHICH.ids))
    (found,) = line(compared(folder, "old", "new", "sign-flip", metric), metric).tests
    assert (found.p, found.method) == (whole.p, whole.method)


def test_the_bootstrap_is_the_paired_one(folder: Path) -> None:
    a, b = means("accuracy", OLD, 5), means("accuracy", NEW, 5)
    whole = paired_bootstrap(b[0] - a[0], b[1] - a[1], b[2] - a[2], len(WHICH.ids))
    (found,) = line(compared(folder, "old", "new", "bootstrap", "accuracy", seed=5), "accuracy").tests
    assert found.p == pytest.approx(whole.p)


@pytest.mark.parametrize(("test", "form"), [("mcnemar", "exact"), ("mcnemar-mid-p", "mid-p")])
def test_mcnemar_is_made_once_a_seed(folder: Path, test: Test, form: str) -> None:
    results = compared(folder, "one", "two", test)
    (found,) = line(results, "accuracy").tests
    whole = mcnemar(right(NEW[0]), right(OLD[0]), WHICH.groups, form)  # type: ignore[arg-type]
    assert (found.p, found.clustered, found.seeds) == (whole.p, False, "classifier 0")
    assert [line.metric for line in results.pairs[0].lines] == ["accuracy"]


def test_delong_is_of_the_positive_class(folder: Path) -> None:
    (found,) = line(compared(folder, "one", "two", "delong"), "auc-binary").tests
    margin_a, margin_b = (logits[:, 1] - logits[:, 0] for logits in (OLD[0], NEW[0]))
    assert found.p == pytest.approx(delong(margin_b, margin_a, WHICH.labels == 1, WHICH.groups).p)


def test_per_seed_tests_of_unequal_numbers_of_seeds_do_not_exist(folder: Path) -> None:
    found = line(compared(folder, "old", "new", "mcnemar"), "accuracy")
    assert found.tests == ()
    assert "A has 3 and B 2" in found.note
    assert found.words(0.05) == "no test"


def test_several_seeds_are_listed_and_never_pooled(folder: Path) -> None:
    found = line(compared(folder, "old", "old", "mcnemar"), "accuracy")
    assert [test.seeds for test in found.tests] == ["classifier 0", "classifier 1", "classifier 2"]
    assert found.words(0.05) == "told apart in 0 of 3 seeds"


def test_identical_rows_differ_by_nothing(folder: Path) -> None:
    for test in ("sign-flip", "bootstrap"):
        for found in compared(folder, "one", "one", test).pairs[0].lines:  # type: ignore[arg-type]
            assert (found.difference, found.low, found.high) == (0, 0, 0)
            assert [one.p for one in found.tests] == [1.0]
            assert found.words(0.05) == "not told apart"


def test_holm_is_over_all_tests_of_the_call(folder: Path) -> None:
    results = Results(folder)
    everything = paired(results, results, None, None)
    whole = compare(results, results, everything, metric_of=metric_of, metrics=("accuracy", "balanced-accuracy"))
    tests = [test for pair in whole.pairs for line in pair.lines for test in line.tests]
    assert whole.tests == len(tests) == 8
    assert [test.adjusted for test in tests] == holm([test.p for test in tests]).tolist()
    two = compared(folder, "one", "two", "sign-flip", "accuracy", "brier")
    tests = [test for line in two.pairs[0].lines for test in line.tests]
    assert [test.adjusted for test in tests] == holm([test.p for test in tests]).tolist()


def test_words_name_the_better_row_and_never_say_equal() -> None:
    made = Line(metric="m", unit="1", better="lower", n=4)
    assert made.words(0.05) == "no number"
    results = {"higher": "told apart: B", "lower": "told apart: A", "neither": "told apart"}
    one, two = (Number(value=value, by_seed=(({}, value),), sd=None) for value in (0.1, 0.2))
    tested = Verified(method="x", p=0.01, adjusted=0.05, clustered=True)
    for better, words in results.items():
        assert replace(made, better=better, a=one, b=two, tests=(tested,)).words(0.05) == words
        assert replace(made, better=better, a=one, b=two, tests=(tested,)).words(0.01) == "not told apart"


def test_generators_get_values_and_no_test(folder: Path) -> None:
    found = line(compared(folder, "gan", "ddpm"), "fd[x]")
    assert found.difference == -4.5
    assert (found.low, found.tests, found.detectable) == (None, (), None)
    assert "no pairs of images" in found.note
    assert found.b is not None
    assert found.b.sd == pytest.approx(np.std([7, 8], ddof=1))


def test_a_calibration_error_is_not_tested_where_its_draws_are_bent(tmp_path: Path) -> None:
    made = Folder(tmp_path / "r", metrics=("ece",))
    calm = [logits * 0.6 for logits in OLD[:1]]
    made.row("a", WHICH, calm)
    made.row("b", WHICH, [calm[0] + np.random.default_rng(0).normal(0, 0.1, calm[0].shape).astype(np.float32)])
    found = line(compared(made.write(), "a", "b"), "ece")
    assert found.tests == ()
    assert "would find differences that are not there" in found.note


# -- refusals ----------------------------------------------------------------------------------------------------


def two_folders(tmp_path: Path, a: Folder, b: Folder) -> Comparison:
    first, second = Results(a.write()), Results(b.write())
    return compare(first, second, paired(first, second, None, None), metric_of=metric_of)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data", "0000"),
        ("split_digest", "beef"),
        ("precision", "bf16"),
        ("reached", "derived from diagnosis"),
        ("leaky", "the paper's split"),
        ("classes", ["benign", "cancer"]),
        ("n", 12),
        ("protocol", "15 bins"),
    ],
)
def test_what_is_unlike_is_refused_by_name(tmp_path: Path, field: str, value: object) -> None:
    a, b = Folder(tmp_path / "a"), Folder(tmp_path / "b", facts={field: value})
    for made, logits in ((a, OLD), (b, NEW)):
        made.row("vit", WHICH, logits)
    with pytest.raises(DataError, match=f"{field} is .* in A and .* in B") as caught:
        two_folders(tmp_path, a, b)
    assert caught.value.exit_code == 2
    # protocols of metrics differ from each other, everything else is one finding over all of them
    assert field == "protocol" or "(4 numbers, e.g. accuracy of vit | train | malignancy)" in str(caught.value)


def test_everything_that_differs_is_told_at_once(tmp_path: Path) -> None:
    fewer = images(lesions=50)
    a, b = Folder(tmp_path / "a"), Folder(tmp_path / "b", facts={"precision": "bf16"})
    a.row("vit", WHICH, OLD)
    b.row("vit", fewer, [answers(fewer, 0.9, 1)])
    with pytest.raises(DataError) as caught:
        two_folders(tmp_path, a, b)
    text = str(caught.value)
    assert "precision is fp32 in A and bf16 in B" in text
    assert f"n is {len(WHICH.ids)} in A and {len(fewer.ids)} in B" in text
    assert "15 only in A (image-075, image-076, image-077, ...)" in text


def test_images_in_another_order_are_the_same_images(tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(len(WHICH.ids))
    mixed = replace(
        WHICH,
        ids=[WHICH.ids[i] for i in order],
        groups=[WHICH.groups[i] for i in order],
        labels=WHICH.labels[order],
    )
    a, b = Folder(tmp_path / "a"), Folder(tmp_path / "b")
    a.row("vit", WHICH, OLD[:1])
    b.row("vit", mixed, [OLD[0][order]])
    found = two_folders(tmp_path, a, b)
    for one in found.pairs[0].lines:
        assert one.difference == pytest.approx(0, abs=1e-12)
        assert one.tests[0].p == 1


@pytest.mark.parametrize("what", ["labels", "groups"])
def test_the_same_ids_with_other_truths_are_refused(tmp_path: Path, what: str) -> None:
    other = replace(WHICH, labels=1 - WHICH.labels) if what == "labels" else replace(WHICH, groups=WHICH.ids)
    a, b = Folder(tmp_path / "a"), Folder(tmp_path / "b")
    a.row("vit", WHICH, OLD[:1])
    b.row("vit", other, OLD[:1])
    with pytest.raises(DataError, match="labels of 90 images differ" if what == "labels" else "lesions of 90 images"):
        two_folders(tmp_path, a, b)


def test_a_record_that_its_answers_do_not_give_is_refused(tmp_path: Path) -> None:
    a = Folder(tmp_path / "a")
    a.row("old", WHICH, OLD[:1])
    a.row("new", WHICH, NEW[:1])
    a.records[0]["value"] += 0.01
    with pytest.raises(DataError, match=r"the record of A says .*, its answers give .*verify"):
        compared(a.write(), "old", "new")


def test_a_seed_that_failed_takes_the_number_away(tmp_path: Path) -> None:
    a = Folder(tmp_path / "a", metrics=("accuracy",))
    a.row("old", WHICH, OLD[:1], status="failed: out of memory")
    a.row("new", WHICH, NEW[:2])
    a.row("half", WHICH, NEW[:2])
    a.records.pop()
    folder = a.write()
    assert line(compared(folder, "old", "new", "sign-flip", "accuracy"), "accuracy").note == "A: failed: out of memory"
    half = line(compared(folder, "new", "half"), "accuracy")
    assert (half.note, half.b, half.words(0.05)) == ("B: 1 of 2 seeds are finished", None, "no number")


# -- rows and columns --------------------------------------------------------------------------------------------


def test_columns_that_do_not_exist_or_cannot_be_tested_are_errors(folder: Path) -> None:
    with pytest.raises(UserError, match="no column 'acuracy'") as caught:
        compared(folder, "old", "new", "sign-flip", "acuracy")
    assert "did you mean 'accuracy'" in str(caught.value)
    with pytest.raises(UserError, match="mcnemar is a test of accuracy alone, not of brier"):
        compared(folder, "old", "new", "mcnemar", "brier")
    with pytest.raises(UserError, match="delong is a test of auc-binary, which A and B do not both have"):
        compared(folder, "gan", "ddpm", "delong")


def test_whole_folders_pair_equal_names_and_list_the_rest(tmp_path: Path) -> None:
    a, b = Folder(tmp_path / "a"), Folder(tmp_path / "b")
    for made, other in ((a, "gone"), (b, "born")):
        made.row("vit", WHICH, OLD[:1])
        made.row("majority class", WHICH, OLD[:1], kind="floor")
        made.row(other, WHICH, OLD[:1])
    first, second = Results(a.write()), Results(b.write())
    found = paired(first, second, None, None)
    assert [pair.a.row for pair in found.pairs] == ["vit | train | malignancy"]
    assert (found.only_a, found.only_b) == (("gone | train | malignancy",), ("born | train | malignancy",))
    assert paired(first, second, "majority*", "majority*").pairs[0].a.kind == "floor"


def test_a_pattern_names_one_row_a_task(tmp_path: Path) -> None:
    many = images(classes=3)
    a = Folder(tmp_path / "a")
    for name in ("vit-b", "vit-l"):
        a.row(name, WHICH, OLD[:1])
        a.row(name, many, [answers(many, 0.8, 3, 3)], task="diagnosis")
    a.distance("vit-g", [1.0])
    results = Results(a.write())
    for pattern in ("vit-b", "vit-b | train", "*-b*", "vit-b | train | *"):
        assert [pair.a.row for pair in paired(results, results, pattern, "vit-l").pairs] == [
            "vit-b | train | malignancy",
            "vit-b | train | diagnosis",
        ]
    one = paired(results, results, "vit-b | train | diagnosis", "vit-l")
    assert [pair.b.row for pair in one.pairs] == ["vit-l | train | diagnosis"]
    assert one.only_b == ("vit-l | train | malignancy",)
    with pytest.raises(DataError, match="'vit-\\[bl\\]\\*' names 2 rows of malignancy: vit-b") as caught:
        paired(results, results, "vit-[bl]*", "resnet")
    assert "B: no row 'resnet'" in str(caught.value)
    with pytest.raises(DataError, match="no task in common"):
        paired(results, results, "vit-g", "vit-b")
