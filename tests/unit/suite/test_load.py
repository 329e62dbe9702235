"""Suites that load, suites that do not, and what `--preset` and `--set` do to them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_catalog import TASKS, FakeCatalog, tasks_of
from hypothesis import given, settings
from hypothesis import strategies as st

from dermae_bench.errors import SuiteError
from dermae_bench.suite.known import data_findings
from dermae_bench.suite.lineage import row_tasks
from dermae_bench.suite.load import LoadedSuite, load_suite, refuse, results_name, settings_digest
from dermae_bench.suite.resolved import suite_schema, suite_to_yaml
from dermae_bench.suite.spec import PredictionMetricSpec, SamplesSpec
from dermae_bench.suite.yaml import read_text, scalar

HERE = Path(__file__).parent
EXAMPLE = HERE / "design_example.yaml"
SMALL = HERE / "good_small.yaml"
BROKEN = sorted((HERE / "broken").glob("*.yaml"))


def load(path: Path, **options: Any) -> LoadedSuite:
    return load_suite(path, catalog=FakeCatalog(), tasks_of=tasks_of, **options)


def problems(path: Path, **options: Any) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load(path, **options)
    assert caught.value.exit_code == 2
    assert "Traceback" not in str(caught.value)
    return [f"{p.place}: {p.message}" for p in caught.value.problems]


def test_there_are_enough_broken_suites() -> None:
    assert len(BROKEN) >= 34


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_broken_suite(path: Path) -> None:
    lines = path.read_text().splitlines()
    expected = [line.removeprefix("#: ").partition(" -- ") for line in lines if line.startswith("#: ")]
    assert expected
    with pytest.raises(SuiteError) as caught:
        load(path)
    found = caught.value.problems
    assert [f"{p.place.line}:{p.place.column} {p.message}" for p in found if p.place] == [
        head for head, _, _ in expected
    ]
    for problem, (_, _, hint) in zip(found, expected, strict=True):
        assert problem.place is not None
        assert problem.place.file == str(path)
        assert hint in (problem.hint or "")
        assert problem.source is None or problem.source[:20].strip("\ufffd ")[:2] in lines[problem.place.line - 1]
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "1:1: the file is empty"),
        (b"\xff\xfev\x00", "1:1: the file is UTF-16"),
        (b"version: 1\nsuite: caf\xe9\n", "2:11: byte 0xe9 is not UTF-8"),
        (b"version: 1\n\x00", "2:1: control character '\\x00' is not allowed"),
        (b"[" * 10_000, "1:51: nested deeper than 50 levels"),
        (b"{a: " * 10_000, "1:201: nested deeper than 50 levels"),
        (b"- " * 10_000, "1:101: nested deeper than 50 levels"),
        (b"a: 1\n" * 250_000, "1:1: the file is larger than 1 MiB"),
        (b"? [a]\n: 1\n", "1:3: a key is a word, not a list or a mapping"),
        (b"version: 1\nthreads: " + b"9" * 5000, f"2:10: expected a whole number, got text '{'9' * 60}'..."),
    ],
)
def test_unreadable_bytes(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    start = time.perf_counter()
    assert f"{path}:{message}" in problems(path)
    assert time.perf_counter() - start < 2


def test_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.read_bytes().replace(b"\n", b"\r\n"))
    assert load(path).suite == load(SMALL).suite


def test_missing_file_names_a_near_one(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").write_text("")
    with pytest.raises(SuiteError, match=r"did you mean .*quickstart\.yaml"):
        load(tmp_path / "quikstart.yaml")
    with pytest.raises(SuiteError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_many_errors_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("".join(f"wrong{i}: 1\n" for i in range(1000)))
    assert problems(path)[-1].endswith("more errors; correct these first")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("200_000", 200_000), ("0x10", 16), ("0o17", 15), ("-1.5E+3", -1500.0), ("1.", 1.0), (".5", 0.5)]
    + [(text, text) for text in ("no", "yes", "on", "12:30:00", "1.2.3", "2024-01-01", "1e", "-", "=", "0b1", "_1")]
    + [("~", None), ("", None), ("null", None), ("true", True), ("False", False)],
)
def test_scalars_are_yaml_1_2(text: str, value: Any) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_design_example_is_typed() -> None:
    loaded = load(EXAMPLE)
    suite = loaded.suite
    assert suite.seeds.classifier == (0, 1, 2)
    assert suite.budgets["ddpm"].ema == 0.9999
    assert suite.image_sets["balanced"] == (
        "train",
        SamplesSpec(
            samples="ddpm-conditional", per_class="balance", sampling={"sampler": "ddim", "steps": 50, "guidance": 1.0}
        ),
    )
    assert suite.classifiers["student-b0"].teacher is not None
    assert suite.generators["ddpm"].params["channels"] == [64, 128]
    assert loaded.presets == ("smoke", "small", "paper")
    assert results_name(loaded) == "ham10000"
    assert {given.at: given.text for given in loaded.paths} == {
        ("reference",): "results/reference/dermae_table1.csv",
        ("dataset", "params", "root"): "data/HAM10000",
    }
    assert all(given.absolute == Path.cwd() / given.text for given in loaded.paths)


def test_example_row_is_scored_on_the_tasks_it_has_labels_for() -> None:
    loaded = load(EXAMPLE)
    assert row_tasks(loaded.resolved, TASKS, "vit-b", "train") == ["diagnosis", "malignancy"]
    assert row_tasks(loaded.resolved, TASKS, "vit-b", "balanced") == ["malignancy"]


def test_loads_without_catalog_or_tasks() -> None:
    assert load_suite(EXAMPLE).suite.generators["ddpm"].params == {}


@pytest.mark.parametrize("path", [EXAMPLE, SMALL], ids=lambda path: path.stem)
def test_resolved_suite_loads_to_the_same(path: Path, tmp_path: Path) -> None:
    loaded = load(path)
    again = tmp_path / "suite.resolved.yaml"
    again.write_text(suite_to_yaml(loaded))
    assert load(again).suite == loaded.suite
    assert load(again).resolved == loaded.resolved


def test_resolved_suite_quotes_text_that_looks_like_a_number(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    odd = "description: '1e-4'\ntasks: ['0o7', 'no', 'null', '~', '1_0', \"a\\tb\\e\"]\n"
    path.write_text(SMALL.read_text().replace("tasks: [diagnosis, malignancy]\n", odd))
    loaded = load_suite(path)
    path.write_text(suite_to_yaml(loaded))
    assert load_suite(path).suite == loaded.suite


def test_derived_suite_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(SMALL.read_text().replace("resnet18}", "resnet18}, derive: diagnosis"))
    loaded = load(path)
    path.write_text(suite_to_yaml(loaded))
    assert load(path).suite == loaded.suite


def test_resolved_suite_tells_nothing_about_the_machine() -> None:
    root = "dataset.params.root="
    written = {}
    for text in ("data/x", "/home/me/HAM", "../shared/HAM/", "~/HAM", "a/../../b", "C:\\data\\HAM"):
        written[text] = yaml.safe_load(suite_to_yaml(load(EXAMPLE, sets=[root + text])))["dataset"]["params"]["root"]
    assert written == {
        "data/x": "data/x",
        "/home/me/HAM": "data/HAM",
        "../shared/HAM/": "data/HAM",
        "~/HAM": "data/HAM",
        "a/../../b": "data/b",
        "C:\\data\\HAM": "data/HAM",
    }


def test_order_of_keys_and_written_defaults_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    tree = yaml.safe_load(SMALL.read_text())
    tree["threads"] = 1
    tree["generators"]["ddpm"]["params"] = {"weight": 0}
    turned = json.loads(json.dumps(tree), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    path.write_text(json.dumps(turned))
    assert load(path).suite == load(SMALL).suite


PRESETS = """presets:
  smoke:
    seeds: [7]
    budgets: {short: {steps: 2}}
    prediction_metrics: [accuracy]
    generators: {ddpm: {params: {weight: 2}}}
