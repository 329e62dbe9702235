"""What of a store may go, and how it goes while others work there (the order of locks: `dermae_bench.store.runs`)."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from dermae_bench.durable import TEMPORARY, everything_below, remove_tree, rename
from dermae_bench.store import fences
from dermae_bench.store.artifacts import KINDS, Store
from dermae_bench.store.index import KEY
from dermae_bench.store.leases import is_locked
from dermae_bench.store.manifests import Damaged
from dermae_bench.store.runs import FOLDER as RUNS
from dermae_bench.store.runs import dead_announcements, gate, live_runs

QUARANTINE, FINISHED, PARTIAL = "quarantine", "left of finished stages", "unfinished stages"
FAILURE, TEMPORARIES, DEAD, UNUSED = "failures of finished stages", "temporary files", "dead runs", "unused results"
YOUNGEST_TEMPORARY = 3600.0
"""Seconds: a younger temporary file may be one that somebody is writing."""
_REMOVED = f"{TEMPORARY}removed-"


@dataclass(frozen=True)
class Item:
    """Something that may go."""

    what: str
    path: Path
    bytes: int
    when: float
    """Unix seconds of its last change."""
    key: str = ""
    """Of the stage that it belongs to, if it does to one."""
    kind: str = ""
    """Of a finished stage."""
    name: str = ""
    """Of a finished stage, for people."""


def candidates(store: Store, *, needed: Collection[str] | None, partial: bool, older_than: float) -> list[Item]:
    """What may go now; nothing of stages that a living run needs or somebody works on.

    Args:
        needed: keys of all stages that are to stay, so that all others may go; None: every finished stage stays.
        partial: also checkpoints and shards from which stages that are not finished would go on.
        older_than: seconds since the last change.
    """
    alive = {key for run in live_runs(store.root) for key in run.keys}
    kept = None if needed is None else alive | set(needed)
    found = [*_quarantine(store), *_temporary(store), *_dead(store)]
    finished = set()
    for kind in KINDS:
        for path in _inside(store.root / kind):
            if KEY.fullmatch(path.name) is not None:
                finished.add(path.name)
                if kept is not None and path.name not in kept:
                    found.append(_item(UNUSED, path, path.name, kind, _name(store, kind, path.name)))
    for path in _inside(store.root / "attempts"):
        key = path.name
        unused = kept is not None and key not in kept
        if KEY.fullmatch(key) is None or key in alive or _is_busy(path):
            continue
        if key in finished or partial or unused:
            found.append(_item(FINISHED if key in finished else PARTIAL, path, key))
    for path in _inside(store.root / "failures"):
        key = path.stem
        if KEY.fullmatch(key) is not None and key not in alive:
            if key in finished:
                found.append(_item(FAILURE, path, key))
            elif kept is not None and key not in kept:
                found.append(_item(UNUSED, path, key))
    latest = time.time() - older_than
    return [item for item in found if item.when <= latest]


def remove(store: Store, item: Item) -> bool:
    """Remove one of `candidates`, unless a run that began meanwhile needs it; returns whether it is gone."""
    trash = item.path.with_name(f"{_REMOVED}{secrets.token_hex(6)}")
    with gate(store.root, exclusive=True):
        if item.key and any(item.key in run.keys for run in live_runs(store.root)):
            return False
        if item.what == DEAD and is_locked(item.path):
            return False
        with contextlib.ExitStack() as held:
            if not os.path.lexists(item.path):
                return False
            # what a killed `clean` left there is of no stage
            if item.key and item.path.parent == store.root / "attempts":
                lease = store.lease(item.key, "its removal")
                if not lease.take():
                    return False
                held.callback(lease.release)
                if is_locked(item.path / fences.WORKING):
                    return False
            try:
                rename(item.path, trash)
            except FileNotFoundError:
                # gone already: its stage was finished, or another `clean` was faster
                return False
    if trash.is_dir() and not trash.is_symlink():
        remove_tree(trash)
    else:
        trash.unlink(missing_ok=True)
    return True


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links count as themselves. What goes meanwhile counts 0."""
    try:
        about = path.lstat()
    except FileNotFoundError:
        return 0
    if not stat.S_ISDIR(about.st_mode):
        return about.st_size
    total = 0
    for inside, name, is_folder in everything_below(path):
        if not is_folder:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(name, dir_fd=inside, follow_symlinks=False).st_size
    return total


def _item(what: str, path: Path, key: str = "", kind: str = "", name: str = "") -> Item:
    try:
        when = path.lstat().st_mtime
    except FileNotFoundError:
        when = time.time()
    return Item(what, path, size_of(path), when, key, kind, name)


def _name(store: Store, kind: str, key: str) -> str:
    try:
        return store.read_manifest(kind, key).name
    except Damaged:
        return ""


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _quarantine(store: Store) -> Iterator[Item]:
    for path in _inside(store.root / "quarantine"):
        if not path.name.startswith(TEMPORARY):
            yield _item(QUARANTINE, path)


def _temporary(store: Store) -> Iterator[Item]:
    now = time.time()
    for name in ("", *KINDS, "attempts", "failures", "quarantine", "boards", RUNS):
        for path in _inside(store.root / name):
            if path.name.startswith(TEMPORARY):
                item = _item(TEMPORARIES, path)
                if path.name.startswith(_REMOVED) or item.when < now - YOUNGEST_TEMPORARY:
                    yield item


def _dead(store: Store) -> Iterator[Item]:
    for path in dead_announcements(store.root):
        yield _item(DEAD, path)


def _is_busy(attempt: Path) -> bool:
    return is_locked(attempt / "lease") or is_locked(attempt / fences.WORKING)


def tidy(store: Store, finished: Collection[str]) -> None:
    """Clear away what is left of finished stages whose run could not do it: it was killed, or the disk refused."""
    folder = store.root / "attempts"
    # most stores hold nothing of the kind, and one listing is all that it costs
    left = set(os.listdir(folder)) & {*finished} if folder.is_dir() else set()  # noqa: PTH208 - names, not paths
    for key in sorted(left):
        lease = store.lease(key)
        # what cannot be cleared away stops nobody: `clean` names it
        with contextlib.suppress(OSError):
            if lease.take():
                try:
                    store.settle(key)
                finally:
                    lease.release()
