"""What was going on when a run was really killed: written down, so that the same kill can be done again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.counting import record_count

KINDS = ("prepare", "train", "sample", "extract", "predict", "score", "cost")


@dataclass(frozen=True)
class Kill:
    """One kill at a random time, as the log of the fault points tells it."""

    seconds: float
    """Since the run began."""
    point: int
    """The last one that was passed; `DERMAE_FAULT=kill@{point + 1}` comes as near to it as can be."""
    doing: str
    """What was done there: `write`, `sync`, `rename`, `remove`, `lock`; empty before the first point."""
    stage: str
    """Kind of the stage whose attempt or entry that was; empty: of none."""

    def count(self) -> None:
        """Add it to what the session prints."""
        record_count(f"random kills {f'inside {self.stage}' if self.stage else 'beside the stages'}", 1)


def recording(folder: Path) -> dict[str, str]:
    """Variables under which a run in `folder` logs its fault points."""
    for name in ("points", "count"):
        (folder / name).unlink(missing_ok=True)
    return {
        "DERMAE_FAULT": "count",
        "DERMAE_FAULT_LOG": str(folder / "points"),
        "DERMAE_FAULT_COUNT": str(folder / "count"),
    }


def recorded(folder: Path, seconds: float) -> Kill:
    """What such a run was doing when it was killed after so many seconds."""
    log = folder / "points"
    # the last line may be half a line: it was killed
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    points = sorted((json.loads(line) for line in lines if line.endswith("\n")), key=lambda point: int(point["n"]))
    if not points:
        return Kill(seconds, 0, "", "")
    return Kill(seconds, points[-1]["n"], points[-1]["kind"], _stage(folder, Path(points[-1]["path"])))


def _stage(folder: Path, path: Path) -> str:
    parts = path.parts
    if "attempts" in parts:
        spec = Path(*parts[: parts.index("attempts") + 2]) / "spec.json"
        # the stage may have been finished and its attempt removed, or not been begun
        return str(json.loads(spec.read_bytes())["kind"]) if spec.exists() else ""
    return next((part for part in parts[len(folder.parts) :] if part in KINDS), "")
