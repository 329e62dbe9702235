"""JPEG by torchvision (libjpeg-turbo, the fastest decoder tried), with an ear for what it only says.

A JPEG has no checksums, so a changed byte that still decodes cannot be noticed.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dermae_bench.plugin.unreadable import HEADER_BYTES, MAX_PIXELS, UnreadableImage, last_line

if TYPE_CHECKING:
    from torch import Tensor

JPEG = b"\xff\xd8\xff"
MAX_SCANNED = 1_000_000_000
"""Pixels times scans of one JPEG: each scan may cost a look at every pixel. A progressive one has about 10."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# What libjpeg says, and only says, when it has filled the rest of a damaged picture with grey.
# It says the first thing only, so that one about an odd but harmless marker would hide a worse one: all of them count.
_DAMAGE = (
    b"Corrupt JPEG data",
    b"Premature end",
    b"Unsupported marker",
    b"Inconsistent progression",
    b"Invalid SOS parameters",
    b"Unknown Adobe color transform",
    b"Warning: unknown JFIF",
)


def jpeg_area(start: bytes) -> tuple[int, int]:
    """Width and height from the frame header, walking the segments before it.

    Raises:
        UnreadableImage: there is none, or it is of colours that have no agreed meaning.
    """
    at = 2
    while at + 4 <= len(start):
        if start[at] != 0xFF:
            raise UnreadableImage("is a corrupt JPEG (no marker where one must be)")
        marker = start[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _FRAMES:
            if at + 10 > len(start):
                break
            precision, components = start[at + 4], start[at + 9]
            if precision != 8 or components not in (1, 3):
                raise UnreadableImage(f"is a JPEG of {components} channels of {precision} bits, not grey or RGB of 8")
            return int.from_bytes(start[at + 7 : at + 9], "big"), int.from_bytes(start[at + 5 : at + 7], "big")
        if marker in (0xD9, 0xDA):
            raise UnreadableImage("is a corrupt JPEG (no frame header)")
        at += 2 + int.from_bytes(start[at + 2 : at + 4], "big")
    if len(start) == HEADER_BYTES:
        raise UnreadableImage("is a JPEG with more than 1 MiB of profiles before the picture")
    raise UnreadableImage("is a truncated JPEG (no frame header)")


def jpeg(data: bytes, heard: Callable[[], str | None]) -> Tensor:
    """uint8 RGB (3, H, W) of a JPEG whose header was checked, EXIF orientation applied.

    Args:
        heard: what `damage` lends.

    Raises:
        UnreadableImage: truncated, corrupt, or of more scans than a camera writes.
    """
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    if b"\xff\xd9" not in data[2:]:
        raise UnreadableImage("is a truncated JPEG (no end marker)")
    width, height = jpeg_area(data[:HEADER_BYTES])
    # inside of compressed data FF is never followed by DA; thumbnails may add a few
    if data.count(b"\xff\xda") * width * height > MAX_SCANNED + MAX_PIXELS:
        raise UnreadableImage("is a JPEG of more scans than a camera writes")
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        with warnings.catch_warnings():
            # Deprecated since torchvision 0.29 in favour of TorchCodec; nobody who runs a suite can act on that.
            warnings.simplefilter("ignore", DeprecationWarning)
            image: Tensor = decode_jpeg(encoded, mode=ImageReadMode.RGB, apply_exif_orientation=True)
    except RuntimeError as error:
        heard()
        said = str(error)
        truncated = "truncated" in said or "incomplete" in said
        raise UnreadableImage(
            "is a truncated JPEG" if truncated else f"is a corrupt JPEG ({last_line(said)})"
        ) from None
    if damage := heard():
        raise UnreadableImage(f"is a corrupt JPEG ({damage})")
    return image


@contextlib.contextmanager
def damage() -> Iterator[Callable[[], str | None]]:
    """Lend a function that says what libjpeg complained of since it was last asked, None if of nothing.

    libjpeg reports damage as lines on file descriptor 2 and goes on with grey pixels; there is no other channel.
    So descriptor 2 points to a scratch file while images are read. Whatever else was written is passed on after.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as scratch:
        kept = os.dup(2)
        os.dup2(scratch.fileno(), 2)
        seen = 0

        def heard() -> str | None:
            nonlocal seen
            end = os.fstat(scratch.fileno()).st_size
            if end == seen:
                return None
            lines = os.pread(scratch.fileno(), end - seen, seen).splitlines()
            seen = end
            return next((line.decode("ascii", "replace") for line in lines if line.startswith(_DAMAGE)), None)

        try:
            yield heard
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            scratch.seek(0)
            for line in scratch.read().splitlines(keepends=True):
                if not line.startswith(_DAMAGE):
                    os.write(2, line)
