"""Ask the command line in this process."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dermae_bench.cli import main


@dataclass
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str


def ask(capsys: pytest.CaptureFixture[str], *words: object) -> Answer:
    """Run `dermae-bench WORDS...`."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    captured = capsys.readouterr()
    return Answer(int(left.value.code or 0), captured.out, captured.err)
