"""What a finished stage leaves, and what a failed one does: the files that are read before any other."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dermae_bench.durable import digest_file
from dermae_bench.errors import BenchError

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
LARGEST = 64 << 20
"""Bytes of a manifest or a failure; that of 10,000 shards has about 1 MiB."""


class Damaged(BenchError):
    """A stored file is not what its manifest says.

    Args:
        kind, key: the entry, where there is one.
    """

    def __init__(self, message: str, kind: str = "", key: str = "", *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.key = key


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a finished stage left behind."""

    kind: str
    key: str
    name: str
    parts: Mapping[str, Any]
    """Everything the key was made of: work, plugins, libraries, harness, inputs."""
    files: Mapping[str, Mapping[str, Any]]
    """File name -> {sha256, bytes}."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """Small facts about the result, deterministic: what later stages and reports read without opening files."""
    seconds: float = 0.0
    max_rss_mb: int = 0
    environment: Mapping[str, Any] = field(default_factory=dict)
    version: int = MANIFEST_VERSION


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an attempt ended without a manifest."""

    key: str
    name: str
    reason: str
    """One line: `diverged at step 12: loss is not finite`, `signal 9`, ..."""
    category: str
    """crashed | oom | timeout | diverged | invalid-output | lost | data"""
    phase: str = ""
    traceback: str = ""
    seconds: float = 0.0
    max_rss_mb: int = 0
    attempt: int = 1


def well_formed(manifest: Manifest) -> bool:
    """Whether every field has the type that its readers rely on."""
    mappings = (manifest.parts, manifest.files, manifest.summary, manifest.environment)
    return (
        manifest.version == MANIFEST_VERSION
        and isinstance(manifest.name, str)
        and isinstance(manifest.seconds, int | float)
        and isinstance(manifest.max_rss_mb, int)
        and all(isinstance(mapping, Mapping) for mapping in mappings)
        and all(
            isinstance(about, Mapping)
            and isinstance(about.get("bytes"), int)
            and isinstance(about.get("sha256"), str)
            and "/" not in name
            and name not in {"", ".", "..", MANIFEST}
            for name, about in manifest.files.items()
        )
    )


def read_manifest(folder: Path, kind: str, key: str) -> Manifest:
    """The manifest in an entry's folder, as it was committed.

    Raises:
        Damaged: it cannot be read, is not what was written, or is another stage's.
        OSError: this process may open no more files; the entry may be sound.
    """
    try:
        data = _bounded(folder / MANIFEST)
        fields = json.loads(data)
        digest = fields.pop("sha256")
        manifest = Manifest(**fields)
        # the rest as it stands there: spelling a thousand manifests anew would be felt
        rest = data.replace(f'"sha256":"{digest}",'.encode(), b"", 1)
        if hashlib.sha256(rest).hexdigest() != digest or not well_formed(manifest):
            raise ValueError("it is not what was written")
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
            raise
        raise Damaged(f"store entry {kind}/{key} has no readable manifest: {error}", kind, key) from error
    if manifest.key != key or manifest.kind != kind:
        raise Damaged(f"store entry {kind}/{key} holds the manifest of {manifest.kind}/{manifest.key}", kind, key)
    return manifest


def read_failure(path: Path) -> Failure | None:
    """Why an attempt failed; None where nobody wrote it, or not so that it can be read."""
    try:
        failure = Failure(**json.loads(_bounded(path)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    texts = (failure.key, failure.name, failure.reason, failure.category, failure.phase, failure.traceback)
    numbers = (failure.seconds, failure.max_rss_mb, failure.attempt)
    whole = all(isinstance(text, str) for text in texts) and all(isinstance(number, int | float) for number in numbers)
    return failure if whole else None


def _bounded(path: Path) -> bytes:
    # without O_NONBLOCK, opening a pipe that nobody writes into waits for ever
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:  # noqa: PTH123 (a handle)
        about = os.fstat(stream.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is no plain file")
        if about.st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST >> 20} MiB")
        return stream.read(LARGEST)


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """File name -> {sha256, bytes} of every file in `folder`, which must be flat."""
    return {
        path.name: {"sha256": digest_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }
