"""Digests of what a user's paths hold; the paths themselves are in no key, so data may move."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from dermae_bench.durable import digest_file, digest_of, encodable, write_text
from dermae_bench.errors import DataError, DataMissing


class Contents:
    """Content digests of files and folders, with a memo by (path, size, mtime, ctime, inode) as a speed-up only.

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
            self._memo = {path: mark for path, mark in read.items() if isinstance(mark, list) and len(mark) == 5}

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

        A folder that is reached twice, through links, is walked once; its second name stands for the first.

        Raises:
            DataMissing: there is no such folder.
            DataError: something in it is neither file nor folder, leads to nothing, or has a name that is not UTF-8.
        """
        if not path.is_dir():
            raise DataMissing(f"folder {path} is not there")
        root = str(path.resolve())
        found: list[tuple[str, str]] = []
        problems: list[str] = []
        seen: dict[tuple[int, int], str] = {}
        todo = [(root, "")]
        while todo:
            place, name = todo.pop()
            try:
                about = os.stat(place)  # noqa: PTH116 (one call for many thousands of entries)
                if stat.S_ISREG(about.st_mode):
                    found.append((name, self._digest(place, about)))
                elif not stat.S_ISDIR(about.st_mode):
                    problems.append(f"{name}: neither a file nor a folder")
                elif (first := seen.setdefault((about.st_dev, about.st_ino), name)) != name:
                    # walking it again would give nothing new, or never end
                    found.append((name, f"the folder {first or '.'}"))
                else:
                    inner = sorted((n for n in os.listdir(place) if not n.startswith(".")), reverse=True)  # noqa: PTH208
                    todo += [(f"{place}/{n}", f"{name}/{n}" if name else n) for n in inner]
                    problems += [f"{name}/{n}: the name is not UTF-8" for n in inner if encodable(n) != n]
            except OSError as error:
                problems.append(f"{name}: {os.strerror(error.errno or 0)}")
        if problems:
            raise DataError(f"folder {path} cannot be read whole", [encodable(problem) for problem in problems])
        return digest_of(sorted(found))

    def _digest(self, path: str, about: os.stat_result) -> str:
        mark: list[object] = [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]
        known = self._memo.get(path)
        if known is not None and known[:4] == mark:
            return str(known[4])
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
