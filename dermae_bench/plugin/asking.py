"""Questions about plugins, answered by a child process: this one imports none of them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dermae_bench.bounded.files import read_bytes
from dermae_bench.errors import DataError
from dermae_bench.secrets import scrubbed

SECONDS = 600
"""How long importing plugins for their cards may take before the child is ended."""
LARGEST = 64 << 20
"""Bytes of the answers of one child."""


def ask(questions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Answers of a fresh child process that may import plugins; fewer than questions when it did not survive."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder, "ask.json"), Path(folder, "answers.jsonl")
        asked.write_text(json.dumps(list(questions)))
        # -P: a file in the user's folder that is called like a library must not be imported in its place
        command = [sys.executable, "-P", "-W", "ignore", "-m", "dermae_bench.plugin.cardmaker", str(asked), str(answer)]
        # a child that ends in any other way than answering is noticed by what it did not answer
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                command,
                # strangers' code: what it raises stands on cards and in messages
                env=scrubbed(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=SECONDS,
                check=False,
            )
        return _answers(answer)


def _answers(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a child in which strangers' code ran, up to the first that is no answer."""
    try:
        lines = read_bytes(path, LARGEST).split(b"\n")
    except DataError:
        return []
    found: list[dict[str, Any]] = []
    # behind the last newline there is nothing, or half a line
    for line in lines[:-1]:
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(answer, dict):
            break
        found.append(answer)
    return found
