"""Results and stores in places with names that no program likes."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from dermae_bench.errors import OK, STORAGE, USAGE
from tests.counting import record_count
from tests.e2e.conftest import Bench, Ran, bench, finished, suite, tiny  # noqa: F401 (fixtures)

HOSTILE = (
    "with space", "new\nline", "q'u\"o`te", "\U0001f9a0", "e\u0301", "\u00e9", "\u202eRTL", "n" * 255, "n" * 256,
    "-rf", "--help", "CON", "con", "a/" * 1990 + "x", os.fsdecode(b"bad\xff\xfe"), "=cmd|' /C calc'!A0", "%s%n",
    "{x}", "\x1b[2J\x1b]0;owned\x07", "$HOME", "~", "*", "a\\b", " ", "a\tb", "\u200bzero", "{{7*7}}", "<script>",
    "store", "\u2028", "a;rm -rf x", "..\\..", "x" * 50 + "/" + "y" * 254,
)  # fmt: skip
ALPHABET = "ab \n\t'\"\\%*?<>|&;$!~#\x01\x1b\x7f\u0301\u00e9\u202e\u200b\u2028\U0001f9a0\udcff=-.{}[]"


def generated(count: int) -> list[str]:
    """More of the kind, by chance; two of them may look alike and are not."""
    chance = random.Random(3)
    found = []
    while len(found) < count:
        name = "".join(chance.choices(ALPHABET, k=chance.randint(1, 40)))
        if name not in {".", ".."} and name.strip():
            found.append(name)
    return found


def ask(bench: Bench, name: str, *words: str) -> Ran:  # noqa: F811
    ran = bench(*words, f"--results={name}")
    assert ran.code in {OK, USAGE, STORAGE}, (name, words, ran.err)
    assert "Traceback" not in ran.err
    for text in (ran.out, ran.err):
        assert not {c for c in text if (ord(c) < 32 and c != "\n") or 0x202A <= ord(c) <= 0x202E}, (name, words)
    return ran


def test_commands_that_read_bear_any_name(bench: Bench) -> None:  # noqa: F811
    for name in HOSTILE:
        assert ask(bench, name, "list").code in {OK, STORAGE}
        ask(bench, name, "clean")
    assert ask(bench, "with space", "clean").code == USAGE


@pytest.mark.slow
def test_two_hundred_names(bench: Bench, suite: object, tmp_path: Path) -> None:  # noqa: F811
    assert callable(suite)
    suite()
    names = [*HOSTILE, *generated(200 - len(HOSTILE))]
    for name in names:
        for words in (
            ["list"],
            ["plan", "tiny.yaml", "--no-costs"],
            ["validate", "tiny.yaml"],
            ["report", "tiny.yaml"],
        ):
            ask(bench, name, *words)
    record_count("hostile places of results", len(names))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.yaml"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["with space", "new\nline", "\U0001f9a0" * 60, "-rf", "e\u0301"])
def test_a_run_bears_any_name(bench: Bench, finished: Ran, tmp_path: Path, name: str) -> None:  # noqa: F811
    (tmp_path / "results").rename(tmp_path / name)
    store = tmp_path / name / "store"
    # one stage has to be done there, by a process of its own
    (done,) = list((store / "score").iterdir())[:1]
    shutil.rmtree(done)
    ran = ask(bench, name, "run", "tiny.yaml")
    assert ran.code == OK, ran.err
    assert ", 1 done, 0 failed" in ran.err
    assert (done / "manifest.json").is_file()


@pytest.mark.slow
def test_no_stage_runs_in_a_place_that_is_not_utf_8(bench: Bench, finished: Ran, tmp_path: Path) -> None:  # noqa: F811
    name = os.fsdecode(b"bad\xff")
    (tmp_path / "results").rename(tmp_path / name)
    (done,) = list((tmp_path / name / "store" / "score").iterdir())[:1]
    shutil.rmtree(done)
    ran = ask(bench, name, "run", "tiny.yaml")
    assert ran.code == STORAGE
    assert "the path is not UTF-8" in ran.err
    # what is there can be looked at
    assert "tiny" in ask(bench, name, "list").out


def test_names_that_look_alike_are_two_places(bench: Bench, finished: Ran, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "results").rename(tmp_path / "e\u0301")
    assert "tiny" in ask(bench, "e\u0301", "list").out
    assert "(no results yet)" in ask(bench, "\u00e9", "list").out
