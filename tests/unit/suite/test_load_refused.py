"""Suites that do not load, and any change of a good one, are refused with a reason and a place."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from suite_files import EXAMPLE, HERE, SMALL, load, problems

from dermae_bench.errors import SuiteError
from dermae_bench.suite.yaml import read_text

BROKEN = sorted((HERE / "broken").glob("*.yaml"))


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
        (b"\xff\xfev\x00", "1:1: it is UTF-16"),
        (b"version: 1\nsuite: caf\xe9\n", "2:11: byte 0xe9 is not UTF-8"),
        (b"version: 1\n\x00", "2:1: a NUL byte: it is no text file, or it is UTF-16"),
        (b"[" * 10_000, "1:51: nested deeper than 50 levels"),
        (b"{a: " * 10_000, "1:201: nested deeper than 50 levels"),
        (b"- " * 10_000, "1:101: nested deeper than 50 levels"),
        (b"a: 1\n" * 250_000, "1:1: it has 1,250,000 bytes; at most 1,048,576 are read"),
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


def test_missing_file_names_a_near_one(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").write_text("")
    with pytest.raises(SuiteError, match=r"did you mean .*quickstart\.yaml"):
        load(tmp_path / "quikstart.yaml")
    with pytest.raises(SuiteError, match="1:1: it is a folder"):
        load(tmp_path)


@pytest.mark.parametrize("path", ["x" * 256, "/y" * 2048, "a/" + "\u00e4" * 128])
def test_a_path_that_no_file_can_have_is_the_users_mistake(path: str) -> None:
    (found,) = problems(SMALL, sets=[f"dataset.params.root={path}"])
    assert "is too long for a path" in found
    load(SMALL, sets=[f"dataset.params.root={path[:-1]}"])


@pytest.mark.parametrize("name", ["[ddpm]", "{a: ddpm}", "nobody", "1"])
@pytest.mark.parametrize("section", ["classifiers:\n  cnn:", "generators:\n  ddpm:"])
def test_a_joint_model_of_what_is_no_generator_is_refused(tmp_path: Path, name: str, section: str) -> None:
    path = tmp_path / "x.yaml"
    joint = f"classifiers:\n  joint: {{from: {{generator: {name}}}}}\n  cnn:"
    text = (
        SMALL.read_text().replace("classifiers:\n  cnn:", joint).replace("{classifiers: cnn,", "{classifiers: joint,")
    )
    path.write_text(text.replace(section, section.replace(":\n", ":\n  nobody: 3\n")))
    assert problems(path)


BEHIND = "; once mended, what depends on them is checked as well"


@pytest.mark.parametrize(
    ("wrong", "more"),
    [
        ("budgets.short.steps=x", False),
        ("rows.0.train=trian", False),
        ("dataset.plugin=phantm", True),
        ("dataset.params.image_size=x", True),
        ("image_sets.more=[more]", True),
        (f"seeds={list(range(9000))}", True),
        ("rows.0={classifiers: cnn, sweep: {samples: guided}}", True),
        ("subgroups=[[]]", True),
        ("sample_metrics.0={metric: kid, extractor: lite1, by: age}", True),
        ("image_sets.some={from: train, count: 5, task: diagnoses}", True),
        ("evaluate_on.clinic={plugin: phantm}", True),
        ("captions.said={template: '{age} {label}', words: 3}", True),
    ],
)
def test_it_is_told_where_more_may_come_to_light(wrong: str, more: bool) -> None:
    with pytest.raises(SuiteError) as caught:
        load(SMALL, sets=[wrong])
    assert str(caught.value).splitlines()[-1] == "1 error in the suite" + (BEHIND if more else "")
    assert (len(caught.value.problems), caught.value.exit_code) == (1, 2)


def test_what_depends_on_the_dataset_comes_to_light_once_that_is_mended() -> None:
    first = problems(SMALL, sets=["dataset.plugin=phantm", "tasks.1=malignant"])
    assert len(first) == 1 and "unknown dataset 'phantm'" in first[0]
    second = problems(SMALL, sets=["tasks.1=malignant"])
    assert len(second) == 1 and "'malignant'" in second[0]


def test_many_errors_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("".join(f"wrong{i}: 1\n" for i in range(1000)))
    assert problems(path)[-1].endswith("more errors; correct these first")


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


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
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


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
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
