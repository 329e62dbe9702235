"""`resources:`: what is understood, what is refused, and that no key and no name depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from suite_files import SMALL, load, problems

from dermae_bench.suite.load import results_name, settings_digest
from dermae_bench.suite.resolved import suite_schema, suite_to_yaml
from dermae_bench.suite.resources import Limits, duration_words, limits_by_kind, size_words
from dermae_bench.suite.spec import Resources, StageResources


def written(folder: Path, resources: str) -> Path:
    path = folder / "x.yaml"
    path.write_text(f"{SMALL.read_text()}resources: {resources}\n")
    return path


def test_without_a_word_only_silence_is_limited() -> None:
    assert set(limits_by_kind(Resources()).values()) == {Limits(silence=3600.0)}


def test_a_kind_has_its_own_limits_where_it_says_so(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, "{wall: 24h, mem: 8GiB, train: {wall: 3d, mem: 16GiB}, score: {silence: off}}"))
    found = limits_by_kind(loaded.suite.resources)
    assert found["sample"] == Limits(wall=86_400, silence=3600, memory=8 << 30)
    assert found["train"] == Limits(wall=3 * 86_400, silence=3600, memory=16 << 30)
    assert found["score"] == Limits(wall=86_400, silence=None, memory=8 << 30)
    assert set(found) == {"prepare", "train", "sample", "extract", "predict", "score", "cost"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5h", 5400), ("30m", 1800), ("2 d", 172_800), ("0.5", 0.5), ("12H", 43_200)],
)
def test_durations(tmp_path: Path, text: str, seconds: float) -> None:
    assert limits_by_kind(load(written(tmp_path, f"{{wall: {text}}}")).suite.resources)["train"].wall == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("12GiB", 12 << 30), ("800MiB", 800 << 20), ("16GB", 16 * 10**9), ("2000000", 2_000_000), ("1.5gib", 3 << 29)],
)
def test_sizes(tmp_path: Path, text: str, size: int) -> None:
    assert limits_by_kind(load(written(tmp_path, f"{{mem: {text}}}")).suite.resources)["train"].memory == size


@pytest.mark.parametrize(
    ("resources", "place", "words"),
    [
        ("{wall: 3 weeks}", 13, "wall: text '3 weeks' is no time"),
        ("{wall: 0}", 13, "wall: 0.0 is out of range"),
        ("{wall: -5}", 13, "out of range"),
        ("{wall: 1e300}", 13, "out of range"),
        ("{silence: 5GiB}", 13, "silence: text '5GiB' is no time"),
        ("{mem: 12}", 13, "no stage runs in less than 1 MiB"),
        ("{mem: lots}", 13, "mem: text 'lots' is no size"),
        ("{train: {wall: soon}}", 13, "wall: text 'soon' is no time"),
        ("{wall: [1]}", 13, "expected text, a number or null, got a list"),
        ("{wall: true}", 13, "got true"),
        ("{wal: 1h}", 13, "unknown key 'wal'"),
        ("{gpus: 1}", 13, "'gpus' is reserved, but not yet built"),
        ("{train: {nodes: 2}}", 13, "'nodes' is reserved, but not yet built"),
        ("{fit: {wall: 1h}}", 13, "unknown key 'fit'"),
        ("5", 12, "expected a mapping, got 5"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, resources: str, place: int, words: str) -> None:
    path = written(tmp_path, resources)
    (problem,) = problems(path)
    line = len(path.read_text().splitlines())
    assert problem.startswith(f"{path}:{line}:")
    assert int(problem.split(":")[2]) >= place
    assert words in problem


def test_no_name_depends_on_it(tmp_path: Path) -> None:
    bare = load(SMALL)
    loaded = load(SMALL, sets=["resources.wall=2h", "resources.train.mem=1GiB"])
    assert loaded.suite.resources == Resources(wall="2h", train=StageResources(mem="1GiB"))
    assert settings_digest(loaded) is None
    assert results_name(loaded) == results_name(bare)


def test_it_is_published_and_comes_back(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, "{wall: 24h, train: {wall: 3d}}"))
    text = suite_to_yaml(loaded)
    assert yaml.safe_load(text)["resources"]["train"]["wall"] == "3d"
    again = tmp_path / "again.yaml"
    again.write_text(text)
    assert load(again).suite.resources == loaded.suite.resources
    assert "train" in suite_schema()["properties"]["resources"]["properties"]


def test_words() -> None:
    assert [duration_words(s) for s in (90, 3600, 172_800, 0.5, 61)] == ["90s", "1h", "2d", "0.5s", "61s"]
    assert [size_words(n) for n in (12 << 30, 800 << 20, 5)] == ["12 GiB", "800 MiB", "5 bytes"]
