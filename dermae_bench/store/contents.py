"""Digests of what a user's paths hold; the paths themselves are in no key, so data may move."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dermae_bench.archives import archive_kind
from dermae_bench.bounded.memos import kept, write_memo
from dermae_bench.durable import digest_file, digest_of, encodable
from dermae_bench.errors import DataError, DataMissing
from dermae_bench.plugin.links import leads_out

SETTLED_NS = 100_000_000
"""A file that was touched less than this before it was read is not remembered: another change could bear the same
time, since some systems count in steps of several milliseconds."""


class Contents:
    """Content digests of files and folders, with a memo by (path, size, mtime, ctime, inode) as a speed-up only.

    Args:
        memo: file of the memo; a lost or unreadable memo costs time, nothing else.
    """

    def __init__(self, memo: Path) -> None:
        self._path = memo
        self._memo: dict[str, list[object]] = {}
        self._dirty = False
        read = kept(memo)
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

    def folder(self, path: Path, roots: Sequence[Path] = ()) -> str:
        """SHA-256 over relative names and contents of every file below `path`, hidden ones left out.

        Links are followed into `path`, into `roots` and into declared roots (`plugin.links`). A folder that is reached
        twice, through links, is walked once; its second name stands for the first.

        Args:
            roots: what else the suite names.

        Raises:
            DataMissing: there is no such folder.
            DataError: it is an archive; or something in it is neither file nor folder, leads to nothing or out of the
                data, or has a name that is not UTF-8.
        """
        if not path.is_dir():
            if (kind := archive_kind(path)) is not None:
                raise DataError(f"{path} is a {kind} archive, not a folder", hint="unpack it first")
            raise DataMissing(f"folder {path} is not there")
        root = str(path.resolve())
        allowed = (path, *roots)
        found: list[tuple[str, str]] = []
        problems: list[str] = []
        seen: dict[tuple[int, int], str] = {}
        todo = [(root, "", False)]
        while todo:
            place, name, linked = todo.pop()
            try:
                about = os.stat(place)  # noqa: PTH116 (one call for many thousands of entries)
                if linked and (why := leads_out(place, allowed)) is not None:
                    problems.append(f"{name}: {why}")
                elif stat.S_ISREG(about.st_mode):
                    found.append((name, self._digest(place, about)))
                elif not stat.S_ISDIR(about.st_mode):
                    problems.append(f"{name}: neither a file nor a folder")
                elif (first := seen.setdefault((about.st_dev, about.st_ino), name)) != name:
                    # walking it again would give nothing new, or never end
                    found.append((name, f"the folder {first or '.'}"))
                else:
                    with os.scandir(place) as entries:
                        inner = sorted((e.name, e.is_symlink()) for e in entries if not e.name.startswith("."))
                    inner.reverse()
                    todo += [(f"{place}/{n}", f"{name}/{n}" if name else n, link) for n, link in inner]
                    problems += [f"{name}/{n}: the name is not UTF-8" for n, _ in inner if encodable(n) != n]
            except OSError as error:
                problems.append(f"{name}: {os.strerror(error.errno or 0)}")
        if problems:
            raise DataError(f"folder {path} cannot be read whole", [encodable(problem) for problem in problems])
        return digest_of(sorted(found))

    def changed(self, given: Mapping[str, Any], hashed: Mapping[str, Any]) -> list[str]:
        """Paths in `given` whose content is not, or no longer, that of the digests in `hashed`.

        Asked after everything was read, with the memo of when the digests were made, it tells whether what was read is
        what the key says. A file that was swapped and swapped back in between is not noticed.

        Args:
            given: parameters with paths.
            hashed: the same with ``{"sha256": digest}`` in place of each path.
        """
        pairs = list(_paired(given, hashed))
        roots = [Path(path) for path, _ in pairs]
        changed = []
        for path, digest in pairs:
            place = Path(path)
            try:
                now = self.folder(place, roots) if place.is_dir() else self.file(place)
            except DataError as error:
                changed.append(str(error).partition("\n")[0])
                continue
            if now != digest:
                changed.append(f"{place.name} changed after its digest was taken")
        return changed

    def _digest(self, path: str, about: os.stat_result) -> str:
        mark: list[object] = [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]
        known = self._memo.get(path)
        if known is not None and known[:4] == mark:
            return str(known[4])
        digest = digest_file(Path(path))
        if time.time_ns() - max(about.st_mtime_ns, about.st_ctime_ns) > SETTLED_NS:
            self._memo[path] = [*mark, digest]
            self._dirty = True
        return digest

    def save(self) -> None:
        """Keep what was learnt for the next command."""
        if self._dirty:
            try:
                write_memo(self._path, self._memo)
            except OSError:
                # a read-only cache folder: the digests are computed again next time
                return
            self._dirty = False


def has_digests(hashed: Any) -> bool:
    """Whether a digest stands anywhere in `hashed` in place of a path."""
    if isinstance(hashed, Mapping):
        return set(hashed) == {"sha256"} or any(has_digests(value) for value in hashed.values())
    return isinstance(hashed, list | tuple) and any(has_digests(value) for value in hashed)


def _paired(given: Any, hashed: Any) -> Iterator[tuple[str, str]]:
    """(path, digest) wherever `hashed` has a digest in place of a path of `given`."""
    if isinstance(given, str) and isinstance(hashed, Mapping) and set(hashed) == {"sha256"}:
        yield given, str(hashed["sha256"])
    elif isinstance(given, Mapping) and isinstance(hashed, Mapping):
        for name in given:
            yield from _paired(given[name], hashed.get(name))
    elif isinstance(given, list | tuple) and isinstance(hashed, list | tuple):
        for one, other in zip(given, hashed, strict=False):
            yield from _paired(one, other)
