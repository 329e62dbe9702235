"""`export`: tables by command; archives that are equal, whole, without photographs, and refused where they are not."""

from __future__ import annotations

import hashlib
import io
import runpy
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dermae_bench.archives import unpacked
from dermae_bench.cli import main
from dermae_bench.commands.exporting import archive
from dermae_bench.errors import NOTHING_MATCHED, OK, USAGE, UserError
from dermae_bench.report.export import files
from dermae_bench.report.verify.digests import check_digests, write_digests
from dermae_bench.report.verify.findings import Report

EXAMPLE = runpy.run_path(str(Path(__file__).parents[1] / "report" / "example_boards.py"))["example"]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return files(EXAMPLE())


@pytest.fixture
def folder(tmp_path: Path, texts: dict[str, str]) -> Path:
    made = tmp_path / "results" / "quickstart"
    made.mkdir(parents=True)
    for name, text in texts.items():
        (made / name).write_text(text)
    (made / "figures").mkdir()
    (made / "figures" / "samples.png").write_bytes(b"\x89PNG")
    write_digests(made)
    return made


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0)


def test_tables_are_printed_or_written(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("export", folder, "--as", "csv") == OK
    assert capsys.readouterr().out == (folder / "classifiers.csv").read_text()
    out = tmp_path / "table.tex"
    words = ("export", "quickstart", "--results", folder.parent, "--board", "generators", "--out", out)
    assert call(*words, "--as", "latex", "--columns", "kid[lite0]", "--rows", "ddpm*") == OK
    text = out.read_text()
    assert text.isascii() and "kid{[}lite0{]}" in text and "fd{[}" not in text and "of which rows are left out" in text
    assert call("export", folder, "--as", "markdown", "--rows", "cnn*") == OK
    assert "| cnn |" in capsys.readouterr().out
    assert call("export", folder, "--as", "csv", "--rows", "nobody") == NOTHING_MATCHED
    assert call("export", folder, "--as", "csv", "--columns", "accurcy") == USAGE
    assert "accuracy" in capsys.readouterr().err
    assert call("export", tmp_path / "nowhere", "--as", "csv") == USAGE
    assert call("export", folder, "--as", "zip") == USAGE
    assert call("export", folder, "--as", "zip", "--out", folder / "x.zip") == USAGE
    assert call("export", folder, "--as", "zip", "--rows", "x", "--out", out) == USAGE


def test_equal_folders_give_equal_archives_that_verify_reads(folder: Path, tmp_path: Path) -> None:
    first = archive(folder)
    for path in folder.iterdir():
        path.touch()
        path.chmod(0o600 if path.is_file() else 0o700)
    assert hashlib.sha256(archive(folder)).digest() == hashlib.sha256(first).digest()
    with zipfile.ZipFile(io.BytesIO(first)) as read:
        names = read.namelist()
    assert names == sorted(names) and "quickstart/report.html" in names and "quickstart/SHA256SUMS" in names
    assert call("export", folder, "--as", "zip", "--out", tmp_path / "q.zip") == OK
    with unpacked(tmp_path / "q.zip") as inside:
        assert inside.name == "quickstart"
        report = Report(folder="quickstart")
        check_digests(inside, report)
        assert report.findings == [] and report.checked["files"] == len(names) - 1


def test_photographs_stay_here_and_the_archive_is_whole_without_them(folder: Path, tmp_path: Path) -> None:
    (folder / "real-images").mkdir()
    (folder / "real-images" / "nearest.png").write_bytes(b"\x89PNG")
    write_digests(folder)
    (tmp_path / "q.zip").write_bytes(archive(folder))
    with unpacked(tmp_path / "q.zip") as inside:
        assert not (inside / "real-images").exists()
        report = Report(folder="quickstart")
        check_digests(inside, report)
        assert report.findings == []


def changed(folder: Path) -> None:
    (folder / "classifiers.csv").write_text("changed")


def added(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


def gone(folder: Path) -> None:
    (folder / "classifiers.md").unlink()


def linked(folder: Path) -> None:
    (folder / "environment.json").unlink()
    (folder / "environment.json").symlink_to("/etc/hostname")


def photographed(folder: Path) -> None:
    (folder / "lesion.jpg").write_bytes(b"\xff\xd8")
    write_digests(folder)


def placed(folder: Path) -> None:
    (folder / "environment.json").write_text('{"prefix": ["/home/me/venv/bin/python"]}')
    write_digests(folder)


def above(folder: Path) -> None:
    (folder / "suite.resolved.yaml").write_text("root: ../../data/HAM10000/x\n")
    write_digests(folder)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (changed, "classifiers.csv"), (added, "notes.txt"), (gone, "classifiers.md"), (linked, "environment.json"),
        (photographed, "lesion.jpg: a picture"), (placed, "environment.json: it names a folder"),
        (above, "suite.resolved.yaml: it names a folder"),
    ],
)  # fmt: skip
def test_what_may_not_leave_is_refused_by_name(folder: Path, harm: Callable[[Path], None], told: str) -> None:
    harm(folder)
    with pytest.raises(UserError, match="is not exported") as error:
        archive(folder)
    assert told in str(error.value)
