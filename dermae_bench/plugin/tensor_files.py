"""Files of weights, opened once and bounded; safetensors is read here, after its header was checked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dermae_bench.errors import DataMissing, UserError
from dermae_bench.plugin import unpickling

if TYPE_CHECKING:
    from torch import Tensor

LIMIT = 64 * 2**30
"""Largest weights file that is read, and the most that one may expand to, in bytes."""
HEADER_LIMIT = 16 * 2**20
"""Of a safetensors file, in bytes; 10,000 tensors need about 1 MiB."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """A regular file, opened once: whatever the name leads to later, this is what is checked and read.

    Raises:
        DataMissing: there is no such file.
        UserError: it is no plain file, too large, or changes meanwhile.
    """
    try:
        # without O_NONBLOCK, opening a FIFO waits for a writer
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise DataMissing(f"weights file {path} is not there") from None
    except OSError as error:
        raise UserError(f"weights file {path} cannot be opened: {error.strerror}") from None
    about = os.fstat(handle)
    wrong = None
    if not stat.S_ISREG(about.st_mode):
        wrong = "is not a file"
    elif about.st_size > LIMIT:
        wrong = f"is larger than {LIMIT // 2**30} GiB"
    if wrong is not None:
        os.close(handle)
        raise UserError(f"weights file {path} {wrong}")
    with open(handle, "rb") as stream:  # noqa: PTH123 (a handle, no path)
        yield stream
        if _mark(os.fstat(handle)) != _mark(about):
            raise UserError(f"weights file {path} was changed while it was read")


def _mark(about: os.stat_result) -> tuple[int, int, int]:
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns


def digest_of_stream(stream: BufferedReader) -> str:
    """SHA-256 (hex) of all bytes of a stream."""
    stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest()


def read_safetensors(stream: IO[bytes]) -> dict[str, Tensor]:
    """State dict of a safetensors file, in the order that its header tells.

    Raises:
        Refused: it is damaged, or its header tells of too much.
    """
    order = _check_header(stream)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state: dict[str, Tensor] = load_file(f"/dev/fd/{stream.fileno()}")
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, OverflowError) as error:
        raise unpickling.Refused(f"is damaged: {str(error)[:200]}") from None
    return {name: state[name] for name in order} if set(order) == set(state) else state


def _check_header(stream: IO[bytes]) -> list[str]:
    """Look at the header before any library does; returns the names in their order."""
    size = os.fstat(stream.fileno()).st_size
    stream.seek(0)
    length = int.from_bytes(stream.read(8), "little")
    if size < 8 or length + 8 > size:
        raise unpickling.Refused("is damaged: it is shorter than its header says")
    if length > HEADER_LIMIT:
        raise unpickling.Refused(f"has a header of more than {HEADER_LIMIT // 2**20} MiB")
    try:
        header = json.loads(stream.read(length), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise unpickling.Refused(f"is damaged: its header is no JSON ({str(error)[:100]})") from None
    if not isinstance(header, dict):
        raise unpickling.Refused("is damaged: its header is no mapping")
    about = header.pop("__metadata__", None)
    if len(header) > unpickling.MOST_TENSORS:
        raise unpickling.Refused(f"holds {len(header)} tensors, more than {unpickling.MOST_TENSORS}")
    told = about.get("order") if isinstance(about, dict) else None
    try:
        order = json.loads(told) if isinstance(told, str) else None
    except (ValueError, RecursionError):
        order = None
    known = isinstance(order, list) and all(isinstance(name, str) for name in order)
    return order if order is not None and known else list(header)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found
