"""Suites that are too long, too deep or too wide: loaded or refused in time proportional to their text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from suite_files import SMALL, load, problems

SECONDS = 2.0
"""Of processor time, for one suite."""
TEXT = SMALL.read_text()
ROWS = "\nrows:\n"


def more(section: str, lines: Iterable[str], text: str = TEXT) -> str:
    """The small suite with more entries in a section."""
    return text.replace(f"\n{section}:\n", f"\n{section}:\n" + "".join(f"  {line}\n" for line in lines), 1)


def taught(length: int) -> str:
    """A chain of classifiers, each taught by the next."""
    entry = "c{}: {{plugin: distilled, budget: short, params: {{arch: v}}, teacher: {{classifier: c{}, train: train}}}}"
    last = f"c{length}: {{plugin: timm, budget: short, params: {{arch: v}}}}"
    return more("classifiers", [*(entry.format(i, i + 1) for i in range(length)), last])


def nets(count: int) -> str:
    return more("classifiers", (f"n{i}: {{plugin: timm, budget: short, params: {{arch: v}}}}" for i in range(count)))


def listed(name: str, count: int) -> str:
    return "[" + ", ".join(f"{name}{i}" for i in range(count)) + "]"


def wide_sampling() -> str:
    text = more("generators", (f"g{i}: {{plugin: ddpm, budget: short}}" for i in range(3000)))
    ways = "[" + ", ".join(f"{{steps: {i + 1}}}" for i in range(3000)) + "]"
    return text.replace("[ddpm, guided]", listed("g", 3000)).replace("{sampler: ddim, steps: 5}", ways)


def samples_of_samples() -> str:
    text = more("generators", (f"g{i}: {{plugin: ddpm, budget: short, images: s{i}}}" for i in range(2000)))
    sets = (f"s{i}: [s{i - 1}, {{samples: g{i - 1}, count: 1}}]" for i in range(1, 2000))
    return more("image_sets", ["s0: train", *sets], text)


def wide_row() -> str:
    text = more("image_sets", (f"s{i}: train" for i in range(2000)), nets(2000))
    return more("rows", [f"- {{classifiers: {listed('n', 2000)}, train: {listed('s', 2000)}}}"], text)


def judged() -> str:
    judges = "{metric: class-agreement, judge: {classifier: c0, train: train}}, " * 4000
    return taught(28).replace("sample_metrics: [", f"sample_metrics: [{judges}")


CHAIN = "is the end of a chain of more than 30"
PARTS = "splits and samples; at most 200 are allowed"
CELLS = "at most 20,000 are planned"
REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    "teachers": (lambda: taught(3000), f"'c2970' {CHAIN}"),
    "teachers in a circle": (
        lambda: taught(3000).replace("c3000, train", "c0, train"),
        "goes in a circle: classifier 'c0' -> classifier 'c1'",
    ),
    "sets": (
        lambda: more("image_sets", ["s0: train", *(f"s{i}: [s{i - 1}]" for i in range(1, 3000))]),
        f"'s30' {CHAIN}",
    ),
    "sets in a circle": (
        lambda: more("image_sets", (f"s{i}: s{(i + 1) % 3000}" for i in range(3000))),
        "goes in a circle: image set 's0' -> image set 's1'",
    ),
    "sets twice in each other": (
        lambda: more("image_sets", ["s0: [train, val]", *(f"s{i}: [s{i - 1}, s{i - 1}]" for i in range(1, 25))]),
        f"'s7' consists of 256 {PARTS}",
    ),
    "samples of samples": (samples_of_samples, f"'s15' {CHAIN}"),
    "one wide row": (wide_row, f"these image sets consist of 2,000 {PARTS}"),
    "classifiers in every row": (
        lambda: more("rows", (f"- {{classifiers: {listed('n', 900)}, train: train}}" for i in range(40)), nets(900)),
        CELLS,
    ),
    "a hundred thousand rows": (
        lambda: more("rows", ["- {classifiers: cnn, train: train}"] * 100_000),
        "at most 1,048,576 are read",
    ),
    "ten thousand rows": (lambda: more("rows", ["- {classifiers: cnn}"] * 10_000), CELLS),
    "seeds": (lambda: TEXT.replace("[0, 1]", str(list(range(40_000)))), CELLS),
    "ways to sample": (wide_sampling, CELLS),
    "unknown metrics": (
        lambda: TEXT.replace("[accuracy, f1-macro]", listed("f", 20_000)),
        "unknown prediction metric 'f0'",
    ),
    "unknown keys of presets": (
        lambda: more("presets", (f"p{i}: {{shape: 1, tusks: 2}}" for i in range(5000)), f"{TEXT}\npresets:\n"),
        "unknown key 'shape'",
    ),
    "judges": (judged, "is given twice"),
    "values of subgroups": (
        lambda: f"{TEXT}\nsubgroups: [{{attribute: a, join: {{x: {listed('v', 20_000)}, y: [v0]}}}}]\n",
        "'v0' stands in two subgroups",
    ),
}
ALWAYS = ("teachers", "teachers in a circle", "sets", "one wide row", "unknown keys of presets")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.slow) for name in REFUSED]
)
def test_it_is_refused_at_once(tmp_path: Path, name: str) -> None:
    make, words = REFUSED[name]
    path = tmp_path / "x.yaml"
    path.write_text(make())
    began = time.process_time()
    found = problems(path)
    assert time.process_time() - began < SECONDS
    assert any(words in problem for problem in found), found[:3]


@pytest.mark.slow
def test_two_thousand_classifiers_in_two_thousand_rows_load(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(more("rows", (f"- {{classifiers: n{i}, train: train}}" for i in range(2000)), nets(2000)))
    began = time.process_time()
    assert len(load(path).suite.rows) == 2002
    assert time.process_time() - began < SECONDS


def test_a_chain_that_is_just_short_enough_loads(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(taught(29))
    load(path)
    path.write_text(taught(30))
    (found,) = problems(path)
    assert CHAIN in found
    # a circle has no length
    path.write_text(taught(40).replace("c40, train", "c0, train"))
    assert len(problems(path)) == 1
