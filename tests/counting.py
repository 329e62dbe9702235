"""What the long tests count (kills survived, faults injected, inputs fuzzed), gathered from all workers and printed."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

PLACE = "DERMAE_BENCH_TEST_COUNTS"
"""Variable with the folder that this session's workers count into."""


def record_count(name: str, number: int) -> None:
    """Add to a count that the session prints at its end, e.g. ``record_count("kills survived", 40)``."""
    place = os.environ.get(PLACE)
    if place is not None:
        line = json.dumps([name, number]) + "\n"
        with (Path(place) / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as counts:
            counts.write(line)


def recorded(folder: Path) -> Counter[str]:
    """What all workers counted, by name."""
    found: Counter[str] = Counter()
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            name, number = json.loads(line)
            found[name] += number
    return found
