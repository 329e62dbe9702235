"""Encoded photographs -> uint8 squares: JPEG and PNG only, checked before and while they are decoded.

The whole picture is squashed to the square (no crop, so nothing of a lesion is lost; a 600x450 image changes its
aspect ratio), by the protocol `images.RESIZE_PROTOCOL`. What is read is decided by the first bytes, never by the
file's name. EXIF orientation is applied. Grey and palette images become RGB, 16 bits a channel become the upper 8;
transparent pixels, CMYK and 12-bit JPEG have no agreed colour and are refused.

JPEG goes through torchvision (libjpeg-turbo, the fastest decoder tried). PNG goes through Pillow, because
torchvision 0.29 ends the whole process with a segmentation fault when the compressed data of a PNG are corrupt.
A PNG is checked by its checksums; a JPEG has none, so a changed byte that still decodes cannot be noticed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dermae_bench.plugin.jpeg import JPEG, damage, jpeg, jpeg_area
from dermae_bench.plugin.png import PNG, png
from dermae_bench.plugin.unreadable import HEADER_BYTES, MAX_BYTES, check_area
from dermae_bench.plugin.unreadable import MAX_PIXELS as MAX_PIXELS
from dermae_bench.plugin.unreadable import UnreadableImage as UnreadableImage

_FOREIGN = (
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"%!PS", "EPS"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"BM", "BMP"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML or SVG"),
    (b"<!DOCTYPE", "HTML"),
    (b"<html", "HTML"),
    (b"version https://git-lfs", "Git LFS pointer"),
)


def inspect(path: Path) -> str | None:
    """Why `path` cannot be an image for us, from its first bytes alone; None when its header is sound."""
    try:
        _header(_start(path))
    except UnreadableImage as error:
        return str(error)
    return None


def read_image(path: Path, size: int) -> NDArray[np.uint8]:
    """One image as uint8 RGB (3, size, size); the whole picture is squashed to the square.

    Raises:
        UnreadableImage: missing, empty, truncated, corrupt, too large, or not a JPEG or PNG.
    """
    with damage() as heard:
        return _read(path, size, heard)


def read_images(paths: Sequence[Path], size: int, out: NDArray[np.uint8]) -> list[tuple[int, str]]:
    """Fill `out[i]` (uint8 (N, 3, size, size), may be memory-mapped) from `paths[i]`.

    Returns:
        Every failure as (index, reason), in order; its row of `out` is left as it was.
    """
    if out.shape != (len(paths), 3, size, size) or out.dtype != np.uint8:
        raise ValueError(f"need uint8 {(len(paths), 3, size, size)}, got {out.dtype} {out.shape}")
    failures = []
    with damage() as heard:
        for index, path in enumerate(paths):
            try:
                out[index] = _read(path, size, heard)
            except UnreadableImage as error:
                failures.append((index, str(error)))
    return failures


def find_duplicates(paths: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Files with the same bytes as an earlier one, as (earlier, later) in the order of `paths`.

    Only files of equal size are read. Files that are not there are left to `read_images` to report.
    """
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in paths:
        if path.is_file():
            by_size[path.stat().st_size].append(path)
    crowded = {path for same in by_size.values() if len(same) > 1 for path in same}
    first: dict[bytes, Path] = {}
    pairs = []
    for path in paths:
        if path in crowded:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").digest()
            if digest in first:
                pairs.append((first[digest], path))
            else:
                first[digest] = path
    return pairs


def _read(path: Path, size: int, heard: Callable[[], str | None]) -> NDArray[np.uint8]:
    from dermae_bench.plugin.images import resize

    data = _whole(path)
    kind = _header(data[:HEADER_BYTES])
    image = jpeg(data, heard) if kind == "jpeg" else png(data)
    square: NDArray[np.uint8] = resize(image.unsqueeze(0), size)[0].numpy()
    return square


def _start(path: Path) -> bytes:
    return _bytes(path, HEADER_BYTES)


def _whole(path: Path) -> bytes:
    return _bytes(path, MAX_BYTES)


def _bytes(path: Path, most: int) -> bytes:
    """At most `most` bytes of a regular file, which is opened once: what is checked is what is read."""
    try:
        # without O_NONBLOCK, opening a FIFO would wait for somebody who writes into it
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableImage("is not a file")
            if status.st_size == 0:
                raise UnreadableImage("is empty (0 bytes)")
            if status.st_size > MAX_BYTES:
                raise UnreadableImage(f"is larger than {MAX_BYTES // 2**20} MiB")
            with open(handle, "rb", closefd=False) as stream:
                return stream.read(most)
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise UnreadableImage("is missing") from None
    except OSError as error:
        raise UnreadableImage(f"cannot be opened: {error.strerror}") from None


def _header(start: bytes) -> Literal["jpeg", "png"]:
    if start.startswith(JPEG):
        check_area(*jpeg_area(start))
        return "jpeg"
    if start.startswith(PNG):
        if len(start) < 33 or start[12:16] != b"IHDR":
            raise UnreadableImage("is a truncated PNG")
        check_area(int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big"))
        return "png"
    known = next((name for magic, name in _FOREIGN if start.lstrip().startswith(magic)), None)
    raise UnreadableImage(f"is {known or 'of an unknown format'}, not JPEG or PNG")
