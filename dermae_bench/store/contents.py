"""Digests of what a user's paths hold; the paths themselves are in no key, so data may move."""

from __future__ import annotations

import json
import os
from pathlib import Path

from dermae_bench.durable import digest_file, digest_of, write_text
from dermae_bench.errors import DataMissing


class Contents:
    """Content digests of files and folders, with a memo by (path, size, mtime, inode) as a speed-up only.

    Args:
        memo: file of the memo; a lost or unreadable memo costs time, nothing else.
    """

    def __init__(self, memo: Path) -> None:
        self._path = memo
        self._memo: dict[str, list[object]] = {}
        self._dirty = False
        try:
            read = json.loads(memo.read_text())
        except (OSError, ValueError):
            return
        if isinstance(read, dict):
            self._memo = {path: mark for path, mark in read.items() if isinstance(mark, list) and len(mark) == 4}

    def file(self, path: Path) -> str:
        """SHA-256 of a file's bytes.

        Raises:
            DataMissing: there is no such file.
        """
        if not path.is_file():
            raise DataMissing(f"file {path} is not there")
        return self._digest(str(path.resolve()), path.stat())

    def folder(self, path: Path) -> str:
        """SHA-256 over relative names and contents of every file below `path`, hidden ones left out, links followed.

        Raises:
            DataMissing: there is no such folder.
        """
        if not path.is_dir():
            raise DataMissing(f"folder {path} is not there")
        root = str(path.resolve())
        found: list[tuple[str, str]] = []
        todo = [root]
        linked = {root}
        while todo:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir():
                        if entry.is_symlink():
                            # a link to a folder above would be walked for ever
                            target = os.path.realpath(entry.path)
                            if target in linked or root.startswith(f"{target}{os.sep}"):
                                continue
                            linked.add(target)
                        todo.append(entry.path)
                    elif entry.is_file():
                        found.append((os.path.relpath(entry.path, root), self._digest(entry.path, entry.stat())))
        return digest_of(sorted(found))

    def _digest(self, path: str, stat: os.stat_result) -> str:
        mark: list[object] = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        known = self._memo.get(path)
        if known is not None and known[:3] == mark:
            return str(known[3])
        digest = digest_file(Path(path))
        self._memo[path] = [*mark, digest]
        self._dirty = True
        return digest

    def save(self) -> None:
        """Keep what was learnt for the next command."""
        if self._dirty:
            try:
                write_text(self._path, json.dumps(self._memo), durable=False)
            except OSError:
                # a read-only cache folder: the digests are computed again next time
                return
            self._dirty = False
