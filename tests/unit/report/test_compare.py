"""Comparing rows: every number equals what statistics give, and what is unlike is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compared_rows import NEW, OLD, WHICH, compared, line

from dermae_bench.builtin.metrics.operating_points import SpecificityAt95Sensitivity
from dermae_bench.plugin.measures import Predictions
from dermae_bench.report.compare.answers import RESAMPLES, Answered, Asked, Measured
from dermae_bench.report.compare.comparison import companions_of, compare
from dermae_bench.report.compare.lines import Column, one_number
from dermae_bench.report.compare.outcome import Companion, Line, Number, Verified
from dermae_bench.report.compare.procedures import Both, Test
from dermae_bench.report.compare.recorded import Results
from dermae_bench.report.compare.sides import paired
from dermae_bench.report.compare.text import terminal_comparison
from dermae_bench.scoring.resampling import Draws, resample
from dermae_bench.statistics.bootstrap import bca, standard_error
from dermae_bench.statistics.decisions import holm, minimal_detectable_effect
from dermae_bench.statistics.paired import delong, mcnemar, paired_bootstrap
from dermae_bench.statistics.randomisation import cluster_sign_flip, pseudo_value_sign_flip
from tests.result_folders import TASKS, Folder, answers, images, metric_of


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


def predictions(logits: np.ndarray) -> Predictions:
    return Predictions(task=TASKS["malignancy"], ids=WHICH.ids, groups=WHICH.groups, labels=WHICH.labels, logits=logits)


def means(metric: str, every: list[np.ndarray], seed: int = 0) -> tuple[float, np.ndarray, np.ndarray]:
    """Value, replicates and jackknife of the mean over seeds, by the metric itself."""
    plugin = metric_of(metric, {})
    ones = np.ones((1, len(WHICH.ids)), dtype=np.float32)
    draws = Draws(WHICH.groups, RESAMPLES, seed)
    drawn = [resample(plugin, predictions(logits), draws) for logits in every]
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


def test_one_number_under_two_names_is_tested_once(tmp_path: Path) -> None:
    made = Folder(tmp_path / "r", metrics=("accuracy", "auc-ovr-macro", "auc-binary", "brier"))
    made.row("old", WHICH, OLD)
    made.row("new", WHICH, NEW)
    found = compared(made.write(), "old", "new")
    lines = found.pairs[0].lines
    assert [one.same_as for one in lines] == ["", "", "auc-ovr-macro", ""]
    assert found.tests == 3
    assert lines[1].tests == lines[2].tests
    tests = [test for one in lines if not one.same_as for test in one.tests]
    assert [test.adjusted for test in tests] == holm([test.p for test in tests]).tolist()
    told = terminal_comparison(found, None, {}, 0, 120)
    assert "auc-ovr-macro is auc-binary here" in told
    assert "Holm's p over all 3 tests" in " ".join(told.split())


def test_columns_are_one_number_only_where_every_draw_agrees() -> None:
    draws = np.random.default_rng(0).random((2, 50))
    nobody = Answered(seeds=(), predictions=())
    measured = [Measured(replicates=row, jackknife=row[:9]) for row in draws]
    one = Both(answers=(nobody, nobody), measured=(measured[0], measured[0]), values=(0.4, 0.5))
    assert one_number(one, replace(one))
    assert not one_number(one, replace(one, measured=(measured[0], measured[1])))
    assert not one_number(one, replace(one, values=(0.4, 0.6)))


def test_what_a_frozen_threshold_reached_stands_beside(folder: Path) -> None:
    val = predictions(OLD[1])
    sides = [replace(predictions(logits[0]), validation=val) for logits in (OLD, NEW)]
    answered = [Answered(seeds=({},), predictions=(side,)) for side in sides]
    metric = SpecificityAt95Sensitivity(SpecificityAt95Sensitivity.Config())
    asked = Asked(plugin=metric.name, metric=metric, column="specificity-at-95-sensitivity")
    results = Results(folder)
    pair = paired(results, results, "old", "new").pairs[0]
    column = Column(pair=pair, records=((), ()), asked=asked, answers=(answered[0], answered[1]))
    (beside,) = companions_of(column, {"sensitivity-reached-at-95": "renamed"})
    reached = [metric.values(side)["sensitivity-reached-at-95"] for side in sides]
    assert (beside.metric, beside.a, beside.b, beside.differs) == ("renamed", *reached, reached[0] != reached[1])
    itself = replace(column, asked=replace(asked, column="sensitivity-reached-at-95"))
    plain = replace(column, asked=Asked(plugin="accuracy", metric=metric_of("accuracy", {}), column="accuracy"))
    assert companions_of(itself, {}) == companions_of(plain, {}) == ()
    whole = compared(folder, "old", "new", "sign-flip", "accuracy")
    shown = replace(whole.pairs[0].lines[0], companions=(Companion(metric="renamed", a=0.25, b=0.75),))
    told = terminal_comparison(replace(whole, pairs=(replace(whole.pairs[0], lines=(shown,)),)), None, {}, 0, 120)
    assert re.search(r"renamed +0\.250 +0\.750 +\+0\.500 +points differ", told)
    assert "and A (or B) is the better one" in " ".join(told.split())
    assert "stand at unlike operating points" in told


def test_a_task_without_the_metric_of_a_test_says_so(tmp_path: Path) -> None:
    many = images(classes=3)
    made = Folder(tmp_path / "r")
    for name in ("old", "new"):
        made.row(name, WHICH, OLD[:1])
        made.row(name, many, [answers(many, 0.8, 3, 3)], task="diagnosis")
    found = compared(made.write(), "old", "new", "delong")
    assert [pair.note for pair in found.pairs] == ["", "diagnosis: no auc-binary; delong needs it"]
    told = terminal_comparison(found, None, {}, 0, 120)
    assert told.count("Holm p") == 1
    assert "diagnosis: no auc-binary; delong needs it" in told
