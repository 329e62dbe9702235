"""Folders that change their place: by a rename, and by a copy where the place lies on another disk."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from dermae_bench.durable import TEMPORARY, make_folder, remove_tree, rename, sync_file, sync_folder
from dermae_bench.errors import StorageError
from dermae_bench.store.manifests import MANIFEST


def made(root: Path) -> tuple[int, int]:
    """Make the root of a store; returns device and inode.

    Raises:
        StorageError: something else is in its place.
    """
    while True:
        try:
            make_folder(root)
        except (FileExistsError, NotADirectoryError) as error:
            wrong = next((path for path in (root, *root.parents) if os.path.lexists(path) and not path.is_dir()), None)
            if wrong is not None:
                what = "a link that leads to nothing" if not wrong.exists() else "no folder"
                raise StorageError(
                    f"the store cannot be at {root}: {wrong} is {what}", hint="name another place with --results"
                ) from error
            # what was in the way is gone
            continue
        about = root.stat()
        return about.st_dev, about.st_ino


def move(source: Path, target: Path) -> None:
    """Rename a folder, also onto another disk; one that is not there is nothing to move."""
    try:
        rename(source, target)
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copytree(source, target, symlinks=True)
        remove_tree(source)


def copied_beside(work: Path, target: Path) -> Path:
    """A flushed copy of `work` on the target's file system, in place of the original."""
    copy = target.with_name(f"{TEMPORARY}{target.name}-{os.getpid()}")
    remove_tree(copy)
    copy.mkdir()
    # the manifest last, as ever
    for path in sorted(work.iterdir(), key=lambda path: path.name == MANIFEST):
        shutil.copyfile(path, copy / path.name)
        sync_file(copy / path.name)
    sync_folder(copy)
    remove_tree(work)
    return copy
