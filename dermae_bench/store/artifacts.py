"""The store: one folder a stage key, complete or absent; the manifest, committed last, is the truth.

Layout under the root::

    <kind>/<key>/manifest.json + files      finished stages, never changed again
    attempts/<key>/                         work in progress: spec, logs, checkpoints, shards; kept until it is finished
    failures/<key>.json                     why the last attempt failed; removed when a later one succeeds
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from pathlib import Path

from dermae_bench.durable import (
    canonical,
    digest_file,
    digest_of,
    remove_tree,
    rename,
    sync_file,
    sync_folder,
    write_text,
)
from dermae_bench.errors import StorageError
from dermae_bench.store.leases import Lease
from dermae_bench.store.manifests import MANIFEST, Damaged, Failure, Manifest, well_formed


class Store:
    """A folder of finished stages, which several runs may share."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, kind: str, key: str) -> Path:
        """Where a finished stage lies."""
        return self.root / kind / key

    def attempt_folder(self, key: str) -> Path:
        """Where a stage works until it is finished; survives kills, so that it can go on."""
        return self.root / "attempts" / key

    def has(self, kind: str, key: str) -> bool:
        """Whether the stage is finished."""
        return (self.folder(kind, key) / MANIFEST).is_file()

    def manifest(self, kind: str, key: str) -> Manifest:
        """The manifest of a finished stage.

        Raises:
            Damaged: it cannot be read, is another stage's, or says of its parts what its key does not.
        """
        manifest = self._read(kind, key)
        if digest_of(manifest.parts)[:32] != key:
            raise Damaged(f"{MANIFEST} of store entry {kind}/{key} is not what its key says")
        return manifest

    def _read(self, kind: str, key: str) -> Manifest:
        path = self.folder(kind, key) / MANIFEST
        try:
            data = path.read_bytes()
            fields = json.loads(data)
            digest = fields.pop("sha256")
            manifest = Manifest(**fields)
            # the rest as it stands there: spelling a thousand manifests anew would be felt
            rest = data.replace(f'"sha256":"{digest}",'.encode(), b"", 1)
            if hashlib.sha256(rest).hexdigest() != digest or not well_formed(manifest):
                raise ValueError("it is not what was written")
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise Damaged(f"store entry {kind}/{key} has no readable manifest: {error}") from error
        if manifest.key != key or manifest.kind != kind:
            raise Damaged(f"store entry {kind}/{key} holds the manifest of {manifest.kind}/{manifest.key}")
        return manifest

    def glanced(self, kind: str, key: str) -> Manifest:
        """The manifest of a finished stage whose files are there with their sizes; reads none of them.

        Raises:
            Damaged: the manifest differs, a file is missing, too many, or longer or shorter; the entry is moved aside.
        """
        return self._whole(kind, key, self._read)

    def _whole(self, kind: str, key: str, read: Callable[[str, str], Manifest]) -> Manifest:
        try:
            manifest = read(kind, key)
            self._compare_sizes(manifest)
        except Damaged:
            self.quarantine(kind, key)
            raise
        return manifest

    def _compare_sizes(self, manifest: Manifest) -> None:
        place = f"{manifest.kind}/{manifest.key}"
        with os.scandir(self.folder(manifest.kind, manifest.key)) as entries:
            found = {e.name: e.stat().st_size if e.is_file() else -1 for e in entries if e.name != MANIFEST}
        strangers = sorted({*found} - {*manifest.files})
        if strangers:
            # nobody but a commit writes here: what its manifest does not list was put there by a mistake
            raise Damaged(f"store entry {place} holds {strangers[0]!a}, which its manifest does not list")
        for name, about in manifest.files.items():
            if found.get(name) != about["bytes"]:
                raise Damaged(f"{name} of store entry {place} is damaged; the entry was moved to quarantine/")

    def checked(self, kind: str, key: str, names: Collection[str] | None = None) -> tuple[Path, Manifest]:
        """Folder and manifest of a finished stage whose files have the digests that the manifest gives.

        Args:
            names: the files whose bytes are read; None: all.

        Raises:
            Damaged: a file is missing, too many, or differs; the entry is moved aside so that it is made again.
        """
        folder = self.folder(kind, key)
        manifest = self._whole(kind, key, self.manifest)
        for name, about in manifest.files.items():
            if (names is None or name in names) and digest_file(folder / name) != about["sha256"]:
                self.quarantine(kind, key)
                raise Damaged(f"{name} of store entry {kind}/{key} is damaged; the entry was moved to quarantine/")
        return folder, manifest

    def quarantine(self, kind: str, key: str) -> None:
        """Move an entry out of the way, keeping it for a look."""
        target = self.root / "quarantine" / f"{kind}-{key}-{time.time_ns()}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            rename(self.folder(kind, key), target)

    def commit(self, work: Path, manifest: Manifest) -> None:
        """Turn the folder `work` (on the same file system) into a finished stage: flush, manifest last, rename."""
        for name in manifest.files:
            sync_file(work / name)
        # the digest is of what a reader will find: JSON knows no tuples, and its keys are all texts
        fields = json.loads(canonical(asdict(manifest)))
        write_text(work / MANIFEST, canonical({**fields, "sha256": digest_of(fields)}))
        target = self.folder(manifest.kind, manifest.key)
        target.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                rename(work, target)
            except OSError as error:
                if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                    raise
                try:
                    self.glanced(manifest.kind, manifest.key)
                except Damaged:
                    # what lay there is no finished stage, and was moved aside
                    continue
                # another run finished the same stage first; equal keys mean equal results
                remove_tree(work)
            break
        sync_folder(target.parent)

    def failure(self, key: str) -> Failure | None:
        """Why the last attempt at a stage failed, if it did and none succeeded since."""
        path = self.root / "failures" / f"{key}.json"
        try:
            return Failure(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def record_failure(self, failure: Failure) -> None:
        """Remember why an attempt failed."""
        write_text(self.root / "failures" / f"{failure.key}.json", canonical(asdict(failure)))

    def settle(self, key: str) -> None:
        """Forget attempts and failures of a stage that is finished now."""
        (self.root / "failures" / f"{key}.json").unlink(missing_ok=True)
        remove_tree(self.attempt_folder(key))

    def manifests(self, kind: str) -> Iterator[Manifest]:
        """Every readable manifest of a kind, newest first; damaged ones are left to those who use them."""
        folder = self.root / kind
        entries = sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime_ns, reverse=True) if folder.is_dir() else []
        for entry in entries:
            with contextlib.suppress(Damaged):
                yield self.manifest(kind, entry.name)

    @contextlib.contextmanager
    def writable(self) -> Iterator[None]:
        """Turn the operating system's refusals into one clear line with the place and the free space."""
        try:
            yield
        except OSError as error:
            if error.errno not in {
                errno.ENOSPC,
                errno.EDQUOT,
                errno.EROFS,
                errno.EACCES,
                errno.EPERM,
                errno.EIO,
                errno.ENOENT,
            }:
                raise
            free = free_bytes(self.root)
            verb = "use" if error.errno in {errno.EIO, errno.ENOENT} else "write"
            raise StorageError(
                f"cannot {verb} {error.filename or self.root}: {os.strerror(error.errno or 0)} "
                f"({free / 2**20:.0f} MiB free)",
                hint="nothing finished is lost: mend the place and give the same command again",
            ) from error

    def lease(self, key: str) -> Lease:
        """The right to work on a stage, which dies with its holder."""
        return Lease(self.attempt_folder(key) / "lease")


def free_bytes(path: Path) -> int:
    """Free bytes of the file system that holds `path`, or the nearest folder above that exists."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
