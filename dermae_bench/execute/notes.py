"""Small JSON files beside large ones, each with a digest of itself: what blocks and checkpoints are told by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermae_bench.durable import canonical, digest_of, write_text

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
    if path.stat().st_size > MOST_BYTES:
        raise Unsound(f"{path.name} is larger than {MOST_BYTES // 2**20} MiB")
    try:
        found = json.loads(path.read_bytes())
        about = found["about"]
        sound = isinstance(about, dict) and found["digest"] == digest_of(about)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise Unsound(f"{path.name} is no note of ours: {type(error).__name__}") from None
    if not sound:
        raise Unsound(f"the digest of {path.name} differs")
    return dict(about)
