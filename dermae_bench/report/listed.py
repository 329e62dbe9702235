"""A folder whose files are all ours: it lists them, so that those of former reports can be removed, and only those."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from dermae_bench.durable import replacing
from dermae_bench.errors import UserError

LIST = ".written"
"""Names of the files that were written, one a line."""

Written = MutableMapping[Path, str]
"""File -> SHA-256 of the bytes that were meant for it, whatever lies there afterwards."""


def write_listed(folder: Path, contents: Mapping[str, bytes], written: Written | None = None) -> tuple[Path, ...]:
    """Bring a folder to some contents: write what differs, remove what a former call wrote and this one does not.

    Files that no call wrote stay. A list that names anything but plain files of this folder removes nothing of it.

    Args:
        contents: file name -> bytes; names have no folder.
        written: takes what was written, the list too.

    Returns:
        the files whose bytes changed, without the list.

    Raises:
        UserError: `folder` is a link, or no folder; nothing was touched.
    """
    own_folder(folder)
    former = _listed(folder)
    for name in sorted(former - set(contents)):
        (folder / name).unlink(missing_ok=True)
    changed = [path for name, data in contents.items() if write_changed(path := folder / name, data, written)]
    if contents:
        write_changed(folder / LIST, "".join(f"{name}\n" for name in sorted(contents)).encode(), written)
    elif former:
        (folder / LIST).unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
    return tuple(changed)


def own_folder(folder: Path) -> None:
    """Make sure that files written to `folder` come to lie there and nowhere else; it need not be there yet.

    Raises:
        UserError: it is a link, or no folder.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        what = "a link" if folder.is_symlink() else "no folder"
        raise UserError(f"{folder} is {what}: the report writes and removes files in a folder of its own there",
                        hint="move it away; the whole results folder may be a link")  # fmt: skip


def write_changed(path: Path, data: bytes, written: Written | None = None) -> bool:
    """Write a file atomically where its bytes differ; whether it was written. A link is replaced, and not followed."""
    if written is not None:
        written[path] = hashlib.sha256(data).hexdigest()
    if path.is_file() and not path.is_symlink() and path.read_bytes() == data:
        return False
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return True


def _listed(folder: Path) -> set[str]:
    path = folder / LIST
    if not path.is_file():
        return set()
    names = path.read_text(encoding="utf-8", errors="replace").splitlines()
    # the list lies in a folder that others may have written
    return {name for name in names if _plain(name) and (folder / name).is_file() and not (folder / name).is_symlink()}


def _plain(name: str) -> bool:
    return bool(name) and name not in {LIST, ".", ".."} and not set(name) & set("/\\\0")
