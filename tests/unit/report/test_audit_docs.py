"""docs/audit.md shows what the command prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dermae_bench.commands.auditing import audit_table

ROOT = Path(__file__).parents[3]
BLOCKS = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```", (ROOT / "docs" / "audit.md").read_text(), re.DOTALL | re.M)


@pytest.mark.parametrize(("command", "shown"), BLOCKS, ids=[str(i) for i in range(len(BLOCKS))])
def test_printed_audits_are_fresh(
    command: str, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    words = shlex.split(command)
    assert words[:2] == ["dermae-bench", "audit"]
    flags = list(zip(words[3::2], words[4::2], strict=True))
    sizes = [int(value) for flag, value in flags if flag == "--n"]
    assert (
        audit_table(ROOT / words[2], sizes=sizes, classes=[value for flag, value in flags if flag == "--classes"]) == 0
    )
    assert shown in capsys.readouterr().out, f"COLUMNS=110 {command}"


def test_the_three_papers_are_shown() -> None:
    assert {Path(shlex.split(command)[2]).stem for command, _ in BLOCKS} == {
        "dermae_table1", "class_n_diff_table3", "dermaflux"
    }  # fmt: skip
