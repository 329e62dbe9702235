"""What a disk may have lost when the power goes: all that was not flushed, and names in folders that were not."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any


class Flushed:
    """What the processes of a run flushed, from the log of their fault points.

    Args:
        log: as `DERMAE_FAULT_LOG` writes it; each line was written just before the thing was done.
        last: number of the point at which all was killed: that thing and those after it were not done.
    """

    def __init__(self, log: Path, last: int) -> None:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        self.events: list[dict[str, Any]] = sorted(lines, key=lambda event: int(event["n"]))
        # a process that passed its point just before the kill may have been stopped before it did the thing
        self.events = [event for event in self.events if event["n"] < last]
        self.syncs: dict[str, int] = defaultdict(int)
        """Path, as it is called now -> when it was last flushed."""
        self.named: dict[str, int] = {}
        """Path that was renamed to -> when."""
        self.came_from: dict[str, str] = {}
        """The same -> what it was called before."""
        for event in self.events:
            if event["kind"] == "sync":
                self.syncs[event["path"]] = event["time"]
            elif event["kind"] == "rename":
                self._rename(event["from"], event["path"], event["time"])

    def _rename(self, source: str, target: str, time: int) -> None:
        inside = [path for path in self.syncs if path == source or path.startswith(source + "/")]
        for path in inside:
            self.syncs[target + path.removeprefix(source)] = self.syncs.pop(path)
        self.named[target] = time
        self.came_from[target] = source


def births(root: Path) -> dict[str, int]:
    """When everything below `root` was made, in nanoseconds since 1970."""
    paths = sorted(str(path) for path in root.rglob("*"))
    found = {}
    for start in range(0, len(paths), 500):
        some = paths[start : start + 500]
        told = subprocess.run(["stat", "--format", "%.9W", *some], capture_output=True, text=True, check=True)
        found |= {path: int(time.replace(".", "")) for path, time in zip(some, told.stdout.split(), strict=True)}
    return found


def cut(root: Path, flushed: Flushed, since: int, chance: random.Random) -> list[str]:
    """Take from `root` what a power cut may take; returns what was done.

    What was there before `since` (nanoseconds) is on the disk. A file whose bytes were not flushed after they were
    written is emptied, shortened or kept; a name that came into a folder which was not flushed afterwards is taken
    away, given back to where it came from, or kept.
    """
    born = births(root)
    # by inode: a block may have a second name, in the artifact that was made of it, and be flushed by that
    whole = {
        about.st_ino
        for path, when in flushed.syncs.items()
        if os.path.isfile(path) and when >= (about := os.stat(path)).st_mtime_ns  # noqa: PTH113, PTH116 (names)
    }
    done = []
    # the deepest first: what a folder loses is lost before the folder itself
    for path in sorted(born, key=lambda name: (-name.count("/"), name)):
        place = Path(path)
        if not place.is_symlink() and place.is_file():
            done += _bytes(place, whole, since, chance)
        named = max(born[path], flushed.named.get(path, 0))
        if named > since and flushed.syncs.get(str(place.parent), 0) < named:
            done += _name(place, flushed, chance)
    return done


def _bytes(place: Path, whole: Collection[int], since: int, chance: random.Random) -> list[str]:
    about = place.stat()
    if about.st_mtime_ns <= since or about.st_ino in whole or not about.st_size:
        return []
    size = chance.choice([0, chance.randrange(place.stat().st_size), None])
    if size is None:
        return []
    with place.open("r+b") as stream:
        stream.truncate(size)
    return [f"{place} has {size} bytes"]


def _name(place: Path, flushed: Flushed, chance: random.Random) -> list[str]:
    # the file that a rename took the place of is gone here, and a real disk would still have one of the two
    if chance.random() < 0.5 or (place.is_file() and str(place) in flushed.named):
        return []
    source = flushed.came_from.get(str(place))
    if source is not None and Path(source).parent.is_dir() and not Path(source).exists():
        place.rename(source)
        return [f"{place} is {source} again"]
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    return [f"{place} is gone"]
