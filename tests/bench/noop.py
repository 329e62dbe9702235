"""Attempts that do nothing: as an empty process, and as a stage that is committed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from dermae_bench.execute import attempt as attempts
from dermae_bench.execute.stages.common import StageContext

KIND = "noop"


def empty(folder: Path) -> None:
    """A process that begins and ends."""


def noop(context: StageContext) -> dict[str, Any]:
    """A stage without files."""
    return {}


def attempt(folder: Path) -> None:
    """An attempt at a stage of the kind `noop`, which only these measurements know."""
    sys.modules[f"dermae_bench.execute.stages.{KIND}"] = sys.modules[__name__]
    attempts.attempt(folder)
