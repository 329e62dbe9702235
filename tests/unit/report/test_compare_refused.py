"""What is refused or left out, and how rows and columns are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compared_rows import NEW, OLD, WHICH, compared, line

from dermae_bench.errors import DataError, UserError
from dermae_bench.report.compare.comparison import compare
from dermae_bench.report.compare.outcome import Comparison
from dermae_bench.report.compare.policy import Criteria, Policy
from dermae_bench.report.compare.recorded import Results
from dermae_bench.report.compare.refusals import unlike
from dermae_bench.report.compare.sides import paired
from dermae_bench.report.compare.verdicts import judge
from tests.result_folders import Folder, answers, images, metric_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Folder(tmp_path_factory.mktemp("results") / "suite")
    made.row("old", WHICH, OLD)
    made.row("new", WHICH, NEW)
    made.distance("gan", [10.0, 14.0])
    made.distance("ddpm", [7.0, 8.0])
    return made.write()


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


def other_bins(tmp_path: Path, *metrics: str) -> tuple[Results, Results]:
    """Two folders whose ECEs are two metrics."""
    a, b = Folder(tmp_path / "a", metrics=metrics), Folder(tmp_path / "b", metrics=metrics)
    for made, logits in ((a, OLD), (b, NEW)):
        made.row("vit", WHICH, logits[:1])
    for about in b.records:
        if about["metric"] == "ece":
            about["identity"]["protocol"] = "10 bins"
    return Results(a.write()), Results(b.write())


def test_a_metric_that_is_another_one_on_each_side_is_left_out(tmp_path: Path) -> None:
    sides = other_bins(tmp_path, "accuracy", "brier", "ece")
    pairing = paired(*sides, None, None)
    found = compare(*sides, pairing, metric_of=metric_of)
    assert [one.metric for one in found.pairs[0].lines] == ["accuracy", "brier"]
    (left_out,) = found.left_out
    assert left_out.startswith("ece of vit | train | malignancy: protocol is top-label confidence")
    assert left_out.endswith("and 10 bins in B")
    with pytest.raises(DataError, match=r"(?s)protocol is .* --metric accuracy$"):
        compare(*sides, pairing, metric_of=metric_of, metrics=("accuracy", "ece"))
    held = Policy(version=1, metrics={"accuracy": Criteria(margin=0.9), "ece": Criteria(at_most=1.0)})
    judged = judge(compare(*sides, pairing, metric_of=metric_of, judged=tuple(held.metrics)), held)
    assert judged.verdict == "INCONCLUSIVE"
    assert left_out in judged.missing


def test_nothing_is_left_to_compare_where_every_metric_is_another_one(tmp_path: Path) -> None:
    sides = other_bins(tmp_path, "ece")
    with pytest.raises(DataError, match=r"protocol is .* in A and 10 bins in B"):
        compare(*sides, paired(*sides, None, None), metric_of=metric_of)


# -- rows and columns --------------------------------------------------------------------------------------------


def test_columns_that_do_not_exist_or_cannot_be_tested_are_errors(folder: Path) -> None:
    with pytest.raises(UserError, match="no column 'acuracy'") as caught:
        compared(folder, "old", "new", "sign-flip", "acuracy")
    assert "did you mean 'accuracy'" in str(caught.value)
    with pytest.raises(UserError, match=r"(?s)'f1', 'acc_uracy'.*'f1': say how .*f1-macro.*mean 'accuracy'.*columns"):
        compared(folder, "old", "new", "sign-flip", "f1", "acc_uracy")
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
    with pytest.raises(DataError, match="'vit-\\[bl\\]\\*' names 2 rows of malignancy:\\n      vit-b") as caught:
        paired(results, results, "vit-[bl]*", "resnet")
    assert "B: no row 'resnet'" in str(caught.value)
    with pytest.raises(DataError, match="no task in common"):
        paired(results, results, "vit-g", "vit-b")


def test_rows_are_named_with_any_spacing_and_near_names_are_told(tmp_path: Path) -> None:
    made = Folder(tmp_path / "r", metrics=("accuracy",))
    made.row("floor", WHICH, OLD[:1], kind="floor")
    for number in range(21):
        made.row(f"net-{number:02}", WHICH, OLD[:1])
    results = Results(made.write())
    for pattern in ("net-03|train", " net-03  |train |malignancy", "net-03|*"):
        assert paired(results, results, pattern, "net-04").pairs[0].a.row == "net-03 | train | malignancy"
    with pytest.raises(DataError) as caught:
        paired(results, results, "nett-03 | tran", "nothing like it")
    told = str(caught.value).splitlines()
    assert "did you mean 'net-03 | train' or " in told[1]
    assert told[2] == "  B: no row 'nothing like it'"
    rows = [text.strip() for text in told if text.endswith("| malignancy")]
    assert rows == [f"net-{number:02} | train | malignancy" for number in range(20)]
    assert "      ... 2 more" in told


def test_values_that_differ_behind_a_long_beginning_are_told_in_full() -> None:
    long = "the same words " * 10
    assert unlike({"protocol": f"{long}a"}, {"protocol": f"{long}b"}) == [("protocol", f"{long}a", f"{long}b")]
    assert unlike({"protocol": long}, {"protocol": "b"}) == [("protocol", f"{long[:57]}...", "b")]
