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

import contextlib
import hashlib
import os
import stat
import sys
import tempfile
import warnings
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

MAX_PIXELS = 50_000_000
"""Larger images are refused from their header, before memory is asked for."""
MAX_BYTES = 512 * 1024 * 1024
"""No picture of 50 MPix needs more; a larger file is not read into memory."""
HEADER_BYTES = 1024 * 1024
"""How much of a file `inspect` reads: the frame header follows the embedded profiles and thumbnails."""

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
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
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# What libjpeg says, and only says, when it has filled the rest of a damaged picture with grey.
_DAMAGE = (b"Corrupt JPEG data", b"Premature end", b"Unsupported marker")


class UnreadableImage(ValueError):
    """A file that is not a sound JPEG or PNG of at most 50 MPix; `str()` is the reason, without the path."""


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
    with _damage() as heard:
        return _read(path, size, heard)


def read_images(paths: Sequence[Path], size: int, out: NDArray[np.uint8]) -> list[tuple[int, str]]:
    """Fill `out[i]` (uint8 (N, 3, size, size), may be memory-mapped) from `paths[i]`.

    Returns:
        Every failure as (index, reason), in order; its row of `out` is left as it was.
    """
    if out.shape != (len(paths), 3, size, size) or out.dtype != np.uint8:
        raise ValueError(f"need uint8 {(len(paths), 3, size, size)}, got {out.dtype} {out.shape}")
    failures = []
    with _damage() as heard:
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

    kind = _header(_start(path))
    data = path.read_bytes()
    image = _jpeg(data, heard) if kind == "jpeg" else _png(data)
    square: NDArray[np.uint8] = resize(image.unsqueeze(0), size)[0].numpy()
    return square


def _start(path: Path) -> bytes:
    try:
        status = path.stat()
        # A FIFO or a device would block or never end.
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImage("is not a file")
        if status.st_size == 0:
            raise UnreadableImage("is empty (0 bytes)")
        if status.st_size > MAX_BYTES:
            raise UnreadableImage(f"is larger than {MAX_BYTES // 2**20} MiB")
        with path.open("rb") as stream:
            return stream.read(HEADER_BYTES)
    except FileNotFoundError:
        raise UnreadableImage("is missing") from None
    except OSError as error:
        raise UnreadableImage(f"cannot be opened: {error.strerror}") from None


def _header(start: bytes) -> Literal["jpeg", "png"]:
    if start.startswith(JPEG):
        _check_area(*_jpeg_area(start))
        return "jpeg"
    if start.startswith(PNG):
        if len(start) < 33 or start[12:16] != b"IHDR":
            raise UnreadableImage("is a truncated PNG")
        _check_area(int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big"))
        return "png"
    known = next((name for magic, name in _FOREIGN if start.lstrip().startswith(magic)), None)
    raise UnreadableImage(f"is {known or 'of an unknown format'}, not JPEG or PNG")


def _jpeg_area(start: bytes) -> tuple[int, int]:
    """Width and height from the frame header, walking the segments before it."""
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
    raise UnreadableImage("is a truncated JPEG (no frame header)")


def _check_area(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise UnreadableImage(f"states a size of {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"has {width} x {height} pixels, more than {MAX_PIXELS // 10**6} MPix")


def _jpeg(data: bytes, heard: Callable[[], str | None]) -> Tensor:
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    if b"\xff\xd9" not in data[2:]:
        raise UnreadableImage("is a truncated JPEG (no end marker)")
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
            "is a truncated JPEG" if truncated else f"is a corrupt JPEG ({_last_line(said)})"
        ) from None
    if damage := heard():
        raise UnreadableImage(f"is a corrupt JPEG ({damage})")
    return image


def _png(data: bytes) -> Tensor:
    import torch
    from PIL import Image, ImageOps

    _check_chunks(data)
    try:
        with Image.open(BytesIO(data), formats=["PNG"]) as opened:
            opened.load()
            # Pillow carries 16-bit grey as such and would clip it to 255 on conversion.
            deep = opened.mode.startswith("I")
            image = Image.fromarray((np.asarray(opened) >> 8).astype(np.uint8)) if deep else opened
            clear = image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] != 255
            pixels = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError) as error:
        raise UnreadableImage(f"is a corrupt PNG ({_last_line(str(error))})") from None
    if clear:
        raise UnreadableImage("has transparent pixels, whose colour is not defined")
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _check_chunks(data: bytes) -> None:
    """Every chunk whole and with the right CRC, up to the end chunk: Pillow alone lets changed pixels pass."""
    at, kind = len(PNG), b""
    while kind != b"IEND":
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data) or at + 12 > len(data):
            raise UnreadableImage("is a truncated PNG")
        kind = data[at + 4 : at + 8]
        if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise UnreadableImage(f"is a corrupt PNG (wrong checksum of chunk {kind!r})")
        at = end


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1][-120:] if lines else "no reason given"


@contextlib.contextmanager
def _damage() -> Iterator[Callable[[], str | None]]:
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
