"""`verify` as a command: which folder and store it takes, what it prints, how it leaves."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from dermae_bench.commands.verifying import verify_results
from dermae_bench.errors import UserError
from dermae_bench.report.verify.findings import Report


def call(what: Path, results: Path, **more: Any) -> int:
    words: dict[str, Any] = {"preset": None, "sets": (), "plugins_dir": None, "store": True, "form": "table", **more}
    return verify_results(what, results=results, **words)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the check was asked; it finds one thing wrong with a hostile name, and leaves one unchecked."""
    found: list[dict[str, Any]] = []

    def verify(folder: Path, **words: Any) -> Report:
        found.append({"folder": folder, **words})
        report = Report(folder=words["named"], without_store=words["without_store"])
        if "bad" in folder.name:
            report.differs("records", "row \x1b[2J", "value", 1.0, 2.0)
        report.skip("costs", "store", 3)
        return report

    monkeypatch.setattr("dermae_bench.report.verify.verify.verify", verify)
    return found


def test_a_folder_is_named_by_its_place_or_by_its_name(tmp_path: Path, asked: list[dict[str, Any]]) -> None:
    (tmp_path / "there" / "tiny").mkdir(parents=True)
    call(tmp_path / "there" / "tiny", tmp_path / "nowhere")
    call(Path("tiny"), tmp_path / "there")
    assert [item["folder"] for item in asked] == [tmp_path / "there" / "tiny"] * 2


def test_the_store_beside_the_folder_goes_before_the_one_of_results(
    tmp_path: Path, asked: list[dict[str, Any]]
) -> None:
    (tmp_path / "there" / "tiny").mkdir(parents=True)
    (tmp_path / "results" / "store").mkdir(parents=True)
    call(tmp_path / "there" / "tiny", tmp_path / "results")
    (tmp_path / "there" / "store").mkdir()
    call(tmp_path / "there" / "tiny", tmp_path / "results")
    call(tmp_path / "there" / "tiny", tmp_path / "results", store=False)
    assert [item["store"] for item in asked] == [tmp_path / "results" / "store", tmp_path / "there" / "store", None]
    assert [item["without_store"] for item in asked] == [False, False, True]


def test_exit_codes_and_what_is_printed(
    tmp_path: Path, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    assert call(tmp_path / "good", tmp_path) == 4
    assert "3 numbers need the store" in capsys.readouterr().out
    assert call(tmp_path / "good", tmp_path, store=False) == 0
    capsys.readouterr()
    assert call(tmp_path / "bad", tmp_path, store=False) == 1
    out = capsys.readouterr().out
    assert "here 1.0, should be 2.0" in out and "\x1b" not in out
    assert call(tmp_path / "bad", tmp_path, form="json") == 1
    assert json.loads(capsys.readouterr().out)["differences"] == {"records": 1}


@pytest.mark.parametrize("inside", ["", "own/"])
def test_an_archive_is_called_as_the_user_wrote_it(
    tmp_path: Path, inside: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as made:
        made.writestr(f"{inside}evidence.json", "{")
        made.writestr(f"{inside}SHA256SUMS", "")
    (tmp_path / "own.zip").write_bytes(held.getvalue())
    monkeypatch.chdir(tmp_path)
    for form in ("table", "json"):
        assert call(Path("own.zip"), tmp_path / "results", form=form) == 1
    out = capsys.readouterr().out
    assert "\nown.zip: 2 differences" in out and '"folder": "own.zip"' in out and "/dermae-" not in out


def test_texts_of_errors_hold_the_name_of_an_archive() -> None:
    report = Report(folder="own.zip", lies_at="/scratch/own")
    report.differs("scores", "score/x", "/scratch/own/predictions.parquet: no parquet table")
    report.skip("/scratch/own/suite.resolved.yaml", "plugin")
    assert report.findings[0].message == "own.zip/predictions.parquet: no parquet table"
    assert report.unchecked[0].what == "own.zip/suite.resolved.yaml"


def test_a_folder_that_is_not_there_is_named_as_it_was_written(tmp_path: Path) -> None:
    told = r"^results/nope is no results folder: there is no such folder, here or in .*own\n"
    with pytest.raises(UserError, match=told):
        call(Path("results/nope"), tmp_path / "own")
    with pytest.raises(UserError, match=r"/nope is no results folder: there is no such folder\n"):
        call(tmp_path / "nope", tmp_path)


def test_a_preset_belongs_to_a_suite(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--preset and --set belong to a suite"):
        call(tmp_path, tmp_path, preset="smoke")


def test_progress_is_for_a_terminal(tmp_path: Path, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch,
                                    capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    call(tmp_path, tmp_path)
    asked[0]["tell"](0, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    call(tmp_path, tmp_path)
    asked[1]["tell"](0, 2)
    assert "score 1 of 2" in capsys.readouterr().err
