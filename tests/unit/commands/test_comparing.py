"""`compare` from words to exit code."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from dermae_bench.commands.comparing import compare_results, flips_asked
from dermae_bench.errors import DataError, UserError
from tests.result_folders import Folder, answers, images, pixels

WHICH = images()
OLD, NEW = answers(WHICH, 0.6, 1), answers(WHICH, 0.95, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("results") / "odd: name"
    made = Folder(path, metrics=("accuracy", "brier"))
    made.data = pixels(path, WHICH)
    made.row("old", WHICH, [OLD, OLD])
    made.row("new", WHICH, [NEW])
    made.distance("gan", [3.0])
    return made.write()


def policy(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(f"version: 1\nmetrics: {{accuracy: {text}}}\n")
    return path


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ("{gain: 0.01}", 0, "policy: GO"),
        ("{gain: 0.9}", 1, "policy: NO-GO"),
        ("{gain: 0.4}", 4, "policy: INCONCLUSIVE"),
        ("{margin: 0.0, at_least: 0.99}", 1, "policy: NO-GO"),
    ],
)
def test_a_policy_decides_the_exit_code(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, code: int, word: str
) -> None:
    assert compare_results([str(folder), "old", "new"], policy=policy(tmp_path, text)) == code
    out = capsys.readouterr().out
    assert word in out
    # "about 12 more lesions", and not the footer's words on them
    assert bool(re.search(r"about [\d,]+ more lesions", out.split(word)[1])) == (code == 4)


def test_a_policy_about_what_is_not_there(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nmetrics: {acuracy: {margin: 0}}\ntasks: [malignancy]\n")
    with pytest.raises(UserError, match="no column 'acuracy'"):
        compare_results([str(folder), "old", "new"], policy=path)


def test_the_table_fits_and_says_what_is_what(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare_results([f"{folder}:old", f"{folder}:new"], flips=("3",)) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines()[1:])) <= 120
    for words in (
        "A is the reference (old), B the candidate (new)",
        "old | train | malignancy -> new | train | malignancy",
        "90 images of 60 lesions; seeds: 2 of A, 1 of B",
        "told apart: B",
        "all seeds at once",
        "Holm's p over all 2 tests",
        "B right and A wrong, 3 of",
    ):
        assert words in " ".join(out.split())
    assert "never means equal" in out
    assert "A and B are equal" not in out


@pytest.mark.parametrize("words", [("{0}:old", "{0}:new"), ("{0}", "old", "new"), ("{0}:o*", "{0}:new | train")])
def test_ways_to_name_rows(folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    assert compare_results([word.format(folder) for word in words], form="json", metrics=("accuracy",)) == 0
    (pair,) = json.loads(capsys.readouterr().out)["pairs"]
    assert (pair["row_a"], pair["row_b"]) == ("old | train | malignancy", "new | train | malignancy")


def test_a_row_named_once_is_meant_on_both_sides(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare_results([f"{folder}:old", str(folder)], form="json", metrics=("accuracy",)) == 0
    (pair,) = json.loads(capsys.readouterr().out)["pairs"]
    assert pair["row_b"] == "old | train | malignancy"


def test_words_that_name_nothing(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        compare_results([str(tmp_path), f"{tmp_path}:x"])
    assert str(caught.value).count(str(tmp_path)) == 2
    for words in ([], [str(folder)], [str(folder), "a", "b", "c"], [f"{folder}:old", "a", "b"]):
        with pytest.raises(UserError, match="compare takes two words"):
            compare_results(words)


def test_a_first_word_that_is_no_results_folder_is_told_why(folder: Path, tmp_path: Path) -> None:
    old, file = tmp_path / "old", tmp_path / "file"
    old.mkdir()
    (old / "records.jsonl").touch()
    file.touch()
    for words, why in {
        (f"{tmp_path}/nope", "a", "b"): "the first of three words is no results folder:.*there is no such folder",
        (str(tmp_path), "a", "b"): "it has no evidence.json",
        (str(old), str(folder)): "as folders of older versions: `dermae-bench report SUITE` makes it again",
        (str(file), str(folder)): "file is a file",
        (str(folder), f"{folder}:"): "no row is named after the colon",
    }.items():
        with pytest.raises(DataError, match=f"(?s){why}"):
            compare_results(words)


def test_a_policy_is_wrong_in_itself_and_about_what_is_there_at_once(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nextra: 1\nmetrics: {auc: {margin: 0}, accuracy: {at_most: 1}}\n")
    with pytest.raises(UserError, match=r"(?s)unknown key 'extra'.*no column 'auc'.*say at_least.*3 errors"):
        compare_results([str(folder), "old", "new"], policy=path)


def test_json_and_csv_hold_every_test(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare_results([str(folder), "old", "new"], form="json", flips=("1",)) == 0
    about = json.loads(capsys.readouterr().out)
    accuracy = about["pairs"][0]["metrics"][0]
    assert about["tests"] == 2
    assert accuracy["difference"] == pytest.approx(accuracy["b"]["value"] - accuracy["a"]["value"])
    assert accuracy["words"] == "told apart: B"
    assert len(accuracy["a"]["seeds"]) == 2
    assert {flip["id"] for flip in about["pairs"][0]["flips"]["won"]} <= set(WHICH.ids)
    assert compare_results([str(folder), str(folder)], form="csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["row_a"].split(" |")[0], row["metric"], row["p"]) for row in rows] == [
        ("old", "accuracy", "1.0"),
        ("old", "brier", "1.0"),
        ("new", "accuracy", "1.0"),
        ("new", "brier", "1.0"),
        ("gan", "fd[x]", ""),
    ]


def test_pictures_go_where_they_may(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="made to be published"):
        compare_results([str(folder), "old", "new"], flips=(str(folder / "flips"),))
    out = tmp_path / "pictures"
    assert compare_results([str(folder), "old", "new"], metrics=("accuracy",), flips=(str(out),)) == 0
    told = capsys.readouterr().err
    written = sorted(out.iterdir())
    assert written
    assert all(path.name in told for path in written)
    assert "keep them out of what you publish" in told


def test_what_flips_asks_for() -> None:
    assert flips_asked(("5", "20")).listed == 20
    assert flips_asked(("all",)).listed > 100_000
    assert flips_asked(()).folder is None
    with pytest.raises(UserError, match="one folder"):
        flips_asked(("here", "there"))


def test_it_needs_no_torch(folder: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from dermae_bench.commands.comparing import compare_results; "
        "compare_results(sys.argv[1:]); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(folder), "old", "new"], check=True, capture_output=True, timeout=60)
