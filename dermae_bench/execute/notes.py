"""Small JSON files beside large ones, each with a digest of itself: what blocks and checkpoints are told by."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermae_bench.bounded.files import Unreadable, read_bytes
from dermae_bench.durable import canonical, digest_of, write_text
from dermae_bench.errors import DataMissing

MOST_BYTES = 64 * 1024 * 1024
"""A larger note is none of ours; it is not read into memory."""


class Unsound(Exception):
    """A block or a checkpoint that must not be used, and why."""


def write_note(path: Path, about: Mapping[str, Any], *, durable: bool = True) -> None:
    """Replace the note at `path`, atomically."""
    write_text(path, canonical({"about": about, "digest": digest_of(about)}), durable=durable)


def read_note(path: Path) -> dict[str, Any]:
    """What `write_note` wrote.

    Raises:
        Unsound: it is damaged, too large or no note.
        OSError: it cannot be read.
    """
    try:
        data = read_bytes(path, MOST_BYTES)
    except DataMissing as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
    except Unreadable as error:
        raise Unsound(f"{path.name}: {error.reason}") from None
    try:
        found = json.loads(data)
        about = found["about"]
        sound = isinstance(about, dict) and found["digest"] == digest_of(about)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise Unsound(f"{path.name} is no note of ours: {type(error).__name__}") from None
    if not sound:
        raise Unsound(f"the digest of {path.name} differs")
    return dict(about)
