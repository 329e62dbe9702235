"""Files that stay in their archive: one after the other is copied out, when it is asked for."""

from __future__ import annotations

import os
import tempfile
import weakref
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from dermae_bench.archives import archive_kind, damage_refused
from dermae_bench.archives.members import Limits, Member, Refused, copy
from dermae_bench.archives.tars import inflate, tar_member, tar_members
from dermae_bench.archives.zips import zip_members


class PackedFiles:
    """The files of a .zip, .tar or .tar.gz, under names that were checked.

    A .tar.gz is expanded once into a scratch file, since nothing in it can be found otherwise.

    Args:
        path: the archive; it is kept open.
        limits: what it may hold.

    Raises:
        Refused: it is no such archive, or is damaged, or holds what is not allowed; without its path.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        kind = archive_kind(path)
        if kind not in ("ZIP", "tar", "gzip"):
            raise Refused(f"is {f'a {kind} archive' if kind else 'no archive'}, not .zip, .tar or .tar.gz")
        self._zip: zipfile.ZipFile | None = None
        with ExitStack() as opened, damage_refused():
            self._stream: IO[bytes] = opened.enter_context(path.open("rb"))
            size = os.fstat(self._stream.fileno()).st_size
            if kind == "gzip":
                plain: IO[bytes] = opened.enter_context(tempfile.TemporaryFile())
                size = inflate(self._stream, size, plain, limits)
                self._stream = plain
            if kind == "ZIP":
                self._zip, members = zip_members(self._stream, size, limits)
            else:
                members = tar_members(self._stream, size, limits)
            weakref.finalize(self, opened.pop_all().close)
        self._members = {"/".join(member.name): member for member in members}

    @property
    def names(self) -> tuple[str, ...]:
        """POSIX paths of the files, in the order in which they lie there."""
        return tuple(self._members)

    def copy(self, name: str, folder: Path) -> Path:
        """Copy one file to its path below `folder`, where it must not be yet.

        Raises:
            Refused: it is damaged, or not what the archive says; a part of it may have been written.
        """
        with damage_refused():
            copy([self._members[name]], self._opened, folder)
        return folder / name

    def _opened(self, member: Member) -> IO[bytes]:
        if self._zip is not None:
            return self._zip.open(member.handle)
        return tar_member(self._stream, member)
