"""Files that are either wholly there or not there: write, fsync, rename, fsync the folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dermae_bench.faults import point

TEMPORARY = ".tmp-"
"""How the names of files begin that are not whole yet; one that its writer left behind may be removed."""
LONGEST_SUFFIX = 32
"""Bytes."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def sync_folder(folder: Path) -> None:
    """Make names that came into `folder` survive a power cut."""
    sync_file(folder)


def sync_file(path: Path) -> None:
    """Make the bytes of a file that somebody else wrote survive a power cut."""
    point("sync", path)
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder and what is missing above it, so that a power cut leaves them; raises what `Path.mkdir` does."""
    missing = [folder]
    while not missing[-1].exists():
        missing.append(missing[-1].parent)
    folder.mkdir(parents=True, exist_ok=True)
    for new in missing[:-1]:
        # a folder's name stands in the one above it, and a sync of its own contents need not write that
        sync_folder(new.parent)


def rename(source: Path, target: Path) -> None:
    """Give a file or folder another name on the same file system, atomically; see `os.rename`."""
    point("rename", target, source)
    source.rename(target)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it; one that is not there, or goes meanwhile, is gone already."""
    point("remove", folder)
    for inside, name, is_folder in everything_below(folder):
        # another run may clean the same folder; a name that is left for another reason stops nobody
        with contextlib.suppress(OSError):
            (os.rmdir if is_folder else os.unlink)(name, dir_fd=inside)
    with contextlib.suppress(OSError):
        folder.rmdir()


def everything_below(folder: Path) -> Iterator[tuple[int, str, bool]]:
    """Everything below a folder, however deep, each folder after what is in it; no link is followed.

    Plugins may nest folders deeper than Python's stack, and deeper than a path may be long: this goes down and up by
    one descriptor. What cannot be opened, or goes meanwhile, is taken to be empty.

    Yields:
        a descriptor of the folder that the name stands in (until the next step only), the name, whether it is a folder.
    """
    try:
        here = os.open(folder, _FOLDER)
    except OSError:
        return
    above: list[tuple[tuple[int, int], str, list[tuple[str, bool]]]] = []
    try:
        left = _names(here)
        while left or above:
            if left:
                name, is_folder = left.pop()
                inner = _opened(name, here) if is_folder else None
                if inner is None:
                    yield here, name, is_folder
                    continue
                above.append((_identity(here), name, left))
                os.close(here)
                here = inner
                left = _names(here)
            else:
                was, name, left = above.pop()
                outer = _opened("..", here)
                if outer is None:
                    return
                os.close(here)
                here = outer
                if _identity(here) != was:
                    # the folder was moved meanwhile: what lies around it now is not ours
                    return
                yield here, name, True
    finally:
        os.close(here)


def _names(handle: int) -> list[tuple[str, bool]]:
    """Each name in an open folder, and whether it is a folder."""
    try:
        with os.scandir(handle) as entries:
            return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except OSError:
        return []


def _opened(name: str, inside: int) -> int | None:
    try:
        return os.open(name, _FOLDER, dir_fd=inside)
    except OSError:
        return None


def _identity(handle: int) -> tuple[int, int]:
    about = os.fstat(handle)
    return about.st_dev, about.st_ino


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Lend a temporary name beside `path`; on success it takes the place of `path` atomically.

    With `durable=False` the rename is still atomic, but nothing is flushed: for caches and progress.
    """
    if durable:
        make_folder(path.parent)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
    point("write", path)
    temporary = _temporary(path)
    try:
        yield temporary
        if durable:
            sync_file(temporary)
        point("rename", path, temporary)
        temporary.replace(path)
        if durable:
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """A new, empty file beside `path`, with the mode that the umask gives (`tempfile` would give 0600)."""
    # whatever the name, this one must not be too long for the file system
    ending = path.suffix if len(os.fsencode(path.suffix)) <= LONGEST_SUFFIX else ""
    while True:
        temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(6)}{ending}")
        with contextlib.suppress(FileExistsError):
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            return temporary


def let_others_read(path: Path) -> None:
    """Give a file the mode that the umask gives new ones: some libraries write 0600, and a store may be shared."""
    mask = os.umask(0o077)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace the file at `path` by `text` (UTF-8, newlines as given), atomically."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_bytes(text.encode())


def canonical(value: Any) -> str:
    """JSON in one spelling: sorted keys, no spaces, no NaN; what keys and digests are made of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON value in its canonical spelling."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def encodable(text: str) -> str:
    r"""`text` with lone surrogates (from file names that are not UTF-8) written out as ``\\udcff``."""
    return text.encode("utf-8", "backslashreplace").decode()


def digest_file(path: Path) -> str:
    """SHA-256 (hex) of the bytes of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
