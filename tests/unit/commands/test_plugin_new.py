"""`plugins new`: a project that works before its author changes a line; `plugins check`, `list` and `show`."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from asking import ask

from dermae_bench.commands.plugin_check import check_plugins
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.plugin.hookspecs import GROUP


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        ("generator", ()),
        ("generator", ("--conditional",)),
        pytest.param("classifier", (), marks=pytest.mark.slow),
    ],
)
def test_a_new_project_keeps_every_promise(
    kind: str, flags: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = ask(capsys, "plugins", "new", kind, "my-own-idea", *flags, "--into", tmp_path)
    assert answer.code == 0
    folder = tmp_path / "my-own-idea"
    assert str(folder) in answer.out
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"pyproject.toml", "my_own_idea.py", "tests/test_my_own_idea.py", "README.md"}
    about = tomllib.loads((folder / "pyproject.toml").read_text())
    assert about["project"]["entry-points"]["dermae_bench"] == {"my-own-idea": "my_own_idea"}
    for path in folder.rglob("*.py"):
        ast.parse(path.read_text())
        assert max(map(len, path.read_text().splitlines())) <= 120
    done = subprocess.run(
        [sys.executable, "-m", "dermae_bench", "plugins", "check", "my-own-idea", "--plugins-dir", folder],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) >= 9
    assert all(line.startswith(f"ok    {kind} my-own-idea: ") for line in lines)


def test_a_new_generator_says_what_makes_it_conditional(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, flags in (("plain-idea", ()), ("class-idea", ("--conditional",))):
        assert ask(capsys, "plugins", "new", "generator", name, *flags, "--into", tmp_path).code == 0
    plain = (tmp_path / "plain-idea" / "plain_idea.py").read_text()
    comments = " ".join(line.strip() for line in plain.splitlines() if line.strip().startswith("#"))
    assert "conditional = False" in plain and "`task`" in comments and "--conditional" in comments
    assert "batch.labels" in comments and "conditions.labels" in comments and "guidance" in comments
    told = (tmp_path / "class-idea" / "class_idea.py").read_text()
    assert "self.mean[batch.labels]" in told and "self.mean[conditions.labels]" in told
    assert "`task:`" in (tmp_path / "class-idea" / "README.md").read_text()
    for name, conditional in (("plain-idea", False), ("class-idea", True)):
        card = Catalog(tmp_path / name, tmp_path / "cache").card("generator", name)
        assert card.flags["conditional"] is conditional


def test_only_a_generator_is_conditional(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = ask(capsys, "plugins", "new", "classifier", "my-own-idea", "--conditional", "--into", tmp_path)
    assert answer.code == 2
    assert "a classifier is not conditional" in answer.err and "leave --conditional out" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_no_names_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("My-GAN", "a_b", "-x", "a--b", "../up", "a/b", "1st", "", "x;y"):
        assert ask(capsys, "plugins", "new", "generator", "--into", tmp_path, "--", name).code == 2, name
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "taken").mkdir()
    answer = ask(capsys, "plugins", "new", "generator", "taken", "--into", tmp_path)
    assert answer.code == 2
    assert "already there" in answer.err


BROKEN = """
import nowhere_to_be_found
from dermae_bench import api

@api.hookimpl
def dermae_metrics():
    return {"broken": None}
"""
UNFAITHFUL = '''
"""A metric whose doc steers terminals: \x1b[2J"""
from dataclasses import dataclass
from dermae_bench import api

class Doubled(api.PredictionMetric):
    """Says \x1b[31mred\x1b[0m things."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        power: int = 2
        """An exponent."""

    @classmethod
    def columns(cls, config):
        return [api.Column(name="doubled", better="higher", description="twice")]

    def values(self, predictions):
        raise ValueError("\x1b[31mno\x1b[0m")

@api.hookimpl
def dermae_metrics():
    return {"doubled": Doubled, "kid": Doubled}
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "broken.py").write_text(BROKEN)
    (tmp_path / "doubled.py").write_text(UNFAITHFUL)
    return tmp_path


def test_check_tells_kept_from_broken(folder: Path, warm_backend: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "colour_logit.py").write_text("class A:\n    def broken()\n")
    names = ("accuracy", "ham10000", "doubled", "broken", "nobody")
    assert check_plugins(names, folder, 60, warm_backend) == 1
    answer = capsys.readouterr()
    assert "ok    metric accuracy: " in answer.out
    assert "FAIL  metric doubled: values() fills exactly its columns" in answer.out
    missing = "ModuleNotFoundError: No module named 'nowhere_to_be_found' (broken.py, line 2)"
    assert f"FAIL  broken: plugin 'broken' cannot be imported: {missing}" in answer.out
    assert "FAIL  nobody: unknown plugin 'nobody'\n  --plugins-dir has files" in answer.out
    assert "until they are mended: colour_logit.py, line 2: expected ':'" in answer.out
    assert "skip  dataset ham10000: " in answer.out
    assert "\x1b" not in answer.out
    assert "Traceback" not in answer.out + answer.err


def test_list_and_show_tell_broken_and_clashing_ones(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # as if few were installed: the cards of all of them take their time
    few = [entry for entry in metadata.entry_points(group=GROUP) if entry.name in ("phantom", "kid", "image-folder")]
    monkeypatch.setattr("dermae_bench.plugin.catalog.metadata.entry_points", lambda group: few)
    answer = ask(capsys, "plugins", "list", "--plugins-dir", folder, "--format", "json")
    assert answer.code == 0
    rows = json.loads(answer.out)
    states = {(row["name"], row["origin"].split()[0]): (row["state"], row["about"]) for row in rows}
    assert states["broken", "broken.py"][0] == "broken"
    assert "nowhere_to_be_found" in states["broken", "broken.py"][1]
    assert states["kid", "doubled.py"] == states["kid", "dermae-bench"] == ("clash", "clash: declared twice")
    assert states["phantom", "dermae-bench"][0] == "ok"
    assert {row["kind"] for row in rows} == {"dataset", "metric", "unknown"}
    shown = ask(capsys, "plugins", "show", "doubled", "--plugins-dir", folder)
    assert shown.code == 0
    assert "power (integer, default 2): An exponent." in shown.out
    assert "column doubled: twice (higher is better" in shown.out
    assert "\x1b" not in shown.out
    folders = ask(capsys, "plugins", "show", "image-folder").out
    assert "  root (path, required)" in folders
    assert "one of several kinds" not in folders
    broken = ask(capsys, "plugins", "show", "broken", "--plugins-dir", folder)
    assert "broken: ModuleNotFoundError" in broken.out
    assert ask(capsys, "plugins", "show", "nobody").code == 2
    assert ask(capsys, "plugins", "show", "kid", "--plugins-dir", folder).code == 2
    table = ask(capsys, "plugins")
    assert table.code == 0
    assert "image-folder" in table.out


def test_the_place_is_shown_without_steering_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = ask(capsys, "plugins", "new", "generator", "my-own-idea", "--into", tmp_path / "a\x1b[2J")
    assert answer.code == 0
    assert "\x1b" not in answer.out and "a\\x1b[2J" in answer.out