"""


@pytest.fixture
def with_presets(tmp_path: Path) -> Path:
    path = tmp_path / "x.yaml"
    path.write_text(SMALL.read_text().replace("seeds: [0, 1]", "seeds: {generator: [3, 4]}") + PRESETS)
    return path


def test_preset_merges_deeply(with_presets: Path) -> None:
    loaded = load(with_presets, preset="smoke")
    assert loaded.suite.seeds.generator == (3, 4)
    assert loaded.suite.seeds.classifier == (7,)
    assert (loaded.suite.budgets["short"].steps, loaded.suite.budgets["short"].batch_size) == (2, 4)
    assert loaded.suite.prediction_metrics == (PredictionMetricSpec(metric="accuracy"),)
    assert loaded.suite.generators["ddpm"].params["weight"] == 2.0
    assert results_name(loaded) == "small-smoke"


def test_unknown_preset_lists_presets(with_presets: Path) -> None:
    with pytest.raises(SuiteError, match=r"did you mean 'smoke'\? presets of this suite: smoke"):
        load(with_presets, preset="smoek")
    with pytest.raises(SuiteError, match="presets of this suite: none"):
        load(SMALL, preset="smoke")


def test_errors_in_a_preset_are_placed_in_it(with_presets: Path) -> None:
    with_presets.write_text(with_presets.read_text().replace("steps: 2}", "steps: two}"))
    line = with_presets.read_text()[: with_presets.read_text().index("steps: two")].count("\n") + 1
    assert problems(with_presets, preset="smoke") == [
        f"{with_presets}:{line}:30: expected a whole number, got text 'two'"
    ]


def test_settings_are_yaml_1_2_scalars_and_flow_values() -> None:
    sets = [
        "budgets.short.ema=9e-1",
        "rows.1.train=[train]",
        'description="a: b"',
        "tasks.1=malignancy",
        "classifiers.vit={plugin: timm, budget: short, params: {arch: vit}}",
        "dataset.params.root=my # folder: 1",
        "generators.guided.params.prediction=x0",
        "classifiers.vit.params.arch=no",
        "rows.0.classifiers=vit",
    ]
    suite = load(SMALL, sets=sets).suite
    assert suite.budgets["short"].ema == 0.9
    assert suite.rows[1].train == ("train",)
    assert suite.description == "a: b"
    assert suite.classifiers["vit"].params["arch"] == "no"
    assert suite.dataset.params["root"] == "my # folder: 1"
    assert suite.generators["guided"].params["prediction"] == "x0"


def test_a_home_folder_of_nobody_is_a_name() -> None:
    loaded = load(SMALL, sets=["dataset.params.root=~nobody-of-that-name/x"])
    assert [given.absolute for given in loaded.paths] == [Path.cwd() / "~nobody-of-that-name" / "x"]


def test_names_with_dots_are_found_by_settings(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(SMALL.read_text().replace("cnn", "cnn.v2.1"))
    assert load(path, sets=["classifiers.cnn.v2.1.params.lr=1"]).suite.classifiers["cnn.v2.1"].params["lr"] == 1.0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("a", "1:1: expected KEY.KEY=VALUE"),
        ("a..b=1", "1:1: expected KEY.KEY=VALUE"),
        ("dataset.parms.root=x", "1:9: unknown key 'parms'"),
        ("budgets.short.steps=ten", "1:21: expected a whole number, got text 'ten'"),
        ("rows.9.train=x", "1:6: no item '9' in the list rows"),
        ("rows.x=1", "1:6: no item 'x' in the list rows"),
        ("suite.x=1", "1:7: suite is text 'small': nothing can be set inside it"),
        ("rows=[1", "1:6: not valid YAML: while parsing a flow sequence: did not find expected ',' or ']'"),
        ("rows.0={classifiers: cnn, train: trian}", "1:34: unknown image set 'trian'"),
        ("rows.0=[*a]", "1:9: alias *a is not allowed"),
        ("presets.a=1", "1:1: presets cannot be set"),
        ("threads=.nan", "1:9: expected a whole number, got nan"),
    ],
)
def test_wrong_settings_have_places(setting: str, message: str) -> None:
    assert f"--set {setting}:{message}" in problems(SMALL, sets=[setting])


def test_settings_that_change_only_paths_add_no_digest(with_presets: Path) -> None:
    def digest(*sets: str, path: Path = EXAMPLE) -> str | None:
        return settings_digest(load(path, sets=sets))

    assert digest() is None
    assert digest("dataset.params.root=/elsewhere") is None
    assert digest("dataset.params.image_size=256", "reference=x.csv") is None
    assert digest("dataset.params.root=null") is not None
    changed = digest("dataset.params.image_size=64")
    assert changed is not None
    assert len(changed) == 8
    assert digest("dataset.params.root=/elsewhere", "dataset.params.image_size=64") == changed
    assert digest("threads=2", "dataset.params.image_size=64") == digest("dataset.params.image_size=64", "threads=2")
    assert digest("threads=2") != changed
    loaded = load(with_presets, preset="smoke", sets=["threads=2"])
    assert results_name(loaded) == f"small-smoke-{settings_digest(loaded)}"


def test_a_missing_key_may_come_from_a_setting(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(SMALL.read_text().replace("suite: small\n", ""))
    assert results_name(load(path, sets=["suite=mine"])).startswith("mine-")


def test_joint_generators(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    text = SMALL.read_text().replace("ddpm-conditional", "joint-diffusion")
    text = text.replace("  cnn:", "  both: {from: {generator: guided}}\n  cnn:")
    path.write_text(text + "rows2: 1\n")
    path.write_text(text.replace("{classifiers: cnn, train: train}", "{classifiers: [cnn, both], train: train}"))
    assert load(path).suite.classifiers["both"].from_ is not None
    path.write_text(text.replace("{classifiers: cnn, train: more}", "{classifiers: [both], train: more}"))
    assert "which is fitted on other images than this row says" in problems(path)[0]
    path.write_text(text.replace("task: diagnosis", "task: malignancy"))
    assert "no map leads to task 'diagnosis'" in problems(path)[0]


def test_teacher_needs_labels_too(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    teacher = (
        "resnet18}, teacher: {classifier: vit, train: more}}\n  vit: {plugin: timm, budget: short, params: {arch: v}}"
    )
    path.write_text(SMALL.read_text().replace("task: diagnosis", "task: malignancy").replace("resnet18}}", teacher))
    assert any("(for the teacher of 'cnn')" in problem for problem in problems(path))


def data_problems(tmp_path: Path, attributes: Any = None, **changes: Any) -> list[str]:
    """What is told of a suite once the data are known."""
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(SMALL.read_text()), **changes}))
    loaded = load(path)
    try:
        refuse(loaded, data_findings(loaded.resolved, FakeCatalog(), TASKS, attributes))
    except SuiteError as error:
        assert all(problem.place is not None for problem in error.problems)
        return [problem.message for problem in error.problems]
    return []


def test_what_the_images_cannot_give_is_told_with_places(tmp_path: Path) -> None:
    attributes = {"sex": "text", "age": "number"}
    by = [{"metric": "kid", "extractor": "lite0", "by": name} for name in ("class", "site", "age")]
    asked = ["sex", {"attribute": "age", "bands": [40, 60]}]
    assert data_problems(tmp_path, attributes, subgroups=asked) == []
    wrong = ["age", "hair", {"attribute": "sex", "bands": [1]}]
    assert data_problems(tmp_path, attributes, subgroups=wrong, sample_metrics=by) == [
        "the images have no attribute 'site'",
        "attribute 'age' is a number, and needs bands to be divided",
        "attribute 'age' is a number, and needs bands to be divided",
        "the images have no attribute 'hair'",
        "attribute 'sex' is no number, and has no bands",
    ]
    # nobody knows yet
    assert data_problems(tmp_path, None, subgroups=wrong, sample_metrics=by) == []


def test_what_needs_a_class_needs_a_generator_that_is_asked_for_one(tmp_path: Path) -> None:
    metrics = [
        {"metric": "fd", "extractor": "lite0"},
        {"metric": "kid", "extractor": "lite0", "by": "class"},
        {"metric": "cas", "classifier": "cnn"},
    ]
    both, one = ([{"samples": names, "count": 10}] for names in (["ddpm", "guided"], ["ddpm"]))
    assert data_problems(tmp_path, sample_metrics=metrics, generator_rows=both) == []
    assert data_problems(tmp_path, sample_metrics=metrics, generator_rows=one) == [
        f"{what} needs a generator that is asked for a class, and no generator row has one"
        for what in ("by: class", "cas")
    ]


def test_a_positive_class_is_needed_somewhere(tmp_path: Path) -> None:
    metrics = ["accuracy", "auc-binary"]
    assert data_problems(tmp_path, prediction_metrics=metrics) == []
    expected = ["'auc-binary' is about a positive class, and no task of this suite has one"]
    assert data_problems(tmp_path, prediction_metrics=metrics, tasks=["diagnosis"]) == expected


def test_long_chain_of_teachers(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    words = "plugin: distilled, budget: short, params: {{arch: v}}, teacher: {{classifier: c{}, train: train}}"
    line = "  c{}: {{" + words + "}}\n"
    chain = "".join(line.format(i, i + 1) for i in range(3000))
    path.write_text(
        SMALL.read_text().replace(
            "  cnn:", f"{chain}  c3000: {{plugin: timm, budget: short, params: {{arch: v}}}}\n  cnn:"
        )
    )
    load(path)
    path.write_text(path.read_text().replace("c3000, train: train", "c0, train: train"))
    assert len(problems(path)) == 1


def long_suite(rows: int) -> str:
    """About `rows` lines, as a person writes them."""
    head, tail = SMALL.read_text().split("classifiers:\n", 1)
    entry = "  net{}:\n    plugin: timm\n    budget: short\n    params: {{arch: resnet18, lr: 1e-4}}\n"
    return head + "classifiers:\n" + "".join(entry.format(i) for i in range(rows // 4)) + tail


def test_two_thousand_lines_load_quickly(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(long_suite(2000))
    best = min(_seconds(path) for _ in range(5))
    # 60 ms is the goal on a quiet machine; a loaded one is no reason to fail
    assert best < 0.3, f"{best * 1e3:.0f} ms"


def _seconds(path: Path) -> float:
    start = time.perf_counter()
    load(path)
    return time.perf_counter() - start


def test_loading_imports_nothing_heavy() -> None:
    code = (
        "import sys; from pathlib import Path; from dermae_bench.suite.load import load_suite\n"
        f"load_suite(Path({str(EXAMPLE)!r}))\n"
        "print(sorted({'torch', 'pandas', 'numpy', 'pyarrow', 'pluggy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['pluggy']")


def test_schema_for_editors_is_plain_json() -> None:
    schema = suite_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert schema["required"] == ["version", "suite", "dataset", "tasks"]
    assert [member["type"] for member in schema["properties"]["seeds"]["anyOf"]] == ["object", "array"]
    assert schema["properties"]["classifiers"]["additionalProperties"]["properties"]["from"]["anyOf"]


TREE = yaml.safe_load(EXAMPLE.read_text())
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**20),
    st.floats(),
    st.sampled_from(
        ["train", "test", "balanced", "ddpm", "vit-b", "", "x", "\x1b[2J", "best:", "best:f1", "~", "a" * 200]
    ),
    st.lists(st.sampled_from(["train", "pool", "ddpm", 1]), max_size=3),
    st.dictionaries(
        st.sampled_from(["from", "samples", "plugin", "count", "\x1b[2J", "teacher"]), st.integers(0, 3), max_size=3
    ),
)


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, inner in items for place in _places(inner, (*at, key)))]


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.sampled_from(_places(TREE)[1:]), LEAVES, st.booleans()), min_size=1, max_size=4))
def test_a_changed_suite_loads_or_says_why(tmp_path_factory: pytest.TempPathFactory, changes: list[Any]) -> None:
    tree = json.loads(json.dumps(TREE))
    for place, leaf, remove in changes:
        holder = tree
        try:
            for step in place[:-1]:
                holder = holder[step]
            if remove:
                del holder[place[-1]]
            else:
                holder[place[-1]] = leaf
        except (KeyError, IndexError, TypeError):
            # an earlier change took this place away
            continue
    _loads_or_says_why(tmp_path_factory, yaml.safe_dump(tree, allow_unicode=True).encode())


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_changed_bytes_load_or_say_why(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    text = bytearray(EXAMPLE.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(text) - 1))
        length = data.draw(st.integers(0, 8))
        chunk = data.draw(
            st.one_of(
                st.binary(max_size=4), st.sampled_from([b"[", b"}", b"&a ", b"*a", b"\n", b"\t", b"'", b"- ", b": "])
            )
        )
        text[start : start + length] = chunk
    _loads_or_says_why(tmp_path_factory, bytes(text))


def _loads_or_says_why(folder: pytest.TempPathFactory, data: bytes) -> None:
    path = folder.getbasetemp() / "changed.yaml"
    path.write_bytes(data)
    try:
        load(path, preset="smoke", sets=["threads=2"])
    except SuiteError as error:
        assert error.problems
        assert all(p.place is None or (p.place.line >= 1 and p.place.column >= 1) for p in error.problems)
        assert "\x1b" not in str(error)


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    root, found = read_text(text, "x")
    assert root is not None or found
