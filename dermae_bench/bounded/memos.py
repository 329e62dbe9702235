"""Memos: JSON files that save time, under a digest of every byte. One that is damaged is as good as none."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from dermae_bench.bounded.files import LARGEST_TEXT, read_bytes
from dermae_bench.durable import write_text
from dermae_bench.errors import DataError

_HEAD, _MIDDLE, _DIGITS = b'{"sha256":"', b'","value":', 64


def write_memo(path: Path, value: Any) -> None:
    """Keep a JSON value; not flushed, since losing it costs time only.

    Raises:
        OSError: the system refused.
    """
    write_text(path, _spelled(path, json.dumps(value, separators=(",", ":")).encode()).decode(), durable=False)


def keep(path: Path, value: Any) -> None:
    """The same, where a folder that cannot be written is no reason to stop."""
    with contextlib.suppress(OSError):
        write_memo(path, value)


def kept(path: Path, limit: int = LARGEST_TEXT) -> Any:
    """What was written at `path`, every byte of it; None where it was not, or is damaged, or is another file's."""
    try:
        data = read_bytes(path, limit)
        body = data[len(_HEAD) + _DIGITS + len(_MIDDLE) : -1]
        return json.loads(body) if _spelled(path, body) == data else None
    except (DataError, ValueError, RecursionError):
        # made anew, so nobody needs to know
        return None


def _spelled(path: Path, body: bytes) -> bytes:
    # with its name: a sound memo under another one's name is as wrong as a damaged one
    digest = hashlib.sha256(path.name.encode("utf-8", "surrogateescape") + b"\n" + body).hexdigest().encode()
    return b"".join((_HEAD, digest, _MIDDLE, body, b"}"))
