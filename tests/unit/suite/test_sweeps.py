"""Sweeps: rows over amounts of real and generated images, each point costing what is new alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from suite_files import load, problems
from words import SWEEP, keys, measured, planned, swept, tree, written

from dermae_bench.errors import SuiteError
from dermae_bench.suite.resolved import suite_to_yaml
from dermae_bench.suite.sweeps import MOST_POINTS


def test_a_sweep_is_a_row_a_point(tmp_path: Path) -> None:
    found = planned(tmp_path, swept({**SWEEP, "synthetic_n": [30]}, tasks=["diagnosis"], evaluate_on=None))
    assert measured(found) == [
        "cnn | train-40 | diagnosis | none | 40 | 0",
        "cnn | train-40 + flow-20 | diagnosis | flow | 40 | 0.5",
        "cnn | train | diagnosis | none | all | 0",
        "cnn | train + flow-x0.5 | diagnosis | flow | all | 0.5",
        "cnn | flow-30 | diagnosis | flow | 0 | n=30",
    ]
    assert found.row("cnn | train-40 + flow-20").names == {
        "classifier": "cnn", "train": "train-40 + flow-20", "task": "diagnosis",
        "generator": "flow", "real": "40", "ratio": "0.5",
    }  # fmt: skip
    trained = found["train/classifier/cnn/train-40 + flow-20/diagnosis/seed=1,generator-seed=0"]
    chosen = {"fraction": None, "count": 40, "per_class": None, "task": None, "seed": 0}
    assert trained.work["images"] == [{"split": "train", "choose": chosen}, {"samples": "samples0"}]
    assert trained.inputs["samples0"].work["count"] == 20
    # of all 100 training images half as many again
    whole = found["train/classifier/cnn/train + flow-x0.5/diagnosis/seed=0,generator-seed=0"]
    assert (whole.work["images"][0], whole.inputs["samples0"].work["count"]) == ({"split": "train"}, 50)


def test_the_same_numbers_balanced_by_other_tasks_are_other_sets(tmp_path: Path) -> None:
    """Two generators of two tasks, each with its real images in equal classes of its own."""
    suite = swept(
        {"samples": "flow", "real_n": [40], "ratio": [0, 1], "balance": "diagnosis"},
        {"samples": "bin", "real_n": [40], "ratio": [0, 1], "balance": "malignancy"},
        tasks=["malignancy"], evaluate_on=None,
    )  # fmt: skip
    suite["generators"]["bin"] = {**suite["generators"]["flow"], "task": "malignancy"}
    assert measured(planned(tmp_path, suite)) == [
        "cnn | train-40-even-diagnosis | malignancy | none | 40, in equal classes of diagnosis | 0",
        "cnn | train-40-even-diagnosis + flow-40-even | malignancy | flow | 40, in equal classes of diagnosis | 1",
        "cnn | train-40-even-malignancy | malignancy | none | 40, in equal classes of malignancy | 0",
        "cnn | train-40-even-malignancy + bin-40-even | malignancy | bin | 40, in equal classes of malignancy | 1",
    ]


def test_samples_alone_in_equal_classes_are_on_no_line_with_others(tmp_path: Path) -> None:
    suite = swept(
        {"samples": "flow", "synthetic_n": [30, 60]},
        {"samples": "flow", "synthetic_n": [90], "balance": "diagnosis"},
        tasks=["diagnosis"], evaluate_on=None,
    )  # fmt: skip
    assert measured(planned(tmp_path, suite)) == [
        "cnn | flow-30 | diagnosis | flow | 0 | n=30",
        "cnn | flow-60 | diagnosis | flow | 0 | n=60",
        "cnn | flow-90-even | diagnosis | flow, in equal classes of diagnosis | 0 | n=90",
    ]


@pytest.mark.parametrize(
    ("axis", "new", "fits"),
    [
        # two real_n, two tasks, two seeds; 20 and 100 images are drawn
        ({"ratio": [0, 0.5, 1]}, {"sample": 2, "train": 8}, 8),
        ({"real_n": [40, 80, "all"]}, {"sample": 1, "train": 8}, 8),
        ({"synthetic_n": [30]}, {"sample": 1, "train": 4}, 4),
        ({"samples": ["flow", "gan"]}, {"sample": 2, "train": 9}, 8),
        ({"control": "augmented"}, {"train": 8}, 8),
    ],
)
def test_a_point_more_costs_what_is_new_alone(
    tmp_path: Path, axis: dict[str, Any], new: dict[str, int], fits: int
) -> None:
    before = planned(tmp_path, swept(SWEEP))
    after = planned(tmp_path, swept({**SWEEP, **axis}))
    assert keys(before) < keys(after)
    added = [stage for stage in after.stages if stage.key not in keys(before)]
    # what is drawn is linted; a fit is predicted on val, test and the other set, and scored on the latter two
    assert {kind: sum(stage.kind == kind for stage in added) for kind in new} == new
    lints = [stage for stage in added if stage.name.startswith("score/leakage/")]
    assert len(lints) == new.get("sample", 0)
    assert sum(stage.kind == "predict" for stage in added) == 3 * fits
    assert sum(stage.kind == "score" for stage in added) - len(lints) == 2 * fits
    assert {stage.kind for stage in added} <= {"sample", "train", "predict", "score", "cost"}
    assert set(measured(before)) < set(measured(after))


def test_exactly_the_stages_of_a_new_ratio(tmp_path: Path) -> None:
    before = planned(tmp_path, swept(SWEEP))
    after = planned(tmp_path, swept({**SWEEP, "ratio": [0, 0.5, 1]}))
    names = {stage.name for stage in after.stages if stage.key not in keys(before)}
    assert names == {name for name in after.table() if "flow-40" in name or "flow-x1" in name or "count=40/" in name
                     or "count=100/" in name}  # fmt: skip


def test_a_sweep_and_the_same_rows_by_hand_are_one_work(tmp_path: Path) -> None:
    sets = {
        "some": {"from": "train", "count": 40},
        "mixed": [{"from": "train", "count": 40}, {"samples": "flow", "count": 20}],
        "more": ["train", {"samples": "flow", "ratio": 0.5}],
        "drawn": {"samples": "flow", "count": 30},
    }
    rows = [{"classifiers": "cnn", "train": name} for name in ["train", *sets]]
    rows += [{"classifiers": "augmented", "train": name} for name in ("some", "train")]
    sweep = planned(tmp_path, swept({**SWEEP, "synthetic_n": [30], "control": "augmented"}))
    by_hand = planned(tmp_path, tree(image_sets=sets, rows=rows))
    assert keys(sweep) == keys(by_hand)
    assert len(measured(sweep)) == len(measured(by_hand))


def test_the_order_of_values_changes_no_key_and_no_row(tmp_path: Path) -> None:
    one = planned(tmp_path, swept({"samples": ["flow", "gan"], "real_n": [10, 20, "all"], "ratio": [0, 0.5, 2]}))
    two = planned(tmp_path, swept({"samples": ["gan", "flow"], "real_n": ["all", 20, 10], "ratio": [2.0, 0, 0.5]}))
    assert keys(one) == keys(two)
    assert sorted(measured(one)) == sorted(measured(two))


def test_sweeps_share_their_points_of_real_images_alone(tmp_path: Path) -> None:
    both = planned(tmp_path, swept(SWEEP, {**SWEEP, "samples": "gan"}))
    together = planned(tmp_path, swept({**SWEEP, "samples": ["flow", "gan"]}))
    assert keys(both) == keys(together)
    assert sorted(measured(both)) == sorted(measured(together))
    assert len(set(measured(both))) == len(measured(both))
    # one is swept where the other is its control
    rows = [
        {"classifiers": "cnn", "sweep": {**SWEEP, "control": "augmented"}},
        {"classifiers": "augmented", "sweep": dict(SWEEP)},
    ]
    crossed = planned(tmp_path, tree(rows=rows))
    assert len([row for row in measured(crossed) if row.startswith("augmented | train-40 | diagnosis | none")]) == 1


def test_two_ways_to_draw_stay_apart(tmp_path: Path) -> None:
    fast, slow = {"sampler": "ddim", "steps": 5}, {"sampler": "ddim", "steps": 50}
    sweeps = [{**SWEEP, "ratio": [0.5], "sampling": how} for how in (fast, slow)]
    found = planned(tmp_path, swept(*sweeps, tasks=["diagnosis"], evaluate_on=None))
    rows = measured(found)
    assert len(rows) == 4 == len(set(rows))
    steps = {
        row: found.row(row).cells[0].models[0].inputs["samples0"].work["sampling"]["steps"]
        for row in rows if "train-40" in row
    }  # fmt: skip
    assert steps == {
        "cnn | train-40 + flow-20-sampler-ddim-steps-5 | diagnosis | flow, sampler-ddim-steps-5 | 40 | 0.5": 5,
        "cnn | train-40 + flow-20-sampler-ddim-steps-50 | diagnosis | flow, sampler-ddim-steps-50 | 40 | 0.5": 50,
    }
    # words that no name can have are a digest
    odd = planned(tmp_path, swept({**SWEEP, "sampling": {"guidance": 1.5, "sampler": "ddim", "steps": 500}}))
    assert any(row.startswith("cnn | train-40 + flow-20-") and "sampler" not in row for row in measured(odd))


def test_what_is_asked_for_in_other_words_is_another_curve(tmp_path: Path) -> None:
    captions = {name: {"template": f"{name} {{label}} lesion", "task": "diagnosis"} for name in ("a", "one")}
    sweeps = [{**SWEEP, "samples": "text", "ratio": [0.5], "captions": name} for name in captions]
    given = {**tree()["captions"], **captions}
    found = planned(tmp_path, swept(*sweeps, tasks=["diagnosis"], evaluate_on=None, captions=given))
    axes = {row.names["generator"] for row in found.rows if row.names.get("ratio") == "0.5"}
    assert axes == {"text, captions a", "text, captions one"}
    assert len(measured(found)) == 4 == len(set(measured(found)))


def test_another_seed_chooses_other_real_images_and_draws_the_same(tmp_path: Path) -> None:
    one, two = planned(tmp_path, swept(SWEEP)), planned(tmp_path, swept({**SWEEP, "seed": 7}))
    assert one.table("sample") == two.table("sample")
    assert {name for name in two.table("train") if "train-40" in name} == {
        name.replace("train-40", "train-40-seed7") for name in one.table("train") if "train-40" in name
    }
    assert not {k for n, k in one.table("train").items() if "train-40" in n} & set(two.table("train").values())
    assert one.table("train").items() >= {(n, k) for n, k in two.table("train").items() if "train-40" not in n}


@pytest.mark.parametrize("ratio", [1e6, 1e-5, 0.12345671, 1.0, 4e8])
def test_any_ratio_has_a_name_of_its_own(tmp_path: Path, ratio: float) -> None:
    near = ratio * 1.0000001 if ratio < 1 else ratio * 2
    suite = swept({"samples": "flow", "ratio": [ratio, near]}, tasks=["diagnosis"], evaluate_on=None)
    told = [float(row.rpartition(" | ")[2]) for row in measured(planned(tmp_path, suite, counts=None))]
    assert told == [ratio, near]


def test_points_of_two_seeds_are_points_of_two_curves(tmp_path: Path) -> None:
    found = planned(tmp_path, swept(SWEEP, {**SWEEP, "seed": 3}, tasks=["diagnosis"], evaluate_on=None))
    places = {(row.names["real"], row.names["ratio"]) for row in found.rows if row.names.get("real")}
    assert {real for real, _ in places} >= {"40", "40, seed 3"}


def test_a_generator_called_none_would_be_taken_for_no_generator(tmp_path: Path) -> None:
    suite = swept({**SWEEP, "samples": "none"})
    suite["generators"]["none"] = suite["generators"]["flow"]
    with pytest.raises(SuiteError, match="a point without generated images"):
        planned(tmp_path, suite)


@pytest.mark.parametrize("ratio", [1e308, 1e10])
def test_a_ratio_beyond_all_reason_is_out_of_range(tmp_path: Path, ratio: float) -> None:
    with pytest.raises(SuiteError, match="is out of range: at most 1e\\+09"):
        planned(tmp_path, swept({**SWEEP, "ratio": [0, ratio]}))


def test_the_resolved_suite_is_the_same_suite(tmp_path: Path) -> None:
    suite = swept({**SWEEP, "control": "augmented"}, {**SWEEP, "samples": "gan", "sampling": {"steps": 5}})
    first = planned(tmp_path, suite)
    text = suite_to_yaml(first.loaded)
    again = planned(tmp_path, yaml.safe_load(text))
    assert (again.loaded.suite, again.loaded.resolved) == (first.loaded.suite, first.loaded.resolved)
    assert (again.table(), [row.row for row in again.rows]) == (first.table(), [row.row for row in first.rows])
    assert suite_to_yaml(again.loaded) == text


def test_settings_and_presets_reach_into_a_sweep(tmp_path: Path) -> None:
    suite = swept(SWEEP, presets={"small": {"rows": [{"classifiers": "cnn", "sweep": {**SWEEP, "real_n": [10]}}]}})
    plain = planned(tmp_path, suite)
    longer = planned(tmp_path, suite, sets=["rows.0.sweep.ratio=[0, 0.5, 1]"])
    assert longer.table() == planned(tmp_path, swept({**SWEEP, "ratio": [0, 0.5, 1]})).table()
    assert longer.loaded.digest and not plain.loaded.digest
    # what does not change the rows has the digest of nothing changed
    assert planned(tmp_path, suite, sets=["rows.0.sweep.ratio=[0, 0.5]"]).loaded.digest is None
    small = planned(tmp_path, suite, preset="small")
    assert {row.split(" | ")[4] for row in measured(small) if "other" not in row} == {"10"}
    smaller = planned(tmp_path, suite, preset="small", sets=["rows.0.sweep.ratio=[0]"])
    assert {row.split(" | ")[-1] for row in measured(smaller)} == {"0"}


def test_mistakes_stand_where_they_were_written(tmp_path: Path) -> None:
    suite = swept({**SWEEP, "control": ["augmented"]}, tasks=["diagnosis"])
    suite["rows"].append({"classifiers": "cnn", "train": "few"})
    path = written(tmp_path, suite)
    lines = path.read_text().splitlines()
    loaded = load(path)
    # rows 0..5 of the plan are entry 0 of the file
    for at, text in (((6, "train"), "few"), ((1, "classifiers", 0), "augmented"), ((0, "classifiers"), "cnn")):
        place = loaded.problem(("rows", *at), "x").place
        assert place is not None and lines[place.line - 1].endswith(text), at
    drawn = loaded.problem(("image_sets", "flow-x0.5", "ratio"), "x").place
    assert drawn is not None and "samples: flow" in lines[drawn.line - 1]
    own = loaded.problem(("image_sets", "tenth", "fraction"), "x").place
    assert own is not None and lines[own.line - 1].endswith("fraction: 0.1")


def test_a_sweep_of_too_much_is_refused_at_once(tmp_path: Path) -> None:
    many = list(range(1, 2001))
    start = time.perf_counter()
    (found,) = problems(written(tmp_path, swept({**SWEEP, "real_n": many, "ratio": [0, *many]})))
    assert f"4,002,000 points; at most {MOST_POINTS} are planned" in found
    sweeps = [{"samples": "flow", "synthetic_n": list(range(i * 400 + 1, i * 400 + 401))} for i in range(30)]
    (found,) = problems(written(tmp_path, swept(*sweeps)))
    assert "the sweeps up to here have 4,400 points; at most 4,000 are planned" in found
    assert time.perf_counter() - start < 6


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 10**12), st.floats(), st.sampled_from(["flow", "all", "cnn", "x", ""]),
    st.lists(st.one_of(st.integers(-1, 50), st.floats(0, 3), st.sampled_from(["all", "flow", "cnn"])), max_size=3),
    st.dictionaries(st.sampled_from(["samples", "ratio", "steps", "from", "train"]), st.integers(0, 3), max_size=2),
)  # fmt: skip
SAID = [
    ("rows", 1, "sweep", "samples"), ("rows", 1, "sweep", "real_n"), ("rows", 1, "sweep", "ratio"),
    ("rows", 1, "sweep", "synthetic_n"), ("rows", 1, "sweep", "control"), ("rows", 1, "sweep", "sampling"),
    ("rows", 1, "sweep", "seed"), ("rows", 1, "sweep", "balance"), ("rows", 1, "sweep", "captions"),
    ("rows", 1, "sweep"), ("rows", 1, "point"), ("rows", 1, "classifiers"), ("rows", 1, "train"), ("rows",),
    ("image_sets",), ("image_sets", "few"), ("image_sets", "tenth"), ("image_sets", "tenth", "from"),
    ("image_sets", "tenth", "fraction"), ("image_sets", "tenth", "per_class"), ("image_sets", "tenth", "task"),
    ("evaluate_on",), ("evaluate_on", "other"), ("evaluate_on", "other", "params"), ("evaluate_on", "other", "plugin"),
    ("evaluate_on", "other", "subgroups"), ("extractors", "tuned", "from"), ("extractors", "tuned", "from", "train"),
    ("extractors", "tuned", "from", "classifier"), ("extractors", "tuned", "from", "task"), ("captions",),
    ("captions", "said"), ("captions", "said", "template"), ("captions", "said", "words"), ("captions", "said", "file"),
    ("captions", "said", "task"), ("generators", "text", "captions"), ("generators", "text", "task"), ("budgets",),
    ("generators", "flow"), ("classifiers", "cnn"), ("classifiers", "cnn", "budget"), ("dataset", "params"), ("seeds",),
]  # fmt: skip


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.sampled_from(SAID), LEAVES), min_size=1, max_size=4))
def test_whatever_is_said_loads_or_is_told_why(tmp_path_factory: pytest.TempPathFactory, changes: list[Any]) -> None:
    suite = tree()
    for place, leaf in changes:
        holder: Any = suite
        try:
            for step in place[:-1]:
                holder = holder[step]
            holder[place[-1]] = leaf
        except (KeyError, IndexError, TypeError):
            # an earlier change took this place away
            continue
    folder = tmp_path_factory.getbasetemp()
    try:
        loaded = load(written(folder, suite))
    except SuiteError as error:
        assert all(p.place is None or (p.place.line >= 1 and p.place.column >= 1) for p in error.problems)
        return
    again = load(written(folder, yaml.safe_load(suite_to_yaml(loaded))))
    assert again.suite == loaded.suite
