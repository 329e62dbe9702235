"""What a store holds, fast: an index for each user and store in the user's cache folder.

The store alone is the truth; entries never change, so what was once read of one holds while its folder stays the same
one (name and modification time). Losing the index, or finding it damaged, costs the time to read each manifest.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermae_bench.bounded.memos import kept, write_memo
from dermae_bench.store.artifacts import KINDS, Store
from dermae_bench.store.manifests import Damaged

VERSION = 1
KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Entry:
    """A finished stage, as listings show it."""

    kind: str
    key: str
    name: str
    bytes: int
    """Of its files; the manifest comes on top."""
    when: int
    """Unix nanoseconds at which its last file was written."""


class Index:
    """The finished stages of a store.

    Args:
        store: the store.
        cache: the user's cache folder; where it cannot be written, every look takes as long as the first.
    """

    def __init__(self, store: Store, cache: Path) -> None:
        self.store = store
        place = hashlib.sha256(os.fsencode(store.root.absolute())).hexdigest()[:32]
        self.path = cache / "stores" / f"{place}.json"
        self._known: dict[str, dict[str, list[Any]]] | None = None
        self._found: dict[str, list[Entry]] = {}
        self._changed = False

    def entries(self, kind: str) -> list[Entry]:
        """Every finished stage of a kind whose manifest can be read, newest first."""
        if kind not in self._found:
            self._found[kind] = self._look(kind)
        return self._found[kind]

    def newest(self, kind: str) -> dict[str, str]:
        """Name of a stage -> key of the newest finished one of that name."""
        return {entry.name: entry.key for entry in reversed(self.entries(kind))}

    def _look(self, kind: str) -> list[Entry]:
        if self._known is None:
            self._known = self._load()
        known = self._known.get(kind, {})
        there: dict[str, list[Any]] = {}
        try:
            with os.scandir(self.store.root / kind) as folder:
                for entry in folder:
                    if KEY.fullmatch(entry.name) is None:
                        continue
                    with contextlib.suppress(FileNotFoundError, Damaged):
                        when = entry.stat().st_mtime_ns
                        about = known.get(entry.name)
                        if about is None or about[0] != when:
                            manifest = self.store.read_manifest(kind, entry.name)
                            size = sum(file["bytes"] for file in manifest.files.values())
                            about = [when, manifest.name, size]
                        there[entry.name] = about
        except (FileNotFoundError, NotADirectoryError):
            there = {}
        if there != known:
            self._known[kind] = there
            self._changed = True
        found = [Entry(kind, key, name, size, when) for key, (when, name, size) in there.items()]
        return sorted(found, key=lambda entry: (-entry.when, entry.key))

    def _load(self) -> dict[str, dict[str, list[Any]]]:
        about = kept(self.path)
        return about["kinds"] if about is not None and about["version"] == VERSION else {}

    def save(self) -> None:
        """Keep what was learnt for the next command."""
        if not self._changed or self._known is None:
            return
        kinds = {kind: self._known[kind] for kind in KINDS if kind in self._known}
        # a cache folder that is full or read-only: the next look takes as long as this one
        with contextlib.suppress(OSError):
            write_memo(self.path, {"version": VERSION, "kinds": kinds})
            self._changed = False
