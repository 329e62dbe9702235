"""How a command begins: words that are no numbers are refused, and Ctrl-C ends it quietly, however early it comes."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from dermae_bench.cli import app
from tests.unit.commands.asking import ask

ROOT = Path(__file__).parents[3]
BEGINNING = """
import os, signal, sys
signal.signal(signal.SIGINT, {at_first})
from dermae_bench import __main__ as entry
assert not {{"click", "numpy", "dermae_bench.cli"}} & set(sys.modules)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "dermae_bench.cli" and {importing}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
import types
if not {importing}:
    cli = sys.modules["dermae_bench.cli"] = types.ModuleType("dermae_bench.cli")
    cli.main = lambda: os.kill(os.getpid(), signal.SIGINT)
sys.argv[1:] = ["--version"]
entry.main()
assert not {importing}
"""


def begin(at_first: str, *, importing: bool) -> subprocess.CompletedProcess[str]:
    code = BEGINNING.format(at_first=f"signal.{at_first}", importing=importing)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_an_early_ctrl_c_ends_it_without_a_word() -> None:
    ended = begin("default_int_handler", importing=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")
    ended = begin("default_int_handler", importing=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_a_ctrl_c_that_is_ignored_stays_ignored() -> None:
    for importing, out in ((True, "dermae-bench, version"), (False, "")):
        ended = begin("SIG_IGN", importing=importing)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.startswith(out)


def test_the_command_begins_there() -> None:
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert about["project"]["scripts"] == {"dermae-bench": "dermae_bench.__main__:main"}
    told = subprocess.run(
        [sys.executable, "-m", "dermae_bench", "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (told.returncode, told.stderr) == (0, "") and told.stdout.startswith("dermae-bench, version")


def _float_flags(command: click.Command, words: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    if isinstance(command, click.Group):
        inner = [_float_flags(each, (*words, name)) for name, each in command.commands.items()]
        return [found for some in inner for found in some]
    numbers = (click.FloatRange, click.types.FloatParamType)
    return [(words, option.opts[0]) for option in command.params if isinstance(option.type, numbers)]


@pytest.mark.parametrize(("words", "flag"), _float_flags(app))
def test_flags_take_finite_numbers_alone(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], flag: str) -> None:
    for text in ("nan", "inf", "-inf", "NaN", "1e999"):
        answer = ask(capsys, *words, "nothing", f"{flag}={text}")
        assert answer.code == 2
        assert flag in answer.err and ("not a finite number" in answer.err or "not in the range" in answer.err)


def test_there_are_such_flags() -> None:
    assert {flag for _, flag in _float_flags(app)} >= {"--timeout", "--peak-tflops", "--utilisation"}
