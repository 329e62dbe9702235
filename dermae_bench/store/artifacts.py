"""The store: one folder a stage key, complete or absent; the manifest, committed last, is the truth.

Layout under the root::

    <kind>/<key>/manifest.json + files      finished stages, never changed again
    attempts/<key>/                         work in progress: spec, logs, checkpoints, shards; kept until it is finished
        lease, working, fence               who may work on it, whose process does, and the number of the newest start
    failures/<key>.json                     why the last attempt failed; removed when a later one succeeds
    quarantine/                             damaged entries, for a look
    runs/                                   who is alive and needs what
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from pathlib import Path

from dermae_bench.durable import (
    TEMPORARY,
    canonical,
    digest_file,
    digest_of,
    make_folder,
    remove_tree,
    rename,
    sync_file,
    sync_folder,
    write_text,
)
from dermae_bench.errors import StorageError
from dermae_bench.store import fences, runs
from dermae_bench.store.leases import Lease
from dermae_bench.store.manifests import MANIFEST, Damaged, Failure, Manifest, read_failure, read_manifest
from dermae_bench.store.moving import copied_beside, made, move
from dermae_bench.store.refusals import AGAIN, REFUSALS, refused
from dermae_bench.store.refusals import free_bytes as free_bytes
from dermae_bench.store.strangers import LEASE, clear, clear_file, clear_the_way

PROBE_BYTES = 1 << 20
QUARANTINE = "quarantine"
KINDS = ("prepare", "train", "sample", "extract", "predict", "score", "cost")

Mark = tuple[int, int, int, int]
"""Size, mtime, ctime (ns) and inode of a file: while they stay, so do its bytes."""


class Store:
    """A folder of finished stages, which several runs may share.

    What was checked once is not read again by the same `Store` while size, times and inode of the file stay.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._place: tuple[int, int] | None = None
        self._right: dict[Path, tuple[Mark, str]] = {}

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
        manifest = self.read_manifest(kind, key)
        if digest_of(manifest.parts)[:32] != key:
            raise Damaged(f"{MANIFEST} of store entry {kind}/{key} is not what its key says", kind, key)
        return manifest

    def read_manifest(self, kind: str, key: str) -> Manifest:
        """The manifest as it was committed, in its own folder; what it says of its parts is not held against its key.

        Raises:
            Damaged: it cannot be read, or is another stage's.
        """
        return read_manifest(self.folder(kind, key), kind, key)

    def damage(self, kind: str, key: str) -> str | None:
        """What the manifest and the files' sizes tell against a finished stage, if anything; moves nothing."""
        try:
            self._compare_sizes(self.read_manifest(kind, key))
        except Damaged as error:
            return error.message
        return None

    def glanced(self, kind: str, key: str) -> Manifest:
        """The manifest of a finished stage whose files are there with their sizes; reads none of them.

        Raises:
            Damaged: the manifest differs, a file is missing, too many, or longer or shorter; the entry is moved aside.
        """
        return self._whole(kind, key, self.read_manifest)

    def _whole(self, kind: str, key: str, read: Callable[[str, str], Manifest]) -> Manifest:
        try:
            manifest = read(kind, key)
            self._compare_sizes(manifest)
        except Damaged as error:
            raise self._aside(error) from error
        return manifest

    def _compare_sizes(self, manifest: Manifest) -> None:
        kind, key = manifest.kind, manifest.key
        try:
            with os.scandir(self.folder(kind, key)) as entries:
                # a link is no file of ours: what it leads to may change, and need not lie in the store
                found = {
                    e.name: e.stat().st_size if e.is_file(follow_symlinks=False) else -1
                    for e in entries
                    if e.name != MANIFEST
                }
        except FileNotFoundError as error:
            raise Damaged(f"store entry {kind}/{key} went away", kind, key) from error
        strangers = sorted({*found} - {*manifest.files})
        if strangers:
            # nobody but a commit writes here: what its manifest does not list was put there by a mistake
            raise Damaged(
                f"store entry {kind}/{key} holds {strangers[0]!a}, which its manifest does not list", kind, key
            )
        for name, about in manifest.files.items():
            if found.get(name) != about["bytes"]:
                raise Damaged(f"{name} of store entry {kind}/{key} is damaged", kind, key)

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
            if (names is None or name in names) and not self._has_digest(folder / name, about["sha256"]):
                raise self._aside(Damaged(f"{name} of store entry {kind}/{key} is damaged", kind, key))
        return folder, manifest

    def file(self, kind: str, key: str, name: str) -> Path:
        """One file of a finished stage, to be read now: its bytes are what the manifest says.

        Raises:
            Damaged: it is not so, or the manifest lists no such file; the entry is moved aside.
        """
        folder, manifest = self.checked(kind, key, (name,))
        if name not in manifest.files:
            raise self._aside(Damaged(f"store entry {kind}/{key} has no {name}", kind, key))
        return folder / name

    def _has_digest(self, path: Path, digest: str) -> bool:
        try:
            about = path.stat()
            mark = (about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino)
            if self._right.get(path) == (mark, digest):
                return True
            if digest_file(path) != digest:
                return False
        except FileNotFoundError:
            return False
        self._right[path] = (mark, digest)
        return True

    def _aside(self, error: Damaged) -> Damaged:
        """The same error, saying where the entry is now: in quarantine, unless the store cannot be written."""
        try:
            self.quarantine(error.kind, error.key)
            where = "the entry was moved to quarantine/"
        except OSError as refusal:
            if REFUSALS.get(refusal.errno or 0) != "write":
                raise
            where = f"the entry cannot be moved to quarantine/ ({os.strerror(refusal.errno or 0)})"
        return Damaged(f"{error.message}; {where}", error.kind, error.key)

    def quarantine(self, kind: str, key: str) -> None:
        """Move an entry out of the way, keeping it for a look."""
        target = self.root / QUARANTINE / f"{kind}-{key}-{time.time_ns()}"
        target.parent.mkdir(parents=True, exist_ok=True)
        move(self.folder(kind, key), target)

    # -- writing ---------------------------------------------------------------------------------------------------

    def begin(self, key: str) -> str:
        """Start an attempt at a stage whose lease is held: the fence that its commit and its failure have to show."""
        self.stay()
        clear(self.attempt_folder(key), self.root / QUARANTINE)
        return fences.begin(self.attempt_folder(key))

    def commit(self, work: Path, manifest: Manifest, *, fence: str | None = None) -> None:
        """Turn the folder `work` into a finished stage: flush, manifest last, rename.

        Args:
            fence: what `begin` gave; None where nobody else can be at work.

        Raises:
            Superseded: somebody began the stage anew since; what is there stays.
        """
        self.stay()
        self._hold(manifest.key, fence, "the result")
        for name in manifest.files:
            sync_file(work / name)
        # the digest is of what a reader will find: JSON knows no tuples, and its keys are all texts
        fields = json.loads(canonical(asdict(manifest)))
        write_text(work / MANIFEST, canonical({**fields, "sha256": digest_of(fields)}))
        target = self.folder(manifest.kind, manifest.key)
        make_folder(target.parent)
        while True:
            self._hold(manifest.key, fence, "the result")
            try:
                rename(work, target)
            except OSError as error:
                if error.errno == errno.EXDEV:
                    # `attempts/` or the kind's folder is a link to another disk: a copy beside the target, then as ever
                    work = copied_beside(work, target)
                    continue
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

    def _hold(self, key: str, fence: str | None, what: str) -> None:
        if fence is not None:
            fences.hold(self.attempt_folder(key), fence, what)

    def failure(self, key: str) -> Failure | None:
        """Why the last attempt at a stage failed, if it did and none succeeded since."""
        return read_failure(self.root / "failures" / f"{key}.json")

    def record_failure(self, failure: Failure, *, fence: str | None = None) -> None:
        """Remember why an attempt failed.

        Raises:
            Superseded: somebody began the stage anew since (see `commit`).
        """
        self.stay()
        self._hold(failure.key, fence, "the failure")
        path = self.root / "failures" / f"{failure.key}.json"
        clear_file(path, self.root / QUARANTINE)
        write_text(path, canonical(asdict(failure)))

    def settle(self, key: str) -> None:
        """Forget attempts and failures of a stage that is finished now."""
        failure = self.root / "failures" / f"{key}.json"
        clear_file(failure, self.root / QUARANTINE)
        failure.unlink(missing_ok=True)
        remove_tree(self.attempt_folder(key))

    def manifests(self, kind: str) -> Iterator[Manifest]:
        """Every readable manifest of a kind, newest first; damaged ones are left to those who use them."""
        folder = self.root / kind
        entries = sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime_ns, reverse=True) if folder.is_dir() else []
        for entry in entries:
            with contextlib.suppress(Damaged):
                yield self.manifest(kind, entry.name)

    def stay(self) -> None:
        """Make the root, or see that it is still the folder that it was when this was first called.

        Raises:
            StorageError: its place is no folder; or it was moved, removed or unmounted since: a new one in its place
                would hold nothing.
        """
        if self._place is None:
            self._place = made(self.root)
        try:
            about = self.root.stat()
            there = (about.st_dev, about.st_ino) == self._place
        except (FileNotFoundError, NotADirectoryError):
            there = False
        if not there:
            raise StorageError(f"the store at {self.root} was moved, removed or unmounted meanwhile", hint=AGAIN)

    @contextlib.contextmanager
    def writable(self, needed: int | None = None) -> Iterator[None]:
        """Turn the operating system's refusals into one clear line with the place and the free space.

        Args:
            needed: bytes that are about to be written, where they are known.
        """
        try:
            yield
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
            raise refused(error, self.root, needed) from error

    def probe(self) -> None:
        """Write a little and remove it again.

        Raises:
            OSError: the store refuses.
        """
        self.stay()
        path = self.root / f"{TEMPORARY}probe-{os.getpid()}"
        try:
            write_text(path, "0" * PROBE_BYTES)
        finally:
            path.unlink(missing_ok=True)

    def lease(self, key: str, name: str = "") -> Lease:
        """The right to work on a stage, which dies with its holder; `name` tells those who wait what it is."""
        self.stay()
        clear_the_way(self.attempt_folder(key), self.root / QUARANTINE)
        return Lease(self.attempt_folder(key) / LEASE, name or f"stage {key[:8]}")

    def announced(self, name: str, keys: Collection[str]) -> contextlib.AbstractContextManager[None]:
        """Inside, the stages with `keys` are needed: `clean` leaves them (see `dermae_bench.store.runs`)."""
        return runs.announced(self.root, name, keys)
