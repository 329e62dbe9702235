"""Results folders that arrive as an archive: the bytes of regular members, under names that were checked, and no more.

Nothing is extracted: every member is checked before the first is written, and its bytes are copied into a new file of
a private folder. Links, devices, encrypted or nested members, names that lead anywhere or are equal to another
(letters' case and accents apart), ZIP64, sparse files and all that expands beyond the limits are refused.
"""

from __future__ import annotations

import gzip
import os
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

from dermae_bench.archives.members import Refused, harmless, kind_of
from dermae_bench.archives.tars import inflate, unpack_tar
from dermae_bench.archives.zips import unpack_zip
from dermae_bench.errors import UserError


def archive_kind(path: Path) -> str | None:
    """`ZIP`, `tar`, `gzip`, ... by the first bytes; None for a folder, and for a file that is no archive."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as stream:
            start = stream.read(512)
    except OSError:
        return None
    return kind_of(start)


def unpacked(path: Path) -> AbstractContextManager[Path]:
    """The results folder in an archive, for as long as the context lasts; a path that is no archive as it is.

    Raises:
        UserError: the archive is damaged, or holds what a results folder does not.
    """
    kind = archive_kind(path)
    if kind is None:
        return nullcontext(path)
    if kind not in ("ZIP", "tar", "gzip"):
        raise UserError(
            f"{path.name} is a {kind} archive", hint="results are read from a folder, .zip, .tar or .tar.gz"
        )
    return _unpacked(path, kind)


@contextmanager
def unpacked_words(words: Sequence[str]) -> Iterator[list[str]]:
    """Words of a command line with each archive, alone or before a colon, replaced by the folder that it holds."""
    with ExitStack() as stack:
        found = []
        for word in words:
            ends = [len(word), *(place for place, letter in enumerate(word) if letter == ":")]
            end = next((end for end in ends if end and archive_kind(Path(word[:end])) is not None), None)
            found.append(word if end is None else f"{stack.enter_context(unpacked(Path(word[:end])))}{word[end:]}")
        yield found


@contextmanager
def _unpacked(path: Path, kind: str) -> Iterator[Path]:
    name = next((path.name.removesuffix(end) for end in (".tar.gz", ".tgz", ".tar", ".zip") if path.name.endswith(end)),
                path.stem)  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="dermae-") as scratch:
        target = Path(scratch) / (name if harmless(name) else "results")
        target.mkdir(mode=0o700)
        try:
            unpack(path, target, kind)
        except Refused as refusal:
            raise UserError(
                f"{path.name} is not read: {refusal}", hint="ask its author for the folder itself"
            ) from None
        yield _inner(target)


def _inner(target: Path) -> Path:
    """The one folder that everything lies in, where the archive was made around it."""
    entries = list(target.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else target


def unpack(path: Path, target: Path, kind: str) -> None:
    """Copy the members of the archive at `path` into the empty folder `target`.

    Raises:
        Refused: what is wrong with the archive; `target` may hold members then, nothing else was written.
    """
    with damage_refused(), path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if kind == "ZIP":
            unpack_zip(stream, size, target)
        elif kind == "tar":
            unpack_tar(stream, size, target)
        else:
            with tempfile.TemporaryFile() as plain:
                unpack_tar(plain, inflate(stream, size, plain), target)


@contextmanager
def damage_refused() -> Iterator[None]:
    """What the libraries raise of a damaged archive, as `Refused`."""
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, struct.error, gzip.BadGzipFile) as error:
        raise Refused(f"is damaged: {str(error)[:200] or type(error).__name__}") from None
    except (NotImplementedError, RuntimeError, ValueError, OverflowError, KeyError, IndexError) as error:
        if isinstance(error, Refused):
            raise
        # lies in a header lead the libraries to errors of many kinds
        raise Refused(f"is damaged: {str(error)[:200] or type(error).__name__}") from None
